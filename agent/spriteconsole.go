package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// maxTerminfoBytes bounds a description of a terminal; the longest known has some 10 KiB.
	maxTerminfoBytes = 64 << 10
	// compileWait is how long its compiler may take.
	compileWait = 30 * time.Second
	// knownTerm is a terminal that every image knows and most are.
	knownTerm = "xterm-256color"
)

// console is this program under the name sprite-console: a login shell on the terminal it is called in.
type console struct {
	root    string // where passwd and descriptions of terminals are; empty: the guest's own
	uid     int
	env     func(string) string
	trouble io.Writer
}

// spriteConsole becomes a login shell. A description of the terminal, as infocmp -x prints it, may be given on the standard input: it is installed for the user, and the
// shell gets the terminal itself for input. It returns the exit code where it cannot become the shell, or there is no terminal for one.
func spriteConsole(trouble io.Writer) int {
	c := &console{uid: os.Getuid(), env: os.Getenv, trouble: trouble}
	done, err := c.takeTerminfo(os.Stdin)
	if err == nil && !done {
		shell := c.shell()
		err = syscall.Exec(shell, []string{"-" + filepath.Base(shell)}, c.environment(os.Environ(), shell))
	}
	if err != nil {
		fmt.Fprintln(trouble, "sprite-console:", err)
		return 1
	}
	return 0
}

// takeTerminfo installs what the standard input says of the terminal and puts the terminal in its place. done: that was all, for there is no terminal.
func (c *console) takeTerminfo(input *os.File) (done bool, err error) {
	if isTerminal(input) {
		return false, nil
	}
	text, err := io.ReadAll(io.LimitReader(input, maxTerminfoBytes+1))
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return false, err
	}
	if err := c.install(text); err != nil {
		return false, err
	}
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return true, nil
	}
	defer terminal.Close()
	return false, syscall.Dup3(fdOf(terminal), fdOf(input), 0)
}

// install compiles a description into the user's own.
func (c *console) install(text []byte) error {
	home := c.env("HOME")
	if len(text) > maxTerminfoBytes || !filepath.IsAbs(home) {
		return fmt.Errorf("the terminal's description is longer than %d bytes, or HOME is not set", maxTerminfoBytes)
	}
	ctx, cancel := context.WithTimeout(context.Background(), compileWait)
	defer cancel()
	compiler := exec.CommandContext(ctx, "tic", "-x", "-o", filepath.Join(home, ".terminfo"), "-")
	compiler.Stdin = bytes.NewReader(text)
	said, err := compiler.CombinedOutput()
	words := strconv.QuoteToASCII(string(said[:min(len(said), blockBytes)]))
	if err != nil {
		return fmt.Errorf("the terminal's description cannot be installed: %w %s", err, words)
	}
	if len(said) > 0 { // it leaves out what it does not understand
		fmt.Fprintln(c.trouble, "sprite-console: tic says", words)
	}
	return nil
}

// shell is the user's: of SHELL, else of passwd, else /bin/sh.
func (c *console) shell() string {
	for _, path := range []string{c.env("SHELL"), c.passwdShell()} {
		if filepath.IsAbs(path) && programError(path) == nil {
			return path
		}
	}
	return "/bin/sh"
}

func (c *console) passwdShell() string {
	shell := ""
	eachLine(c.root+"/etc/passwd", func(line string) bool {
		fields := strings.Split(line, ":")
		if len(fields) < 7 || fields[2] != strconv.Itoa(c.uid) {
			return true
		}
		shell = fields[6]
		return false
	})
	return shell
}

// environment is what the shell gets: that of this program, with a terminal that is known here.
func (c *console) environment(inherited []string, shell string) []string {
	env := []string{}
	for _, each := range inherited {
		if name, _, _ := strings.Cut(each, "="); name != "TERM" && name != "SHELL" {
			env = append(env, each)
		}
	}
	term := c.env("TERM")
	if !c.knows(term) {
		if term != "" {
			fmt.Fprintf(c.trouble, "sprite-console: the terminal %s is not known here; %s stands in. To make it known: infocmp -x | sylph exec sprite-console\r\n", strconv.QuoteToASCII(shorten(term)), knownTerm)
		}
		term = knownTerm
	}
	return append(env, "TERM="+term, "SHELL="+shell)
}

// knows looks for a description where ncurses does, terminfo(5).
func (c *console) knows(term string) bool {
	if term == "" || term[0] == '.' || strings.ContainsAny(term, "/\x00") {
		return false
	}
	folders := []string{}
	if own := c.env("TERMINFO"); own != "" {
		folders = append(folders, own)
	}
	if home := c.env("HOME"); home != "" {
		folders = append(folders, home+"/.terminfo")
	}
	folders = append(folders, strings.Split(c.env("TERMINFO_DIRS"), ":")...)
	for _, each := range []string{"/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"} {
		folders = append(folders, c.root+each)
	}
	for _, folder := range folders {
		// By the first character, or by its number where file systems know no case.
		for _, first := range []string{term[:1], fmt.Sprintf("%02x", term[0])} {
			var info syscall.Stat_t
			if folder != "" && syscall.Stat(filepath.Join(folder, first, term), &info) == nil && isRegular(&info) {
				return true
			}
		}
	}
	return false
}

func isTerminal(file *os.File) bool {
	var size winsize
	return ioctl(fdOf(file), syscall.TIOCGWINSZ, unsafe.Pointer(&size)) == nil
}

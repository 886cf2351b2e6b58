package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testTerminal is a terminal no system knows.
const testTerminal = "sylph-test|a terminal of tests,\n\tam, cols#80, lines#24, bel=^G, cr=^M, ind=^J,\n"

// consoleOf is a console in a system of its own.
func consoleOf(t *testing.T, env map[string]string) (*console, *bytes.Buffer) {
	t.Helper()
	trouble := &bytes.Buffer{}
	return &console{root: t.TempDir(), uid: 1001, env: func(name string) string { return env[name] }, trouble: trouble}, trouble
}

func TestConsolePicksAShell(t *testing.T) {
	env := map[string]string{}
	c, _ := consoleOf(t, env)
	expectText(t, "without anything", c.shell(), "/bin/sh")
	own := filepath.Join(c.root, "fish")
	must(t, os.WriteFile(own, nil, 0o755))
	must(t, os.MkdirAll(c.root+"/etc", 0o755))
	must(t, os.WriteFile(c.root+"/etc/passwd", []byte("root:x:0:0::/root:/bin/zsh\nshort:x:1001\nsprite:x:1001:1001::/home/sprite:"+own+"\n"), 0o644))
	expectText(t, "of passwd", c.shell(), own)
	for _, unusable := range []string{"fish", "/nonexistent", "/etc/passwd", c.root} {
		env["SHELL"] = unusable
		expectText(t, unusable, c.shell(), own)
	}
	env["SHELL"] = "/bin/bash"
	expectText(t, "of SHELL", c.shell(), "/bin/bash")
}

func TestConsoleFallsBackToATerminalThatIsKnown(t *testing.T) {
	env := map[string]string{}
	c, trouble := consoleOf(t, env)
	for _, name := range []string{"x/xterm-256color", "78/xterm-hex"} {
		path := filepath.Join(c.root, "usr/share/terminfo", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, nil, 0o644))
	}
	for term, want := range map[string]string{"": knownTerm, "xterm-256color": "xterm-256color", "xterm-hex": "xterm-hex", "ghost": knownTerm, "../x": knownTerm, "x": knownTerm, "a\x1bb": knownTerm} {
		trouble.Reset()
		env["TERM"] = term
		got := strings.Join(c.environment([]string{"A=b", "TERM=" + term, "SHELL=old"}, "/bin/sh"), " ")
		expectText(t, term, got, "A=b TERM="+want+" SHELL=/bin/sh")
		if told := trouble.Len() > 0; told != (want != term && term != "") || strings.Contains(trouble.String(), "\x1b") {
			t.Errorf("%q: %q", term, trouble.String())
		}
	}
}

// runConsole calls this program by its name in /.sprite/bin.
func runConsole(t *testing.T, home, input string) (string, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sprite-console")
	own, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(own, program))
	shell := filepath.Join(home, "shell")
	must(t, os.WriteFile(shell, []byte("#!/bin/sh\necho \"shell $0 $TERM\"\n"), 0o755))
	// In a session without a terminal.
	command := exec.Command("setsid", "--wait", program)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=sylph-test", "SHELL=" + shell}
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestConsoleInstallsATerminal(t *testing.T) {
	home := t.TempDir()
	out, err := runConsole(t, home, testTerminal)
	if err != nil || out != "" {
		t.Fatalf("%q %v", out, err)
	}
	c, _ := consoleOf(t, map[string]string{"HOME": home})
	if !c.knows("sylph-test") {
		t.Fatal("it is not known")
	}
	out, err = runConsole(t, home, "")
	if err != nil || !strings.HasPrefix(out, "shell ") || !strings.HasSuffix(out, " sylph-test\n") {
		t.Fatalf("%q %v", out, err)
	}
}

func TestConsoleRefusesWhatIsNoTerminal(t *testing.T) {
	for name, input := range map[string]string{"not whole": "sylph-test|a terminal,\n\tuse=none-such,\n", "too long": strings.Repeat("x", maxTerminfoBytes+1)} {
		out, err := runConsole(t, t.TempDir(), input)
		if err == nil || !strings.HasPrefix(out, "sprite-console: ") || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
	if out, err := runConsole(t, t.TempDir(), "\x1b]0;title\x07"); err != nil || !strings.HasPrefix(out, "sprite-console: tic says ") || strings.Contains(out, "\x1b") {
		t.Errorf("%q %v", out, err)
	}
}

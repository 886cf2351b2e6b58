// Command agent is the guest side of a sprite: PID 1 of the VM, started from the initrd, answering the two ports that
// ARCHITECTURE.md calls the guest wire. With -serve-unix it speaks the same protocol on Unix sockets without a VM. Under the names of
// /.sprite/bin it is what people and programs in the sprite call.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
)

// version is the agent's own version, as `hello` reports it. The wire has its own number, wireVersion.
const version = "0.1.0"

// wireVersion is the version of the guest wire this agent speaks.
const wireVersion = 1

func main() {
	runAsProgram()
	limitResources()
	if os.Getpid() == 1 {
		runAsInit()
	}
	dir := flag.String("serve-unix", "", "serve `DIR`/control and DIR/data as Unix sockets instead of booting a VM")
	flag.Parse()
	if *dir == "" {
		fmt.Fprintln(os.Stderr, "agent: not PID 1; use -serve-unix DIR")
		os.Exit(2)
	}
	if err := serveUnix(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// limitResources keeps the agent small, for its heap is part of every captured snapshot, and sets the file creation mask children inherit. Go code on one CPU at a
// time carries more than the port does; with two, Go's scheduler looks for work on both, which a start under emulation pays for, and the user's programs have less.
func limitResources() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(128 << 20)
	syscall.Umask(0o022)
}

// runAsProgram ends with the program that the name this one was called by stands for, if there is one.
func runAsProgram() {
	args := os.Args[1:]
	switch filepath.Base(os.Args[0]) {
	case spriteEnvName:
		os.Exit(spriteEnv("/.sprite/api.sock", args, os.Stdout, os.Stderr))
	case "sprite-browser", "xdg-open", "open":
		os.Exit(spriteBrowser(args, "/dev/tty", os.Stdout, os.Stderr))
	case sftpServerName:
		os.Exit(runSFTPServer(os.Stdin, os.Stdout, os.Stderr))
	case "sprite-console":
		os.Exit(spriteConsole(os.Stderr))
	}
}

// Plays a hypervisor's network card: opens the TAP of a slot and one of a guest's namespace, and carries frames between them.
// Usage: cable SLOT_NAMESPACE GUEST_NAMESPACE     prints "ready"; each line of hex digits it is given is a frame that the guest sends. Ends with its input.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// The first thread is the one a process's namespaces are told by.
func init() { runtime.LockOSThread() }

func main() {
	guest := open(os.Args[2], "spr0")
	// Last, for the process stays there.
	slot := open(os.Args[1], "spr-tap")
	go carry(slot, guest)
	go carry(guest, slot)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		frame, err := hex.DecodeString(lines.Text())
		check("frame", err)
		_, err = syscall.Write(slot, frame)
		check("send", err)
	}
}

func open(namespace, name string) int {
	const setns = 308 // linux/x86-64
	file, err := os.Open(namespace)
	check(namespace, err)
	if _, _, errno := syscall.RawSyscall(setns, file.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		check("setns", errno)
	}
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR, 0)
	check("/dev/net/tun", err)
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_TAP | syscall.IFF_NO_PI
	if _, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		check(name, errno)
	}
	return fd
}

func carry(from, to int) {
	frame := make([]byte, 65536)
	for {
		n, err := syscall.Read(from, frame)
		check("read", err)
		// A side that is down takes nothing, as a cable that is not plugged in.
		syscall.Write(to, frame[:n])
	}
}

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "cable: %s: %v\n", what, err)
		os.Exit(1)
	}
}

package main

import (
	"io/fs"
	"os"
	"syscall"
	"unsafe"
)

const (
	tiocGPTPeer = 0x5441 // TIOCGPTPEER, asm-generic/ioctls.h
	// ttyGroup is the group that owns terminals, as the devpts mount options say.
	ttyGroup = 5
)

type winsize struct{ rows, cols, xPixels, yPixels uint16 }

// openTerminal makes a pseudo terminal of the given size whose slave belongs to uid. The slave is opened through its master, so no path in
// /dev/pts is needed. The master does not block; the caller closes both.
func openTerminal(d *devices, size winsize, uid int) (master *os.File, slave int, err error) {
	fd, err := syscall.Openat(d.terminals, "ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, &fs.PathError{Op: "open", Path: "ptmx", Err: err}
	}
	unlocked := int32(0)
	if err = ioctl(fd, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked)); err == nil {
		err = ioctl(fd, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	}
	if err != nil {
		_ = syscall.Close(fd) // nothing was opened for anyone yet
		return nil, 0, err
	}
	peer, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tiocGPTPeer, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC)
	if errno != 0 {
		_ = syscall.Close(fd) // as above
		return nil, 0, errno
	}
	slave = int(peer)
	if os.Geteuid() == 0 {
		// Without it a program still reads and writes its terminal; only opening it by name again would fail.
		_ = syscall.Fchown(slave, uid, ttyGroup)
	}
	return os.NewFile(uintptr(fd), "ptmx"), slave, nil
}

// resizeTerminal sets a terminal's size; the kernel sends SIGWINCH.
func resizeTerminal(master *os.File, size winsize) error {
	return control(master, func(fd int) error { return ioctl(fd, syscall.TIOCSWINSZ, unsafe.Pointer(&size)) })
}

// foregroundGroup returns the process group in front of a terminal, 0 if there is none.
func foregroundGroup(master *os.File) int {
	group := int32(0)
	if err := control(master, func(fd int) error { return ioctl(fd, syscall.TIOCGPGRP, unsafe.Pointer(&group)) }); err != nil {
		return 0
	}
	return int(group)
}

// control runs act on a file's descriptor without taking it out of the poller, as File.Fd would.
func control(file *os.File, act func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var actErr error
	if err := raw.Control(func(fd uintptr) { actErr = act(int(fd)) }); err != nil {
		return err
	}
	return actErr
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

package main

import (
	"errors"
	"io/fs"
	"syscall"
)

// devices are what resuming and starting processes need of /dev. They are opened before the guest's first program runs and stay open: its root may remove or
// replace any path, or mount something over it.
type devices struct {
	null      int // for reading and writing
	random    int // the kernel's generator
	terminals int // the folder with ptmx; of a devpts nothing can be removed
}

// openDevices opens null and urandom in folder, and the folder terminals, which need not be below it. Without terminals only starting a process with one fails.
func openDevices(folder, terminals string) (*devices, error) {
	failures := []error{}
	open := func(path string, flags int) int {
		fd, err := syscall.Open(path, flags|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
		if err != nil {
			failures = append(failures, &fs.PathError{Op: "open", Path: path, Err: err})
		}
		return fd
	}
	d := &devices{
		null:      open(folder+"/null", syscall.O_RDWR),
		random:    open(folder+"/urandom", syscall.O_WRONLY),
		terminals: -1,
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	if d.terminals = open(terminals, syscall.O_RDONLY|syscall.O_DIRECTORY); d.terminals < 0 {
		logf("no terminals: %v", failures[0])
	}
	return d, nil
}

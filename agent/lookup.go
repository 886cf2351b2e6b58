package main

import (
	"os"
	"strings"
	"syscall"
)

// defaultPath is searched when a process's environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// findProgram turns a program's name into a path, as execvp(3) would from directory dir. It fails with ENOENT, EACCES or what stat(2) says.
func findProgram(name, dir, searchPath string) (string, error) {
	if strings.Contains(name, "/") {
		return name, programError(within(dir, name))
	}
	denied := false
	for _, folder := range strings.Split(searchPath, ":") {
		candidate := folder + "/" + name
		if folder == "" {
			candidate = "./" + name
		}
		switch programError(within(dir, candidate)) {
		case nil:
			return candidate, nil
		case syscall.EACCES:
			denied = true
		}
	}
	if denied {
		return "", syscall.EACCES
	}
	return "", syscall.ENOENT
}

// within gives a relative path its meaning inside dir.
func within(dir, path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return dir + "/" + path
}

// programError says why a path is no program, nil if it may be one.
func programError(path string) error {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return err
	}
	if !isRegular(&stat) || stat.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}

// directoryError says why dir cannot be the working directory of who, nil if it can. The kernel has the last word; this one exists to name the cause.
func directoryError(dir string, who account) error {
	var stat syscall.Stat_t
	if err := syscall.Stat(dir, &stat); err != nil {
		return err
	}
	if !isDir(&stat) {
		return syscall.ENOTDIR
	}
	if os.Geteuid() != 0 || who.uid == 0 {
		return nil
	}
	bit := uint32(0o001)
	if stat.Uid == who.uid {
		bit = 0o100
	} else {
		for _, gid := range who.groups {
			if gid == stat.Gid {
				bit = 0o010
			}
		}
	}
	if stat.Mode&bit == 0 {
		return syscall.EACCES
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

type mount struct {
	path, kind, options string
	flags               uintptr
}

// maxAsides bounds what is kept of one path of a disk whose root replaces it before every boot.
const maxAsides = 100

const safe = syscall.MS_NOSUID | syscall.MS_NOEXEC | syscall.MS_NODEV

// basicMounts are what loading modules and finding the disk needs.
var basicMounts = []mount{
	{"/dev", "devtmpfs", "mode=0755", syscall.MS_NOSUID},
	{"/proc", "proc", "", safe},
	{"/sys", "sysfs", "", safe},
}

// rootMounts are what programs expect, in order, once /dev has moved to the root disk.
var rootMounts = []mount{
	{"/proc", "proc", "", safe},
	{"/sys", "sysfs", "", safe},
	{"/dev/pts", "devpts", "ptmxmode=0666,gid=5,mode=0620", syscall.MS_NOSUID | syscall.MS_NOEXEC},
	{"/dev/shm", "tmpfs", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV},
	{"/run", "tmpfs", "mode=0755", syscall.MS_NOSUID | syscall.MS_NODEV},
	{"/sys/fs/cgroup", "cgroup2", "nsdelegate", safe},
}

var deviceLinks = []struct{ path, target string }{
	{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
}

func mountBasics() { mountEach(basicMounts) }

// mountAll prepares the root disk's tree. What fails is logged: a program that needs it fails by itself, the others run.
func mountAll() {
	mountEach(rootMounts)
	for _, link := range deviceLinks {
		if err := os.Symlink(link.target, link.path); err != nil && !os.IsExist(err) {
			logf("%s: %v", link.path, err)
		}
	}
	makeSticky("/tmp")
	makeSticky("/run/lock")
}

// makeSticky makes a folder anyone may use where there is none.
func makeSticky(path string) {
	err := os.Mkdir(path, 0o777)
	if err == nil {
		err = os.Chmod(path, os.ModeSticky|0o777) // past the file creation mask
	}
	if err != nil && !os.IsExist(err) {
		logf("%s: %v", path, err)
	}
}

func mountEach(mounts []mount) {
	for _, m := range mounts {
		if err := makeMountPoint(m.path); err != nil {
			logf("%s: %v", m.path, err)
		}
		if err := syscall.Mount(m.kind, m.path, m.kind, m.flags, m.options); err != nil {
			logf("mount %s: %v", m.path, err)
		}
	}
}

// makeMountPoint makes sure that path is a directory, which the disk's root may have replaced by a file, or by a link that leads elsewhere: what is there is moved aside, not lost.
func makeMountPoint(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		aside, err := moveAside(path)
		if err != nil {
			return err
		}
		logf("%s was no directory; what was there is %s now", path, filepath.Base(aside))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

// moveAside gives what is at path a name beside it that nothing has. Only at boot, when nobody else makes names.
func moveAside(path string) (string, error) {
	for number := range maxAsides {
		aside := fmt.Sprintf("%s.sylph-aside-%d", path, number)
		if _, err := os.Lstat(aside); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return aside, os.Rename(path, aside)
	}
	return "", &fs.PathError{Op: "move aside", Path: path, Err: syscall.EEXIST}
}

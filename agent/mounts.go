package main

import (
	"os"
	"syscall"
)

type mount struct {
	path, kind, options string
	flags               uintptr
}

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
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			logf("%s: %v", m.path, err)
		}
		if err := syscall.Mount(m.kind, m.path, m.kind, m.flags, m.options); err != nil {
			logf("mount %s: %v", m.path, err)
		}
	}
}

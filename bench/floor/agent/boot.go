package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// boot loads the kernel's modules, mounts the root disk and moves into it.
func boot() error {
	mounts := []struct{ source, target, kind string }{{"dev", "/dev", "devtmpfs"}, {"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}}
	for _, m := range mounts {
		_ = os.MkdirAll(m.target, 0o755) // the mount says whether it is there
		if err := syscall.Mount(m.source, m.target, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := mountRoot("/root"); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.target, "/root"+m.target, "", syscall.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.target, err)
		}
	}
	if err := os.Chdir("/root"); err != nil {
		return err
	}
	if err := syscall.Mount("/root", "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	return os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

func mountRoot(target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = syscall.Mount("/dev/vda", target, "ext4", syscall.MS_NOATIME, "discard"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("mount /dev/vda: %w", err)
}

// loadModules hands the files that /modules/load lists to the kernel, in order.
func loadModules() error {
	list, err := os.ReadFile("/modules/load")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		file, err := os.Open(filepath.Join("/modules", name))
		if err != nil {
			return err
		}
		if err := finitModule(file); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		_ = file.Close() // read only
	}
	return nil
}

// finitModule is finit_module(2), 313 on x86-64.
func finitModule(file *os.File) error {
	noParameters, err := syscall.BytePtrFromString("")
	if err != nil {
		return err
	}
	if _, _, errno := syscall.Syscall(313, file.Fd(), uintptr(unsafe.Pointer(noParameters)), 0); errno != 0 && errno != syscall.EEXIST {
		return errno
	}
	return nil
}

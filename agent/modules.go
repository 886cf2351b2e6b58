package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// bootModules lists, a path below it a line, what is loaded at boot, in order.
	bootModules    = "/modules"
	sysFinit       = 313 // finit_module(2), x86-64
	initCompressed = 4   // MODULE_INIT_COMPRESSED_FILE, linux/module.h
)

// loadBootModules loads the initrd's list. A module that fails is logged: what needs it will say so.
func loadBootModules() {
	list, err := os.Open(bootModules + "/load")
	if err != nil {
		logf("modules: %v", err)
		return
	}
	defer list.Close()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		if path := strings.TrimSpace(lines.Text()); path != "" && path[0] != '#' {
			if err := loadModule(filepath.Join(bootModules, path)); err != nil {
				logf("module %s: %v", path, err)
			}
		}
	}
}

// loadModule loads one file; a module that is there already is fine.
func loadModule(path string) error {
	fd, _, err := openRegular(path, syscall.O_RDONLY)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	flags := uintptr(0)
	if strings.HasSuffix(path, ".xz") {
		flags = initCompressed
	}
	noParameters := []byte{0}
	_, _, errno := syscall.Syscall(sysFinit, uintptr(fd), uintptr(unsafe.Pointer(&noParameters[0])), flags)
	if errno != 0 && errno != syscall.EEXIST {
		return errno
	}
	return nil
}

// loadSocketDiagnosis loads from the root disk what destroyConnections needs, at boot, so that no fork waits for it. A disk without them leaves it to the kernel's own modprobe.
func loadSocketDiagnosis() {
	for _, name := range []string{"inet_diag", "tcp_diag"} {
		path := "/lib/modules/" + kernelRelease() + "/kernel/net/ipv4/" + name + ".ko"
		err := loadModule(path + ".xz")
		if errors.Is(err, fs.ErrNotExist) {
			err = loadModule(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			logf("module %s: %v", name, err)
		}
	}
}

// installModules copies the kernel's modules from the initrd to a root disk that lacks them, so that modprobe works in the guest.
func installModules(root string) error {
	release := kernelRelease()
	source := filepath.Join(bootModules, release)
	if _, err := os.Stat(source); err != nil {
		return nil // this initrd brings none
	}
	folder := root + "/lib/modules"
	if info, err := os.Lstat(root + "/lib"); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		folder = root + "/usr/lib/modules"
	}
	target := filepath.Join(folder, release)
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	beside := filepath.Join(folder, ".sylph-new-"+release)
	if err := os.RemoveAll(beside); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	begin := time.Now()
	err := copyTree(source, beside)
	if err == nil {
		err = os.Rename(beside, target)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(beside))
	}
	logf("kernel modules installed in %d ms", time.Since(begin).Milliseconds())
	return nil
}

// copyTree copies folders and files with one buffer; other kinds are left out. Faster under emulation than what os.CopyFS asks of the kernel.
func copyTree(from, to string) error {
	buf := make([]byte, 256<<10)
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case entry.IsDir():
			return os.Mkdir(target, 0o755)
		case entry.Type().IsRegular():
			return copyFile(path, target, buf)
		}
		return nil
	})
}

func copyFile(from, to string, buf []byte) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	for {
		n, err := source.Read(buf)
		if n > 0 {
			if _, err := target.Write(buf[:n]); err != nil {
				return errors.Join(err, target.Close())
			}
		}
		if err == io.EOF {
			return target.Close()
		}
		if err != nil {
			return errors.Join(err, target.Close())
		}
	}
}

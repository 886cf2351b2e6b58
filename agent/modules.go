package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	flags := uintptr(0)
	if strings.HasSuffix(path, ".xz") {
		flags = initCompressed
	}
	noParameters := []byte{0}
	err = control(file, func(fd int) error {
		if _, _, errno := syscall.Syscall(sysFinit, uintptr(fd), uintptr(unsafe.Pointer(&noParameters[0])), flags); errno != 0 {
			return errno
		}
		return nil
	})
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// loadFromTree loads a module of the running kernel by name from the root disk, without depending on the guest's modprobe.
func loadFromTree(name string) error {
	if _, err := os.Stat("/sys/module/" + name); err == nil {
		return nil
	}
	found := ""
	tree := "/lib/modules/" + kernelRelease() + "/kernel"
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base, _, ok := strings.Cut(entry.Name(), ".ko"); ok && base == name {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return err
	}
	if found == "" {
		return os.ErrNotExist
	}
	return loadModule(found)
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
	err := os.CopyFS(beside, os.DirFS(source))
	if err == nil {
		err = os.Rename(beside, target)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(beside))
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// mountVariable makes the test binary run checkMounts on a directory, in a mount namespace of its own.
const mountVariable = "SYLPH_AGENT_TEST_MOUNTS"

func TestADiskWithOtherThingsInThePlaceOfFoldersBoots(t *testing.T) {
	needRoot(t)
	root := writeTree(t, map[string]string{"/dev": "my dev", "/sys": "my sys", "/elsewhere/mine": "untouched"})
	must(t, os.Symlink("/elsewhere", root+"/proc"))
	must(t, mkfifo(root+"/run"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), mountVariable+"="+root)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if read(t, root+"/dev.sylph-aside-0") != "my dev" || read(t, root+"/sys.sylph-aside-0") != "my sys" {
		t.Error("what was moved aside is another thing")
	}
	if left, err := os.ReadDir(root + "/elsewhere"); err != nil || len(left) != 1 {
		t.Errorf("where a link led there is %v %v", left, err)
	}
}

// checkMounts does with a disk at root what a boot does once it is mounted.
func checkMounts(root string) error {
	const tmpfs, proc, sysfs = 0x01021994, 0x9fa0, 0x62656572 // linux/magic.h
	limitResources()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	devices := filepath.Join(root, "elsewhere") // in the place of the initrd's /dev
	if err := syscall.Mount("tmpfs", devices, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	if err := moveMount(devices, root+"/dev"); err != nil {
		return err
	}
	if err := errors.Join(syscall.Chroot(root), os.Chdir("/")); err != nil {
		return err
	}
	mountAll()
	for path, kind := range map[string]int64{"/dev": tmpfs, "/proc": proc, "/sys": sysfs, "/run": tmpfs, "/dev/shm": tmpfs} {
		var found syscall.Statfs_t
		if err := syscall.Statfs(path, &found); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if found.Type != kind {
			return fmt.Errorf("%s is of type %x", path, found.Type)
		}
	}
	return nil
}

func TestMountPoints(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"nothing":          func(string) error { return nil },
		"a file":           func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"a pipe":           mkfifo,
		"a link to /":      func(path string) error { return os.Symlink("/", path) },
		"a dangling link":  func(path string) error { return os.Symlink("nowhere", path) },
		"a link to itself": func(path string) error { return os.Symlink(path, path) },
	} {
		path := t.TempDir() + "/sys"
		for round := range 2 {
			must(t, put(path))
			if err := makeMountPoint(path); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if info, err := os.Lstat(path); err != nil || !info.IsDir() {
				t.Fatalf("%s: %v %v", name, info, err)
			}
			if kept, _ := filepath.Glob(path + ".sylph-aside-*"); name != "nothing" && len(kept) != round+1 {
				t.Errorf("%s: %v is kept", name, kept)
			}
			must(t, os.Remove(path))
		}
	}
}

func TestAMountPointThatIsThereIsLeftAlone(t *testing.T) {
	root := writeTree(t, map[string]string{"/sys/mine": "kept"})
	must(t, os.Chmod(root+"/sys", 0o700))
	must(t, makeMountPoint(root+"/sys"))
	if info, err := os.Stat(root + "/sys"); err != nil || info.Mode().Perm() != 0o700 || read(t, root+"/sys/mine") != "kept" {
		t.Errorf("%v %v", info, err)
	}
}

func TestNoMoreIsKeptOfAMountPointThanTheLimit(t *testing.T) {
	path := t.TempDir() + "/dev"
	for number := range maxAsides {
		must(t, os.WriteFile(fmt.Sprintf("%s.sylph-aside-%d", path, number), nil, 0o600))
	}
	must(t, os.WriteFile(path, []byte("last"), 0o600))
	if err := makeMountPoint(path); !errors.Is(err, syscall.EEXIST) || read(t, path) != "last" {
		t.Errorf("%v", err)
	}
}

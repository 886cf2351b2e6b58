package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// roomVariable makes the test binary run one test that limits its process.
const roomVariable = "SYLPH_AGENT_TEST_ROOM"

// alone tells a test whether it has its process to itself, and otherwise runs it in one that it has: what withRoom sets holds for a whole process, in which go test
// keeps a file of what tests looked at.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(roomVariable) != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), roomVariable+"=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return false
}

// withRoom runs act while no file can be written beyond roomBytes: a disk that is full, without a disk.
func withRoom(t *testing.T, roomBytes uint64, act func()) {
	t.Helper()
	var usual syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: roomBytes, Max: usual.Max}))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &usual)) }()
	act()
}

func TestAFullDiskLosesNoHosts(t *testing.T) {
	if !alone(t) {
		return
	}
	const line = "10.0.0.9\tother\n"
	for name, hosts := range map[string]string{
		"of some blocks": strings.Repeat(line, 2*blockBytes/len(line)),
		"of a block":     strings.Repeat(line, blockBytes/len(line)),
		"small":          line,
	} {
		root := writeTree(t, map[string]string{"/etc/hosts": hosts})
		var err error
		withRoom(t, uint64(len(hosts)+4), func() { err = writeHosts(root+"/etc/hosts", "box") })
		if got := read(t, root+"/etc/hosts"); err == nil || got != hosts {
			t.Errorf("%s: %v, %d bytes of %d are left", name, err, len(got), len(hosts))
		}
		if left, _ := os.ReadDir(root + "/etc"); len(left) != 1 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

func TestAFullDiskGetsNoEmptyFiles(t *testing.T) {
	if !alone(t) {
		return
	}
	root := writeTree(t, map[string]string{"/etc/resolv.conf": "mine\n"})
	must(t, os.Chmod(root+"/etc/resolv.conf", 0o664))
	event := &resumeEvent{generationID: "g", hostname: "box", machineID: "m", newIdentity: true}
	withRoom(t, 0, func() {
		if applyIdentityFiles(root, event, true) == nil || writeFile(root+"/etc/resolv.conf", "other\n", 0o644) == nil {
			t.Error("no failure reported")
		}
	})
	if left, _ := os.ReadDir(root + "/etc"); len(left) != 1 || read(t, root+"/etc/resolv.conf") != "mine\n" {
		t.Errorf("%v", left)
	}
	if holdsMachineID(root, "m") {
		t.Error("the next boot would not write the machine's id again")
	}
}

func TestAFullDiskShowsNoPassedGeneration(t *testing.T) {
	if !alone(t) {
		return
	}
	root := writeTree(t, map[string]string{generationFile: "old\n"})
	withRoom(t, 0, func() {
		if applyIdentityFiles(root, &resumeEvent{generationID: "new"}, false) == nil {
			t.Error("no failure reported")
		}
	})
	if _, err := os.Stat(root + generationFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q", read(t, root+generationFile))
	}
}

func TestAFileThatHoldsItsTextIsLeftAlone(t *testing.T) {
	if !alone(t) {
		return
	}
	path := t.TempDir() + "/file"
	for _, text := range []string{"", "small\n", strings.Repeat("large\n", blockBytes)} {
		must(t, os.WriteFile(path, []byte(text), 0o644))
		must(t, os.Chmod(path, 0o664))
		before, err := os.Stat(path)
		must(t, err)
		withRoom(t, 0, func() { must(t, writeFile(path, text, 0o644)) })
		after, err := os.Stat(path)
		must(t, err)
		if !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) || read(t, path) != text {
			t.Errorf("a file of %d bytes was written", len(text))
		}
	}
}

func TestASmallFileOfAnotherModeNeedsNoRoom(t *testing.T) {
	path := t.TempDir() + "/file"
	must(t, os.WriteFile(path, []byte("old\n"), 0o600))
	before, err := os.Stat(path)
	must(t, err)
	must(t, writeFile(path, "new\n", 0o644))
	after, err := os.Stat(path)
	must(t, err)
	if read(t, path) != "new\n" || !os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Error("it was replaced")
	}
}

func TestAPipeInTheWayIsNotAwaited(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/mine": "kept\n", "/run/sylph/mine": ""})
	for _, path := range []string{"hostname", "hosts", "machine-id", "passwd", "group", "module.ko", "hostname.sylph-new", "machine-id.sylph-new"} {
		must(t, mkfifo(root+"/etc/"+path))
	}
	event := &resumeEvent{generationID: "g", hostname: "box", machineID: "m", newIdentity: true}
	promptly(t, "the host name", func() {
		if got := hostnameOnDisk(root); got != "sprite" {
			t.Errorf("host name %q", got)
		}
	})
	promptly(t, "an account", func() {
		if got := findAccount(root, "sprite"); got.uid != 0 {
			t.Errorf("%v", got)
		}
	})
	promptly(t, "a module", func() {
		if err := loadModule(root + "/etc/module.ko"); !errors.Is(err, errNotRegular) {
			t.Errorf("module: %v", err)
		}
	})
	promptly(t, "the machine's id", func() {
		if holdsMachineID(root, "m") {
			t.Error("a pipe is an identity")
		}
	})
	promptly(t, "the identity", func() {
		if err := applyIdentityFiles(root, event, true); !errors.Is(err, errNotRegular) {
			t.Errorf("hosts: %v", err)
		}
	})
	if read(t, root+"/etc/hostname") != "box\n" || read(t, root+"/etc/machine-id") != "m\n" {
		t.Error("a pipe was not replaced")
	}
}

func TestAnEndlessFileIsNotRead(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/mine": ""})
	for _, path := range []string{"hostname", "hosts", "machine-id", "passwd"} {
		must(t, os.Symlink("/dev/zero", root+"/etc/"+path))
	}
	promptly(t, "a reader", func() {
		if hostnameOnDisk(root) != "sprite" || holdsMachineID(root, "m") || findAccount(root, "sprite").uid != 0 || writeHosts(root+"/etc/hosts", "box") == nil {
			t.Error("a device was read")
		}
	})
	const sparseBytes = 1 << 40
	must(t, os.Remove(root+"/etc/hostname"))
	must(t, os.WriteFile(root+"/etc/hostname", []byte("box other"), 0o644))
	must(t, os.Truncate(root+"/etc/hostname", sparseBytes))
	promptly(t, "the reader of a large file", func() {
		if got := hostnameOnDisk(root); got != "box" {
			t.Errorf("host name %q", got)
		}
		if got, err := readSmall(root+"/etc/hostname", 9); err != nil || string(got) != "box other" {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestReadSmallReadsAll(t *testing.T) {
	path := t.TempDir() + "/file"
	for _, size := range []int{0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes} {
		text := strings.Repeat("x", size)
		must(t, os.WriteFile(path, []byte(text), 0o644))
		for _, limit := range []int{1, blockBytes, 10 * blockBytes} {
			if got, err := readSmall(path, limit); err != nil || string(got) != text[:min(size, limit)] {
				t.Errorf("%d bytes of %d, at most %d: %v", len(got), size, limit, err)
			}
		}
	}
	// The kernel's own files tell no size.
	want, err := os.ReadFile("/proc/cpuinfo")
	must(t, err)
	if got, err := readSmall("/proc/cpuinfo", 1<<20); err != nil || strings.Count(string(got), "\n") != strings.Count(string(want), "\n") {
		t.Errorf("%d bytes of %d: %v", len(got), len(want), err)
	}
}

func TestATextBesideIsNotWrittenThroughALink(t *testing.T) {
	root := writeTree(t, map[string]string{"/elsewhere": "untouched"})
	must(t, os.Symlink(root+"/elsewhere", root+"/file.sylph-new"))
	must(t, writeFile(root+"/file", "mine", 0o644))
	if read(t, root+"/elsewhere") != "untouched" || read(t, root+"/file") != "mine" {
		t.Fatal("the link was followed")
	}
}

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

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

func TestAFileThatHoldsItsTextIsLeftAlone(t *testing.T) {
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

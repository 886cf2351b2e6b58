package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		must(t, os.MkdirAll(filepath.Dir(root+path), 0o755))
		must(t, os.WriteFile(root+path, []byte(text), 0o644))
	}
	return root
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func TestHostsKeepsOtherLines(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 old old.example\n# mine\n10.0.0.9\tother\n"})
	for range 2 {
		must(t, writeHosts(root+"/etc/hosts", "new"))
	}
	if got := read(t, root+"/etc/hosts"); got != "127.0.0.1 localhost\n# mine\n10.0.0.9\tother\n127.0.1.1\tnew\n" {
		t.Fatalf("%q", got)
	}
}

func TestIdentityOfAnEmptyDisk(t *testing.T) {
	root := t.TempDir()
	must(t, applyIdentityFiles(root, &resumeEvent{generationID: "g-1", hostname: "box", machineID: strings.Repeat("ab", 16), newIdentity: true}, true))
	for path, want := range map[string]string{"/etc/hostname": "box\n", "/etc/machine-id": strings.Repeat("ab", 16) + "\n", "/run/sylph/generation-id": "g-1\n"} {
		if got := read(t, root+path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := read(t, root+"/etc/hosts"); !strings.Contains(got, "127.0.0.1\tlocalhost\n") || !strings.HasSuffix(got, "127.0.1.1\tbox\n") {
		t.Errorf("%q", got)
	}
}

func TestOldIdentityStaysOnAPlainResume(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/machine-id": "old\n", "/etc/ssh/ssh_host_ed25519_key": "key"})
	must(t, applyIdentityFiles(root, &resumeEvent{generationID: "g", hostname: "box", machineID: "new"}, true))
	if read(t, root+"/etc/machine-id") != "old\n" || read(t, root+"/etc/ssh/ssh_host_ed25519_key") != "key" {
		t.Fatal("it changed")
	}
}

func TestNewIdentityReplacesEveryCopy(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/machine-id": "old\n", "/var/lib/dbus/machine-id": "old\n", "/etc/ssh/ssh_host_rsa_key": "key",
		"/etc/ssh/ssh_host_rsa_key.pub": "key", "/etc/ssh/sshd_config": "kept"})
	must(t, applyIdentityFiles(root, &resumeEvent{generationID: "g", hostname: "box", machineID: "new", newIdentity: true}, true))
	if read(t, root+"/etc/machine-id") != "new\n" || read(t, root+"/var/lib/dbus/machine-id") != "new\n" {
		t.Error("machine-id is old")
	}
	if keys, _ := filepath.Glob(root + "/etc/ssh/*"); len(keys) != 1 {
		t.Errorf("%v", keys)
	}
}

func TestWhoseDiskItIs(t *testing.T) {
	id := strings.Repeat("ab", 16)
	root := writeTree(t, map[string]string{"/etc/machine-id": id + "\n"})
	if !holdsMachineID(root, id) || holdsMachineID(root, strings.Repeat("cd", 16)) || holdsMachineID(t.TempDir(), id) {
		t.Fatal("a disk is taken for another's")
	}
}

func TestLinkedFilesAreReplacedNotFollowed(t *testing.T) {
	root := writeTree(t, map[string]string{"/elsewhere": "untouched"})
	must(t, os.Symlink(root+"/elsewhere", root+"/resolv.conf"))
	must(t, writeFile(root+"/resolv.conf", "mine", 0o644))
	if read(t, root+"/elsewhere") != "untouched" || read(t, root+"/resolv.conf") != "mine" {
		t.Fatal("the link was followed")
	}
}

func TestUserKeepsTheHostNameFilesWhileTheNameStays(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/hosts": "127.0.1.1 mine\n", "/etc/hostname": "mine\n"})
	must(t, applyIdentityFiles(root, &resumeEvent{generationID: "g", hostname: "box", machineID: "new"}, false))
	if read(t, root+"/etc/hosts") != "127.0.1.1 mine\n" || read(t, root+"/etc/hostname") != "mine\n" {
		t.Fatal("they changed")
	}
}

func TestWriteFileInPlaceAndNot(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/file"
	inode := func() uint64 {
		info, err := os.Lstat(path)
		must(t, err)
		return info.Sys().(*syscall.Stat_t).Ino
	}
	must(t, os.WriteFile(path, []byte("a longer text\n"), 0o644))
	first := inode()
	for _, text := range []string{"short\n", "longer again\n", "longer again\n", ""} {
		must(t, writeFile(path, text, 0o644))
		if got := read(t, path); got != text || inode() != first {
			t.Fatalf("%q, inode %d then %d", got, first, inode())
		}
	}
	// Another name of the file keeps its text.
	must(t, os.Link(path, dir+"/other"))
	must(t, writeFile(path, "new", 0o644))
	if read(t, path) != "new" || read(t, dir+"/other") != "" {
		t.Fatalf("%q %q", read(t, path), read(t, dir+"/other"))
	}
	large := strings.Repeat("x", blockBytes+1)
	must(t, writeFile(path, large, 0o644))
	must(t, writeFile(path, "small", 0o600))
	info, err := os.Lstat(path)
	must(t, err)
	if read(t, path) != "small" || info.Mode() != 0o600 {
		t.Fatalf("%q %v", read(t, path), info.Mode())
	}
}

func TestOneFailureDoesNotStopTheRest(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/hostname/in-the-way": ""})
	if err := applyIdentityFiles(root, &resumeEvent{generationID: "g", hostname: "box", machineID: "m", newIdentity: true}, true); err == nil {
		t.Error("no failure reported")
	}
	if read(t, root+"/etc/machine-id") != "m\n" {
		t.Error("machine-id was not written")
	}
}

func TestConnectionsThatLeaveTheMachine(t *testing.T) {
	id := func(bytes ...byte) []byte { return append(bytes, make([]byte, diagIDBytes)...) }
	ports := []byte{0, 80, 1, 1}
	v4 := func(source, destination [4]byte) []byte {
		return id(append(append(append(append([]byte{}, ports...), source[:]...), make([]byte, 12)...), destination[:]...)...)
	}
	local, outside := [4]byte{127, 0, 0, 5}, [4]byte{10, 0, 0, 1}
	if leavesMachine(2, v4(local, local)) || !leavesMachine(2, v4(outside, local)) || !leavesMachine(2, v4(local, outside)) || !leavesMachine(2, v4(outside, outside)) {
		t.Error("IPv4 is misjudged")
	}
	six := make([]byte, diagIDBytes)
	six[4+15], six[20+15] = 1, 1
	if leavesMachine(10, six) {
		t.Error("::1 is taken for outside")
	}
	six[4] = 0xfe
	if !leavesMachine(10, six) {
		t.Error("IPv6 is misjudged")
	}
}

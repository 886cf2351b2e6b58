package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

// lostDevices are devices whose folder is gone since they were opened.
func lostDevices(t *testing.T) *devices {
	t.Helper()
	folder := t.TempDir() + "/dev"
	must(t, os.Mkdir(folder, 0o755))
	for _, name := range []string{"null", "urandom"} {
		must(t, os.Symlink("/dev/"+name, folder+"/"+name))
	}
	d, err := openDevices(folder, "/dev")
	must(t, err)
	must(t, os.RemoveAll(folder))
	t.Cleanup(func() {
		for _, fd := range []int{d.null, d.random, d.terminals} {
			_ = syscall.Close(fd)
		}
	})
	return d
}

func TestProcessesStartWithTheDevicesOfTheBoot(t *testing.T) {
	d := lostDevices(t)
	for name, s := range map[string]*spec{"pipes": {}, "terminal": {TTY: &ttySize{Rows: 24, Cols: 80}}} {
		for range 2 {
			ends, err := openEndpoints(d, s, os.Getuid())
			must(t, err)
			if ends.child[0] != d.null {
				t.Errorf("%s: standard input is another file than the one kept", name)
			}
			ends.closeChild()
			ends.closeAgent()
			if _, err := syscall.Write(d.null, []byte("x")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestNoTerminalsAreNamedInTheFailure(t *testing.T) {
	for _, folder := range []string{t.TempDir(), t.TempDir() + "/missing"} {
		d, err := openDevices("/dev", folder)
		must(t, err)
		_, err = openEndpoints(d, &spec{TTY: &ttySize{Rows: 24, Cols: 80}}, os.Getuid())
		var where *fs.PathError
		if !errors.As(err, &where) || where.Path != "ptmx" {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

func TestEntropyGoesToTheDeviceOfTheBoot(t *testing.T) {
	d := lostDevices(t)
	entropy := make([]byte, 64)
	_, _ = rand.Read(entropy) // never fails
	// Only root may credit: a refusal comes from the generator as well.
	if err := reseed(d.random, entropy); err != nil && !errors.Is(err, syscall.EPERM) {
		t.Error(err)
	}
	if err := reseed(d.null, entropy); err == nil {
		t.Error("entropy that nobody took is no failure")
	}
}

func TestMissingDevicesAreNamed(t *testing.T) {
	_, err := openDevices(t.TempDir(), "/dev")
	var where *fs.PathError
	if !errors.As(err, &where) || !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}

package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// promptly fails a test whose act waits for what never comes.
func promptly(t *testing.T, what string, act func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		act()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s waits", what)
	}
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

// killOrphans ends what background children a test left with the agent.
func killOrphans(t *testing.T, g *guest) {
	t.Helper()
	eventually(t, "orphans are gone", func() bool {
		children := childrenOf(t, g.pid)
		for _, child := range children {
			if pid, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return len(children) == 0
	})
}

// needRoot fails a test that shows what only root can do. A skipped one would show nothing and look as good as passed.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests run as root: only root can give files away and act as another user")
	}
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// reaperVariable makes the test binary run checkReaper: a reaper takes every child of its process, so it has one to itself.
const reaperVariable = "SYLPH_AGENT_TEST_REAPER"

func TestReaperTellsEveryExitOnce(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), reaperVariable+"=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// checkReaper starts many children that end at once, and some that never begin.
func checkReaper() error {
	const children = 300
	r := startReaper()
	problems := make(chan error, 3*children)
	done := make(chan struct{}, 3*children)
	for i := range children {
		go func() {
			_, err := r.start(func() (int, error) {
				return syscall.ForkExec("/bin/sh", []string{"sh", "-c", fmt.Sprintf("exit %d", i%100)}, &syscall.ProcAttr{})
			}, func(status syscall.WaitStatus) {
				if status.ExitStatus() != i%100 {
					problems <- fmt.Errorf("child %d: status %v", i, status)
				}
				done <- struct{}{}
			})
			if err != nil {
				problems <- err
			}
			_, err = r.start(func() (int, error) { return syscall.ForkExec("/no/such", []string{"x"}, &syscall.ProcAttr{}) },
				func(syscall.WaitStatus) { problems <- fmt.Errorf("an exit of what never started") })
			if err != syscall.ENOENT {
				problems <- fmt.Errorf("a missing program: %v", err)
			}
		}()
	}
	limit := time.After(patience)
	for told := 0; told < children || !r.empty(); {
		select {
		case err := <-problems:
			return err
		case <-done:
			told++
		case <-limit:
			return fmt.Errorf("%d exits told of %d", told, children)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if len(done) > 0 {
		return fmt.Errorf("an exit was told twice")
	}
	if live, _ := r.whileLive(1, func() error { return nil }); live {
		return fmt.Errorf("a stranger is taken for a child")
	}
	return nil
}

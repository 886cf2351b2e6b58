package main

import (
	"errors"
	"syscall"
	"time"
)

const (
	// killWait is how long killed processes may take to be gone.
	killWait = 5 * time.Second
	// goneInterval is the pause between looks at what is left.
	goneInterval = 5 * time.Millisecond
)

// endProcesses asks all processes to end, waits until gone says so or the deadline passes, then kills the rest.
func endProcesses(deadline time.Duration, signalAll func(syscall.Signal), gone func() bool) error {
	signalAll(syscall.SIGTERM)
	signalAll(syscall.SIGCONT) // a stopped process ends only when it goes on
	if waitUntil(gone, deadline) {
		return nil
	}
	signalAll(syscall.SIGKILL)
	if waitUntil(gone, killWait) {
		return nil
	}
	return errors.New("some processes did not end")
}

func waitUntil(gone func() bool, limit time.Duration) bool {
	end := time.Now().Add(limit)
	for !gone() {
		if !time.Now().Before(end) {
			return false
		}
		time.Sleep(goneInterval)
	}
	return true
}

// restart ends the VM: reboot=t on the kernel's command line makes a restart a reset of the machine, which the host takes for the end.
func restart() {
	syscall.Sync()
	err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	logf("restart: %v", err)
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF) // the last thing there is to try
}

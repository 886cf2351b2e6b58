package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// vmMachine is the VM this agent is PID 1 of.
type vmMachine struct {
	reaper  *reaper
	devices *devices
	// What the last event said; only the control port's goroutine uses them.
	lastGeneration, lastHostname string
}

// resume fails only for what other programs' safety depends on: the clock and the random numbers. The rest is logged.
func (m *vmMachine) resume(event *resumeEvent) error {
	if err := setClock(event.time); err != nil {
		return err
	}
	if err := reseed(m.devices.random, event.entropy); err != nil {
		return err
	}
	renamed := m.lastHostname != event.hostname
	m.lastHostname = event.hostname
	if renamed {
		if err := syscall.Sethostname([]byte(event.hostname)); err != nil {
			logf("host name: %v", err)
		}
	}
	// A repeated event, whose answer got lost, must not remove the host keys being made.
	repeated := m.lastGeneration == event.generationID
	booted := m.lastGeneration == ""
	m.lastGeneration = event.generationID
	files := *event
	// A fork that died before its new identity had reached the disk boots with its origin's.
	files.newIdentity = !repeated && (event.newIdentity || booted && !holdsMachineID("", event.machineID))
	if err := applyIdentityFiles("", &files, renamed); err != nil {
		logf("identity: %v", err)
	}
	if files.newIdentity {
		if err := destroyConnections(); err != nil {
			logf("connections of the origin stay: %v", err)
		}
		m.makeHostKeys()
	}
	return nil
}

func (m *vmMachine) quiesce() error {
	syscall.Sync()
	return nil
}

func (m *vmMachine) powerOff(deadline time.Duration) error {
	err := endProcesses(deadline, func(number syscall.Signal) {
		_ = syscall.Kill(-1, number) // ESRCH: nobody is left
	}, m.reaper.empty)
	syscall.Sync()
	if mountErr := syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); mountErr != nil {
		logf("root stays writable: %v", mountErr)
	}
	syscall.Sync()
	return err
}

// makeHostKeys runs ssh-keygen in the background where it exists.
func (m *vmMachine) makeHostKeys() {
	const keygen = "/usr/bin/ssh-keygen"
	if _, err := os.Stat("/etc/ssh"); err != nil || programError(keygen) != nil {
		return
	}
	go func() {
		null := uintptr(m.devices.null)
		attributes := &syscall.ProcAttr{Dir: "/", Env: []string{"PATH=" + defaultPath, "HOME=/root"}, Files: []uintptr{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true}}
		_, err := m.reaper.start(func() (int, error) { return syscall.ForkExec(keygen, []string{"ssh-keygen", "-A"}, attributes) },
			func(status syscall.WaitStatus) {
				if status != 0 {
					logf("ssh-keygen ended with status %d", status.ExitStatus())
				}
			})
		if err != nil {
			logf("host keys: %v", err)
		}
	}()
}

// setClock steps CLOCK_REALTIME.
func setClock(now time.Time) error {
	const clockRealtime = 0
	spec := syscall.NsecToTimespec(now.UnixNano())
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_SETTIME, clockRealtime, uintptr(unsafe.Pointer(&spec)), 0); errno != 0 {
		return fmt.Errorf("clock: %w", errno)
	}
	return nil
}

// reseed credits entropy to the kernel's generator, an open device, and makes it use it at once (random(4)).
func reseed(device int, entropy []byte) error {
	const (
		addEntropy = 0x40085203 // RNDADDENTROPY
		reseedCRNG = 0x5207     // RNDRESEEDCRNG
		maxBytes   = 512
	)
	pool := struct {
		bits, bytes int32
		data        [maxBytes]byte
	}{bits: int32(8 * len(entropy)), bytes: int32(len(entropy))}
	copy(pool.data[:], entropy)
	if err := errors.Join(ioctl(device, addEntropy, unsafe.Pointer(&pool)), ioctl(device, reseedCRNG, nil)); err != nil {
		return fmt.Errorf("entropy: %w", err)
	}
	return nil
}

package main

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// portWait is how long the two ports may take to appear.
const portWait = 10 * time.Second

// runAsInit boots the VM and serves it. It does not return: without its agent a VM is of no use, so a fatal failure ends the VM.
func runAsInit() {
	absorbSignals()
	raiseDescriptorLimit()
	err := bootAndServe()
	logf("fatal: %v", err)
	restart()
	select {} // PID 1 must not end; the host's deadline ends a VM that neither restarts nor powers off
}

func bootAndServe() error {
	mountBasics()
	loadBootModules()
	if err := mountRoot(); err != nil {
		return err
	}
	if err := growRoot(); err != nil {
		logf("root disk keeps its size: %v", err)
	}
	if err := installModules(newRoot); err != nil {
		logf("kernel modules: %v", err)
	}
	if err := switchRoot(); err != nil {
		return err
	}
	mountAll()
	useConsole()
	if err := syscall.Sethostname([]byte(hostnameOnDisk(""))); err != nil {
		logf("host name: %v", err)
	}
	tuneKernel()
	loadSocketDiagnosis()
	configureNetwork()
	prepareInside("")
	return serveVM()
}

// raiseDescriptorLimit sets what children inherit; without it Go would give them back the kernel's narrow default.
func raiseDescriptorLimit() {
	limit := syscall.Rlimit{Cur: 64 << 10, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		logf("descriptor limit unchanged: %v", err)
	}
}

func serveVM() error {
	controlLink, err := openPort("sylph.control", portWait)
	if err != nil {
		return err
	}
	dataLink, err := openPort("sylph.data", portWait)
	if err != nil {
		return err
	}
	kept, err := openDevices("/dev", "/dev/pts")
	if err != nil {
		return err
	}
	reaper := startReaper()
	supervised := newServices(reaper, kept, "")
	calls := newCallDesk()
	serveInside("", newInsideAPI(supervised, calls))
	data := newDataPort(dataLink, &api{table: newTable(reaper, kept), services: supervised, calls: calls})
	logf("version %s serves on %s", version, kernelRelease())
	newControlPort(data, &vmMachine{reaper: reaper, devices: kept}, supervised, calls).serveAll(controlLink)
	return fmt.Errorf("control port ended")
}

// hostnameOnDisk is the VM's name until the host sends one.
func hostnameOnDisk(root string) string {
	text, err := readSmall(root+"/etc/hostname", blockBytes)
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "sprite"
}

// tuneKernel sets what every guest wants. A kernel without one of these works as well.
func tuneKernel() {
	for _, setting := range []struct{ path, value string }{
		{"net/ipv4/ping_group_range", "0 2147483647"}, // ping without privileges
		{"kernel/panic", "-1"},                        // end at once: the host notices and recovers
		{"kernel/pid_max", "4194304"},
		{"fs/protected_hardlinks", "1"}, // as every distribution has it: root is not to be led to files by another user's links
		{"fs/protected_symlinks", "1"},
		{"fs/inotify/max_user_watches", "524288"},
		{"fs/inotify/max_user_instances", "1024"},
	} {
		if err := writeSetting("/proc/sys/"+setting.path, setting.value); err != nil {
			logf("sysctl: %v", err)
		}
	}
}

// useConsole points the agent's standard files at the root disk's devices; the initrd's console may have been none.
func useConsole() {
	for _, use := range []struct {
		path string
		fds  []int
	}{{"/dev/null", []int{0}}, {"/dev/console", []int{1, 2}}} {
		fd, err := syscall.Open(use.path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
		if err != nil {
			logf("%s: %v", use.path, err)
			continue
		}
		for _, to := range use.fds {
			if err := syscall.Dup3(fd, to, 0); err != nil && fd != to {
				logf("%s: %v", use.path, err)
			}
		}
		if fd > 2 {
			_ = syscall.Close(fd) // its copies are in use
		}
	}
}

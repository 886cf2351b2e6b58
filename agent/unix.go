package main

import (
	"context"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// unixLink is a Unix socket in the place of a port.
type unixLink struct{ listener *net.UnixListener }

func (l unixLink) connect(ctx context.Context) (net.Conn, error) {
	_ = l.listener.SetDeadline(time.Time{}) // fails only on a closed listener, as Accept then says
	stop := context.AfterFunc(ctx, func() { _ = l.listener.SetDeadline(time.Now()) })
	defer stop()
	return l.listener.Accept()
}

// serveUnix serves dir/control and dir/data until SIGTERM or SIGINT, then kills the processes it started. Identity is applied to files below dir/root only.
func serveUnix(dir string) error {
	control, err := listenUnix(filepath.Join(dir, "control"))
	if err != nil {
		return err
	}
	defer control.Close()
	data, err := listenUnix(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	defer data.Close()
	adoptOrphans()
	kept, err := openDevices("/dev", "/dev")
	if err != nil {
		return err
	}
	reaper := startReaper()
	processes := newTable(reaper, kept)
	machine := &hostedMachine{table: processes, root: filepath.Join(dir, "root")}
	supervised := newServices(reaper, kept, machine.root)
	calls := newCallDesk()
	serveInside(machine.root, newInsideAPI(supervised, calls))
	session := newDataPort(unixLink{data}, &api{table: processes, services: supervised, calls: calls})
	go newControlPort(session, machine, supervised, calls).serveAll(unixLink{control})
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGINT)
	<-ending
	supervised.halt()
	supervised.signalAll(syscall.SIGKILL)
	processes.signalAll(syscall.SIGKILL)
	return nil
}

func listenUnix(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// adoptOrphans gives the agent the orphans of its processes, as PID 1 has them anyway.
func adoptOrphans() {
	const prSetChildSubreaper = 36
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		logf("orphans go elsewhere: %v", errno)
	}
}

// hostedMachine stands for the VM where there is none.
type hostedMachine struct {
	table *table
	root  string
}

func (m *hostedMachine) resume(event *resumeEvent) error {
	return applyIdentityFiles(m.root, event, true)
}

func (m *hostedMachine) quiesce() error { return nil }

func (m *hostedMachine) powerOff(deadline time.Duration) error {
	return endProcesses(deadline, m.table.signalAll, func() bool { return m.table.running() == 0 })
}

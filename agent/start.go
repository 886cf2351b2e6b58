package main

import (
	"os"
	"syscall"
)

// outputPipeBytes enlarges a standard output's pipe: fewer switches between a program and the agent.
const outputPipeBytes = 1 << 20

// endpoints are both sides of a new process's standard files.
type endpoints struct {
	child   [3]int   // descriptors the child gets
	opened  []int    // those of child, each once, that the agent closes after the start
	input   *os.File // agent's side, nil when no input is wanted
	master  *os.File // of the terminal, nil without
	outputs []*outputPipe
}

// startProcess starts what s says. The returned process already reads its output; its exit is told by the reaper.
func startProcess(r *reaper, d *devices, s *spec) (*process, *failure) {
	c, bad := s.command()
	if bad != nil {
		return nil, bad
	}
	ends, err := openEndpoints(d, s, int(c.owner.uid))
	if err != nil {
		return nil, fail(err, "standard files")
	}
	p := newProcess(s, c.program, r, ends)
	p.pid, bad = c.start(r, ends.child, ends.master != nil, p.exited)
	ends.closeChild()
	if bad != nil {
		ends.closeAgent()
		return nil, bad
	}
	for _, pipe := range p.pipes {
		go p.pump(pipe)
	}
	return p, nil
}

// openEndpoints makes pipes or a terminal. On failure nothing stays open.
func openEndpoints(d *devices, s *spec, uid int) (*endpoints, error) {
	e := &endpoints{}
	var err error
	if s.TTY != nil {
		err = e.openTerminal(d, s, uid)
	} else {
		err = e.openPipes(s)
	}
	if err == nil && !s.Stdin {
		e.child[0] = d.null
	}
	if err != nil {
		e.closeChild()
		e.closeAgent()
		return nil, err
	}
	return e, nil
}

func (e *endpoints) openTerminal(d *devices, s *spec, uid int) error {
	master, slave, err := openTerminal(d, winsize{rows: s.TTY.Rows, cols: s.TTY.Cols}, uid)
	if err != nil {
		return err
	}
	e.master, e.opened = master, []int{slave}
	e.child = [3]int{slave, slave, slave}
	if s.Stdin {
		e.input = master
	}
	return e.addOutput(frameStdout, master, true)
}

func (e *endpoints) openPipes(s *spec) error {
	if s.Stdin {
		reading, writing, err := pipe()
		if err != nil {
			return err
		}
		e.child[0], e.opened = reading, append(e.opened, reading)
		e.input, err = agentSide(writing, "stdin")
		if err != nil {
			return err
		}
	}
	for _, kind := range []byte{frameStdout, frameStderr} {
		reading, writing, err := pipe()
		if err != nil {
			return err
		}
		e.child[1+int(kind-frameStdout)], e.opened = writing, append(e.opened, writing)
		file, err := agentSide(reading, "output")
		if err != nil {
			return err
		}
		if kind == frameStdout {
			// A kernel that refuses leaves the usual 64 KiB.
			_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(writing), syscall.F_SETPIPE_SZ, outputPipeBytes)
		}
		if err := e.addOutput(kind, file, false); err != nil {
			return err
		}
	}
	return nil
}

func (e *endpoints) addOutput(kind byte, file *os.File, terminal bool) error {
	output := &outputPipe{kind: kind, file: file, terminal: terminal}
	e.outputs = append(e.outputs, output)
	var err error
	output.raw, err = file.SyscallConn()
	return err
}

func (e *endpoints) closeChild() {
	for _, fd := range e.opened {
		_ = syscall.Close(fd) // the child has its own copies
	}
	e.opened = nil
}

// closeAgent undoes a start that failed; nothing was written or read yet.
func (e *endpoints) closeAgent() {
	if e.input != nil && e.input != e.master {
		_ = e.input.Close()
	}
	for _, output := range e.outputs {
		_ = output.file.Close()
	}
}

func pipe() (reading, writing int, err error) {
	var fds [2]int
	err = syscall.Pipe2(fds[:], syscall.O_CLOEXEC)
	return fds[0], fds[1], err
}

// agentSide makes one end of a pipe a file of Go's poller; the other end, a description of its own, keeps blocking. It owns fd also on failure.
func agentSide(fd int, name string) (*os.File, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

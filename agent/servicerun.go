package main

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// portLook is the pause between looks at whether a service listens yet.
const portLook = 50 * time.Millisecond

// serviceRun is one process of a service.
type serviceRun struct {
	pid     int
	began   time.Time
	code    int // once exited is closed
	exited  chan struct{}
	output  [2]*os.File
	drained chan struct{} // the output has been read
}

// launch starts the program. The reaper tells of its end.
func (l *serviceLife) launch() (*serviceRun, *failure) {
	if l.set.isHalted() {
		return nil, &failure{Text: "the sprite is shutting down", Code: "EAGAIN"}
	}
	c, bad := l.definition.spec().command()
	if bad != nil {
		return nil, bad
	}
	run := &serviceRun{exited: make(chan struct{}), drained: make(chan struct{})}
	writing, err := run.openOutput()
	if err != nil {
		return nil, fail(err, "standard files")
	}
	run.began = time.Now()
	run.pid, bad = c.start(l.set.reaper, [3]int{l.set.null, writing[0], writing[1]}, false, run.ended)
	for _, fd := range writing {
		_ = syscall.Close(fd) // the child has its own copies
	}
	if bad != nil {
		run.closeOutput()
		return nil, bad
	}
	l.set.update(func() {
		if l.service.next != nil {
			l.service.restarts++
		}
		l.service.run, l.service.next, l.service.status = run, nil, serviceStarting
	})
	l.tell(eventNow("started"))
	go l.carryOutput(run)
	go l.watchReady(run)
	return run, nil
}

// openOutput makes the pipes of stdout and stderr; the caller closes the writing ends.
func (r *serviceRun) openOutput() (writing [2]int, err error) {
	for i := range r.output {
		reading, writer, err := pipe()
		if err == nil {
			writing[i] = writer
			r.output[i], err = agentSide(reading, "service output")
			if err != nil {
				_ = syscall.Close(writer) // nobody has it
			}
		}
		if err != nil {
			if i > 0 {
				_ = syscall.Close(writing[0]) // as above
			}
			r.closeOutput()
			return writing, err
		}
	}
	return writing, nil
}

func (r *serviceRun) closeOutput() {
	for _, file := range r.output {
		if file != nil {
			_ = file.Close() // nothing was read
		}
	}
}

// ended is the reaper's word.
func (r *serviceRun) ended(status syscall.WaitStatus) {
	r.code = status.ExitStatus()
	if status.Signaled() {
		r.code = 128 + int(status.Signal())
	}
	close(r.exited)
}

func (l *serviceLife) carryOutput(run *serviceRun) {
	other := make(chan struct{})
	go func() {
		defer close(other)
		l.service.log.pump("stderr", run.output[1])
	}()
	l.service.log.pump("stdout", run.output[0])
	<-other
	close(run.drained)
}

// watchReady makes a run that has come so far a running one.
func (l *serviceLife) watchReady(run *serviceRun) {
	wait, listens := l.set.pace.alive, func() bool { return false }
	if port := l.definition.HTTPPort; port != nil {
		// Looked up, not tried: a program that takes one connection only would lose it.
		wait, listens = l.set.pace.portWait, func() bool { return someListens(*port) }
	}
	deadline := time.After(wait)
	for !listens() {
		select {
		case <-run.exited:
			return
		case <-deadline:
			listens = func() bool { return true }
		case <-time.After(portLook):
		}
	}
	l.set.update(func() {
		if l.service.run == run && l.service.status == serviceStarting {
			l.service.status, l.service.lastError = serviceRunning, ""
		}
	})
}

// someListens tells whether anybody listens on a TCP port.
func someListens(port int) bool {
	return slices.ContainsFunc(readListeners(""), func(each listener) bool { return int(each.port) == port })
}

// drain waits until the output of an ended run has been read, but not long for others that hold its pipes.
func (l *serviceLife) drain(run *serviceRun) {
	select {
	case <-run.drained:
		return
	case <-time.After(exitGrace):
	}
	for _, file := range run.output {
		_ = file.SetReadDeadline(time.Now()) // a file closed meanwhile has no reader to wake
	}
	<-run.drained
}

func (l *serviceLife) signal(run *serviceRun, number syscall.Signal) bool {
	live, err := l.set.reaper.whileLive(run.pid, func() error { return syscall.Kill(-run.pid, number) })
	return live && err == nil
}

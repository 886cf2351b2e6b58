package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// servicePace is how patient the supervision is.
type servicePace struct {
	alive     time.Duration // after so long a service without a port counts as running
	portWait  time.Duration // after so long one with a port does, whether somebody listens on it or not
	steady    time.Duration // a run this long makes earlier failures forgotten
	firstWait time.Duration // before the first restart; doubled for each failure that follows
	longest   time.Duration // that a restart is waited for
	failures  int           // in a row, after which the service is given up
	stop      time.Duration // between TERM and KILL, unless the caller says otherwise
}

var defaultPace = servicePace{alive: 250 * time.Millisecond, portWait: 10 * time.Second, steady: time.Minute, firstWait: time.Second,
	longest: time.Minute, failures: 10, stop: 10 * time.Second}

// portLook is the pause between looks at whether a service listens yet.
const portLook = 50 * time.Millisecond

// before is how long a restart waits after so many failures in a row.
func (p *servicePace) before(failures int) time.Duration {
	wait := p.firstWait
	for i := 1; i < failures && wait < p.longest; i++ {
		wait *= 2
	}
	return min(wait, p.longest)
}

// serviceLife is a service's time between a start by somebody, or the boot, and its stop: its runs, and the waits in between. One goroutine owns it.
type serviceLife struct {
	set        *services
	service    *guestService
	definition *serviceDefinition
	after      <-chan struct{} // of the life before; nil: there was none

	stop    chan struct{} // closed by end
	ending  bool          // guarded by the set's lock, as is timeout
	timeout time.Duration
	done    chan struct{} // closed when nothing of it is left
}

// serviceRun is one process of a service.
type serviceRun struct {
	pid     int
	began   time.Time
	code    int // once exited is closed
	exited  chan struct{}
	output  [2]*os.File
	drained chan struct{} // the output has been read
}

// end asks the life to end; the first time limit counts. The caller holds the set's lock.
func (l *serviceLife) end(timeout time.Duration) {
	if !l.ending {
		l.ending, l.timeout = true, timeout
		close(l.stop)
	}
}

func (l *serviceLife) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *serviceLife) tell(event serviceEvent) {
	event.life = l
	l.service.log.feed.add(event)
}

// run is the life's goroutine.
func (l *serviceLife) run() {
	defer func() {
		close(l.done)
		l.service.log.feed.add() // those who follow look again
	}()
	if l.after != nil {
		<-l.after
	}
	if bad := l.awaitNeeds(); bad != nil {
		l.fail(bad.Text)
		return
	}
	for failures := 0; ; {
		if l.isEnding() {
			l.settleStopped(nil)
			return
		}
		run, bad := l.launch()
		if bad == nil {
			select {
			case <-run.exited:
			case <-l.stop:
				l.terminate(run)
				return
			}
			l.lookBack(run)
			if time.Since(run.began) >= l.set.pace.steady {
				failures = 0
			}
		} else {
			l.tell(eventNow("error").withData(bad.Text))
		}
		failures++
		reason := ""
		if bad != nil {
			reason = bad.Text
		} else {
			reason = "ended with exit code " + strconv.Itoa(run.code)
		}
		if failures >= l.set.pace.failures {
			l.giveUp(fmt.Sprintf("given up after %d failures in a row; the last: %s", failures, reason), bad == nil)
			return
		}
		if !l.pause(l.set.pace.before(failures), reason) {
			l.settleStopped(nil)
			return
		}
	}
}

func (l *serviceLife) isEnding() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// awaitNeeds waits until all services this one needs run. It returns nil when they do, and when the life is to end.
func (l *serviceLife) awaitNeeds() *failure {
	for {
		ready, changed, bad := l.set.needsState(l.definition)
		if bad != nil || ready {
			return bad
		}
		select {
		case <-changed:
		case <-l.stop:
			return nil
		}
	}
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

// lookBack settles what a run that ended by itself left: the rest of its group is told to end, its output is read.
func (l *serviceLife) lookBack(run *serviceRun) {
	_ = syscall.Kill(-run.pid, syscall.SIGTERM) // mostly nobody is left; the number is not used again so soon
	l.drain(run)
	_ = syscall.Kill(-run.pid, syscall.SIGKILL) // as above; what holds on would keep ports and files from the next run
	l.set.update(func() { l.service.run = nil })
	event := eventNow("exit")
	event.ExitCode = &run.code
	l.tell(event)
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

// pause waits for the time of a restart; false: the life is to end.
func (l *serviceLife) pause(wait time.Duration, reason string) bool {
	next := time.Now().Add(wait)
	l.set.update(func() {
		l.service.status, l.service.lastError, l.service.next = serviceStarting, reason, &next
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stop:
		return false
	}
}

// terminate ends a run: TERM to its group, KILL after the time limit, and waits for the reaper.
func (l *serviceLife) terminate(run *serviceRun) {
	l.set.update(func() { l.service.status = serviceStopping })
	l.tell(eventNow("stopping"))
	timeout := l.limit()
	deadline := time.Now().Add(timeout)
	l.signal(run, syscall.SIGTERM)
	l.signal(run, syscall.SIGCONT) // a stopped process ends only when it goes on
	select {
	case <-run.exited:
	case <-time.After(timeout):
		l.signal(run, syscall.SIGKILL)
		select {
		case <-run.exited:
		case <-time.After(killWait):
			l.set.update(func() { l.service.run = nil })
			l.fail(fmt.Sprintf("process %d does not end, even by KILL", run.pid))
			return
		}
	}
	// The leader's children may need their time too.
	gone := func() bool { return syscall.Kill(-run.pid, 0) == syscall.ESRCH }
	if !waitUntil(gone, time.Until(deadline)) {
		_ = syscall.Kill(-run.pid, syscall.SIGKILL) // ESRCH: they have ended meanwhile
	}
	l.drain(run)
	l.settleStopped(run)
}

func (l *serviceLife) signal(run *serviceRun, number syscall.Signal) bool {
	live, err := l.set.reaper.whileLive(run.pid, func() error { return syscall.Kill(-run.pid, number) })
	return live && err == nil
}

// limit is the time between TERM and KILL.
func (l *serviceLife) limit() time.Duration {
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	return l.timeout
}

// settleStopped is the end that somebody asked for. run: what ended with it; nil: nothing ran.
func (l *serviceLife) settleStopped(run *serviceRun) {
	l.set.update(func() {
		l.service.status, l.service.run, l.service.next, l.service.lastError = serviceStopped, nil, nil, ""
	})
	event := eventNow("stopped")
	if run != nil {
		event.ExitCode = &run.code
	}
	l.tell(event)
}

// fail is the end of a life that cannot go on.
func (l *serviceLife) fail(reason string) { l.giveUp(reason, true) }

func (l *serviceLife) giveUp(reason string, tell bool) {
	l.set.update(func() {
		l.service.status, l.service.run, l.service.next, l.service.lastError = serviceFailed, nil, nil, reason
	})
	if tell {
		l.tell(eventNow("error").withData(reason))
	}
}

// someListens tells whether anybody listens on a TCP port.
func someListens(port int) bool {
	return slices.ContainsFunc(readListeners(""), func(each listener) bool { return int(each.port) == port })
}

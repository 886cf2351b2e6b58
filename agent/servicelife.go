package main

import (
	"fmt"
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

// end asks the life to end; the first time limit counts. The caller holds the set's lock.
func (l *serviceLife) end(timeout time.Duration) {
	if !l.ending {
		l.ending, l.timeout = true, timeout
		close(l.stop)
	}
}

// goesOn tells whether there is a life that nobody has asked to end. The caller holds the set's lock.
func (l *serviceLife) goesOn() bool {
	return l != nil && !l.ending && !l.over()
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
	for failures := 1; !l.isEnding(); failures++ {
		run, bad := l.launch()
		reason := ""
		if bad != nil {
			reason = bad.Text
			l.tell(eventNow("error").withData(reason))
		} else {
			select {
			case <-run.exited:
			case <-l.stop:
				l.terminate(run)
				return
			}
			l.lookBack(run)
			reason = "ended with exit code " + strconv.Itoa(run.code)
			if time.Since(run.began) >= l.set.pace.steady {
				failures = 1
			}
		}
		if failures >= l.set.pace.failures {
			l.giveUp(fmt.Sprintf("given up after %d failures in a row; the last: %s", failures, reason), bad == nil)
			return
		}
		l.pause(l.set.pace.before(failures), reason)
	}
	l.settleStopped(nil)
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

// pause waits for the time of a restart, or until the life is to end.
func (l *serviceLife) pause(wait time.Duration, reason string) {
	next := time.Now().Add(wait)
	l.set.update(func() {
		l.service.status, l.service.lastError, l.service.next = serviceStarting, reason, &next
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.stop:
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

// giveUp is fail, for a reason that who follows may have been told already.
func (l *serviceLife) giveUp(reason string, tell bool) {
	l.set.update(func() {
		l.service.status, l.service.run, l.service.next, l.service.lastError = serviceFailed, nil, nil, reason
	})
	if tell {
		l.tell(eventNow("error").withData(reason))
	}
}

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"
)

// reaper is the only caller of wait4(2) for the agent's children and for the orphans the kernel gives to PID 1.
//
// A child is first seen with WNOWAIT and then collected under the lock, together with its removal from live: who holds the lock and
// finds a pid in live may signal it without hitting a successor of the same number.
type reaper struct {
	mu       sync.Mutex
	starting int                              // forks whose pid is not registered yet
	live     map[int]func(syscall.WaitStatus) // what to call when the child has ended
	early    map[int]syscall.WaitStatus       // ended while starting > 0 and not registered
	started  chan struct{}                    // one token after each registration
	childSig chan os.Signal                   // SIGCHLD: an orphan may have come while there was no child to wait for
	idle     bool                             // there is no child and no orphan
}

// startReaper begins to reap. It never ends.
func startReaper() *reaper {
	r := &reaper{
		live:     map[int]func(syscall.WaitStatus){},
		early:    map[int]syscall.WaitStatus{},
		started:  make(chan struct{}, 1),
		childSig: make(chan os.Signal, 1),
	}
	signal.Notify(r.childSig, syscall.SIGCHLD)
	go r.run()
	return r
}

// start runs fork, which returns a child's pid, and calls onExit once when that child has ended, however early that is.
// onExit must not block: it holds up all other exits.
func (r *reaper) start(fork func() (int, error), onExit func(syscall.WaitStatus)) (int, error) {
	r.mu.Lock()
	r.starting++
	r.idle = false
	r.mu.Unlock()
	pid, err := fork()
	r.mu.Lock()
	r.starting--
	status, ended := r.early[pid]
	if err == nil && !ended {
		r.live[pid] = onExit
	}
	if ended {
		delete(r.early, pid)
	}
	if r.starting == 0 {
		clear(r.early) // children that never reached their program: the fork itself told of them
	}
	r.mu.Unlock()
	select {
	case r.started <- struct{}{}:
	default:
	}
	if err == nil && ended {
		onExit(status)
	}
	return pid, err
}

// whileLive runs act if pid is a child not yet reaped, and keeps it unreaped meanwhile.
func (r *reaper) whileLive(pid int, act func() error) (live bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.live[pid]; !ok {
		return false, nil
	}
	return true, act()
}

// empty says that the agent has neither children nor orphans.
func (r *reaper) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

func (r *reaper) run() {
	for {
		pid, err := peekExited()
		if err == nil {
			r.collect(pid)
			continue
		}
		r.mu.Lock()
		r.idle = r.starting == 0 && len(r.live) == 0
		r.mu.Unlock()
		select {
		case <-r.started:
		case <-r.childSig:
		}
	}
}

func (r *reaper) collect(pid int) {
	var status syscall.WaitStatus
	r.mu.Lock()
	if _, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err != nil {
		r.mu.Unlock()
		return // a failed start collected its own child
	}
	onExit, known := r.live[pid]
	delete(r.live, pid)
	if !known && r.starting > 0 {
		r.early[pid] = status
	}
	r.mu.Unlock()
	if known {
		onExit(status)
	}
}

// peekExited waits for any child to end and leaves it to be collected. It fails with ECHILD when there is none.
func peekExited() (int, error) {
	const (
		pAll       = 0
		wNoWait    = 0x01000000
		pidAtBytes = 16 // si_pid within siginfo_t on 64-bit Linux
	)
	var info [128]byte
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pAll, 0, uintptr(unsafe.Pointer(&info)), syscall.WEXITED|wNoWait, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(*(*int32)(unsafe.Pointer(&info[pidAtBytes]))), nil
	}
}

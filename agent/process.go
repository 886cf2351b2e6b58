package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	// exitGrace is how long output is read on after a process's exit, once what it left was read, while others hold its pipes.
	exitGrace = 200 * time.Millisecond
	// terminalLeftBytes is more than a terminal can hold when its leader ends: line discipline and flip buffers.
	terminalLeftBytes = 72 << 10
)

var errPipeEnded = errors.New("output has ended")

// process is one the host started: it lives on without a stream, and is remembered after its exit until the host deletes it.
type process struct {
	id, path string
	argv     []string
	tty      bool
	reaper   *reaper
	input    *inputQueue
	master   *os.File // of its terminal

	pid int // set before anyone else knows the process

	mu       sync.Mutex
	out      outputBuffer
	space    sync.Cond // acknowledgements made room, or a pipe was cut off
	pipes    []*outputPipe
	exit     *exitStatus
	grace    *time.Timer
	complete bool // exit is known and no output follows
	stream   *attachment
}

// outputPipe is one end the agent reads a process's output from.
type outputPipe struct {
	kind     byte
	terminal bool
	file     *os.File
	raw      syscall.RawConn

	read    uint64
	target  uint64 // where read arrives when everything written before the exit was read
	settled bool   // it has arrived there, or found the pipe empty after the exit
	ended   bool
}

type exitStatus struct {
	code   int
	signal string // without SIG, empty when the process ended itself
}

func newProcess(s *spec, program string, r *reaper, ends *endpoints) *process {
	p := &process{id: s.ID, path: program, argv: s.Argv, tty: ends.master != nil, reaper: r, master: ends.master, out: newOutputBuffer(), pipes: ends.outputs}
	p.space.L = &p.mu
	p.input = newInputQueue(ends.input, ends.input != nil && ends.input == ends.master, p.wake)
	return p
}

// pump reads one pipe until it ends. It stops reading while the buffer is full: the process then waits, as with any slow reader.
func (p *process) pump(pipe *outputPipe) {
	var result error
	step := func(fd uintptr) bool {
		p.mu.Lock()
		result = p.readOnce(pipe, int(fd))
		p.mu.Unlock()
		return result != syscall.EAGAIN
	}
	for {
		if err := pipe.raw.Read(step); err != nil {
			break // cut off
		}
		if result == errBufferFull {
			p.waitForSpace(pipe)
		} else if result != nil {
			break
		}
	}
	_ = pipe.file.Close() // a reading end: nothing to flush
}

// readOnce reads what is there into the buffer. The caller holds the lock.
func (p *process) readOnce(pipe *outputPipe, fd int) error {
	if pipe.ended {
		return errPipeEnded
	}
	n, err := p.out.fill(pipe.kind, fd)
	switch {
	case n > 0:
		pipe.read += uint64(n)
		pipe.settled = p.exit != nil && pipe.read >= pipe.target
		p.settle()
		p.notify()
		return nil
	case err == errBufferFull:
		return err
	case err == syscall.EAGAIN:
		pipe.settled = p.exit != nil
		p.settle()
		return err
	default: // end of file, or EIO from a terminal nobody holds
		pipe.ended = true
		p.settle()
		p.notify()
		return io.EOF
	}
}

func (p *process) waitForSpace(pipe *outputPipe) {
	p.mu.Lock()
	for !pipe.ended && p.out.full() {
		p.space.Wait()
	}
	p.mu.Unlock()
}

// exited is the reaper's word. It reads what the process left at once, so that a short command's output and exit leave together.
func (p *process) exited(status syscall.WaitStatus) {
	p.mu.Lock()
	p.exit = &exitStatus{code: status.ExitStatus()}
	if status.Signaled() {
		p.exit = &exitStatus{code: 128 + int(status.Signal()), signal: signalName(status.Signal())}
	}
	for _, pipe := range p.pipes {
		if !pipe.ended {
			// A file closed meanwhile has ended, which its reader has noted or is about to.
			_ = pipe.raw.Control(func(fd uintptr) { p.drain(pipe, int(fd)) })
		}
	}
	p.settle()
	p.notify()
	p.mu.Unlock()
	p.input.close()
}

// drain reads a pipe up to what it holds now, and its end if that is next. The caller holds the lock.
func (p *process) drain(pipe *outputPipe, fd int) {
	left := int32(0)
	if pipe.terminal {
		left = terminalLeftBytes
	} else if err := ioctl(fd, syscall.TIOCINQ, unsafe.Pointer(&left)); err != nil {
		left = 0 // then the grace alone bounds the reading
	}
	pipe.target = pipe.read + uint64(left)
	pipe.settled = left == 0 // a full buffer must not keep an empty pipe from being known as such
	for pipe.read <= pipe.target && p.readOnce(pipe, fd) == nil {
	}
}

// settle completes an exited process: when all its pipes have ended, or exitGrace after they held nothing more from before the exit. The caller holds the lock.
func (p *process) settle() {
	if p.exit == nil || p.complete {
		return
	}
	ended, settled := true, true
	for _, pipe := range p.pipes {
		ended = ended && pipe.ended
		settled = settled && (pipe.ended || pipe.settled)
	}
	if ended {
		p.finish()
	} else if settled && p.grace == nil {
		p.grace = time.AfterFunc(exitGrace, p.cutOff)
	}
}

// cutOff drops what background children still write. Its reader closes each pipe.
func (p *process) cutOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.complete {
		return
	}
	for _, pipe := range p.pipes {
		pipe.ended = true
		_ = pipe.file.SetReadDeadline(time.Now()) // a file closed meanwhile has no reader to wake
	}
	p.finish()
	p.notify()
}

func (p *process) finish() {
	p.complete = true
	if p.grace != nil {
		p.grace.Stop()
	}
	p.space.Broadcast()
}

// ack forgets output the host has journalled and lets the process go on.
func (p *process) ack(offset uint64) {
	p.mu.Lock()
	p.out.ack(offset)
	p.space.Broadcast()
	p.mu.Unlock()
}

// resize sets the size of the process's terminal; without one it does nothing.
func (p *process) resize(cols, rows uint16) {
	if p.master != nil {
		_ = resizeTerminal(p.master, winsize{rows: rows, cols: cols}) // a terminal that is gone has no size
	}
}

// signal sends to the process group, or to the group in front of the terminal. It reports ESRCH once the process has been reaped.
func (p *process) signal(number syscall.Signal) error {
	live, err := p.reaper.whileLive(p.pid, func() error {
		if p.master != nil {
			if group := foregroundGroup(p.master); group > 0 && syscall.Kill(-group, number) == nil {
				return nil
			}
		}
		return syscall.Kill(-p.pid, number)
	})
	if !live {
		return syscall.ESRCH
	}
	return err
}

// wake tells the sender, if there is one, that something changed.
func (p *process) wake() {
	p.mu.Lock()
	p.notify()
	p.mu.Unlock()
}

// notify is wake for holders of the lock.
func (p *process) notify() {
	if p.stream != nil {
		select {
		case p.stream.changed <- struct{}{}:
		default:
		}
	}
}

package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// inputLimitBytes is the most input that waits for a process to read it. Beyond it the agent stops reading the process's stream, acknowledgements
	// included; a host that keeps at most 1 MiB of input unacknowledged never gets there.
	inputLimitBytes = 1<<20 + inputPieceBytes
	// inputPieceBytes is the most input written, and then acknowledged, at once.
	inputPieceBytes = 64 << 10
	// endOfTransmission is what a terminal in its usual mode takes for the end of input (VEOF, termios(3)).
	endOfTransmission = "\x04"
)

var errInputGap = errors.New("input skips an offset")

// inputQueue takes input in order and writes it to a process from one goroutine, which lives from the first input to the end of it.
type inputQueue struct {
	onWritten func() // called without the lock when there is more to acknowledge
	terminal  bool

	mu       sync.Mutex
	work     sync.Cond
	room     chan struct{} // one token when space appeared or the queue closed
	file     *os.File      // nil: no input wanted, all of it is discarded
	pending  []byte
	received uint64
	written  uint64
	atEOF    bool // no input follows what is pending
	closed   bool // input is discarded from now on
	running  bool
}

// newInputQueue owns file from now on, unless it is a terminal's, which the process's output owns. A nil file discards all input.
func newInputQueue(file *os.File, terminal bool, onWritten func()) *inputQueue {
	q := &inputQueue{onWritten: onWritten, terminal: terminal, file: file, room: make(chan struct{}, 1), closed: file == nil}
	q.work.L = &q.mu
	return q
}

// push takes the bytes at offset; what it has already is ignored. It waits while the queue is full, until ctx ends.
func (q *inputQueue) push(ctx context.Context, offset uint64, data []byte) error {
	for {
		q.mu.Lock()
		if offset > q.received {
			q.mu.Unlock()
			return errInputGap
		}
		if known := q.received - offset; known < uint64(len(data)) {
			data, offset = data[known:], q.received
		} else {
			data = nil
		}
		if q.closed || q.atEOF {
			q.received += uint64(len(data))
			q.discard()
			q.mu.Unlock()
			q.onWritten()
			return nil
		}
		if take := min(len(data), inputLimitBytes-int(q.received-q.written)); take > 0 {
			q.pending = append(q.pending, data[:take]...)
			q.received += uint64(take)
			data, offset = data[take:], q.received
			q.wakeWriter()
		}
		q.mu.Unlock()
		if len(data) == 0 {
			return nil
		}
		select {
		case <-q.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end says that no input follows offset. A repetition is ignored.
func (q *inputQueue) end(offset uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if offset > q.received {
		return errInputGap
	}
	if offset < q.received || q.atEOF || q.closed {
		return nil
	}
	q.atEOF = true
	q.wakeWriter()
	return nil
}

// progress returns how far input was taken, and how far it was written or discarded.
func (q *inputQueue) progress() (received, written uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.received, q.written
}

// close ends writing at once: the process is gone, or the agent forgets it.
func (q *inputQueue) close() {
	q.mu.Lock()
	q.shut()
	q.mu.Unlock()
	q.onWritten()
}

// shut discards all input from now on. Closing the file also ends a write in progress. The caller holds the lock.
func (q *inputQueue) shut() {
	q.closed = true
	if q.file != nil {
		if q.terminal {
			// The deadline only ends a write in progress; reading the terminal's last output goes on.
			_ = q.file.SetWriteDeadline(time.Now())
		} else {
			_ = q.file.Close() // a pipe's end has nothing left to flush
		}
		q.file = nil
	}
	q.discard()
	q.work.Signal()
}

// discard counts everything received as written. The caller holds the lock.
func (q *inputQueue) discard() {
	if !q.running {
		q.written = q.received
	}
	q.pending = nil
	select {
	case q.room <- struct{}{}:
	default:
	}
}

func (q *inputQueue) wakeWriter() {
	if !q.running {
		q.running = true
		go q.write()
	}
	q.work.Signal()
}

// write is the queue's goroutine.
func (q *inputQueue) write() {
	var piece []byte
	q.mu.Lock()
	for {
		for len(q.pending) == 0 && !q.closed && !q.atEOF {
			q.work.Wait()
		}
		if q.closed || len(q.pending) == 0 {
			break
		}
		piece, q.pending = q.pending, piece[:0]
		file := q.file
		q.mu.Unlock()
		err := q.writePieces(file, piece)
		q.mu.Lock()
		if cap(piece) > inputPieceBytes {
			piece = nil
		}
		if err != nil {
			break
		}
	}
	if !q.closed && q.terminal && len(q.pending) == 0 && q.atEOF {
		file := q.file
		q.mu.Unlock()
		_, _ = file.WriteString(endOfTransmission) // fails only when nobody reads the terminal any more
		q.mu.Lock()
	}
	q.running = false
	q.shut()
	q.mu.Unlock()
	q.onWritten()
}

func (q *inputQueue) writePieces(file *os.File, data []byte) error {
	for len(data) > 0 {
		n, err := file.Write(data[:min(len(data), inputPieceBytes)])
		data = data[n:]
		q.mu.Lock()
		q.written += uint64(n)
		q.mu.Unlock()
		select {
		case q.room <- struct{}{}:
		default:
		}
		q.onWritten()
		if err != nil {
			return err
		}
	}
	return nil
}

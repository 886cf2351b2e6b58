package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var errBadFrame = errors.New("frame is not valid here")

// attachment is one HTTP/2 stream that carries a process. A process has at most one; a newer one ends the older.
type attachment struct {
	p       *process
	w       http.ResponseWriter
	frames  *frameReader
	ctx     context.Context
	cancel  context.CancelFunc
	changed chan struct{} // one token when there may be something to send
	ended   chan struct{} // closed when the sender has left the process's memory

	mu   sync.Mutex
	live bool // the response may still be used
}

func newAttachment(w http.ResponseWriter, r *http.Request, frames *frameReader) *attachment {
	ctx, cancel := context.WithCancel(r.Context())
	return &attachment{w: w, frames: frames, ctx: ctx, cancel: cancel, live: true, changed: make(chan struct{}, 1), ended: make(chan struct{})}
}

// serve carries p over the stream from output offset until the exit was sent. It fails before sending anything when the offset is not there;
// when the stream breaks it aborts the handler, and the process lives on.
func (a *attachment) serve(p *process, offset uint64) error {
	defer a.leave()
	a.p = p
	if err := a.take(offset); err != nil {
		return err
	}
	if err := a.send(offset); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// take makes this the process's stream, after an older one has let go.
func (a *attachment) take(offset uint64) error {
	p := a.p
	for {
		p.mu.Lock()
		older := p.stream
		if older == nil {
			err := p.out.seek(offset)
			if err == nil {
				p.stream = a
				p.space.Broadcast()
			}
			p.mu.Unlock()
			return err
		}
		outside := offset < p.out.acked || offset > p.out.produced
		p.mu.Unlock()
		if outside {
			return errNoSuchRange
		}
		older.stop()
		select {
		case <-older.ended:
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
	}
}

// leave gives the process up. Nothing of the response is used after it.
func (a *attachment) leave() {
	a.cancel()
	a.mu.Lock()
	a.live = false
	a.mu.Unlock()
	if p := a.p; p != nil {
		p.mu.Lock()
		if p.stream == a {
			p.stream = nil
			p.out.release()
		}
		p.mu.Unlock()
	}
	close(a.ended)
}

// stop breaks the stream from outside, also when its sender waits for the host's flow control.
func (a *attachment) stop() {
	a.cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live {
		// Fails only on a stream that is broken already.
		_ = http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(-time.Second))
	}
}

// send is the guest's side of the stream.
func (a *attachment) send(offset uint64) error {
	p := a.p
	flush := http.NewResponseController(a.w).Flush
	received, acked := p.input.progress()
	if _, err := a.w.Write(startedFrame(p, received, offset)); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	go a.receive()
	for {
		if _, written := p.input.progress(); written > acked {
			acked = written
			if _, err := a.w.Write(appendFrame(nil, frameStdinAck, binary.BigEndian.AppendUint64(nil, acked))); err != nil {
				return err
			}
		}
		p.mu.Lock()
		head, body := p.out.claim()
		done := p.complete && len(body) == 0
		p.mu.Unlock()
		if len(head) > 0 {
			if _, err := a.w.Write(head); err != nil {
				return err
			}
		}
		if len(body) > 0 {
			if _, err := a.w.Write(body); err != nil {
				return err
			}
			continue
		}
		if done {
			_, err := a.w.Write(exitFrame(p))
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		select {
		case <-a.changed:
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
	}
}

// receive is the host's side of the stream. A frame that makes no sense breaks the stream; the process lives on.
func (a *attachment) receive() {
	for {
		kind, payload, err := a.frames.next()
		if err == nil {
			err = a.apply(kind, payload)
		}
		if err == nil {
			continue
		}
		if err == errBadFrame || err == errFrameTooLong || err == errInputGap {
			logf("process %s: %v (frame type %d)", a.p.id, err, kind)
			a.stop()
		}
		return // else the host said all it had, or the stream broke, which the sender sees
	}
}

func (a *attachment) apply(kind byte, payload []byte) error {
	p := a.p
	switch kind {
	case frameAck, frameStdin, frameStdinEOF:
		offset, data, ok := splitOffset(payload)
		switch {
		case !ok || kind != frameStdin && len(data) > 0:
			return errBadFrame
		case kind == frameAck:
			p.ack(offset)
			return nil
		case kind == frameStdinEOF:
			return p.input.end(offset)
		}
		return p.input.push(a.ctx, offset, data)
	case frameResize:
		if len(payload) != 4 {
			return errBadFrame
		}
		p.resize(binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]))
		return nil
	case frameSignal:
		number, ok := signalNumbers[string(payload)]
		if !ok {
			return errBadFrame
		}
		_ = p.signal(number) // a process that has ended needs none: its exit is on the way
		return nil
	}
	return errBadFrame
}

func startedFrame(p *process, inputOffset, outputOffset uint64) []byte {
	text := append([]byte(`{"pid":`), strconv.Itoa(p.pid)...)
	text = append(text, `,"path":`...)
	text = append(text, quote(p.path)...)
	text = append(text, `,"inputOffset":`...)
	text = strconv.AppendUint(text, inputOffset, 10)
	text = append(text, `,"outputOffset":`...)
	text = strconv.AppendUint(text, outputOffset, 10)
	return appendFrame(nil, frameStarted, append(text, '}'))
}

func exitFrame(p *process) []byte {
	p.mu.Lock()
	exit, produced := *p.exit, p.out.produced
	p.mu.Unlock()
	text := append([]byte(`{"code":`), strconv.Itoa(exit.code)...)
	text = append(text, `,"signal":`...)
	if exit.signal == "" {
		text = append(text, "null"...)
	} else {
		text = append(text, quote(exit.signal)...)
	}
	text = append(text, `,"outputOffset":`...)
	text = strconv.AppendUint(text, produced, 10)
	return appendFrame(nil, frameExit, append(text, '}'))
}

func failedFrame(bad *failure) []byte {
	text := append([]byte(`{"error":`), quote(bad.Text)...)
	text = append(text, `,"code":`...)
	text = append(text, quote(bad.Code)...)
	return appendFrame(nil, frameFailed, append(text, '}'))
}

// quote writes a JSON string. Plain text is done here: the general encoder is much cold code on the way to a first command after a restore.
func quote(text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			encoded, err := json.Marshal(text)
			if err != nil {
				return []byte(`""`) // strings always encode
			}
			return encoded
		}
	}
	return append(append([]byte{'"'}, text...), '"')
}

// signalNamed sends a signal by name for the HTTP side.
func signalNamed(p *process, name string) *failure {
	number, ok := signalNumbers[name]
	if !ok {
		return invalid("unknown signal %q", name)
	}
	if err := p.signal(number); err == syscall.ESRCH {
		return &failure{Text: "process " + p.id + " has exited", Code: "ESRCH"}
	} else if err != nil {
		return fail(err, "signal %s", name)
	}
	return nil
}

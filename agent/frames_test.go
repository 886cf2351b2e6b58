package main

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestFramesSurviveAnyChunking(t *testing.T) {
	payloads := [][]byte{nil, []byte("a"), bytes.Repeat([]byte("b"), 3000), bytes.Repeat([]byte("c"), maxPayloadBytes), []byte("end")}
	var wire []byte
	for i, payload := range payloads {
		wire = appendFrame(wire, byte(i), payload)
	}
	for name, src := range map[string]io.Reader{"whole": bytes.NewReader(wire), "one byte": iotest.OneByteReader(bytes.NewReader(wire)),
		"half": iotest.HalfReader(bytes.NewReader(wire)), "end with data": iotest.DataErrReader(bytes.NewReader(wire))} {
		frames := newFrameReader(src)
		for i, payload := range payloads {
			kind, got, err := frames.next()
			if err != nil || kind != byte(i) || !bytes.Equal(got, payload) {
				t.Fatalf("%s: frame %d: type %d, %d bytes, %v", name, i, kind, len(got), err)
			}
		}
		if _, _, err := frames.next(); err != io.EOF {
			t.Fatalf("%s: end: %v", name, err)
		}
	}
}

func TestFrameOverTheLimitIsRefusedUnread(t *testing.T) {
	frames := newFrameReader(bytes.NewReader([]byte{frameStdin, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}))
	if _, _, err := frames.next(); err != errFrameTooLong {
		t.Fatal(err)
	}
	if len(frames.buf) > 4<<10 {
		t.Fatalf("buffer of %d bytes", len(frames.buf))
	}
}

func TestCutFrameIsAnError(t *testing.T) {
	wire := appendFrame(nil, frameStdin, []byte("hello"))
	for n := 1; n < len(wire); n++ {
		if _, _, err := newFrameReader(bytes.NewReader(wire[:n])).next(); err != io.ErrUnexpectedEOF {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(appendFrame(nil, frameSpec, []byte(`{"id":"1","argv":["ls"]}`)), uint8(3))
	f.Add(appendFrame(appendFrame(nil, frameAck, make([]byte, 8)), frameStdin, make([]byte, 70)), uint8(7))
	f.Add([]byte{frameStdin, 0, 1, 0, 9, 1}, uint8(2))
	f.Add([]byte{frameStdin, 0xff, 0xff, 0xff, 0xff}, uint8(5))
	f.Fuzz(func(t *testing.T, wire []byte, chunk uint8) {
		frames := newFrameReader(&chunkReader{rest: wire, size: int(chunk) + 1})
		var again []byte
		for {
			kind, payload, err := frames.next()
			if err != nil {
				break
			}
			if len(payload) > maxPayloadBytes {
				t.Fatalf("payload of %d bytes", len(payload))
			}
			again = appendFrame(again, kind, payload)
			if kind == frameSpec {
				if s, bad := parseSpec(payload); bad == nil {
					_ = s.check()
				}
			}
		}
		if !bytes.HasPrefix(wire, again) {
			t.Fatal("frames are not what was sent")
		}
	})
}

type chunkReader struct {
	rest []byte
	size int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.size, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

package main

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
)

// source is a pipe to fill a buffer from.
type source struct{ reading, writing int }

func newSource(t *testing.T) source {
	var fds [2]int
	must(t, syscall.Pipe2(fds[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC))
	t.Cleanup(func() {
		_ = syscall.Close(fds[0])
		_ = syscall.Close(fds[1])
	})
	return source{fds[0], fds[1]}
}

// decode checks frames' offsets from offset on and returns their bytes by kind.
func decode(t *testing.T, wire []byte, offset uint64) (stdout, stderr []byte, end uint64) {
	t.Helper()
	frames := newFrameReader(bytes.NewReader(wire))
	for {
		kind, payload, err := frames.next()
		if err != nil {
			return stdout, stderr, offset
		}
		at, data, _ := splitOffset(payload)
		if at != offset || len(data) == 0 || len(payload) > 64<<10 {
			t.Fatalf("frame of %d bytes at %d, not at %d", len(payload), at, offset)
		}
		offset += uint64(len(data))
		if kind == frameStdout {
			stdout = append(stdout, data...)
		} else {
			stderr = append(stderr, data...)
		}
	}
}

func drainClaims(b *outputBuffer) (wire []byte) {
	for {
		head, body := b.claim()
		if len(body) == 0 {
			return wire
		}
		wire = append(append(wire, head...), body...)
	}
}

func TestBufferStopsAtItsLimitAndGoesOnAfterAcks(t *testing.T) {
	b, from := newOutputBuffer(), newSource(t)
	want := make([]byte, 3*outputLimitBytes)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	rest, got, sent := want, []byte(nil), uint64(0)
	for len(got) < len(want) {
		for !b.full() {
			n, _ := syscall.Write(from.writing, rest)
			rest = rest[max(n, 0):]
			if _, err := b.fill(frameStdout, from.reading); err == syscall.EAGAIN {
				break
			}
		}
		if b.produced-b.acked > outputLimitBytes {
			t.Fatalf("%d bytes kept", b.produced-b.acked)
		}
		stdout, _, end := decode(t, drainClaims(&b), sent)
		got, sent = append(got, stdout...), end
		b.ack(sent)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("output differs")
	}
	if len(b.blocks) != 1 {
		t.Fatalf("%d blocks kept for nothing", len(b.blocks))
	}
}

func TestBufferMixesKindsInOrderAndSeeks(t *testing.T) {
	b, from := newOutputBuffer(), newSource(t)
	random := rand.New(rand.NewPCG(1, 2))
	var kinds, all []byte
	for len(all) < 600<<10 {
		kind := byte(frameStdout + random.IntN(2))
		piece := make([]byte, 1+random.IntN(9000))
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		n, err := syscall.Write(from.writing, piece)
		must(t, err)
		for n > 0 {
			got, err := b.fill(kind, from.reading)
			must(t, err)
			all = append(all, piece[:got]...)
			kinds = append(kinds, bytes.Repeat([]byte{kind}, got)...)
			piece, n = piece[got:], n-got
		}
		if random.IntN(3) == 0 {
			_, _ = b.claim()
		}
	}
	offset := uint64(0)
	for offset < b.produced {
		must(t, b.seek(offset))
		wire := drainClaims(&b)
		stdout, stderr, end := decode(t, wire, offset)
		if end != b.produced {
			t.Fatalf("from %d: ended at %d of %d", offset, end, b.produced)
		}
		for i := offset; i < end; i++ {
			from := &stdout
			if kinds[i] == frameStderr {
				from = &stderr
			}
			if (*from)[0] != all[i] {
				t.Fatalf("byte %d differs", i)
			}
			*from = (*from)[1:]
		}
		offset += uint64(1 + random.IntN(40000))
	}
	if b.seek(0) == nil || b.seek(b.produced+1) == nil {
		t.Fatal("sought outside of what is kept")
	}
}

func TestBufferKeepsWhatTheSenderStillWrites(t *testing.T) {
	b, from := newOutputBuffer(), newSource(t)
	_, err := syscall.Write(from.writing, []byte("first"))
	must(t, err)
	_, err = b.fill(frameStdout, from.reading)
	must(t, err)
	_, body := b.claim()
	b.ack(5)
	_, err = syscall.Write(from.writing, []byte("other"))
	must(t, err)
	_, err = b.fill(frameStdout, from.reading)
	must(t, err)
	if !bytes.HasSuffix(body, []byte("first")) {
		t.Fatalf("claimed bytes became %q", body)
	}
	stdout, _, _ := decode(t, drainClaims(&b), 5)
	if string(stdout) != "other" {
		t.Fatalf("then %q", stdout)
	}
}

func TestBufferIgnoresAcksOfWhatWasNeverSent(t *testing.T) {
	b, from := newOutputBuffer(), newSource(t)
	_, err := syscall.Write(from.writing, []byte("bytes"))
	must(t, err)
	_, err = b.fill(frameStdout, from.reading)
	must(t, err)
	b.ack(1 << 60)
	stdout, _, _ := decode(t, drainClaims(&b), 0)
	if string(stdout) != "bytes" {
		t.Fatalf("got %q", stdout)
	}
}

func TestBufferBoundsTinyFrames(t *testing.T) {
	b, from := newOutputBuffer(), newSource(t)
	for i := 0; !b.full(); i++ {
		_, err := syscall.Write(from.writing, []byte{byte(i)})
		must(t, err)
		if _, err := b.fill(byte(frameStdout+i%2), from.reading); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.blocks) > maxBlocks {
		t.Fatalf("%d blocks", len(b.blocks))
	}
	if _, _, end := decode(t, drainClaims(&b), 0); end != b.produced {
		t.Fatalf("sent %d of %d", end, b.produced)
	}
}

package main

import (
	"encoding/binary"
	"errors"
	"io"
)

// A frame on a process's stream is: type u8, length u32 big endian, payload.
const (
	frameSpec     = 1
	frameStdin    = 2
	frameStdinEOF = 3
	frameAck      = 4
	frameResize   = 5
	frameSignal   = 6

	frameStarted  = 16
	frameStdout   = 17
	frameStderr   = 18
	frameExit     = 19
	frameFailed   = 20
	frameStdinAck = 21
)

const (
	frameHeaderBytes = 5
	offsetBytes      = 8
	// maxPayloadBytes is the most a frame carries: 64 KiB, and the offset of those that have one.
	maxPayloadBytes = 64<<10 + offsetBytes
	// outputHeaderBytes precede the bytes of an output frame: frame header and offset.
	outputHeaderBytes = frameHeaderBytes + offsetBytes
	// maxOutputBytes is the most output one frame carries.
	maxOutputBytes = 64<<10 - offsetBytes
)

var errFrameTooLong = errors.New("frame longer than 64 KiB")

// frameReader cuts a stream into frames. Its buffer starts small and grows to one frame at most.
type frameReader struct {
	src        io.Reader
	buf        []byte
	start, end int
}

func newFrameReader(src io.Reader) *frameReader {
	return &frameReader{src: src, buf: make([]byte, 2<<10)}
}

// next returns one frame; the payload is valid until the next call. It returns io.EOF between frames, io.ErrUnexpectedEOF
// within one, errFrameTooLong before reading a payload over the limit.
func (r *frameReader) next() (kind byte, payload []byte, err error) {
	if err := r.fill(frameHeaderBytes); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint32(r.buf[r.start+1:]))
	if length > maxPayloadBytes || length < 0 {
		return 0, nil, errFrameTooLong
	}
	if err := r.fill(frameHeaderBytes + length); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	frame := r.buf[r.start : r.start+frameHeaderBytes+length]
	r.start += len(frame)
	return frame[0], frame[frameHeaderBytes:], nil
}

// fill makes at least n unread bytes contiguous in the buffer.
func (r *frameReader) fill(n int) error {
	if r.end-r.start >= n {
		return nil
	}
	if r.start+n > len(r.buf) {
		buf := r.buf
		if n > len(buf) {
			buf = make([]byte, frameHeaderBytes+maxPayloadBytes)
		}
		r.end = copy(buf, r.buf[r.start:r.end])
		r.start, r.buf = 0, buf
	}
	for r.end-r.start < n {
		got, err := r.src.Read(r.buf[r.end:])
		r.end += got
		if err != nil && r.end-r.start < n {
			if err == io.EOF && r.end > r.start {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// putOutputHeader writes the header of an output frame that carries n bytes from offset.
func putOutputHeader(dst []byte, kind byte, offset uint64, n int) {
	dst[0] = kind
	binary.BigEndian.PutUint32(dst[1:], uint32(offsetBytes+n))
	binary.BigEndian.PutUint64(dst[frameHeaderBytes:], offset)
}

// appendFrame appends a whole frame; the payload must be within the limit.
func appendFrame(dst []byte, kind byte, payload []byte) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// splitOffset takes the leading u64 off a payload; ok is false when there is none.
func splitOffset(payload []byte) (offset uint64, rest []byte, ok bool) {
	if len(payload) < offsetBytes {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(payload), payload[offsetBytes:], true
}

package main

import (
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
)

const (
	// outputLimitBytes is the most output of one process that waits for an acknowledgement.
	outputLimitBytes = 1 << 20
	smallBlockBytes  = 4 << 10
	largeBlockBytes  = 128 << 10
	// maxBlocks bounds memory where tiny frames make headers weigh as much as output.
	maxBlocks = outputLimitBytes/largeBlockBytes + 3
	// minReadBytes is the least free space worth a read; below it the next block is begun.
	minReadBytes = 1 << 10
)

var (
	errBufferFull  = errors.New("output buffer full")
	errNoSuchRange = errors.New("offset is not within the kept output")
)

// outputBuffer keeps a process's output from its reading until the host has acknowledged it. Output is read straight into
// frames as they go over the wire, so sending is one write of many frames and no copy. It has no lock: its process's lock guards it.
type outputBuffer struct {
	blocks   []*block
	produced uint64 // offset behind the last byte read from the process
	acked    uint64 // offset below which bytes are forgotten
	claimed  uint64 // offset behind the last byte handed to the sender

	growing int // position in the last block of a frame that may still grow, or -1

	cursor *block // where the sender is
	pos    int
	skip   int    // bytes of the frame at pos that the sender already has
	pinned *block // block the sender is writing from
	head   [outputHeaderBytes]byte
}

// block holds whole output frames one behind the other.
type block struct {
	data []byte
	used int
	end  uint64 // offset behind its last byte
}

var largeBlocks = sync.Pool{New: func() any { return &block{data: make([]byte, largeBlockBytes)} }}

func newOutputBuffer() outputBuffer { return outputBuffer{growing: -1} }

// fill reads once from fd, without blocking, into the buffer. It returns what read(2) does, or errBufferFull.
func (b *outputBuffer) fill(kind byte, fd int) (int, error) {
	dst := b.reserve(kind)
	if dst == nil {
		return 0, errBufferFull
	}
	for {
		n, err := syscall.Read(fd, dst)
		if err == syscall.EINTR {
			continue
		}
		if n > 0 {
			b.commit(kind, n)
			return n, nil
		}
		if err == nil {
			b.abandon()
		}
		return 0, err
	}
}

// reserve returns the space for the next bytes of kind: behind the last frame if it may grow, else behind a new frame's header. Nil when full.
func (b *outputBuffer) reserve(kind byte) []byte {
	allowed := outputLimitBytes - int(b.produced-b.acked)
	if allowed <= 0 {
		return nil
	}
	if last := b.last(); last != nil {
		if b.growing >= 0 && last.data[b.growing] == kind {
			room := min(maxOutputBytes-b.frameLength(last, b.growing), len(last.data)-last.used)
			if room >= minReadBytes {
				return last.data[last.used:][:min(room, allowed)]
			}
		}
		b.growing = -1
		if room := min(maxOutputBytes, len(last.data)-last.used-outputHeaderBytes); room >= minReadBytes {
			return last.data[last.used+outputHeaderBytes:][:min(room, allowed)]
		}
	}
	if len(b.blocks) >= maxBlocks {
		return nil
	}
	next := &block{end: b.produced}
	if len(b.blocks) == 0 && b.produced == 0 {
		next.data = make([]byte, smallBlockBytes)
	} else {
		next = largeBlocks.Get().(*block)
		next.used, next.end = 0, b.produced
	}
	b.blocks = append(b.blocks, next)
	b.growing = -1
	return next.data[outputHeaderBytes:][:min(maxOutputBytes, len(next.data)-outputHeaderBytes, allowed)]
}

// commit makes n bytes, just put where reserve said, part of the output.
func (b *outputBuffer) commit(kind byte, n int) {
	last := b.last()
	if b.growing >= 0 {
		length := b.frameLength(last, b.growing) + n
		binary.BigEndian.PutUint32(last.data[b.growing+1:], uint32(offsetBytes+length))
		last.used += n
	} else {
		putOutputHeader(last.data[last.used:], kind, b.produced, n)
		b.growing = last.used
		last.used += outputHeaderBytes + n
	}
	b.produced += uint64(n)
	last.end = b.produced
}

// abandon gives the reserved space back at the end of a pipe: an empty block behind others serves nobody.
func (b *outputBuffer) abandon() {
	if last := b.last(); last != nil && last.used == 0 && len(b.blocks) > 1 {
		b.blocks = b.blocks[:len(b.blocks)-1]
		b.growing = -1
		recycle(last)
	}
}

// claim returns the next frames to send, valid until the next claim or release: head (may be empty) first, then body. Both empty when all is sent.
func (b *outputBuffer) claim() (head, body []byte) {
	b.release()
	if b.cursor == nil {
		if len(b.blocks) == 0 {
			return nil, nil
		}
		b.cursor, b.pos = b.blocks[0], 0
	}
	for b.pos == b.cursor.used {
		next := b.after(b.cursor)
		if next == nil {
			return nil, nil
		}
		b.cursor, b.pos = next, 0
	}
	blk := b.cursor
	if blk == b.last() {
		b.growing = -1
	}
	b.pinned = blk
	if b.skip > 0 {
		length := b.frameLength(blk, b.pos)
		offset := binary.BigEndian.Uint64(blk.data[b.pos+frameHeaderBytes:]) + uint64(b.skip)
		putOutputHeader(b.head[:], blk.data[b.pos], offset, length-b.skip)
		body = blk.data[b.pos+outputHeaderBytes+b.skip : b.pos+outputHeaderBytes+length]
		b.pos += outputHeaderBytes + length
		b.skip = 0
		b.claimed = offset + uint64(len(body))
		return b.head[:], body
	}
	body = blk.data[b.pos:blk.used]
	b.pos = blk.used
	b.claimed = blk.end
	return nil, body
}

// release says that the sender is done with what it claimed last.
func (b *outputBuffer) release() {
	if b.pinned != nil {
		b.pinned = nil
		b.reclaim()
	}
}

// ack forgets output below offset, as far as it was handed to the sender.
func (b *outputBuffer) ack(offset uint64) {
	offset = min(offset, b.claimed)
	if offset > b.acked {
		b.acked = offset
		b.reclaim()
	}
}

// seek forgets output below offset and lets the next claim begin there. The sender must have released what it had.
func (b *outputBuffer) seek(offset uint64) error {
	if offset < b.acked || offset > b.produced {
		return errNoSuchRange
	}
	b.release()
	b.cursor, b.pos, b.skip = nil, 0, 0
	b.acked, b.claimed, b.growing = offset, offset, -1
	for _, blk := range b.blocks {
		if offset >= blk.end {
			b.cursor, b.pos = blk, blk.used
			continue
		}
		b.cursor, b.pos = blk, 0
		for {
			length := b.frameLength(blk, b.pos)
			skip := int(int64(offset) - int64(binary.BigEndian.Uint64(blk.data[b.pos+frameHeaderBytes:])))
			if skip < length {
				b.skip = max(skip, 0)
				break
			}
			b.pos += outputHeaderBytes + length
		}
		break
	}
	b.reclaim()
	return nil
}

// drained says that everything read from the process was handed to the sender.
func (b *outputBuffer) drained() bool { return b.claimed == b.produced }

// reclaim recycles acknowledged blocks and rewinds the last one, so that a process whose output is read in time stays in the same warm memory.
func (b *outputBuffer) reclaim() {
	for len(b.blocks) > 1 {
		first := b.blocks[0]
		if first.end > b.acked || first == b.pinned {
			return
		}
		b.blocks = b.blocks[1:]
		if b.cursor == first {
			b.cursor, b.pos = b.blocks[0], 0
		}
		recycle(first)
	}
	last := b.last()
	if last != nil && last != b.pinned && last.used > 0 && last.end <= b.acked {
		last.used, b.pos, b.growing = 0, 0, -1
		b.cursor = last
	}
}

func (b *outputBuffer) last() *block {
	if len(b.blocks) == 0 {
		return nil
	}
	return b.blocks[len(b.blocks)-1]
}

func (b *outputBuffer) after(blk *block) *block {
	for i, other := range b.blocks {
		if other == blk && i+1 < len(b.blocks) {
			return b.blocks[i+1]
		}
	}
	return nil
}

// frameLength is the number of output bytes in the frame at pos.
func (b *outputBuffer) frameLength(blk *block, pos int) int {
	return int(binary.BigEndian.Uint32(blk.data[pos+1:])) - offsetBytes
}

func recycle(blk *block) {
	if len(blk.data) == largeBlockBytes {
		largeBlocks.Put(blk)
	}
}

// full says that no more is read until the host acknowledges.
func (b *outputBuffer) full() bool {
	if b.produced-b.acked >= outputLimitBytes {
		return true
	}
	return len(b.blocks) >= maxBlocks && len(b.last().data)-b.last().used-outputHeaderBytes < minReadBytes
}

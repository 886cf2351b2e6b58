package main

import (
	"encoding/binary"
	"io"
	"net/http"
)

// contentOf is a request's body. One whose length the host does not know comes in pieces, length u32be and bytes, the last of them empty: that a stream ends does not say that the host had nothing more to send.
func contentOf(r *http.Request) io.Reader {
	if r.Header.Get("X-Body") == "pieces" {
		return &pieces{from: r.Body}
	}
	return r.Body
}

type pieces struct {
	from io.Reader
	left uint32
	over bool
}

func (p *pieces) Read(buf []byte) (int, error) {
	if p.over {
		return 0, io.EOF
	}
	if p.left == 0 {
		head := [4]byte{}
		if _, err := io.ReadFull(p.from, head[:]); err != nil {
			return 0, unexpected(err)
		}
		if p.left = binary.BigEndian.Uint32(head[:]); p.left == 0 {
			p.over = true
			return 0, io.EOF
		}
	}
	n, err := p.from.Read(buf[:min(uint64(len(buf)), uint64(p.left))])
	p.left -= uint32(n)
	if n > 0 {
		err = nil // it is told with the next piece, which is missing
	}
	return n, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

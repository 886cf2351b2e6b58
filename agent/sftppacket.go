package main

import (
	"encoding/binary"
	"errors"
	"io"
)

// The messages of SFTP version 3 (draft-ietf-secsh-filexfer-02), the version OpenSSH speaks.
const (
	sftpInit          = 1
	sftpVersion       = 2
	sftpOpen          = 3
	sftpClose         = 4
	sftpRead          = 5
	sftpWrite         = 6
	sftpLstat         = 7
	sftpFstat         = 8
	sftpSetstat       = 9
	sftpFsetstat      = 10
	sftpOpendir       = 11
	sftpReaddir       = 12
	sftpRemove        = 13
	sftpMkdir         = 14
	sftpRmdir         = 15
	sftpRealpath      = 16
	sftpStat          = 17
	sftpRename        = 18
	sftpReadlink      = 19
	sftpSymlink       = 20
	sftpStatus        = 101
	sftpHandle        = 102
	sftpData          = 103
	sftpName          = 104
	sftpAttrs         = 105
	sftpExtended      = 200
	sftpExtendedReply = 201
)

const (
	// sftpMaxPacketBytes is the longest message, either way; OpenSSH's.
	sftpMaxPacketBytes = 256 << 10
	// sftpMaxDataBytes is the most content of one message.
	sftpMaxDataBytes = sftpMaxPacketBytes - 1024
)

var errSFTPMalformed = errors.New("a malformed message")

// sftpReader takes fields off a message. What does not fit makes it bad, and every later field zero.
type sftpReader struct {
	rest []byte
	bad  bool
}

func (r *sftpReader) take(n uint32) []byte {
	if r.bad || uint64(n) > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *sftpReader) uint32() uint32 {
	if field := r.take(4); field != nil {
		return binary.BigEndian.Uint32(field)
	}
	return 0
}

func (r *sftpReader) uint64() uint64 {
	if field := r.take(8); field != nil {
		return binary.BigEndian.Uint64(field)
	}
	return 0
}

func (r *sftpReader) bytes() []byte { return r.take(r.uint32()) }

// string is a name; one with a zero byte would be another to the kernel.
func (r *sftpReader) string() string {
	text := string(r.bytes())
	for i := range len(text) {
		if text[i] == 0 {
			r.bad = true
			return ""
		}
	}
	return text
}

// readSFTPPacket reads a message into buffer, which is grown to the longest message if need be.
func readSFTPPacket(in io.Reader, buffer []byte) (packet, grown []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, buffer, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 || length > sftpMaxPacketBytes {
		return nil, buffer, errSFTPMalformed
	}
	if int(length) > len(buffer) {
		buffer = make([]byte, sftpMaxPacketBytes)
	}
	if _, err := io.ReadFull(in, buffer[:length]); err != nil {
		return nil, buffer, err
	}
	return buffer[:length], buffer, nil
}

// sftpAnswer is a message being put together; its first four bytes are its length.
type sftpAnswer struct{ bytes []byte }

func (a *sftpAnswer) begin(kind byte, id uint32) {
	a.bytes = append(a.bytes[:0], 0, 0, 0, 0, kind)
	a.uint32(id)
}

func (a *sftpAnswer) uint32(value uint32) { a.bytes = binary.BigEndian.AppendUint32(a.bytes, value) }

func (a *sftpAnswer) uint64(value uint64) { a.bytes = binary.BigEndian.AppendUint64(a.bytes, value) }

func (a *sftpAnswer) string(value string) {
	a.uint32(uint32(len(value)))
	a.bytes = append(a.bytes, value...)
}

// finish fills in the length.
func (a *sftpAnswer) finish() []byte {
	binary.BigEndian.PutUint32(a.bytes, uint32(len(a.bytes)-4))
	return a.bytes
}

package main

import (
	"io"
	"os"
	"slices"
	"syscall"
)

// Flags of an open.
const (
	sftpFlagRead   = 1
	sftpFlagWrite  = 2
	sftpFlagAppend = 4
	sftpFlagCreate = 8
	sftpFlagTrunc  = 16
	sftpFlagExcl   = 32
)

func (s *sftpServer) open(id uint32, m *sftpReader) error {
	name, wanted := m.string(), m.uint32()
	attributes := readSFTPAttributes(m)
	if m.bad {
		return errSFTPMalformed
	}
	mode := uint32(0o666)
	if attributes.flags&sftpAttrMode != 0 {
		mode = attributes.mode & 0o7777
	}
	// A pipe that nobody writes to must not hold up what comes behind it; a terminal does not become ours.
	flags := sftpOpenFlags(wanted) | syscall.O_CLOEXEC | syscall.O_NONBLOCK | syscall.O_NOCTTY
	descriptor, err := syscall.Open(name, flags, mode)
	if err != nil {
		return err
	}
	return s.give(id, &sftpHandleFile{file: os.NewFile(uintptr(descriptor), name)})
}

func sftpOpenFlags(wanted uint32) int {
	flags := 0
	switch {
	case wanted&(sftpFlagRead|sftpFlagWrite) == sftpFlagRead|sftpFlagWrite:
		flags = syscall.O_RDWR
	case wanted&sftpFlagWrite != 0:
		flags = syscall.O_WRONLY
	}
	for flag, bit := range map[uint32]int{sftpFlagAppend: syscall.O_APPEND, sftpFlagCreate: syscall.O_CREAT, sftpFlagTrunc: syscall.O_TRUNC, sftpFlagExcl: syscall.O_EXCL} {
		if wanted&flag != 0 {
			flags |= bit
		}
	}
	return flags
}

// give answers with a handle.
func (s *sftpServer) give(id uint32, opened *sftpHandleFile) error {
	place, err := s.handles.add(opened)
	if err != nil {
		return err
	}
	s.answer.begin(sftpHandle, id)
	s.answer.uint32(4)
	s.answer.uint32(place)
	return nil
}

func (s *sftpServer) close(id uint32, m *sftpReader) error {
	found, place, err := s.handles.find(m)
	if err != nil {
		return err
	}
	s.handles.open[place] = nil
	return s.done(id, found.file.Close())
}

func (s *sftpServer) read(id uint32, m *sftpReader) error {
	file, err := s.handles.file(m)
	offset, length := m.uint64(), m.uint32()
	if err != nil {
		return err
	}
	if m.bad {
		return errSFTPMalformed
	}
	length = min(length, sftpMaxDataBytes)
	s.answer.begin(sftpData, id)
	at := len(s.answer.bytes)
	s.answer.bytes = slices.Grow(s.answer.bytes, 4+int(length))[:at+4+int(length)]
	n, err := retryInterrupted(func() (int, error) {
		return syscall.Pread(int(file.Fd()), s.answer.bytes[at+4:], int64(offset))
	})
	if err != nil {
		return err
	}
	if n == 0 && length > 0 {
		return io.EOF
	}
	putUint32(s.answer.bytes[at:], uint32(n))
	s.answer.bytes = s.answer.bytes[:at+4+n]
	return nil
}

func (s *sftpServer) write(id uint32, m *sftpReader) error {
	file, err := s.handles.file(m)
	offset, data := m.uint64(), m.bytes()
	if err != nil {
		return err
	}
	if m.bad {
		return errSFTPMalformed
	}
	return s.done(id, writeAllAt(int(file.Fd()), data, int64(offset)))
}

// writeAllAt writes all of data; to a file opened for appending, at its end, whatever the offset.
func writeAllAt(descriptor int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := retryInterrupted(func() (int, error) { return syscall.Pwrite(descriptor, data, offset) })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

func (s *sftpServer) fstat(id uint32, m *sftpReader) error {
	found, _, err := s.handles.find(m)
	if err != nil {
		return err
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(found.file.Fd()), &stat); err != nil {
		return err
	}
	s.attributes(id, &stat)
	return nil
}

func (s *sftpServer) fsetstat(id uint32, m *sftpReader) error {
	found, _, err := s.handles.find(m)
	attributes := readSFTPAttributes(m)
	if err != nil {
		return err
	}
	if m.bad {
		return errSFTPMalformed
	}
	descriptor := int(found.file.Fd())
	return s.done(id, attributes.apply(sftpAttributeTarget{
		truncate: func(size int64) error { return syscall.Ftruncate(descriptor, size) },
		chmod:    func(mode uint32) error { return syscall.Fchmod(descriptor, mode) },
		chown:    func(uid, gid int) error { return syscall.Fchown(descriptor, uid, gid) },
		utimes:   func(times []syscall.Timeval) error { return syscall.Futimes(descriptor, times) },
	}))
}

// retryInterrupted does work again that a signal broke off.
func retryInterrupted(work func() (int, error)) (int, error) {
	for {
		n, err := work()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

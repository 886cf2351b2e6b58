package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// sftpExtensions are those of OpenSSH (its file PROTOCOL) that clients rely on.
var sftpExtensions = []struct{ name, version string }{
	{"posix-rename@openssh.com", "1"}, {"statvfs@openssh.com", "2"}, {"fstatvfs@openssh.com", "2"}, {"hardlink@openssh.com", "1"},
	{"fsync@openssh.com", "1"}, {"lsetstat@openssh.com", "1"}, {"limits@openssh.com", "1"}, {"expand-path@openssh.com", "1"}, {"copy-data", "1"},
}

func (s *sftpServer) extended(id uint32, m *sftpReader) error {
	switch m.string() {
	case "posix-rename@openssh.com":
		return s.twoPaths(id, m, syscall.Rename)
	case "hardlink@openssh.com":
		return s.twoPaths(id, m, syscall.Link)
	case "statvfs@openssh.com":
		path := m.string()
		return s.statvfs(id, m.bad, func(stat *syscall.Statfs_t) error { return syscall.Statfs(path, stat) })
	case "fstatvfs@openssh.com":
		found, _, err := s.handles.find(m)
		if err != nil {
			return err
		}
		return s.statvfs(id, m.bad, func(stat *syscall.Statfs_t) error { return syscall.Fstatfs(int(found.file.Fd()), stat) })
	case "fsync@openssh.com":
		file, err := s.handles.file(m)
		if err != nil {
			return err
		}
		return s.done(id, syscall.Fsync(int(file.Fd())))
	case "lsetstat@openssh.com":
		path := m.string()
		if m.bad {
			return errSFTPMalformed
		}
		return s.setstat(id, path, m, false)
	case "limits@openssh.com":
		s.limits(id)
		return nil
	case "expand-path@openssh.com":
		return s.expandPath(id, m.string(), m.bad)
	case "copy-data":
		return s.copyData(id, m)
	default:
		return errSFTPUnsupported
	}
}

func (s *sftpServer) twoPaths(id uint32, m *sftpReader, work func(from, to string) error) error {
	from, to := m.string(), m.string()
	if m.bad {
		return errSFTPMalformed
	}
	return s.done(id, work(from, to))
}

func (s *sftpServer) statvfs(id uint32, bad bool, look func(*syscall.Statfs_t) error) error {
	if bad {
		return errSFTPMalformed
	}
	var stat syscall.Statfs_t
	if err := look(&stat); err != nil {
		return err
	}
	// The kernel's flags; those of the protocol have the same values for the two it knows, read-only and no set-id.
	const knownFlags = 3
	s.answer.begin(sftpExtendedReply, id)
	for _, value := range []uint64{uint64(stat.Bsize), uint64(stat.Frsize), stat.Blocks, stat.Bfree, stat.Bavail, stat.Files, stat.Ffree, stat.Ffree,
		uint64(uint32(stat.Fsid.X__val[0])) | uint64(uint32(stat.Fsid.X__val[1]))<<32, uint64(stat.Flags) & knownFlags, uint64(stat.Namelen)} {
		s.answer.uint64(value)
	}
	return nil
}

// limits tells the longest message, the most content to read and to write at once, and the most handles.
func (s *sftpServer) limits(id uint32) {
	s.answer.begin(sftpExtendedReply, id)
	for _, value := range []uint64{sftpMaxPacketBytes, sftpMaxDataBytes, sftpMaxDataBytes, sftpMaxHandles} {
		s.answer.uint64(value)
	}
}

// expandPath makes a path absolute that may begin with ~ or ~USER.
func (s *sftpServer) expandPath(id uint32, path string, bad bool) error {
	if bad {
		return errSFTPMalformed
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok {
		user, below, _ := strings.Cut(rest, "/")
		home := os.Getenv("HOME")
		if user != "" {
			home = homeOf(user)
		}
		if home == "" {
			return syscall.ENOENT
		}
		path = filepath.Join(home, below)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	s.oneName(id, full)
	return nil
}

// homeOf is a user's home directory; empty for one that is not there.
func homeOf(user string) (home string) {
	eachLine("/etc/passwd", func(line string) bool {
		fields := strings.Split(line, ":")
		if len(fields) >= 6 && fields[0] == user {
			home = fields[5]
		}
		return home == ""
	})
	return home
}

// copyData copies between two open files; a length of 0 is all there is. Copying a file onto itself would never end.
func (s *sftpServer) copyData(id uint32, m *sftpReader) error {
	from, fromErr := s.handles.file(m)
	readAt, length := m.uint64(), m.uint64()
	to, toErr := s.handles.file(m)
	writeAt := m.uint64()
	if fromErr != nil || toErr != nil {
		return syscall.EBADF
	}
	if m.bad {
		return errSFTPMalformed
	}
	if from == to {
		return syscall.EINVAL
	}
	if s.data == nil {
		s.data = make([]byte, sftpMaxDataBytes)
	}
	for untilEnd, left := length == 0, length; untilEnd || left > 0; {
		piece := s.data
		if !untilEnd {
			piece = piece[:min(left, uint64(len(piece)))]
		}
		n, err := retryInterrupted(func() (int, error) { return syscall.Pread(int(from.Fd()), piece, int64(readAt)) })
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := writeAllAt(int(to.Fd()), piece[:n], int64(writeAt)); err != nil {
			return err
		}
		readAt, writeAt, left = readAt+uint64(n), writeAt+uint64(n), left-uint64(n)
	}
	s.status(id, nil)
	return nil
}

func putUint32(to []byte, value uint32) { binary.BigEndian.PutUint32(to, value) }

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

const (
	// sftpEntriesAtOnce is the most entries of one answer; their names may be as long as names can be.
	sftpEntriesAtOnce = 100
	// sftpMaxLinkBytes is PATH_MAX, the longest text of a link.
	sftpMaxLinkBytes = 4096
)

// pathRequest answers what names a path; all of it begins with one.
func (s *sftpServer) pathRequest(kind byte, id uint32, m *sftpReader) error {
	path := m.string()
	if m.bad {
		return errSFTPMalformed
	}
	switch kind {
	case sftpStat, sftpLstat:
		return s.stat(id, path, kind == sftpStat)
	case sftpSetstat:
		return s.setstat(id, path, m, true)
	case sftpRemove:
		return s.done(id, syscall.Unlink(path))
	case sftpMkdir:
		return s.mkdir(id, path, m)
	case sftpRmdir:
		return s.done(id, syscall.Rmdir(path))
	case sftpRealpath:
		return s.realpath(id, path)
	case sftpReadlink:
		return s.readlink(id, path)
	case sftpRename, sftpSymlink:
		other := m.string()
		if m.bad {
			return errSFTPMalformed
		}
		if kind == sftpSymlink {
			// OpenSSH's order, the link's text first, which all clients have learned.
			return s.done(id, syscall.Symlink(path, other))
		}
		return s.done(id, renameNoReplace(path, other))
	default:
		return errSFTPUnsupported
	}
}

func (s *sftpServer) stat(id uint32, path string, follow bool) error {
	var stat syscall.Stat_t
	look := syscall.Lstat
	if follow {
		look = syscall.Stat
	}
	if err := look(path, &stat); err != nil {
		return err
	}
	s.attributes(id, &stat)
	return nil
}

// setstat sets attributes of what a path leads to, or of the link it ends in.
func (s *sftpServer) setstat(id uint32, path string, m *sftpReader, follow bool) error {
	attributes := readSFTPAttributes(m)
	if m.bad {
		return errSFTPMalformed
	}
	target := sftpAttributeTarget{
		truncate: func(size int64) error { return syscall.Truncate(path, size) },
		chmod:    func(mode uint32) error { return syscall.Chmod(path, mode) },
		chown:    func(uid, gid int) error { return syscall.Chown(path, uid, gid) },
		utimes:   func(times []syscall.Timeval) error { return syscall.Utimes(path, times) },
	}
	if !follow {
		target = sftpLinkTarget(path)
	}
	return s.done(id, attributes.apply(target))
}

// sftpLinkTarget is a link itself, which has neither size nor mode of its own.
func sftpLinkTarget(path string) sftpAttributeTarget {
	return sftpAttributeTarget{
		truncate: func(int64) error { return syscall.EINVAL },
		chmod:    func(uint32) error { return syscall.EOPNOTSUPP },
		chown:    func(uid, gid int) error { return syscall.Lchown(path, uid, gid) },
		utimes: func(times []syscall.Timeval) error {
			return utimesNoFollow(path, times)
		},
	}
}

// utimesNoFollow is utimensat(2) with AT_SYMLINK_NOFOLLOW.
func utimesNoFollow(path string, times []syscall.Timeval) error {
	const atSymlinkNoFollow = 0x100
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	specs := [2]syscall.Timespec{syscall.NsecToTimespec(times[0].Nano()), syscall.NsecToTimespec(times[1].Nano())}
	here := atHere
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(here), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&specs)), atSymlinkNoFollow, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// atHere is AT_FDCWD, fcntl.h.
const atHere = -100

func (s *sftpServer) mkdir(id uint32, path string, m *sftpReader) error {
	attributes := readSFTPAttributes(m)
	if m.bad {
		return errSFTPMalformed
	}
	mode := uint32(0o777)
	if attributes.flags&sftpAttrMode != 0 {
		mode = attributes.mode & 0o7777
	}
	return s.done(id, syscall.Mkdir(path, mode))
}

// renameNoReplace never takes the place of another file: clients that want that ask for posix-rename.
func renameNoReplace(from, to string) error {
	const noReplace = 1 // RENAME_NOREPLACE
	const renameat2 = 316
	old, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	fresh, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	here := atHere
	_, _, errno := syscall.Syscall6(renameat2, uintptr(here), uintptr(unsafe.Pointer(old)), uintptr(here), uintptr(unsafe.Pointer(fresh)), noReplace, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// realpath makes a path absolute and follows its links as far as it exists, as clients want that ask for where an upload will land.
func (s *sftpServer) realpath(id uint32, path string) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(full); err == nil {
		full = real
	} else if real, err := filepath.EvalSymlinks(filepath.Dir(full)); err == nil {
		full = filepath.Join(real, filepath.Base(full))
	} else {
		return err
	}
	s.oneName(id, full)
	return nil
}

func (s *sftpServer) readlink(id uint32, path string) error {
	buffer := make([]byte, sftpMaxLinkBytes)
	n, err := syscall.Readlink(path, buffer)
	if err != nil {
		return err
	}
	s.oneName(id, string(buffer[:n]))
	return nil
}

// oneName answers with a name and no attributes.
func (s *sftpServer) oneName(id uint32, name string) {
	s.answer.begin(sftpName, id)
	s.answer.uint32(1)
	s.answer.string(name)
	s.answer.string(name)
	s.answer.uint32(0)
}

// sftpDirectory is a listing under way.
type sftpDirectory struct {
	path string
	dots bool // the entries for the directory itself and the one above have been told
}

func (s *sftpServer) opendir(id uint32, m *sftpReader) error {
	path := m.string()
	if m.bad {
		return errSFTPMalformed
	}
	descriptor, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return s.give(id, &sftpHandleFile{file: os.NewFile(uintptr(descriptor), path), dir: &sftpDirectory{path: path}})
}

func (s *sftpServer) readdir(id uint32, m *sftpReader) error {
	found, _, err := s.handles.find(m)
	if err != nil {
		return err
	}
	if found.dir == nil {
		return syscall.ENOTDIR
	}
	names := []string{".", ".."}
	if found.dir.dots {
		names, err = found.file.Readdirnames(sftpEntriesAtOnce)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(names) == 0 {
			return io.EOF
		}
	}
	found.dir.dots = true
	s.entries(id, found.dir.path, names)
	return nil
}

// entries answers with a part of a listing; what has vanished meanwhile is left out.
func (s *sftpServer) entries(id uint32, directory string, names []string) {
	s.answer.begin(sftpName, id)
	countAt := len(s.answer.bytes)
	s.answer.uint32(0)
	count := uint32(0)
	for _, name := range names {
		var stat syscall.Stat_t
		if syscall.Lstat(directory+"/"+name, &stat) != nil {
			continue
		}
		s.answer.string(name)
		s.answer.string(s.names.longName(name, &stat))
		s.addAttributes(&stat)
		count++
	}
	putUint32(s.answer.bytes[countAt:], count)
}

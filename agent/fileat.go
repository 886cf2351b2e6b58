package main

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// System calls relative to an open directory, which a guest cannot lead elsewhere by renaming what is above it. Constants: linux/fcntl.h, linux/openat2.h.

const (
	atFdcwd           = -0x64
	atSymlinkNoFollow = 0x100
	atRemoveDir       = 0x200
	atEmptyPath       = 0x1000
	atEaccess         = 0x200
	oPath             = 0x200000
	// openFlags go with every open: a FIFO never waits, a terminal never becomes ours.
	openFlags = syscall.O_CLOEXEC | syscall.O_NONBLOCK | syscall.O_NOCTTY

	sysOpenat2    = 437
	sysFaccessat2 = 439
	sysSyncfs     = 306

	resolveNoMagicLinks = 0x02
	resolveBeneath      = 0x08
	// beneathTries: the kernel asks to try again when something above was renamed meanwhile.
	beneathTries = 64

	maxPathBytes = 4095
	maxNameBytes = 255
	maxLinks     = 40
	// maxDepth of a tree that is walked, so that its descriptors stay few.
	maxDepth = 256
	// namesAtOnce of a directory are read in one go.
	namesAtOnce = 256
)

func openAt(dir int, name string, flags int, mode uint32) (int, error) {
	return uninterrupted(func() (int, error) { return syscall.Openat(dir, name, flags|openFlags, mode) })
}

// openBeneath opens a relative path that may go through symbolic links as long as none leads out of dir.
func openBeneath(dir int, name string, flags int) (int, error) {
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	how := struct{ flags, mode, resolve uint64 }{flags: uint64(flags | openFlags), resolve: resolveBeneath | resolveNoMagicLinks}
	for try := 0; ; try++ {
		fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(dir), uintptr(unsafe.Pointer(text)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		if errno == 0 {
			return int(fd), nil
		}
		if errno != syscall.EINTR && (errno != syscall.EAGAIN || try >= beneathTries) {
			return -1, errno
		}
	}
}

func statAt(dir int, name string, flags int) (info syscall.Stat_t, err error) {
	err = namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		_, _, errno := syscall.Syscall6(syscall.SYS_NEWFSTATAT, uintptr(dir), uintptr(text), uintptr(unsafe.Pointer(&info)), uintptr(flags), 0, 0)
		return errno
	})
	return info, err
}

func unlinkAt(dir int, name string, flags int) error {
	return namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		_, _, errno := syscall.Syscall(syscall.SYS_UNLINKAT, uintptr(dir), uintptr(text), uintptr(flags))
		return errno
	})
}

// accessAt asks whether this thread may do something to an entry, as access(2) asks for the real user.
func accessAt(dir int, name string, mode, flags int) error {
	return namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		_, _, errno := syscall.Syscall6(sysFaccessat2, uintptr(dir), uintptr(text), uintptr(mode), uintptr(flags|atEaccess), 0, 0)
		return errno
	})
}

func symlinkAt(target string, dir int, name string) error {
	to, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	return namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		_, _, errno := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(to)), uintptr(dir), uintptr(text))
		return errno
	})
}

// linkAt gives an entry another name. Symbolic links are linked themselves.
func linkAt(fromDir int, from string, dir int, name string) error {
	source, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	return namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		_, _, errno := syscall.Syscall6(syscall.SYS_LINKAT, uintptr(fromDir), uintptr(unsafe.Pointer(source)), uintptr(dir), uintptr(text), 0, 0)
		return errno
	})
}

func readLinkAt(dir int, name string) (target string, err error) {
	buf := make([]byte, maxPathBytes+1)
	err = namedCall(name, func(text unsafe.Pointer) syscall.Errno {
		n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(dir), uintptr(text), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
		if errno == 0 {
			target = string(buf[:n])
		}
		return errno
	})
	return target, err
}

// setTimes gives an open file, or what an O_PATH descriptor stands for, the time of its last change.
func setTimes(fd int, seconds, nanoseconds int64) error {
	times := [2]syscall.Timespec{{Sec: seconds, Nsec: nanoseconds}, {Sec: seconds, Nsec: nanoseconds}}
	empty := [1]byte{}
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&times)), atEmptyPath, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// namedCall hands a name to the kernel and repeats what a signal ended.
func namedCall(name string, call func(text unsafe.Pointer) syscall.Errno) error {
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	for {
		errno := call(unsafe.Pointer(text))
		if errno == 0 {
			return nil
		}
		if errno != syscall.EINTR {
			return errno
		}
	}
}

// chmodPath changes the mode of what an O_PATH descriptor stands for, which fchmod(2) does not.
func chmodPath(fd int, mode uint32) error {
	return syscall.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// openDir opens a directory for reading its entries.
func openDir(dir int, name string, flags int) (*os.File, error) {
	fd, err := openAt(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY|flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// fdOf is the descriptor of a file that the caller keeps open meanwhile.
func fdOf(file *os.File) int { return int(file.Fd()) }

func isDir(info *syscall.Stat_t) bool { return info.Mode&syscall.S_IFMT == syscall.S_IFDIR }

func isRegular(info *syscall.Stat_t) bool { return info.Mode&syscall.S_IFMT == syscall.S_IFREG }

func isSymlink(info *syscall.Stat_t) bool { return info.Mode&syscall.S_IFMT == syscall.S_IFLNK }

func sameFile(a, b *syscall.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// cleanPath checks a path of the host and removes what is redundant in it.
func cleanPath(text string) (string, error) {
	switch {
	case !strings.HasPrefix(text, "/") || strings.ContainsRune(text, 0):
		return "", syscall.EINVAL
	case len(text) > maxPathBytes:
		return "", syscall.ENAMETOOLONG
	}
	return path.Clean(text), nil
}

// place is a name in an open directory.
type place struct {
	dir  int
	name string
	// synced: the directory can be flushed, for which it has to be readable.
	synced bool
}

func (p *place) close() { _ = syscall.Close(p.dir) } // nothing is written through it

// openPlace opens the directory a clean path's last name is in; the root is "." in itself.
func openPlace(full string) (*place, error) {
	dir, name := path.Split(full)
	if name == "" {
		name = "."
	}
	fd, err := openAt(atFdcwd, dir, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err == nil {
		return &place{fd, name, true}, nil
	}
	if err == syscall.EACCES {
		fd, err = openAt(atFdcwd, dir, oPath|syscall.O_DIRECTORY, 0)
	}
	if err != nil {
		return nil, err
	}
	return &place{fd, name, false}, nil
}

// openTarget is openPlace of what a path leads to when its last name is a symbolic link, or would, were it there.
func openTarget(full string) (*place, string, error) {
	for range maxLinks {
		at, err := openPlace(full)
		if err != nil {
			return nil, full, err
		}
		target, err := readLinkAt(at.dir, at.name)
		if err != nil { // EINVAL: it is no link; ENOENT: nothing is there
			return at, full, nil
		}
		at.close()
		if !strings.HasPrefix(target, "/") {
			target = path.Dir(full) + "/" + target
		}
		// The kernel resolves a ".." behind a link as what it leads to; so does the directory that is opened next.
		full = target
		if strings.HasSuffix(full, "/") || strings.HasSuffix(full, "/..") || strings.HasSuffix(full, "/.") {
			full = path.Clean(full)
		}
	}
	return nil, full, syscall.ELOOP
}

// sync flushes the directory, so that a name in it survives a loss of power.
func (p *place) sync() error {
	if !p.synced {
		syscall.Sync()
		return nil
	}
	return syscall.Fsync(p.dir)
}

// syncAll flushes the file system an open directory is on.
func syncAll(dir int) error {
	if _, _, errno := syscall.Syscall(sysSyncfs, uintptr(dir), 0, 0); errno != 0 && errno != syscall.EBADF {
		return errno
	} else if errno == syscall.EBADF { // it is open as a path only
		syscall.Sync()
	}
	return nil
}

// besideName is a name for something that is to get the place of name, short enough for any.
func besideName(name, kind string) string {
	room := maxNameBytes - len(".") - len(".sylph-") - len(kind)
	return "." + name[:min(len(name), room)] + ".sylph-" + kind
}

func randomName() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// makeParents makes the missing directories above a clean path.
func makeParents(full string) error {
	dir := path.Dir(full)
	err := syscall.Mkdir(dir, 0o755)
	if err == syscall.ENOENT {
		if err = makeParents(dir); err == nil {
			err = syscall.Mkdir(dir, 0o755)
		}
	}
	switch err {
	case syscall.EEXIST, syscall.EROFS, syscall.EISDIR: // it is there, or what comes next says what is wrong
		return nil
	case syscall.EACCES:
		var info syscall.Stat_t
		if syscall.Stat(dir, &info) == nil && isDir(&info) {
			return nil
		}
	}
	return err
}

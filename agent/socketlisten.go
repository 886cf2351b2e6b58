package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// guestListener listens inside.
type guestListener struct {
	listener net.Listener
	remove   func() // what is left of it in the file system
	once     sync.Once
}

func (l *guestListener) address() string { return l.listener.Addr().String() }

func (l *guestListener) accept() (guestConn, error) {
	conn, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn.(guestConn), nil
}

func (l *guestListener) close() {
	l.once.Do(func() {
		_ = l.listener.Close() // nothing is under way on it
		l.remove()
	})
}

// open listens as the user may.
func (l *listenRequest) open() (*guestListener, *failure) {
	actor := newFileActor(l.User)
	if l.Path != "" {
		return l.openUnix(actor)
	}
	what := net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
	if l.Port != 0 && l.Port < firstFreePort && actor.account.uid != 0 {
		return nil, listenFailure(what, syscall.EACCES)
	}
	if l.Host != "" && net.ParseIP(l.Host) == nil {
		return nil, invalid("the address to listen on must be one of numbers")
	}
	listener, err := net.Listen("tcp", what)
	if err != nil {
		return nil, listenFailure(what, err)
	}
	return &guestListener{listener: listener, remove: func() {}}, nil
}

// openUnix makes a socket, readable and writable for its user only, and, if it is private, the directory it lies in. A socket that is there already stays.
func (l *listenRequest) openUnix(actor *fileActor) (*guestListener, *failure) {
	if bad := checkSocketPath(l.Path); bad != nil {
		return nil, bad
	}
	var listener *net.UnixListener
	err := actor.do(func() (err error) {
		if l.Private {
			if err := os.Mkdir(filepath.Dir(l.Path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := checkPrivate(filepath.Dir(l.Path), actor); err != nil {
				return err
			}
			_ = os.Remove(l.Path) // left by a listener of an earlier life of the VM; else it is not there
		}
		listener, err = listenUnixFresh(l.Path)
		if err != nil {
			return err
		}
		listener.SetUnlinkOnClose(false)
		return os.Chmod(l.Path, 0o600)
	})
	if err != nil {
		if listener != nil {
			_ = listener.Close() // nothing was accepted
		}
		return nil, listenFailure(l.Path, err)
	}
	return &guestListener{listener: listener, remove: func() { l.remove(actor) }}, nil
}

// listenUnixFresh takes the place of a socket that nobody listens on any more, as one of before a restart is.
func listenUnixFresh(path string) (*net.UnixListener, error) {
	address := &net.UnixAddr{Name: path, Net: "unix"}
	listener, err := net.ListenUnix("unix", address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	var stat syscall.Stat_t
	if syscall.Lstat(path, &stat) != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return nil, err
	}
	other, dialErr := net.DialUnix("unix", nil, address)
	if dialErr == nil {
		_ = other.Close() // it was only to see whether somebody listens
	}
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.ListenUnix("unix", address)
}

// remove takes the socket away as the user would: the path may lead somewhere else by now.
func (l *listenRequest) remove(actor *fileActor) {
	err := actor.do(func() error {
		if err := os.Remove(l.Path); err != nil || !l.Private {
			return err
		}
		return os.Remove(filepath.Dir(l.Path))
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		logf("socket %s stays: %v", l.Path, err)
	}
}

// checkPrivate refuses a directory that is not the user's alone.
func checkPrivate(path string, actor *fileActor) error {
	var stat syscall.Stat_t
	if err := syscall.Lstat(path, &stat); err != nil {
		return err
	}
	own := stat.Uid == actor.account.uid || actor.asSelf && int(stat.Uid) == os.Geteuid()
	if stat.Mode&syscall.S_IFMT != syscall.S_IFDIR || stat.Mode&0o077 != 0 || !own {
		return syscall.EACCES
	}
	return nil
}

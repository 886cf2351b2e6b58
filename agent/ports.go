package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// link is one of the two ways to the host. It carries one connection at a time.
type link interface {
	// connect returns the next connection. It may return before a host is there; reading then waits for one.
	connect(ctx context.Context) (net.Conn, error)
}

// portLink is a virtio-serial port, open from boot on. Its connections are periods of use of the one device: closing one ends its reads and
// writes and leaves the device open, so that nothing the host has sent to the next one is dropped.
type portLink struct {
	file *os.File
	raw  syscall.RawConn

	mu       sync.Mutex
	idle     sync.Cond
	current  *portConn
	inFlight int
}

// openPort opens the port of a name once the kernel shows it, or fails after a deadline.
func openPort(name string, deadline time.Duration) (*portLink, error) {
	end := time.Now().Add(deadline)
	for {
		device, err := findPort(name)
		if err == nil {
			var file *os.File
			if file, err = os.OpenFile(device, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
				return newPortLink(file)
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("port %s: %w", name, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func newPortLink(file *os.File) (*portLink, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &portLink{file: file, raw: raw}
	l.idle.L = &l.mu
	return l, nil
}

func findPort(name string) (string, error) {
	const class = "/sys/class/virtio-ports"
	entries, err := os.ReadDir(class)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		text, err := readSmall(filepath.Join(class, entry.Name(), "name"), blockBytes)
		if err == nil && strings.TrimSpace(string(text)) == name {
			return "/dev/" + entry.Name(), nil
		}
	}
	return "", os.ErrNotExist
}

// connect ends the connection before it, if any.
func (l *portLink) connect(context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retire()
	l.current = &portConn{link: l}
	return l.current, nil
}

// retire ends the current connection and waits for its calls to return. The caller holds the lock.
func (l *portLink) retire() {
	l.current = nil
	if l.inFlight > 0 {
		_ = l.file.SetDeadline(time.Now()) // the device is open as long as the agent lives
		for l.inFlight > 0 {
			l.idle.Wait()
		}
	}
	_ = l.file.SetDeadline(time.Time{}) // as above
}

func (l *portLink) enter(c *portConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != c {
		return false
	}
	l.inFlight++
	return true
}

func (l *portLink) exit() {
	l.mu.Lock()
	l.inFlight--
	if l.inFlight == 0 {
		l.idle.Broadcast()
	}
	l.mu.Unlock()
}

// portConn is one connection over a port. The device reads as empty while no host is connected: until the connection is `inSession` that means
// to wait for one, afterwards it is the end of the session.
type portConn struct {
	link      *portLink
	inSession bool
}

func (c *portConn) startSession() { c.inSession = true }

// Read waits in Go's poller, which is woken by the edge that data arriving makes; nothing polls in between.
func (c *portConn) Read(p []byte) (int, error) {
	if !c.link.enter(c) {
		return 0, net.ErrClosed
	}
	defer c.link.exit()
	if c.inSession {
		return c.link.file.Read(p)
	}
	var n int
	var readErr error
	err := c.link.raw.Read(func(fd uintptr) bool {
		n, readErr = syscall.Read(int(fd), p)
		return readErr == nil && n > 0 || readErr != nil && readErr != syscall.EAGAIN && readErr != syscall.EINTR
	})
	if err != nil {
		return 0, err
	}
	return max(n, 0), readErr
}

func (c *portConn) Write(p []byte) (int, error) {
	if !c.link.enter(c) {
		return 0, net.ErrClosed
	}
	defer c.link.exit()
	return c.link.file.Write(p)
}

// Close ends this connection's calls; a second one does nothing.
func (c *portConn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.current == c {
		c.link.retire()
	}
	return nil
}

func (c *portConn) LocalAddr() net.Addr                { return portAddr{} }
func (c *portConn) RemoteAddr() net.Addr               { return portAddr{} }
func (c *portConn) SetDeadline(t time.Time) error      { return c.link.file.SetDeadline(t) }
func (c *portConn) SetReadDeadline(t time.Time) error  { return c.link.file.SetReadDeadline(t) }
func (c *portConn) SetWriteDeadline(t time.Time) error { return c.link.file.SetWriteDeadline(t) }

type portAddr struct{}

func (portAddr) Network() string { return "virtio-serial" }
func (portAddr) String() string  { return "host" }

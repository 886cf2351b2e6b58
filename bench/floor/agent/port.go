package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	portPath = "/dev/vport1p1"
	greeting = "sylph bench v1\r\n"
)

// portListener gives out the one port, a session at a time. The device stays open, so that nothing a host sends to the next session is dropped.
type portListener struct {
	file  *os.File
	raw   syscall.RawConn
	ended chan struct{}
}

func openPort() (*portListener, error) {
	var file *os.File
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if file, err = os.OpenFile(portPath, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{}, 1)
	ended <- struct{}{}
	return &portListener{file: file, raw: raw, ended: ended}, nil
}

// Accept waits for the end of the session before, then for the greeting of the next, and returns it: bytes of an earlier session may lie before it in
// either direction, so both sides discard what they read until they have seen it. It says on the console that it waits: a VM captured then holds no
// half of a session.
func (l *portListener) Accept() (net.Conn, error) {
	<-l.ended
	if err := l.file.SetDeadline(time.Time{}); err != nil { // the server may have left one
		return nil, err
	}
	fmt.Println("FLOOR-WAITS")
	var seen []byte
	err := l.raw.Read(func(fd uintptr) bool {
		part := make([]byte, 64<<10)
		n, _ := syscall.Read(int(fd), part) // nothing there, or no host: the next edge wakes this
		seen = append(seen, part[:max(n, 0)]...)
		return bytes.Contains(seen, []byte(greeting))
	})
	if err == nil {
		_, err = l.file.WriteString(greeting)
	}
	if err != nil {
		return nil, err
	}
	first := seen[bytes.Index(seen, []byte(greeting))+len(greeting):]
	return &portConn{File: l.file, first: first, ended: l.ended}, nil
}

func (l *portListener) Addr() net.Addr { return portAddr{} }
func (l *portListener) Close() error   { return l.file.Close() }

// portConn is one session.
type portConn struct {
	*os.File
	first []byte
	ended chan struct{}
	once  sync.Once
}

func (c *portConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.File.Read(p)
}

// Close ends the session and leaves the device open.
func (c *portConn) Close() error {
	c.once.Do(func() { c.ended <- struct{}{} })
	return nil
}

func (c *portConn) LocalAddr() net.Addr  { return portAddr{} }
func (c *portConn) RemoteAddr() net.Addr { return portAddr{} }

type portAddr struct{}

func (portAddr) Network() string { return "virtio-serial" }
func (portAddr) String() string  { return portPath }

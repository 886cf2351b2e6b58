package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

const (
	nonceBytes = 16
	// syncLimitBytes is how much of an earlier life is discarded while looking for the nonce.
	syncLimitBytes = 8 << 20
	// connReadBytes is read at once, so that a small frame's header and payload cost one call.
	connReadBytes = 8 << 10
	// maxStreams leaves room for the host's small requests beside a stream for each of a sprite's 1,000 sessions and each of its tunnels.
	maxStreams = 1100 + maxTunnels
	// streamBufferBytes is what a stream may hold that nobody takes. A daemon has at most half of it of a process's input under way.
	streamBufferBytes = 1 << 20
	// connBufferBytes is no bound of its own: services of the guest that take nothing must not hold up the input of other streams.
	connBufferBytes = 1 << 30
)

var errNoNonce = errors.New("no nonce within 8 MiB")

// dataPort runs the data sessions, one at a time: nonce, then HTTP/2.
type dataPort struct {
	link  link
	conns chan net.Conn // to the HTTP server

	mu      sync.Mutex
	current *dataSession
}

type dataSession struct {
	nonce  []byte
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

// newDataPort starts the HTTP server; sessions begin with open.
func newDataPort(l link, handler http.Handler) *dataPort {
	d := &dataPort{link: l, conns: make(chan net.Conn)}
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols, HTTP2: &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReadFrameSize: 1 << 20,
		MaxReceiveBufferPerConnection: connBufferBytes, MaxReceiveBufferPerStream: streamBufferBytes}}
	go func() { logf("data server ended: %v", server.Serve(d)) }()
	return d
}

// open ends the session there is and listens for one that begins with nonce. Processes are left alone.
func (d *dataPort) open(nonce []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		d.current.close()
		<-d.current.ended
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.current = &dataSession{nonce: nonce, cancel: cancel, ended: make(chan struct{})}
	go d.run(ctx, d.current)
}

// run is a session's goroutine.
func (d *dataPort) run(ctx context.Context, s *dataSession) {
	defer close(s.ended)
	for {
		conn, err := d.link.connect(ctx)
		if err != nil {
			return // closed, or the listener is gone with the agent
		}
		if !s.adopt(conn) {
			return
		}
		rest, err := syncNonce(conn, s.nonce)
		if err == nil {
			if port, ok := conn.(*portConn); ok {
				port.startSession()
			}
			_, err = conn.Write(s.nonce)
		}
		if err == nil {
			served := &sessionConn{Conn: conn, unread: rest, done: make(chan struct{})}
			d.conns <- served
			<-served.done
			return
		}
		_ = conn.Close() // nothing of the session has begun
		if ctx.Err() != nil {
			return
		}
		if err != io.EOF {
			logf("data port: %v", err)
			return
		}
	}
}

// adopt lets close reach the connection; false when it came first.
func (s *dataSession) adopt(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close() // as in close
		return false
	}
	s.conn = conn
	return true
}

func (s *dataSession) close() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn != nil {
		_ = s.conn.Close() // its peer is an earlier life of the host
	}
}

// syncNonce reads until it has seen nonce and returns what came behind it.
func syncNonce(conn io.Reader, nonce []byte) (rest []byte, err error) {
	buf := make([]byte, connReadBytes)
	have, discarded := 0, 0
	for discarded < syncLimitBytes {
		n, err := conn.Read(buf[have:])
		have += n
		if at := bytes.Index(buf[:have], nonce); at >= 0 {
			return buf[at+nonceBytes : have], nil
		}
		if err != nil {
			return nil, err
		}
		if keep := nonceBytes - 1; have > keep {
			discarded += have - keep
			copy(buf, buf[have-keep:have])
			have = keep
		}
	}
	return nil, errNoNonce
}

// Accept, Close and Addr make the data port the HTTP server's listener.
func (d *dataPort) Accept() (net.Conn, error) { return <-d.conns, nil }

// Close does nothing: the port lives as long as the agent.
func (d *dataPort) Close() error { return nil }

// Addr is what the server puts into its context.
func (d *dataPort) Addr() net.Addr { return portAddr{} }

// sessionConn reads ahead and tells when it was closed.
type sessionConn struct {
	net.Conn
	unread []byte // read and not yet handed out
	buf    []byte
	once   sync.Once
	done   chan struct{}
}

func (c *sessionConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		if len(p) >= connReadBytes {
			return c.Conn.Read(p)
		}
		if c.buf == nil {
			c.buf = make([]byte, connReadBytes)
		}
		n, err := c.Conn.Read(c.buf)
		if n == 0 {
			return 0, err
		}
		c.unread = c.buf[:n]
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *sessionConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.done) })
	return err
}

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxTunnels bounds the TCP connections the host has open through the agent.
	maxTunnels = 1024
	// dialTimeout bounds the look-up of a name and the connection together.
	dialTimeout = 10 * time.Second
	// tunnelReadBytes is read from a connection at once.
	tunnelReadBytes = 64 << 10
	// maxHostBytes is the longest name of the domain name system.
	maxHostBytes = 253
	// resolverFileLimitBytes is how long a file may be that the resolver reads.
	resolverFileLimitBytes = 1 << 20
)

// resolverFiles are read by the resolver, whole, and belong to the user.
var resolverFiles = []string{"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"}

// tunnels makes TCP connections for the host: CONNECT host:port, then bytes both ways.
type tunnels struct{ open atomic.Int32 }

// enter counts a connection in; false at the limit. Every call is answered by one of leave.
func (t *tunnels) enter(w http.ResponseWriter) bool {
	if t.open.Add(1) <= maxTunnels {
		return true
	}
	writeError(w, http.StatusServiceUnavailable, &failure{Text: "too many connections are open through the agent", Code: "EAGAIN"})
	return false
}

func (t *tunnels) leave() { t.open.Add(-1) }

// serve answers one CONNECT. The end of the request body is passed on as the end of input (FIN), a stream that breaks as RST. A connection that ends in order ends the answer, one
// that breaks resets the stream. Go's server cannot end an answer and go on reading: what the host sends after the connection's end is dropped.
func (t *tunnels) serve(w http.ResponseWriter, r *http.Request) {
	defer t.leave()
	if !t.enter(w) {
		return
	}
	host, port, bad := splitTarget(r.Host)
	if bad != nil {
		writeError(w, http.StatusBadRequest, bad)
		return
	}
	conn, err := dialGuest(r.Context(), host, port)
	if err != nil {
		refused := dialFailure(r.Host, err)
		status := http.StatusBadGateway
		if refused.Code == "ETIMEDOUT" {
			status = http.StatusGatewayTimeout
		}
		writeError(w, status, refused)
		return
	}
	w.Header().Set("X-Target", conn.RemoteAddr().String())
	carry(w, r, conn)
}

// guestConn is a connection inside whose two directions end one by one: TCP or a Unix socket.
type guestConn interface {
	net.Conn
	CloseWrite() error
}

// carry passes bytes between a stream of the host and a connection, which it closes.
func carry(w http.ResponseWriter, r *http.Request, conn guestConn) {
	defer conn.Close()
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	stop := context.AfterFunc(r.Context(), func() { reset(conn) })
	defer stop()
	go feedTunnel(conn, r.Body)
	if err := copyFlushing(w, conn, make([]byte, tunnelReadBytes), 0); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// feedTunnel passes on what the host sends. It ends with the stream, or when the connection takes no more.
func feedTunnel(conn guestConn, body io.Reader) {
	// ReadFrom would splice where it can; from a stream it is this loop anyway, with a smaller buffer.
	_, err := io.CopyBuffer(struct{ io.Writer }{conn}, body, make([]byte, tunnelReadBytes))
	if err == nil {
		err = conn.CloseWrite()
	}
	if err != nil {
		// The stream broke, or the connection did; of the latter serve tells the host.
		reset(conn)
	}
}

// reset ends a connection, of TCP with RST: its peer shall not take what it has for all there was.
func reset(conn guestConn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails on a connection that has ended only
	}
	_ = conn.Close() // as above
}

// splitTarget reads the authority of a CONNECT.
func splitTarget(authority string) (host, port string, bad *failure) {
	host, port, err := net.SplitHostPort(authority)
	number, numberErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numberErr != nil || number == 0 || host == "" || len(host) > maxHostBytes {
		return "", "", invalid("the target must be host:port")
	}
	return host, port, nil
}

// dialGuest connects as a program of the guest would. localhost is both loopback addresses, whatever the guest's files say.
func dialGuest(ctx context.Context, host, port string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true}, KeepAlive: -1}
	if strings.EqualFold(host, "localhost") {
		conn, err := dialer.DialContext(ctx, "tcp4", "127.0.0.1:"+port)
		if err != nil {
			// The first error is told: it is the address people mean.
			if other, otherErr := dialer.DialContext(ctx, "tcp6", "[::1]:"+port); otherErr == nil {
				conn, err = other, nil
			}
		}
		return asTCP(conn, err)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		if err := checkResolverFiles(); err != nil {
			return nil, err
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	return asTCP(conn, err)
}

func asTCP(conn net.Conn, err error) (*net.TCPConn, error) {
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// checkResolverFiles keeps the resolver, which opens and reads them without asking, from a pipe nobody writes and from a file that does not fit into memory.
func checkResolverFiles() error {
	for _, path := range resolverFiles {
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			continue // the resolver does without
		}
		if !isRegular(&stat) || stat.Size > resolverFileLimitBytes {
			return &net.DNSError{Err: path + " is not a file of a sensible size", IsNotFound: true}
		}
	}
	return nil
}

// dialFailure says why there is no connection.
func dialFailure(target string, err error) *failure {
	var unknown *net.DNSError
	var errno syscall.Errno
	bad := &failure{Text: "connect to " + target + ": " + err.Error(), Code: "EIO"}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT):
		bad.Code = "ETIMEDOUT"
	case errors.As(err, &unknown):
		bad.Code = "ENOTFOUND"
		if unknown.IsTimeout {
			bad.Code = "ETIMEDOUT"
		} else if unknown.IsTemporary && !unknown.IsNotFound {
			bad.Code = "EAI_AGAIN"
		}
	case errors.As(err, &errno):
		if name, ok := dialErrnoNames[errno]; ok {
			bad.Code = name
		} else {
			bad.Code = codeOf(err)
		}
	default:
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			bad.Code = "ETIMEDOUT"
		}
	}
	return bad
}

var dialErrnoNames = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ECONNRESET: "ECONNRESET", syscall.EHOSTUNREACH: "EHOSTUNREACH", syscall.ENETUNREACH: "ENETUNREACH",
	syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL", syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EHOSTDOWN: "EHOSTDOWN",
}

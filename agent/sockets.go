package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxGuestListeners bounds the listeners the host has open.
	maxGuestListeners = 256
	// maxUntaken is how many accepted connections of a listener may wait to be taken by the host; beyond it they wait in the kernel.
	maxUntaken = 32
	// untakenWait is how long an accepted connection waits for the host.
	untakenWait = 10 * time.Second
	// maxSocketPathBytes is the longest path a Unix socket can have, with the zero behind it (unix(7)).
	maxSocketPathBytes = 107
	// acceptPause is how long a listener that cannot accept waits before it tries again.
	acceptPause = 100 * time.Millisecond
	// firstFreePort is the first that users may listen on.
	firstFreePort = 1024
)

// guestSockets lets the host listen inside, and connect to Unix sockets, with the permissions of a user. What it opened is closed with the stream it asked on.
type guestSockets struct {
	mu        sync.Mutex
	listeners int
	last      uint64
	untaken   map[string]*untakenConn
	private   map[string]*guestListener // by path
}

// untakenConn was accepted and waits for the host.
type untakenConn struct {
	conn  guestConn
	late  *time.Timer
	taken func()
}

// serve answers below /v1/sockets/.
func (s *guestSockets) serve(w http.ResponseWriter, r *http.Request, rest string, open *tunnels) {
	id, isAccepted := strings.CutPrefix(rest, "accepted/")
	switch {
	case isAccepted:
		s.take(w, r, id, open)
	case rest == "connect":
		connectUnix(w, r, open)
	case rest == "listen":
		s.listen(w, r)
	default:
		noSuchPath(w)
	}
}

// listenRequest is what the host wants to listen on: a path, in a directory made for it if private, or a TCP port.
type listenRequest struct {
	User    string `json:"user"`
	Path    string `json:"path"`
	Private bool   `json:"private"`
	Host    string `json:"host"`
	Port    uint16 `json:"port"`
}

// listen answers with lines: what is listened on, then each connection that was accepted, until the host ends the stream.
func (s *guestSockets) listen(w http.ResponseWriter, r *http.Request) {
	var wanted listenRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(&wanted); err != nil {
		writeError(w, http.StatusBadRequest, invalid("body is not valid: %v", err))
		return
	}
	if !s.enter() {
		writeError(w, http.StatusServiceUnavailable, &failure{Text: "too many listeners are open through the agent", Code: "EAGAIN"})
		return
	}
	defer s.leave()
	if wanted.Private {
		s.closePrivate(wanted.Path)
	}
	listener, bad := wanted.open()
	if bad != nil {
		writeError(w, statusOfSocket(bad), bad)
		return
	}
	defer listener.close()
	if wanted.Private {
		s.keepPrivate(wanted.Path, listener)
		defer s.forgetPrivate(wanted.Path, listener)
	}
	stop := context.AfterFunc(r.Context(), listener.close)
	defer stop()
	s.tellAccepted(w, r, listener)
}

// tellAccepted writes the lines.
func (s *guestSockets) tellAccepted(w http.ResponseWriter, r *http.Request, listener *guestListener) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	answer := http.NewResponseController(w)
	tell := func(line any) bool { return lines.Encode(line) == nil && answer.Flush() == nil }
	room := make(chan struct{}, maxUntaken)
	for listening := tell(map[string]string{"listening": listener.address()}); listening; {
		select {
		case room <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		conn, err := listener.accept()
		if err == nil {
			id := s.offer(conn, func() { <-room })
			listening = tell(map[string]string{"accepted": id, "from": conn.RemoteAddr().String()})
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Such as too many open files: the next may come through.
		<-room
		time.Sleep(acceptPause)
	}
}

// closePrivate ends the listener on a path that a host had that is no longer there: it would remove what the next one makes.
func (s *guestSockets) closePrivate(path string) {
	s.mu.Lock()
	before := s.private[path]
	s.mu.Unlock()
	if before != nil {
		before.close()
	}
}

func (s *guestSockets) keepPrivate(path string, listener *guestListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.private == nil {
		s.private = map[string]*guestListener{}
	}
	s.private[path] = listener
}

func (s *guestSockets) forgetPrivate(path string, listener *guestListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.private[path] == listener {
		delete(s.private, path)
	}
}

func (s *guestSockets) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners >= maxGuestListeners {
		return false
	}
	s.listeners++
	return true
}

func (s *guestSockets) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners--
}

// offer keeps a connection for the host to take; taken is called once it was, or nobody came.
func (s *guestSockets) offer(conn guestConn, taken func()) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untaken == nil {
		s.untaken = map[string]*untakenConn{}
	}
	s.last++
	id = strconv.FormatUint(s.last, 10)
	late := time.AfterFunc(untakenWait, func() {
		if conn := s.claim(id); conn != nil {
			reset(conn)
		}
	})
	s.untaken[id] = &untakenConn{conn, late, taken}
	return id
}

// claim gives a connection to the one who asks first.
func (s *guestSockets) claim(id string) guestConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.untaken[id]
	if found == nil {
		return nil
	}
	delete(s.untaken, id)
	found.late.Stop()
	found.taken()
	return found.conn
}

// take gives the host a connection that was accepted.
func (s *guestSockets) take(w http.ResponseWriter, r *http.Request, id string, open *tunnels) {
	conn := s.claim(id)
	if conn == nil {
		writeError(w, http.StatusNotFound, &failure{Text: "no such connection", Code: "ENOENT"})
		return
	}
	defer open.leave()
	if !open.enter(w) {
		reset(conn)
		return
	}
	carryPieces(w, r, conn)
}

// connectUnix connects to a Unix socket as a user.
func connectUnix(w http.ResponseWriter, r *http.Request, open *tunnels) {
	defer open.leave()
	if !open.enter(w) {
		return
	}
	query := r.URL.Query()
	path := query.Get("path")
	if bad := checkSocketPath(path); bad != nil {
		writeError(w, http.StatusBadRequest, bad)
		return
	}
	var conn *net.UnixConn
	err := newFileActor(query.Get("user")).do(func() (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		bad := dialFailure(path, err)
		writeError(w, statusOfSocket(bad), bad)
		return
	}
	carryPieces(w, r, conn)
}

// checkSocketPath refuses what is no file's path: abstract names would be those of the host's own programs where the agent is not in a VM.
func checkSocketPath(path string) *failure {
	if path == "" || path[0] != '/' || len(path) > maxSocketPathBytes || strings.IndexByte(path, 0) >= 0 {
		return invalid("the path of a socket must be absolute and have at most %d bytes", maxSocketPathBytes)
	}
	return nil
}

func statusOfSocket(bad *failure) int {
	switch bad.Code {
	case "EINVAL":
		return http.StatusBadRequest
	case "EACCES", "EPERM":
		return http.StatusForbidden
	case "EADDRINUSE", "EEXIST":
		return http.StatusConflict
	default:
		return http.StatusBadGateway
	}
}

var listenErrnoNames = map[syscall.Errno]string{syscall.EADDRINUSE: "EADDRINUSE", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL"}

// listenFailure says why nothing is listened on.
func listenFailure(what string, err error) *failure {
	bad := &failure{Text: "listen on " + what + ": " + err.Error(), Code: codeOf(err)}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name, ok := listenErrnoNames[errno]; ok {
			bad.Code = name
		}
	}
	return bad
}

// carryPieces passes bytes between a stream of the host and a connection, which it closes. Each direction ends by itself: what the program sends comes in pieces, `length u32be | bytes`, and its end
// is an empty one, because Go's server cannot end an answer and go on reading.
func carryPieces(w http.ResponseWriter, r *http.Request, conn guestConn) {
	defer conn.Close()
	w.WriteHeader(http.StatusOK)
	answer := http.NewResponseController(w)
	if answer.Flush() != nil {
		return
	}
	stop := context.AfterFunc(r.Context(), func() { reset(conn) })
	defer stop()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feedTunnel(conn, r.Body)
	}()
	buffer := make([]byte, 4+tunnelReadBytes)
	for {
		n, err := conn.Read(buffer[4:])
		if n > 0 || err == io.EOF {
			binary.BigEndian.PutUint32(buffer, uint32(n))
			if _, err := w.Write(buffer[:4+n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			if answer.Flush() != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	select {
	case <-fed:
	case <-r.Context().Done():
	}
}

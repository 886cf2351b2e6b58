package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxInsideConns bounds the connections to the socket; more wait their turn.
	maxInsideConns = 64
	// insideHeaderWait is how long a request's head may take.
	insideHeaderWait = 10 * time.Second
	// insideBodyWait is how long its body may take then.
	insideBodyWait = 10 * time.Second
	// insideIdleWait ends connections nobody uses: there are few.
	insideIdleWait = 30 * time.Second
	// maxInsideHeaderBytes bounds it.
	maxInsideHeaderBytes = 16 << 10
)

// insideAPI answers programs of the sprite, on /.sprite/api.sock.
type insideAPI struct {
	services *services
	calls    *callDesk
	bodyWait time.Duration
}

func newInsideAPI(supervised *services, calls *callDesk) *insideAPI {
	return &insideAPI{services: supervised, calls: calls, bodyWait: insideBodyWait}
}

// forwarded are the paths the daemon answers, with the one method of each; {} stands for one segment.
var forwarded = map[string]string{
	"/info": http.MethodGet, "/v1/info": http.MethodGet, "/v1/checkpoints": http.MethodGet, "/v1/checkpoint": http.MethodPost,
	"/v1/checkpoints/{}": http.MethodGet, "/v1/checkpoints/{}/restore": http.MethodPost, "/v1/policy/network": http.MethodGet,
}

// serveInside listens below root, at boot, and answers in the background. A sprite without its socket works as well.
func serveInside(root string, api *insideAPI) {
	path := filepath.Join("/", root, ".sprite/api.sock")
	listener, err := listenInside(path)
	if err != nil {
		logf("%s: %v", path, err)
		return
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: insideHeaderWait, IdleTimeout: insideIdleWait, MaxHeaderBytes: maxInsideHeaderBytes, ErrorLog: nil}
	go func() { logf("%s ended: %v", path, server.Serve(listener)) }()
}

func listenInside(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &boundedListener{Listener: listener, room: make(chan struct{}, maxInsideConns)}, nil
}

// boundedListener accepts while there is room.
type boundedListener struct {
	net.Listener
	room chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &boundedConn{Conn: conn, leave: func() { <-l.room }}, nil
}

// boundedConn gives its room back once.
type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	if !errors.Is(err, net.ErrClosed) {
		c.leave()
	}
	return err
}

func (a *insideAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.takeBody(w, r); err != nil {
		writeError(w, http.StatusRequestTimeout, &failure{Text: "the body did not arrive", Code: "ETIMEDOUT"})
		return
	}
	path := r.URL.Path
	switch {
	case path == "/v1/services/signal" && r.Method == http.MethodPost:
		a.signal(w, r)
	case path == "/v1/services" && r.Method != http.MethodGet:
		wrongMethod(w)
	default:
		if rest, ok := cutPath(path, "/v1/services"); ok {
			a.services.serve(w, r, rest, a.calls.serviceBase)
			return
		}
		if rest, ok := cutPath(path, "/v1/tasks"); ok {
			a.calls.tasks.serve(w, r, strings.TrimPrefix(rest, "/"))
			return
		}
		a.forward(w, r)
	}
}

// takeBody reads a request's body, or as much of it as the largest request may have, before anything else is done: there are few connections, and a program that announces a
// body and does not send it must not keep one.
func (a *insideAPI) takeBody(w http.ResponseWriter, r *http.Request) error {
	connection := http.NewResponseController(w)
	if err := connection.SetReadDeadline(time.Now().Add(a.bodyWait)); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxServiceRequestBytes+1))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return connection.SetReadDeadline(time.Time{})
}

// forward has the daemon answer what it alone knows.
func (a *insideAPI) forward(w http.ResponseWriter, r *http.Request) {
	pattern := r.URL.Path
	if rest, ok := strings.CutPrefix(pattern, "/v1/checkpoints/"); ok {
		_, action, more := strings.Cut(rest, "/")
		pattern = "/v1/checkpoints/{}"
		if more {
			pattern += "/" + action
		}
	}
	method, known := forwarded[pattern]
	switch {
	case known && method == r.Method:
		a.calls.forward(w, r)
	case known && pattern != "/v1/checkpoints/{}":
		wrongMethod(w)
	default: // removing a checkpoint is not for the inside
		noSuchPath(w)
	}
}

// signal is the public form: the name is in the body.
func (a *insideAPI) signal(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name   string `json:"name"`
		Signal string `json:"signal"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(&request); err != nil {
		refuseService(w, invalid("body is not valid: %v", err))
		return
	}
	if bad := a.services.signal(request.Name, request.Signal); bad != nil {
		refuseService(w, bad)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxServiceRequestBytes bounds a definition on its way; JSON may write a character as six.
	maxServiceRequestBytes = 6 * maxDefinitionBytes
	// maxWindow is as long as a stream of events may be asked to last.
	maxWindow = 24 * 24 * time.Hour
	// maxTailLines is how many lines of a log are answered at most.
	maxTailLines = 10_000
	// defaultTailLines is how many are without a wish.
	defaultTailLines = 100
	// defaultWindow is how long a start is watched without a wish.
	defaultWindow = 5 * time.Second
)

// baseSource says with what base a definition is kept; given is what its request holds.
type baseSource func(ctx context.Context, given serviceBase) (serviceBase, *failure)

// hostBase is the source of the host's own requests: it gives the base with them.
func hostBase(_ context.Context, given serviceBase) (serviceBase, *failure) {
	if given.User == "" {
		return given, invalid("base names no user")
	}
	return given, nil
}

// serve answers below /v1/services; rest is the path behind it.
func (s *services) serve(w http.ResponseWriter, r *http.Request, rest string, base baseSource) {
	name, action, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	switch r.Method + " " + action {
	case "GET ":
		if name == "" {
			s.list(w)
			return
		}
		s.show(w, name)
	case "PUT ":
		s.define(w, r, name, base)
	case "DELETE ":
		if bad := s.remove(name); bad != nil {
			refuseService(w, bad)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case "POST start":
		s.follow(w, r, func() (*serviceFollower, *serviceLife, *failure) { return s.start(name) })
	case "POST restart":
		s.follow(w, r, func() (*serviceFollower, *serviceLife, *failure) { return s.restart(name) })
	case "POST stop":
		s.serveStop(w, r, name)
	case "POST signal":
		s.serveSignal(w, r, name)
	case "GET logs":
		s.serveLogs(w, r, name)
	default:
		switch action {
		case "", "start", "stop", "restart", "signal", "logs":
			wrongMethod(w)
		default:
			noSuchPath(w)
		}
	}
}

func (s *services) list(w http.ResponseWriter) {
	found := []serviceView{}
	for _, one := range s.all() {
		found = append(found, s.view(one))
	}
	writeJSON(w, http.StatusOK, found)
}

func (s *services) show(w http.ResponseWriter, name string) {
	one, bad := s.find(name)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	writeJSON(w, http.StatusOK, s.view(one))
}

func (s *services) define(w http.ResponseWriter, r *http.Request, name string, base baseSource) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxServiceRequestBytes+1))
	if err != nil {
		return // who asked is gone
	}
	definition := &serviceDefinition{}
	if err := json.Unmarshal(text, definition); err != nil || len(text) > maxServiceRequestBytes {
		refuseService(w, invalid("the body is not a service, or is too long"))
		return
	}
	definition.Version, definition.Name, definition.Stopped = serviceVersion, name, false
	var bad *failure
	if definition.Base, bad = base(r.Context(), definition.Base); bad != nil {
		refuseService(w, bad)
		return
	}
	s.follow(w, r, func() (*serviceFollower, *serviceLife, *failure) { return s.put(definition) })
}

// follow does something that begins a life, and answers with what happens within the window.
func (s *services) follow(w http.ResponseWriter, r *http.Request, act func() (*serviceFollower, *serviceLife, *failure)) {
	window, bad := durationOf(r, "windowMs", "duration", defaultWindow)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	follower, life, bad := act()
	if bad != nil {
		refuseService(w, bad)
		return
	}
	defer follower.leave()
	streamEvents(w, r, &eventStream{follower: follower, life: life, window: window, log: life.service.log})
}

// serveStop answers until the service has ended, however long that takes.
func (s *services) serveStop(w http.ResponseWriter, r *http.Request, name string) {
	timeout, bad := durationOf(r, "timeoutMs", "timeout", s.pace.stop)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	follower, life, bad := s.stop(name, timeout)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	defer follower.leave()
	streamEvents(w, r, &eventStream{follower: follower, life: life, window: maxWindow, log: life.service.log, untilOver: true})
}

func (s *services) serveSignal(w http.ResponseWriter, r *http.Request, name string) {
	var request struct {
		Signal string `json:"signal"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(&request); err != nil {
		refuseService(w, invalid("body is not valid: %v", err))
		return
	}
	if bad := s.signal(name, request.Signal); bad != nil {
		refuseService(w, bad)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

func (s *services) serveLogs(w http.ResponseWriter, r *http.Request, name string) {
	lines := defaultTailLines
	if text := r.URL.Query().Get("lines"); text != "" {
		var err error
		if lines, err = strconv.Atoi(text); err != nil || lines < 0 || lines > maxTailLines {
			refuseService(w, invalid("lines must be between 0 and %d", maxTailLines))
			return
		}
	}
	window, bad := durationOf(r, "followMs", "duration", 0)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	one, bad := s.find(name)
	if bad != nil {
		refuseService(w, bad)
		return
	}
	events, follower := one.log.tail(lines, window > 0)
	if follower != nil {
		defer follower.leave()
	}
	streamEvents(w, r, &eventStream{begin: events, follower: follower, window: window, log: one.log})
}

// durationOf reads a duration of the query, in milliseconds or as Go writes it.
func durationOf(r *http.Request, inMs, asGo string, otherwise time.Duration) (time.Duration, *failure) {
	query, wanted := r.URL.Query(), otherwise
	if text := query.Get(inMs); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > maxWindow.Milliseconds() {
			return 0, invalid("%s must be between 0 and %d", inMs, maxWindow.Milliseconds())
		}
		wanted = time.Duration(ms) * time.Millisecond
	} else if text := query.Get(asGo); text != "" {
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed < 0 || parsed > maxWindow {
			return 0, invalid("%s must be a duration such as 10s, at most 576h", asGo)
		}
		wanted = parsed
	}
	return wanted, nil
}

// serviceView is a service as it is shown.
type serviceView struct {
	Name     string            `json:"name"`
	Cmd      string            `json:"cmd"`
	Args     []string          `json:"args"`
	Env      map[string]string `json:"env"`
	Dir      string            `json:"dir,omitempty"`
	Needs    []string          `json:"needs"`
	HTTPPort *int              `json:"http_port"`
	State    serviceStateView  `json:"state"`
}

type serviceStateView struct {
	Name          string `json:"name"`
	Status        string `json:"status"`
	PID           int    `json:"pid,omitempty"`
	StartedAt     string `json:"started_at,omitempty"`
	Error         string `json:"error,omitempty"`
	RestartCount  int    `json:"restart_count"`
	NextRestartAt string `json:"next_restart_at,omitempty"`
}

func (s *services) view(one *guestService) serviceView {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := one.definition
	state := serviceStateView{Name: d.Name, Status: one.status, Error: one.lastError, RestartCount: one.restarts}
	if one.run != nil {
		state.PID, state.StartedAt = one.run.pid, one.run.began.UTC().Format(logTime)
	}
	if one.next != nil {
		// By what is left, for the clock may have been set since.
		state.NextRestartAt = time.Now().Add(time.Until(*one.next)).UTC().Format(logTime)
	}
	return serviceView{d.Name, d.Cmd, d.Args, d.Env, d.Dir, d.Needs, d.HTTPPort, state}
}

func refuseService(w http.ResponseWriter, bad *failure) {
	status := http.StatusConflict
	switch bad.Code {
	case "EINVAL":
		status = http.StatusBadRequest
	case "ESRCH":
		status = http.StatusNotFound
	case "EAGAIN":
		status = http.StatusServiceUnavailable
	}
	writeError(w, status, bad)
}

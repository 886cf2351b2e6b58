package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRequestBytes bounds a JSON request body.
const maxRequestBytes = 4 << 10

// api answers the data port. Paths are matched by hand: the standard multiplexer is much cold code on the way to a first command.
type api struct {
	table    *table
	tunnels  tunnels
	sockets  guestSockets
	ports    portWatch
	services *services
	calls    *callDesk
}

func (s *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil // the host knows the time better
	if r.Method == http.MethodConnect {
		s.tunnels.serve(w, r)
		return
	}
	switch path := r.URL.Path; path {
	case "/v1/processes":
		switch r.Method {
		case http.MethodPost:
			s.start(w, r)
		case http.MethodGet:
			s.list(w)
		default:
			wrongMethod(w)
		}
	case "/v1/ping", "/v1/ports/watch", "/v1/stats":
		if r.Method != http.MethodGet {
			wrongMethod(w)
			return
		}
		s.get(w, r, path)
	default:
		s.below(w, r, path)
	}
}

// get answers paths that are only read.
func (s *api) get(w http.ResponseWriter, r *http.Request, path string) {
	switch path {
	case "/v1/ping":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "pong") // a host that is gone needs no answer
	case "/v1/ports/watch":
		s.ports.serve(w, r, s.table)
	case "/v1/stats":
		writeJSON(w, http.StatusOK, readStats(s.table))
	}
}

// below answers what has its names in its path.
func (s *api) below(w http.ResponseWriter, r *http.Request, path string) {
	if rest, ok := strings.CutPrefix(path, "/v1/processes/"); ok {
		id, action, _ := strings.Cut(rest, "/")
		s.process(w, r, id, action)
		return
	}
	if rest, ok := cutPath(path, "/v1/services"); ok {
		s.services.serve(w, r, rest, hostBase)
		return
	}
	if path == "/v1/calls" && r.Method == http.MethodGet {
		s.calls.listen(w, r)
		return
	}
	if id, ok := strings.CutPrefix(path, "/v1/calls/"); ok && r.Method == http.MethodPost {
		s.calls.answer(w, r, id)
		return
	}
	if rest, ok := strings.CutPrefix(path, "/v1/sockets/"); ok && r.Method == http.MethodPost {
		s.sockets.serve(w, r, rest, &s.tunnels)
		return
	}
	if name, ok := strings.CutPrefix(path, "/v1/files/"); ok {
		s.files(w, r, name)
		return
	}
	noSuchPath(w)
}

// cutPath returns what of a path lies below another, with its slash; ok: it is that path, or below it.
func cutPath(path, above string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, above)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// process answers below /v1/processes/{id}.
func (s *api) process(w http.ResponseWriter, r *http.Request, id, action string) {
	var handle func(http.ResponseWriter, *http.Request, *process)
	method := http.MethodPost
	switch action {
	case "":
		method, handle = http.MethodDelete, s.remove
	case "attach":
		handle = s.attach
	case "signal":
		handle = s.signal
	default:
		noSuchPath(w)
		return
	}
	if r.Method != method {
		wrongMethod(w)
		return
	}
	p := s.table.find(id)
	if p == nil {
		writeError(w, http.StatusNotFound, &failure{Text: "no such process", Code: "ENOENT"})
		return
	}
	handle(w, r, p)
}

func (s *api) start(w http.ResponseWriter, r *http.Request) {
	frames := newFrameReader(r.Body)
	kind, payload, err := frames.next()
	if err != nil || kind != frameSpec {
		writeError(w, http.StatusBadRequest, invalid("the first frame must be a spec"))
		return
	}
	wanted, bad := parseSpec(payload)
	if bad != nil {
		writeError(w, http.StatusBadRequest, bad)
		return
	}
	p, taken, bad := s.table.start(wanted)
	if taken {
		writeError(w, http.StatusConflict, &failure{Text: "process " + wanted.ID + " exists", Code: "EEXIST"})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if bad != nil {
		_, _ = w.Write(failedFrame(bad)) // a host that is gone finds no such process when it is back
		return
	}
	if err := newAttachment(w, r, frames).serve(p, 0); err != nil {
		// Someone who guessed the id took the process over and acknowledged output first; the process lives on.
		panic(http.ErrAbortHandler)
	}
}

func (s *api) attach(w http.ResponseWriter, r *http.Request, p *process) {
	offset, err := strconv.ParseUint(r.URL.Query().Get("offset"), 10, 64)
	if err != nil {
		writeError(w, http.StatusBadRequest, invalid("offset must be a number"))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	err = newAttachment(w, r, newFrameReader(r.Body)).serve(p, offset)
	if errors.Is(err, errNoSuchRange) {
		writeError(w, http.StatusRequestedRangeNotSatisfiable, invalid("%v", err))
	} else if err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *api) list(w http.ResponseWriter) {
	type entry struct {
		ID           string   `json:"id"`
		PID          int      `json:"pid"`
		Argv         []string `json:"argv"`
		TTY          bool     `json:"tty"`
		Exited       bool     `json:"exited"`
		OutputOffset uint64   `json:"outputOffset"`
		Acked        uint64   `json:"acked"`
		InputOffset  uint64   `json:"inputOffset"`
	}
	entries := []entry{}
	for _, p := range s.table.list() {
		received, _ := p.input.progress()
		p.mu.Lock()
		entries = append(entries, entry{p.id, p.pid, p.argv, p.tty, p.complete, p.out.produced, p.out.acked, received})
		p.mu.Unlock()
	}
	writeJSON(w, http.StatusOK, map[string]any{"processes": entries})
}

func (s *api) signal(w http.ResponseWriter, r *http.Request, p *process) {
	var request struct {
		Signal string `json:"signal"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(&request); err != nil {
		writeError(w, http.StatusBadRequest, invalid("body is not valid: %v", err))
		return
	}
	switch bad := signalNamed(p, request.Signal); {
	case bad == nil:
		writeJSON(w, http.StatusOK, struct{}{})
	case bad.Code == "ESRCH":
		writeError(w, http.StatusGone, bad)
	case bad.Code == "EINVAL":
		writeError(w, http.StatusBadRequest, bad)
	default:
		writeError(w, http.StatusInternalServerError, bad)
	}
}

func (s *api) remove(w http.ResponseWriter, _ *http.Request, p *process) {
	switch found, removed := s.table.remove(p.id); {
	case removed:
		writeJSON(w, http.StatusOK, struct{}{})
	case found:
		writeError(w, http.StatusConflict, &failure{Text: "process " + p.id + " is running", Code: "EBUSY"})
	default:
		writeError(w, http.StatusNotFound, &failure{Text: "no such process", Code: "ENOENT"})
	}
}

func wrongMethod(w http.ResponseWriter) {
	writeError(w, http.StatusMethodNotAllowed, invalid("wrong method for this path"))
}

func noSuchPath(w http.ResponseWriter) {
	writeError(w, http.StatusNotFound, &failure{Text: "no such path", Code: "ENOENT"})
}

func writeError(w http.ResponseWriter, status int, bad *failure) { writeJSON(w, status, bad) }

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a host that is gone needs no answer
}

// copyFlushing passes on what comes as it comes, by way of a buffer. It returns nil at the end of from, and an error when either side breaks, or the reader of w takes
// longer than pieceWait over one piece; 0: it may take as long as it likes.
func copyFlushing(w http.ResponseWriter, from io.Reader, buffer []byte, pieceWait time.Duration) error {
	answer := http.NewResponseController(w)
	for {
		n, readErr := from.Read(buffer)
		if n > 0 {
			if pieceWait > 0 {
				if err := answer.SetWriteDeadline(time.Now().Add(pieceWait)); err != nil {
					return err
				}
			}
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if err := answer.Flush(); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

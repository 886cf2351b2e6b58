package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// maxCallBytes bounds the body of a call.
	maxCallBytes = 64 << 10
	// maxCallPathBytes is what the daemon takes of a path with its query.
	maxCallPathBytes = 4096
	// callReadBytes is read of an answer at once.
	callReadBytes = 16 << 10
	// answerPieceWait is how long a program may take over a piece of its answer: the daemon's stream waits for it.
	answerPieceWait = 30 * time.Second
	// callWait is how long a daemon may take to begin its answer.
	callWait = 2 * time.Second
)

// callDesk passes calls of the sprite's programs to the daemon, when one listens, and its answers back. It tells the daemon how long tasks hold the sprite awake.
type callDesk struct {
	tasks taskBook
	base  baseMemory

	mu     sync.Mutex
	last   uint64
	unsent []*insideCall
	open   map[string]*insideCall // not taken up yet
	reader *callReader
}

// insideCall waits for the daemon.
type insideCall struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
	taken  chan *callAnswer
}

// callAnswer is the daemon's, while its body arrives.
type callAnswer struct {
	status      int
	contentType string
	body        io.Reader
	done        chan struct{} // closed when nobody reads the body any more
}

// callReader is the daemon that listens; a newer one ends it.
type callReader struct {
	changed  chan struct{} // one token when there is something to tell
	replaced chan struct{}
}

func newCallDesk() *callDesk {
	d := &callDesk{open: map[string]*insideCall{}}
	d.tasks.byName, d.tasks.changed = map[string]*insideTask{}, d.tell
	return d
}

// listen answers GET /v1/calls: lines without end, calls and what tasks hold.
func (d *callDesk) listen(w http.ResponseWriter, r *http.Request) {
	reader := d.replaceReader()
	defer d.leave(reader)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	lines, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	told := time.Duration(-1) // nothing yet
	for {
		for _, call := range d.takeUnsent() {
			if lines.Encode(call) != nil {
				return // its program is told that the daemon does not answer
			}
		}
		if held := d.tasks.held(); held != told {
			told = held
			if lines.Encode(map[string]int64{"tasksMs": held.Milliseconds()}) != nil {
				return
			}
		}
		if flush() != nil {
			return
		}
		select {
		case <-reader.changed:
		case <-reader.replaced:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// replaceReader makes a reader and ends the one before it.
func (d *callDesk) replaceReader() *callReader {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader != nil {
		close(d.reader.replaced)
	}
	d.reader = &callReader{changed: make(chan struct{}, 1), replaced: make(chan struct{})}
	return d.reader
}

func (d *callDesk) leave(reader *callReader) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader == reader {
		d.reader = nil
	}
}

func (d *callDesk) takeUnsent() []*insideCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := d.unsent
	d.unsent = nil
	return calls
}

// tell wakes the reader, if there is one.
func (d *callDesk) tell() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tellLocked()
}

// tellLocked is tell for holders of the lock.
func (d *callDesk) tellLocked() {
	if d.reader != nil {
		select {
		case d.reader.changed <- struct{}{}:
		default:
		}
	}
}

// forward has the daemon answer a request.
func (d *callDesk) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCallBytes+1))
	if err != nil {
		return // the program is gone
	}
	if len(body) > maxCallBytes {
		writeError(w, http.StatusRequestEntityTooLarge, invalid("the body is longer than %d bytes", maxCallBytes))
		return
	}
	if len(r.URL.RequestURI()) > maxCallPathBytes {
		writeError(w, http.StatusRequestURITooLong, invalid("the path is longer than %d bytes", maxCallPathBytes))
		return
	}
	answer := d.ask(r.Context(), r.Method, r.URL.RequestURI(), string(body))
	if answer == nil {
		writeError(w, http.StatusServiceUnavailable, daemonAway())
		return
	}
	defer close(answer.done)
	w.Header().Set("Content-Type", answer.contentType)
	w.WriteHeader(answer.status)
	if err := copyFlushing(w, answer.body, make([]byte, callReadBytes), answerPieceWait); err != nil {
		panic(http.ErrAbortHandler) // the program must not take this for the end
	}
}

// ask has the daemon answer a call; nil: it does not, or nobody waits any more. The caller closes done of the answer.
func (d *callDesk) ask(ctx context.Context, method, path, body string) *callAnswer {
	call := &insideCall{Method: method, Path: path, Body: body, taken: make(chan *callAnswer, 1)}
	d.post(call)
	timer := time.NewTimer(callWait)
	defer timer.Stop()
	select {
	case answer := <-call.taken:
		return answer
	case <-timer.C:
	case <-ctx.Done():
	}
	if d.withdraw(call) {
		return nil
	}
	return <-call.taken // it came at the last moment
}

func daemonAway() *failure {
	return &failure{Text: "the daemon of this sprite's host does not answer; try again later", Code: "EAGAIN"}
}

func (d *callDesk) post(call *insideCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	call.ID = strconv.FormatUint(d.last, 10)
	d.open[call.ID] = call
	d.unsent = append(d.unsent, call)
	d.tellLocked()
}

// withdraw gives a call up; false: it has been taken up.
func (d *callDesk) withdraw(call *insideCall) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, waiting := d.open[call.ID]
	delete(d.open, call.ID)
	d.unsent = slices.DeleteFunc(d.unsent, func(each *insideCall) bool { return each == call })
	return waiting
}

// answer takes the daemon's answer to a call: POST /v1/calls/{id}, with x-status.
func (d *callDesk) answer(w http.ResponseWriter, r *http.Request, id string) {
	status, err := strconv.Atoi(r.Header.Get("X-Status"))
	if err != nil || status < 200 || status > 599 {
		writeError(w, http.StatusBadRequest, invalid("x-status must be a status"))
		return
	}
	d.mu.Lock()
	call := d.open[id]
	delete(d.open, id)
	d.mu.Unlock()
	if call == nil {
		writeError(w, http.StatusNotFound, &failure{Text: "nobody waits for this answer", Code: "ESRCH"})
		return
	}
	answer := &callAnswer{status: status, contentType: r.Header.Get("Content-Type"), body: r.Body, done: make(chan struct{})}
	call.taken <- answer
	<-answer.done // the body breaks with this stream
	writeJSON(w, http.StatusOK, struct{}{})
}

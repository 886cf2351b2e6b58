package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// taskBook knows the tasks of the sprite's programs: while one lives, the host keeps the sprite awake.
type taskBook struct {
	changed func()

	mu     sync.Mutex
	byName map[string]*insideTask
}

type insideTask struct{ started, expires time.Time }

// taskView is a task as it is shown.
type taskView struct {
	Name      string `json:"name"`
	StartedAt string `json:"started_at"`
	ExpiresAt string `json:"expires_at"`
}

const (
	maxTasks    = 100
	maxTaskName = 63
	maxTaskTime = time.Hour
	minTaskTime = time.Millisecond
)

// held is how long tasks hold the sprite awake from now on, in whole seconds upwards; 0: there are none.
func (b *taskBook) held() time.Duration {
	longest := time.Duration(0)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, task := range b.byName {
		longest = max(longest, time.Until(task.expires))
	}
	return (longest + time.Second - 1).Truncate(time.Second)
}

// serve answers /v1/tasks and below; name is what stands behind it.
func (b *taskBook) serve(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case r.Method == http.MethodGet && name == "":
		writeJSON(w, http.StatusOK, map[string]any{"tasks": b.list()})
	case r.Method == http.MethodGet:
		b.withTask(w, name, false)
	case r.Method == http.MethodDelete && name != "":
		b.withTask(w, name, true)
	case r.Method == http.MethodPost && name == "", r.Method == http.MethodPut:
		b.put(w, r, name)
	default:
		wrongMethod(w)
	}
}

func (b *taskBook) list() []taskView {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune()
	found := []taskView{}
	for name, task := range b.byName {
		found = append(found, task.view(name))
	}
	slices.SortFunc(found, func(a, b taskView) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func (b *taskBook) withTask(w http.ResponseWriter, name string, remove bool) {
	b.mu.Lock()
	b.prune()
	task := b.byName[name]
	if remove {
		delete(b.byName, name)
	}
	b.mu.Unlock()
	switch {
	case task == nil:
		writeError(w, http.StatusNotFound, &failure{Text: "task not found: " + shorten(name), Code: "ESRCH"})
	case remove:
		b.changed()
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusOK, task.view(name))
	}
}

// put makes a task, or with PUT also replaces one.
func (b *taskBook) put(w http.ResponseWriter, r *http.Request, name string) {
	name, life, err := readTask(r.Body, name)
	if err != nil {
		writeError(w, http.StatusBadRequest, invalid("%v", err))
		return
	}
	task, bad := b.keep(name, life, r.Method == http.MethodPut)
	if bad != nil {
		writeError(w, http.StatusConflict, bad)
		return
	}
	b.changed()
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	writeJSON(w, status, task.view(name))
}

// readTask reads a request; its name is that of the path, if that has one.
func readTask(body io.Reader, inPath string) (name string, life time.Duration, err error) {
	var request struct {
		Name   string          `json:"name"`
		Expire json.RawMessage `json:"expire"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxRequestBytes)).Decode(&request); err != nil {
		return "", 0, fmt.Errorf("body is not valid: %w", err)
	}
	name = inPath
	if name == "" {
		name = request.Name
	}
	if !validTaskName(name) {
		return "", 0, fmt.Errorf("the name of a task must be 1 to %d lower-case letters, digits or dashes", maxTaskName)
	}
	life, err = taskLife(request.Expire)
	return name, life, err
}

// keep makes a task, or gives one that lives a new end if replace allows it. A task that is in the book never changes: a new one takes its place.
func (b *taskBook) keep(name string, life time.Duration, replace bool) (*insideTask, *failure) {
	now := time.Now()
	task := &insideTask{started: now, expires: now.Add(life)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune()
	before := b.byName[name]
	switch {
	case before != nil && !replace:
		return nil, &failure{Text: "there is a task " + name + " already", Code: "EEXIST"}
	case before != nil:
		task.started = before.started
	case len(b.byName) >= maxTasks:
		return nil, &failure{Text: "there are too many tasks", Code: "EDQUOT"}
	}
	b.byName[name] = task
	return task, nil
}

// prune forgets what has expired. The caller holds the lock.
func (b *taskBook) prune() {
	for name, task := range b.byName {
		if time.Until(task.expires) <= 0 {
			delete(b.byName, name)
		}
	}
}

// view tells times by what has passed and is left: the clock may have been set since.
func (t *insideTask) view(name string) taskView {
	now := time.Now()
	return taskView{name, now.Add(-now.Sub(t.started)).UTC().Format(logTime), now.Add(t.expires.Sub(now)).UTC().Format(logTime)}
}

func validTaskName(name string) bool {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return name != "" && len(name) <= maxTaskName
}

// taskLife reads seconds, or a duration as Go writes it.
func taskLife(text json.RawMessage) (time.Duration, error) {
	bad := errors.New("expire must be seconds or a duration such as 10m, at most 1h")
	var seconds int64
	if json.Unmarshal(text, &seconds) == nil {
		if seconds < 1 || seconds > int64(maxTaskTime/time.Second) {
			return 0, bad
		}
		return time.Duration(seconds) * time.Second, nil
	}
	var written string
	if json.Unmarshal(text, &written) != nil {
		return 0, bad
	}
	life, err := time.ParseDuration(written)
	if err != nil || life < minTaskTime || life > maxTaskTime {
		return 0, bad
	}
	return life, nil
}

package main

import (
	"sort"
	"sync"
	"syscall"
)

// maxProcesses bounds the running and remembered processes together.
const maxProcesses = 4096

// table holds the processes by the host's ids.
type table struct {
	reaper  *reaper
	devices *devices

	mu   sync.Mutex
	byID map[string]*process // nil value: being started
}

func newTable(r *reaper, d *devices) *table {
	return &table{reaper: r, devices: d, byID: map[string]*process{}}
}

// start starts a process under its id. taken: the id is in use, nothing was started.
func (t *table) start(s *spec) (p *process, taken bool, bad *failure) {
	t.mu.Lock()
	if _, taken = t.byID[s.ID]; taken {
		t.mu.Unlock()
		return nil, true, nil
	}
	if len(t.byID) >= maxProcesses {
		t.mu.Unlock()
		return nil, false, &failure{Text: "too many processes run or wait to be deleted", Code: "EAGAIN"}
	}
	t.byID[s.ID] = nil
	t.mu.Unlock()
	p, bad = startProcess(t.reaper, t.devices, s)
	t.mu.Lock()
	if bad != nil {
		delete(t.byID, s.ID)
	} else {
		t.byID[s.ID] = p
	}
	t.mu.Unlock()
	return p, false, bad
}

// find returns a started process, or nil.
func (t *table) find(id string) *process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// remove forgets an exited process. found and removed tell what happened.
func (t *table) remove(id string) (found, removed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, found := t.byID[id]
	if p == nil {
		return found, false
	}
	p.mu.Lock()
	complete := p.complete
	p.mu.Unlock()
	if complete {
		delete(t.byID, id)
	}
	return true, complete
}

// list returns all started processes, oldest first.
func (t *table) list() []*process {
	t.mu.Lock()
	all := make([]*process, 0, len(t.byID))
	for _, p := range t.byID {
		if p != nil {
			all = append(all, p)
		}
	}
	t.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return all[i].pid < all[j].pid })
	return all
}

// running counts the processes that have not ended.
func (t *table) running() int {
	count := 0
	for _, p := range t.list() {
		p.mu.Lock()
		if p.exit == nil {
			count++
		}
		p.mu.Unlock()
	}
	return count
}

// signalAll sends to the group of every running process.
func (t *table) signalAll(number syscall.Signal) {
	for _, p := range t.list() {
		_ = p.signal(number) // one that ended meanwhile needs none
	}
}

// leaders gives the ids of the processes by their pids.
func (t *table) leaders() map[int]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make(map[int]string, len(t.byID))
	for id, p := range t.byID {
		if p != nil {
			ids[p.pid] = id
		}
	}
	return ids
}

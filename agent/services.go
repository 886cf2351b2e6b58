package main

import (
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What a service is at.
const (
	serviceStopped  = "stopped"
	serviceStarting = "starting" // also: it waits for what it needs, or for its restart
	serviceRunning  = "running"
	serviceStopping = "stopping"
	serviceFailed   = "failed" // given up until somebody starts it
)

// services supervises programs that are to run for as long as the guest does. It cares for no host: definitions are on the guest's disk, the rest is in memory and
// sleeps and wakes with it.
type services struct {
	reaper *reaper
	null   int // /dev/null
	root   string
	store  serviceStore
	pace   servicePace

	begun  atomic.Bool
	loaded sync.Once

	changes sync.Mutex // held by who changes definitions or what is to run, disk included; before mu

	mu      sync.Mutex
	byName  map[string]*guestService
	ending  map[string]*serviceLife // of services that were deleted, while something of them is left
	halted  bool
	changed chan struct{} // closed and replaced when a state changed
}

// guestService is one of them. Guarded by the set's lock.
type guestService struct {
	definition *serviceDefinition
	log        *serviceLog
	life       *serviceLife // nil before the first

	status    string
	run       *serviceRun // while there is a process
	next      *time.Time  // of the restart that is waited for
	lastError string
	restarts  int
}

// newServices supervises the services of the disk below root; empty: the guest's own.
func newServices(r *reaper, d *devices, root string) *services {
	return &services{reaper: r, null: d.null, root: root, pace: defaultPace,
		store:  serviceStore{folder: filepath.Join("/", root, ".sprite/services")},
		byName: map[string]*guestService{}, ending: map[string]*serviceLife{}, changed: make(chan struct{})}
}

// begin starts, beside the caller, what was not stopped by its user. Only the first call after a boot does anything: a guest that starts from memory has its services.
func (s *services) begin() {
	if !s.begun.Swap(true) && s.store.exists() {
		go s.load()
	}
}

// load reads the definitions once and starts them in the order of their needs.
func (s *services) load() {
	s.loaded.Do(func() {
		found := s.store.load()
		if len(found) == 0 {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, definition := range found {
			s.byName[name] = s.newService(definition)
		}
		for _, name := range inOrder(slices.Sorted(maps.Keys(found)), needsIn(found)) {
			if one := s.byName[name]; one != nil && !one.definition.Stopped {
				s.live(one)
			}
		}
	})
}

func (s *services) newService(definition *serviceDefinition) *guestService {
	path := filepath.Join("/", s.root, ".sprite/logs/services", definition.Name+".log")
	return &guestService{definition: definition, log: &serviceLog{path: path}, status: serviceStopped}
}

// live begins a new life, behind the one there is. The caller holds the lock.
func (s *services) live(one *guestService) *serviceLife {
	life := &serviceLife{set: s, service: one, definition: one.definition, stop: make(chan struct{}), done: make(chan struct{})}
	if one.life != nil {
		life.after = one.life.done
	} else if earlier := s.ending[one.definition.Name]; earlier != nil {
		life.after = earlier.done
	}
	one.life, one.restarts = life, 0
	if one.run == nil {
		one.status, one.lastError, one.next = serviceStarting, "", nil
	}
	go life.run()
	return life
}

// update changes states and tells those who wait for one.
func (s *services) update(change func()) {
	s.mu.Lock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// halt keeps everything from being started again: the guest is to end.
func (s *services) halt() { s.update(func() { s.halted = true }) }

func (s *services) isHalted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halted
}

// signalAll sends to the group of every service that runs.
func (s *services) signalAll(number syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byName {
		if one.run != nil {
			_ = one.life.signal(one.run, number) // one that ended meanwhile needs none
		}
	}
}

func (s *services) find(name string) (*guestService, *failure) {
	s.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.byName[name]; one != nil {
		return one, nil
	}
	return nil, &failure{Text: "service not found: " + shorten(name), Code: "ESRCH"}
}

// all returns the services by name.
func (s *services) all() []*guestService {
	s.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []*guestService{}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		found = append(found, s.byName[name])
	}
	return found
}

package main

import (
	"encoding/json"
	"strings"
	"time"
)

// put creates or replaces a service and starts it, with what it needs.
func (s *services) put(definition *serviceDefinition) (*serviceFollower, *serviceLife, *failure) {
	if bad := definition.check(); bad != nil {
		return nil, nil, bad
	}
	s.load()
	s.changes.Lock()
	defer s.changes.Unlock()
	if bad := s.fits(definition); bad != nil {
		return nil, nil, bad
	}
	if err := s.store.save(definition); err != nil {
		return nil, nil, unkept(definition.Name, err)
	}
	s.mu.Lock()
	one := s.byName[definition.Name]
	if one == nil {
		one = s.newService(definition)
		s.byName[definition.Name] = one
	}
	one.definition = definition
	s.mu.Unlock()
	return s.restarted(one)
}

// fits checks a definition against the others.
func (s *services) fits(definition *serviceDefinition) *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := json.Marshal(definition) // plain values always encode
	if len(text) > maxDefinitionBytes {
		return invalid("the service takes %d bytes, more than %d", len(text), maxDefinitionBytes)
	}
	all, totalBytes := map[string]*serviceDefinition{}, len(text)
	for name, one := range s.byName {
		if name == definition.Name {
			continue
		}
		all[name] = one.definition
		other, _ := json.Marshal(one.definition) // as above
		totalBytes += len(other)
		if definition.HTTPPort != nil && one.definition.HTTPPort != nil {
			return &failure{Text: "another service already has an HTTP port configured", Code: "EADDRINUSE"}
		}
	}
	if len(all) >= maxServices || totalBytes > maxDefinitionsBytes {
		return &failure{Text: "there are too many services", Code: "EDQUOT"}
	}
	all[definition.Name] = definition
	for _, need := range definition.Needs {
		if all[need] == nil {
			return invalid("it needs %s, which does not exist", need)
		}
	}
	if ring := cycleOf(definition.Name, needsIn(all)); ring != nil {
		return invalid("it would need itself: %s", strings.Join(ring, " needs "))
	}
	return nil
}

// start starts a service by hand, with what it needs. One that runs already is left alone.
func (s *services) start(name string) (*serviceFollower, *serviceLife, *failure) {
	s.changes.Lock()
	defer s.changes.Unlock()
	one, bad := s.find(name)
	if bad != nil {
		return nil, nil, bad
	}
	s.mu.Lock()
	life := one.life
	active := life.goesOn() && one.next == nil
	s.mu.Unlock()
	if !active {
		return s.restarted(one)
	}
	follower := one.log.feed.follow()
	life.tell(eventNow("started"))
	return follower, life, nil
}

// restart ends a service's life, if it has one, and begins a new one.
func (s *services) restart(name string) (*serviceFollower, *serviceLife, *failure) {
	s.changes.Lock()
	defer s.changes.Unlock()
	one, bad := s.find(name)
	if bad != nil {
		return nil, nil, bad
	}
	return s.restarted(one)
}

// restarted starts what the service needs, and the service anew. The caller holds changes.
func (s *services) restarted(one *guestService) (*serviceFollower, *serviceLife, *failure) {
	s.mu.Lock()
	definitions := map[string]*serviceDefinition{}
	for name, each := range s.byName {
		definitions[name] = each.definition
	}
	s.mu.Unlock()
	name := one.definition.Name
	order := inOrder([]string{name}, needsIn(definitions))
	for _, each := range order {
		if bad := s.setStopped(each, false); bad != nil {
			return nil, nil, bad
		}
	}
	follower := one.log.feed.follow()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range order {
		other := s.byName[each]
		if other == nil || each == name || other.life.goesOn() {
			continue
		}
		s.live(other)
	}
	if one.life != nil {
		one.life.end(s.pace.stop)
	}
	return follower, s.live(one), nil
}

// stop ends a service, and keeps it from starting at the next boot.
func (s *services) stop(name string, timeout time.Duration) (*serviceFollower, *serviceLife, *failure) {
	s.changes.Lock()
	defer s.changes.Unlock()
	one, bad := s.find(name)
	if bad != nil {
		return nil, nil, bad
	}
	s.mu.Lock()
	life, status := one.life, one.status
	s.mu.Unlock()
	if life == nil || status == serviceStopped {
		return nil, nil, notRunning(name)
	}
	follower := one.log.feed.follow()
	if bad := s.setStopped(name, true); bad != nil {
		// A full disk must not keep a service running.
		life.tell(eventNow("error").withData("it will start again at the next boot: " + bad.Text))
	}
	s.mu.Lock()
	over := life.over()
	life.end(timeout)
	s.mu.Unlock()
	if over { // one that was given up
		life.settleStopped(nil)
	}
	return follower, life, nil
}

// setStopped remembers what the user wants on the disk, where that changed. The caller holds changes.
func (s *services) setStopped(name string, stopped bool) *failure {
	s.mu.Lock()
	one := s.byName[name]
	s.mu.Unlock()
	if one == nil || one.definition.Stopped == stopped {
		return nil
	}
	changed := *one.definition
	changed.Stopped = stopped
	if err := s.store.save(&changed); err != nil {
		return unkept(name, err)
	}
	s.mu.Lock()
	one.definition = &changed
	s.mu.Unlock()
	return nil
}

// remove forgets a service once it has ended. Its log stays.
func (s *services) remove(name string) *failure {
	life, bad := s.forget(name)
	if bad != nil || life == nil {
		return bad
	}
	<-life.done
	s.mu.Lock()
	if s.ending[name] == life {
		delete(s.ending, name)
	}
	s.mu.Unlock()
	return nil
}

// forget removes a definition and begins to end what is left of its service.
func (s *services) forget(name string) (*serviceLife, *failure) {
	s.changes.Lock()
	defer s.changes.Unlock()
	one, bad := s.find(name)
	if bad != nil {
		return nil, bad
	}
	if dependants := s.dependants(name); len(dependants) > 0 {
		return nil, &failure{Text: name + " is needed by " + strings.Join(dependants, ", "), Code: "EBUSY"}
	}
	if err := s.store.remove(name); err != nil {
		return nil, unkept(name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
	life := one.life
	if life == nil || life.over() {
		return nil, nil
	}
	s.ending[name] = life
	life.end(s.pace.stop)
	return life, nil
}

// signal sends to a service's process group.
func (s *services) signal(name, signal string) *failure {
	number, known := signalNumbers[strings.TrimPrefix(signal, "SIG")]
	if !known {
		return invalid("%q is not the name of a signal", shorten(signal))
	}
	one, bad := s.find(name)
	if bad != nil {
		return bad
	}
	s.mu.Lock()
	run, life := one.run, one.life
	s.mu.Unlock()
	if run == nil || !life.signal(run, number) {
		return notRunning(name)
	}
	return nil
}

func notRunning(name string) *failure {
	return &failure{Text: "service " + name + " is not running", Code: "ENOTCONN"}
}

func unkept(name string, err error) *failure {
	bad := fail(err, "service %s cannot be kept on the disk", name)
	bad.Code = "ENOSPC"
	return bad
}

package main

import (
	"slices"
)

// needsState tells whether all that a definition needs runs, and what tells of a change; or why it will not.
func (s *services) needsState(definition *serviceDefinition) (ready bool, changed <-chan struct{}, bad *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready = true
	for _, name := range definition.Needs {
		one := s.byName[name]
		status := "missing"
		if one != nil {
			status = one.status
		}
		switch {
		case status == serviceRunning:
		case one != nil && one.life != nil && !one.life.over():
			ready = false
		default:
			return false, nil, &failure{Text: "it needs " + name + ", which is " + status, Code: "EAGAIN"}
		}
	}
	return ready, s.changed, nil
}

// dependants are the services that need one, in order.
func (s *services) dependants(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []string{}
	for other, one := range s.byName {
		if slices.Contains(one.definition.Needs, name) {
			found = append(found, other)
		}
	}
	slices.Sort(found)
	return found
}

func needsIn(definitions map[string]*serviceDefinition) func(string) []string {
	return func(name string) []string {
		if definition := definitions[name]; definition != nil {
			return definition.Needs
		}
		return nil
	}
}

// cycleOf returns the services that need one another in a ring through name, in order, or nil.
func cycleOf(name string, needs func(string) []string) []string {
	visited := map[string]bool{}
	var walk func(at string, path []string) []string
	walk = func(at string, path []string) []string {
		for _, next := range needs(at) {
			if next == name {
				return append(path, next)
			}
			if visited[next] {
				continue
			}
			visited[next] = true
			if ring := walk(next, append(slices.Clone(path), next)); ring != nil {
				return ring
			}
		}
		return nil
	}
	return walk(name, []string{name})
}

// inOrder returns the names and everything they need, each behind what it needs. There are no rings.
func inOrder(names []string, needs func(string) []string) []string {
	order, visited := []string{}, map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if visited[name] {
			return
		}
		visited[name] = true
		for _, next := range needs(name) {
			visit(next)
		}
		order = append(order, name)
	}
	for _, name := range names {
		visit(name)
	}
	return order
}

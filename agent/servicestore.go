package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxServiceFiles bounds the names looked at in the folder of definitions.
const maxServiceFiles = 4 * maxServices

// serviceStore keeps definitions on the guest's disk, whose root may have put anything in their place.
type serviceStore struct{ folder string }

// load returns the definitions by name. One that cannot be used is left out, with a line in the log: it must not keep the others from starting.
func (s serviceStore) load() map[string]*serviceDefinition {
	found, totalBytes := map[string]*serviceDefinition{}, 0
	for _, file := range s.names() {
		name, isDefinition := strings.CutSuffix(file, ".json")
		if !isDefinition || !validServiceName(name) {
			continue
		}
		definition, sizeBytes, err := s.read(name)
		if err == nil && (len(found) >= maxServices || totalBytes+sizeBytes > maxDefinitionsBytes) {
			err = errors.New("there are too many services")
		}
		if err != nil {
			logf("service %s is left out: %v", name, err)
			continue
		}
		found[name] = definition
		totalBytes += sizeBytes
	}
	needs := needsIn(found)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if ring := cycleOf(name, needs); ring != nil {
			logf("service %s is left out: it needs itself: %s", name, strings.Join(ring, " needs "))
			delete(found, name)
		}
	}
	return found
}

// exists tells whether anything was ever kept.
func (s serviceStore) exists() bool {
	var stat syscall.Stat_t
	return syscall.Lstat(s.folder, &stat) == nil
}

// names lists the folder, in order; no folder is an empty one.
func (s serviceStore) names() []string {
	fd, err := uninterrupted(func() (int, error) {
		return syscall.Open(s.folder, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		if err != syscall.ENOENT {
			logf("services: %s: %v", s.folder, err)
		}
		return nil
	}
	folder := os.NewFile(uintptr(fd), s.folder)
	defer folder.Close()
	names, err := folder.Readdirnames(maxServiceFiles)
	if err != nil && len(names) > 0 {
		logf("services: %v", err)
	}
	slices.Sort(names)
	return names
}

func (s serviceStore) read(name string) (definition *serviceDefinition, sizeBytes int, err error) {
	text, err := readSmall(s.path(name), maxDefinitionBytes+1)
	if err != nil {
		return nil, 0, err
	}
	if len(text) > maxDefinitionBytes {
		return nil, 0, fmt.Errorf("it is longer than %d bytes", maxDefinitionBytes)
	}
	definition = &serviceDefinition{}
	if err := json.Unmarshal(text, definition); err != nil {
		return nil, 0, err
	}
	if definition.Version != serviceVersion {
		return nil, 0, fmt.Errorf("it is of version %d; this agent reads %d", definition.Version, serviceVersion)
	}
	if definition.Name != name {
		return nil, 0, fmt.Errorf("it calls itself %q", shorten(definition.Name))
	}
	if bad := definition.check(); bad != nil {
		return nil, 0, bad
	}
	return definition, len(text), nil
}

// save makes a definition durable in one step: what was there before stays, or the new one is there whole.
func (s serviceStore) save(definition *serviceDefinition) error {
	text, err := json.Marshal(definition)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return err
	}
	path := s.path(definition.Name)
	beside := path + ".new" // not a name that load reads
	if err := createFile(beside, string(text)+"\n", 0o644); err != nil {
		return err
	}
	if err = syncPath(beside); err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return syncPath(s.folder)
}

// remove forgets a definition, durably.
func (s serviceStore) remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncPath(s.folder)
}

func (s serviceStore) path(name string) string { return filepath.Join(s.folder, name+".json") }

// syncPath writes a file, or a folder's names, to the disk.
func syncPath(path string) error {
	fd, err := uninterrupted(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	err = syscall.Fsync(fd)
	_ = syscall.Close(fd) // it was read only
	return err
}

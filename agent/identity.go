package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	generationFile = "/run/sylph/generation-id"
	// etcFileLimitBytes is the largest /etc/hosts that is edited.
	etcFileLimitBytes = 1 << 20
	// blockBytes is the least a file system writes at once.
	blockBytes = 4096
)

// applyIdentityFiles writes the identity into the files below root. It attempts everything and returns all failures together; a full or
// read-only disk makes some, which must not keep a sprite from resuming. The files with the host name are its user's while that name stays.
func applyIdentityFiles(root string, event *resumeEvent, renamed bool) error {
	failures := []error{writeGeneration(root, event.generationID)}
	if renamed {
		failures = append(failures, writeFile(root+"/etc/hostname", event.hostname+"\n", 0o644), writeHosts(root+"/etc/hosts", event.hostname))
	}
	if event.newIdentity {
		failures = append(failures, writeMachineID(root, event.machineID), removeHostKeys(root))
	}
	return errors.Join(failures...)
}

// writeGeneration leaves no file rather than one with an id that has passed: who finds the old one takes this life for the one before.
func writeGeneration(root, id string) error {
	err := writeFile(root+generationFile, id+"\n", 0o644)
	if err != nil {
		if removeErr := os.Remove(root + generationFile); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// writeHosts makes the host name resolve to this machine and leaves all other lines alone.
func writeHosts(path, hostname string) error {
	const ownAddress = "127.0.1.1"
	kept := []string{}
	text, err := readSmall(path, etcFileLimitBytes+1)
	switch {
	case err == nil && len(text) > etcFileLimitBytes:
		return errors.New(path + " is too large to edit")
	case err == nil:
		for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
			if fields := strings.Fields(line); len(fields) == 0 || fields[0] != ownAddress {
				kept = append(kept, line)
			}
		}
	case errors.Is(err, fs.ErrNotExist):
		kept = append(kept, "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")
	default:
		return err
	}
	kept = append(kept, ownAddress+"\t"+hostname)
	return writeFile(path, strings.Join(kept, "\n")+"\n", 0o644)
}

// holdsMachineID tells whether a disk has this identity.
func holdsMachineID(root, id string) bool {
	text, err := readSmall(root+"/etc/machine-id", blockBytes)
	return err == nil && strings.TrimSpace(string(text)) == id
}

// writeMachineID writes machine-id(5), and D-Bus's copy where that is a file of its own.
func writeMachineID(root, id string) error {
	err := writeFile(root+"/etc/machine-id", id+"\n", 0o444)
	copied := root + "/var/lib/dbus/machine-id"
	if info, statErr := os.Lstat(copied); statErr == nil && info.Mode().IsRegular() {
		err = errors.Join(err, writeFile(copied, id+"\n", 0o444))
	}
	return err
}

func removeHostKeys(root string) error {
	keys, err := filepath.Glob(root + "/etc/ssh/ssh_host_*")
	for _, key := range keys {
		err = errors.Join(err, os.Remove(key))
	}
	return err
}

package main

import (
	"strconv"
	"strings"
)

const (
	// userFileLimitBytes is how much of /etc/passwd and /etc/group is read.
	userFileLimitBytes = 1 << 20
	// maxSupplementaryGroups is NGROUPS_MAX, limits.h.
	maxSupplementaryGroups = 65536
)

// account is what a process runs as.
type account struct {
	name     string
	uid, gid uint32
	groups   []uint32
}

// findAccount looks a user up in root's etc/passwd and etc/group; a user that is not there is root.
func findAccount(root, name string) account {
	found := account{name: "root", groups: []uint32{0}}
	eachLine(root+"/etc/passwd", func(line string) bool {
		fields := strings.Split(line, ":")
		if len(fields) < 4 || fields[0] != name {
			return true
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if uidErr != nil || gidErr != nil {
			return true
		}
		found = account{name: name, uid: uint32(uid), gid: uint32(gid), groups: []uint32{uint32(gid)}}
		return false
	})
	eachLine(root+"/etc/group", func(line string) bool {
		if !strings.Contains(line, found.name) {
			return true
		}
		fields := strings.Split(line, ":")
		if len(fields) < 4 {
			return true
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil || uint32(gid) == found.gid {
			return true
		}
		for _, member := range strings.Split(fields[3], ",") {
			if member == found.name {
				found.groups = append(found.groups, uint32(gid))
				break
			}
		}
		return len(found.groups) < maxSupplementaryGroups
	})
	return found
}

// eachLine calls visit for the lines of a file until it returns false. A file that cannot be read has none: a root disk without users is a valid one.
func eachLine(path string, visit func(line string) bool) {
	text, err := readSmall(path, userFileLimitBytes)
	if err != nil {
		return
	}
	for rest := string(text); rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if !visit(line) {
			return
		}
	}
}

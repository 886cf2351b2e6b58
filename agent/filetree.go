package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// fileTarget is what every request about one path says.
type fileTarget struct {
	Path      string `json:"path"`
	User      string `json:"user"`
	Recursive bool   `json:"recursive"`
}

// tree walks what lies below a path for an operation. Everything below is reached through open directories and without following links, so nothing that
// a process of the guest puts into the place of something leads out of it.
type tree struct {
	ctx       context.Context
	operation string
	recursive bool
	done      report
}

// openLinks is the flag for opening something at a depth of a tree: a link is followed at its top, where the host named it, and nowhere below.
func openLinks(depth int) int {
	if depth == 0 {
		return 0
	}
	return syscall.O_NOFOLLOW
}

// statLinks is openLinks for calls that look at a name.
func statLinks(depth int) int {
	if depth == 0 {
		return 0
	}
	return atSymlinkNoFollow
}

func (t *tree) fail(err error, full string) error { return fileFail(err, t.operation, full) }

// children visits the entries of a directory, which stays open meanwhile. A link is never followed: the caller has seen a directory, and something else may have its place now.
func (t *tree) children(dir int, name, full string, depth int, visit func(dir int, name, full string, depth int) error) error {
	opened, err := openDir(dir, name, syscall.O_NOFOLLOW)
	if err != nil {
		return t.fail(err, full)
	}
	defer opened.Close()
	return t.childrenOf(opened, full, depth, visit)
}

// childrenOf is children of an open directory.
func (t *tree) childrenOf(opened *os.File, full string, depth int, visit func(dir int, name, full string, depth int) error) error {
	if depth >= maxDepth {
		return t.fail(syscall.ENAMETOOLONG, full)
	}
	err := eachName(opened, false, func(names []string) error {
		for _, name := range names {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			if err := visit(fdOf(opened), name, path.Join(full, name), depth+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return t.fail(err, full)
	}
	return nil
}

func deleteFiles(w http.ResponseWriter, r *http.Request) error {
	request := fileTarget{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	full, err := cleanPath(request.Path)
	if err == nil && full == "/" {
		err = syscall.EBUSY
	}
	if err != nil {
		return fileFail(err, "remove", request.Path)
	}
	t := &tree{ctx: r.Context(), operation: "remove", recursive: request.Recursive}
	err = newFileActor(request.User).do(func() error {
		at, err := openPlace(full)
		if err != nil {
			return t.fail(err, full)
		}
		defer at.close()
		return t.remove(at.dir, at.name, full, 0)
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"deleted": t.done.items(), "count": t.done.count})
	return nil
}

// remove takes an entry away, the content of a directory first.
func (t *tree) remove(dir int, name, full string, depth int) error {
	const tries = 3 // somebody may make new entries meanwhile
	err := unlinkAt(dir, name, 0)
	for try := 0; err == syscall.EISDIR || t.recursive && err == syscall.ENOTEMPTY && try < tries; try++ {
		if t.recursive {
			if err := t.children(dir, name, full, depth, t.remove); err != nil {
				return err
			}
		}
		err = unlinkAt(dir, name, atRemoveDir)
	}
	if err == syscall.ENOENT && depth > 0 {
		return nil // somebody else has removed it
	}
	if err != nil {
		return t.fail(err, full)
	}
	t.done.add(full)
	return nil
}

func renameFile(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		Source, Dest, User string
	}{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	source, err := cleanPath(request.Source)
	if err != nil {
		return fileFail(err, "rename", request.Source)
	}
	dest, err := cleanPath(request.Dest)
	if err != nil {
		return fileFail(err, "rename", request.Dest)
	}
	err = newFileActor(request.User).do(func() error {
		if _, err := statAt(atFdcwd, source, atSymlinkNoFollow); err != nil {
			return fileFail(err, "rename", source)
		}
		from, err := openPlace(source)
		if err != nil {
			return fileFail(err, "rename", source)
		}
		defer from.close()
		to, err := openPlace(dest)
		if err != nil {
			return fileFail(err, "rename", dest)
		}
		defer to.close()
		if err := syscall.Renameat(from.dir, from.name, to.dir, to.name); err != nil {
			return fileFail(err, "rename", source)
		}
		if err := to.sync(); err != nil {
			return fileFail(err, "rename", dest)
		}
		if err := from.sync(); err != nil {
			return fileFail(err, "rename", source)
		}
		return nil
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"source": source, "dest": dest})
	return nil
}

func changeMode(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		fileTarget
		Mode string `json:"mode"`
	}{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	mode, err := strconv.ParseUint(request.Mode, 8, 32)
	if err != nil || mode > 0o7777 {
		return refuse("EINVAL", "chmod", request.Path, "mode is not octal")
	}
	type changed struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
	}
	return changeTree(w, r, &request.fileTarget, "chmod", func(fd int, info *syscall.Stat_t, full string) (any, error) {
		if isSymlink(info) {
			return nil, nil // links have no mode
		}
		if err := chmodPath(fd, uint32(mode)); err != nil {
			return nil, err
		}
		return &changed{full, modeText(uint32(mode))}, nil
	})
}

func changeOwner(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		fileTarget
		UID json.RawMessage `json:"uid"`
		GID json.RawMessage `json:"gid"`
	}{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	uid, err := readID(request.UID, "/etc/passwd")
	if err != nil {
		return refuse("EINVAL", "chown", request.Path, "uid: "+err.Error())
	}
	gid, err := readID(request.GID, "/etc/group")
	if err != nil {
		return refuse("EINVAL", "chown", request.Path, "gid: "+err.Error())
	}
	type changed struct {
		Path string `json:"path"`
		UID  uint32 `json:"uid"`
		GID  uint32 `json:"gid"`
	}
	return changeTree(w, r, &request.fileTarget, "chown", func(fd int, _ *syscall.Stat_t, full string) (any, error) {
		if err := syscall.Fchownat(fd, "", uid, gid, atEmptyPath); err != nil {
			return nil, err
		}
		var now syscall.Stat_t
		if err := syscall.Fstat(fd, &now); err != nil {
			return nil, err
		}
		return &changed{full, now.Uid, now.Gid}, nil
	})
}

// readID is a number, a name of the guest's, or -1 for none given.
func readID(text json.RawMessage, names string) (int, error) {
	if len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return -1, nil
	}
	name := strings.Trim(string(text), `"`)
	if number, err := strconv.ParseUint(name, 10, 32); err == nil && number < 1<<32-1 {
		return int(number), nil
	}
	if err := json.Unmarshal(text, &name); err != nil {
		return 0, syscall.EINVAL
	}
	found := -1
	eachLine(names, func(line string) bool {
		fields := strings.Split(line, ":")
		if len(fields) < 3 || fields[0] != name {
			return true
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			found = int(id)
		}
		return false
	})
	if found < 0 {
		return 0, &failure{Text: "there is no " + strconv.Quote(name) + " in " + names, Code: "EINVAL"}
	}
	return found, nil
}

// changeTree changes what a path leads to and, recursively, everything below it; what is below first, so that a mode that locks its directory is no obstacle.
func changeTree(w http.ResponseWriter, r *http.Request, target *fileTarget, operation string, change func(fd int, info *syscall.Stat_t, full string) (any, error)) error {
	full, err := cleanPath(target.Path)
	if err != nil {
		return fileFail(err, operation, target.Path)
	}
	t := &tree{ctx: r.Context(), operation: operation, recursive: target.Recursive}
	var visit func(dir int, name, full string, depth int) error
	visit = func(dir int, name, full string, depth int) error {
		fd, err := openAt(dir, name, oPath|openLinks(depth), 0)
		if err == syscall.ENOENT && depth > 0 {
			return nil // it has gone meanwhile
		}
		if err != nil {
			return t.fail(err, full)
		}
		defer syscall.Close(fd)
		var info syscall.Stat_t
		if err := syscall.Fstat(fd, &info); err != nil {
			return t.fail(err, full)
		}
		if t.recursive && isDir(&info) {
			if err := t.children(fd, ".", full, depth, visit); err != nil {
				return err
			}
		}
		item, err := change(fd, &info, full)
		if err != nil {
			return t.fail(err, full)
		}
		if item != nil {
			t.done.add(item)
		}
		return nil
	}
	err = newFileActor(target.User).do(func() error { return visit(atFdcwd, full, full, 0) })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"affected": t.done.items(), "count": t.done.count})
	return nil
}

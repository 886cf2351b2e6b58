package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxSorted entries of a directory are listed in order; a larger directory comes as the file system has it.
const maxSorted = 10_000

// fileEntry is a line of a list.
type fileEntry struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Type    string `json:"type"`
	Size    int64  `json:"size"`
	Mode    string `json:"mode"`
	ModTime string `json:"modTime"`
	IsDir   bool   `json:"isDir"`
	// Error is why the content of a directory is missing from a recursive list.
	Error string `json:"error,omitempty"`
}

var fileTypes = map[uint32]string{
	syscall.S_IFREG: "file", syscall.S_IFDIR: "directory", syscall.S_IFLNK: "symlink", syscall.S_IFIFO: "fifo",
	syscall.S_IFSOCK: "socket", syscall.S_IFCHR: "device", syscall.S_IFBLK: "device",
}

func entryOf(full string, info *syscall.Stat_t) *fileEntry {
	return &fileEntry{Name: path.Base(full), Path: full, Type: fileTypes[info.Mode&syscall.S_IFMT], Size: info.Size, Mode: modeText(info.Mode),
		ModTime: time.Unix(info.Mtim.Sec, info.Mtim.Nsec).UTC().Format(time.RFC3339Nano), IsDir: isDir(info)}
}

// lister writes a list as it walks.
type lister struct {
	ctx       context.Context
	actor     *fileActor
	out       *bufio.Writer
	lines     *json.Encoder
	root      string
	recursive bool
	pattern   string
	flush     func() error
	flushedAt time.Time
}

// stillEvery is how long a walk goes on without a line: it then sends an empty one, so that the host knows it goes on.
const stillEvery = 5 * time.Second

// listFiles lists a directory, or describes a file. Links are followed at the path itself, not below it.
func listFiles(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	pattern := query.values.Get("pattern")
	if _, err := path.Match(pattern, ""); err != nil {
		return refuse("EINVAL", "list", query.path, "the pattern is malformed")
	}
	var info syscall.Stat_t
	var dir *os.File
	err = query.actor.do(func() (err error) {
		if info, err = statAt(atFdcwd, query.path, 0); err == nil && isDir(&info) {
			dir, err = openDir(atFdcwd, query.path, 0)
		}
		return err
	})
	if err != nil {
		return fileFail(err, "open", query.path)
	}
	out := bufio.NewWriterSize(w, 32<<10)
	l := &lister{r.Context(), query.actor, out, json.NewEncoder(out), query.path, query.flag("recursive"), pattern, http.NewResponseController(w).Flush, time.Now()}
	l.lines.SetEscapeHTML(false)
	w.Header().Set("Content-Type", "application/x-ndjson")
	if dir == nil {
		err = l.lines.Encode(entryOf(query.path, &info))
	} else {
		err = l.walk(dir, query.path, 0)
	}
	if err != nil && r.Context().Err() == nil {
		_ = l.lines.Encode(fileFail(err, "list", query.path)) // a host that is gone needs no reason
	}
	_ = out.Flush() // as above
	return nil
}

// walk lists an open directory, which it closes.
func (l *lister) walk(dir *os.File, full string, depth int) error {
	defer dir.Close()
	return eachName(dir, true, func(names []string) error {
		if err := l.alive(); err != nil {
			return err
		}
		infos := make([]*syscall.Stat_t, len(names))
		err := l.actor.do(func() error {
			for i, name := range names {
				info, err := statAt(fdOf(dir), name, atSymlinkNoFollow)
				if err == syscall.ENOENT {
					continue // it has gone meanwhile
				}
				if err != nil {
					return fileFail(err, "list", path.Join(full, name))
				}
				infos[i] = &info
			}
			return nil
		})
		for i, info := range infos {
			if info == nil || err != nil {
				continue
			}
			err = l.entry(dir, names[i], path.Join(full, names[i]), info, depth)
		}
		return err
	})
}

// alive says from time to time that the walk goes on; it fails when nobody listens.
func (l *lister) alive() error {
	if time.Since(l.flushedAt) < stillEvery {
		return l.ctx.Err()
	}
	l.flushedAt = time.Now()
	if err := l.out.WriteByte('\n'); err != nil {
		return err
	}
	if err := l.out.Flush(); err != nil {
		return err
	}
	return l.flush()
}

func (l *lister) entry(dir *os.File, name, full string, info *syscall.Stat_t, depth int) error {
	entry := entryOf(full, info)
	var below *os.File
	if l.recursive && entry.IsDir {
		err := l.actor.do(func() (err error) {
			if depth+1 >= maxDepth {
				return syscall.ENAMETOOLONG
			}
			below, err = openDir(fdOf(dir), name, syscall.O_NOFOLLOW)
			return err
		})
		if err != nil {
			entry.Error = codeOf(err)
		}
	}
	if l.matches(name, full) {
		if err := l.lines.Encode(entry); err != nil {
			return err
		}
	}
	if below == nil {
		return nil
	}
	return l.walk(below, full, depth+1)
}

// matches holds a pattern with a slash against the path below the list's root, one without against the name.
func (l *lister) matches(name, full string) bool {
	if l.pattern == "" {
		return true
	}
	if strings.Contains(l.pattern, "/") {
		name = strings.TrimPrefix(strings.TrimPrefix(full, l.root), "/")
	}
	matched, _ := path.Match(l.pattern, name) // the pattern was checked
	return matched
}

// eachName visits the names of a directory in batches, sorted if there are few enough and order matters.
func eachName(dir *os.File, sorted bool, visit func(names []string) error) error {
	held := []string{}
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		if sorted && len(held)+len(names) <= maxSorted && err == nil {
			held = append(held, names...)
			continue
		}
		if err == io.EOF {
			slices.Sort(held)
		}
		for _, part := range [][]string{held, names} {
			for len(part) > 0 {
				n := min(len(part), namesAtOnce)
				if err := visit(part[:n]); err != nil {
					return err
				}
				part = part[n:]
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		held, sorted = nil, false
	}
}

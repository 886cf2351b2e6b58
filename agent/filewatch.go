package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

const (
	// maxWatches a subscription may need; the kernel gives memory to each.
	maxWatches = 8192
	// maxAnnounced entries of new directories are remembered, so that they are told once.
	maxAnnounced = 4096
	// announcedFor is how long the kernel's own word about them may take.
	announcedFor = 5 * time.Second

	watchMask = syscall.IN_CREATE | syscall.IN_MODIFY | syscall.IN_ATTRIB | syscall.IN_DELETE | syscall.IN_DELETE_SELF | syscall.IN_MOVED_FROM | syscall.IN_MOVED_TO | syscall.IN_MOVE_SELF
	inIsDir   = 0x40000000 // IN_ISDIR, linux/inotify.h
	inUnmount = 0x2000     // IN_UNMOUNT
)

// watchLine is a line of the answer: subscribed, event, overflow or error.
type watchLine struct {
	Type      string `json:"type"`
	Event     string `json:"event,omitempty"`
	Path      string `json:"path,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`
	Size      int64  `json:"size"`
	IsDir     bool   `json:"isDir"`
	Error     string `json:"error,omitempty"`
	Code      string `json:"code,omitempty"`
}

// watcher tells changes below paths. A host that does not read holds it back, and the kernel's queue runs over, which is told.
type watcher struct {
	ctx       context.Context
	actor     *fileActor
	events    *os.File // the inotify instance
	lines     *json.Encoder
	flush     func() error
	recursive bool
	roots     []string
	// What each watch is on, and which watch is on a path.
	paths   map[int32]string
	watches map[string]int32
	// announced entries were found while their directory got its watch; the kernel may tell of them too.
	announced map[string]time.Time
}

func watchFiles(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		Paths     []string `json:"paths"`
		Recursive bool     `json:"recursive"`
		User      string   `json:"user"`
	}{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	if len(request.Paths) == 0 {
		return refuse("EINVAL", "watch", "", "there is no path to watch")
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return fileFail(err, "watch", "")
	}
	x := &watcher{ctx: r.Context(), actor: newFileActor(request.User), events: os.NewFile(uintptr(fd), "inotify"), lines: json.NewEncoder(w),
		flush: http.NewResponseController(w).Flush, recursive: request.Recursive,
		paths: map[int32]string{}, watches: map[string]int32{}, announced: map[string]time.Time{}}
	defer x.events.Close()
	for _, text := range request.Paths {
		full, err := cleanPath(text)
		if err != nil {
			return fileFail(err, "watch", text)
		}
		if err := x.add(full, true, nil); err != nil {
			return fileFail(err, "watch", full)
		}
		x.roots = append(x.roots, full)
	}
	// A read of the instance ends when the host leaves.
	stop := context.AfterFunc(r.Context(), func() { _ = x.events.SetReadDeadline(time.Now()) })
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = x.tell(&watchLine{Type: "subscribed"}) // what follows fails too when the host is gone
	if err := x.follow(); err != nil && x.ctx.Err() == nil {
		bad := fileFail(err, "watch", "")
		_ = x.tell(&watchLine{Type: "error", Path: bad.Path, Error: bad.Text, Code: bad.Code}) // as above
	}
	return nil
}

func (x *watcher) tell(line *watchLine) error { return x.lines.Encode(line) }

// add watches a path and, recursively, the directories below it. announce is called for what is found below.
func (x *watcher) add(full string, top bool, announce func(full string, info *syscall.Stat_t) error) error {
	if len(x.paths) >= maxWatches {
		return refuse("EINVAL", "watch", full, "there are too many directories to watch; choose fewer")
	}
	var info syscall.Stat_t
	mask, flags := uint32(watchMask), 0
	if !top {
		mask |= syscall.IN_DONT_FOLLOW | syscall.IN_ONLYDIR
		flags = atSymlinkNoFollow
	}
	var dir *os.File
	err := x.actor.do(func() error {
		number, err := uninterrupted(func() (int, error) {
			return syscall.InotifyAddWatch(fdOfRaw(x.events), full, mask)
		})
		if err == syscall.ENOSPC {
			return refuse("EINVAL", "watch", full, "the machine's limit of watches is reached (fs.inotify.max_user_watches)")
		}
		if err != nil {
			return err
		}
		x.put(int32(number), full)
		if info, err = statAt(atFdcwd, full, flags); err != nil || !isDir(&info) || !x.recursive {
			return err
		}
		dir, err = openDir(atFdcwd, full, 0)
		return err
	})
	if err != nil || dir == nil {
		return err
	}
	defer dir.Close()
	return eachName(dir, false, func(names []string) error {
		for _, name := range names {
			if err := x.ctx.Err(); err != nil {
				return err
			}
			if err := x.found(fdOf(dir), name, path.Join(full, name), announce); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *watcher) found(dir int, name, full string, announce func(full string, info *syscall.Stat_t) error) error {
	var info syscall.Stat_t
	err := x.actor.do(func() (err error) {
		info, err = statAt(dir, name, atSymlinkNoFollow)
		return err
	})
	if err != nil {
		return nil // it has gone meanwhile; its directory's watch tells
	}
	if announce != nil {
		if err := announce(full, &info); err != nil {
			return err
		}
	}
	if !isDir(&info) {
		return nil
	}
	err = x.add(full, false, announce)
	switch codeOf(err) {
	case "ENOENT", "ENOTDIR", "ELOOP", "EACCES": // it has gone, or the user may not look into it, as with any list
		return nil
	}
	return err
}

func (x *watcher) put(number int32, full string) {
	if before, ok := x.paths[number]; ok && x.watches[before] == number {
		delete(x.watches, before) // it was moved here
	}
	x.paths[number], x.watches[full] = full, number
}

// forget ends the watches of a directory that went elsewhere. Where it comes back it is found anew.
func (x *watcher) forget(full string) {
	for known, number := range x.watches {
		if known == full || strings.HasPrefix(known, full+"/") {
			_, _ = syscall.InotifyRmWatch(fdOfRaw(x.events), uint32(number)) // EINVAL: the kernel has dropped it already
			x.drop(number)
		}
	}
}

func (x *watcher) drop(number int32) {
	if full, ok := x.paths[number]; ok {
		delete(x.paths, number)
		if x.watches[full] == number {
			delete(x.watches, full)
		}
	}
}

// fdOfRaw is the descriptor of a file that stays non-blocking: Fd would take its deadline away.
func fdOfRaw(file *os.File) int {
	found := -1
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { found = int(fd) }) // -1 of a closed file, which the kernel refuses
	}
	return found
}

package main

import (
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// follow reads events until the host leaves or nothing is left to watch.
func (x *watcher) follow() error {
	buf := make([]byte, 64<<10)
	for len(x.paths) > 0 {
		if err := x.flush(); err != nil {
			return err
		}
		n, err := x.events.Read(buf)
		if err != nil {
			return err
		}
		now := time.Now()
		for full, at := range x.announced {
			if now.Sub(at) > announcedFor {
				delete(x.announced, full)
			}
		}
		for at := 0; at+syscall.SizeofInotifyEvent <= n; {
			event := (*syscall.InotifyEvent)(unsafe.Pointer(&buf[at]))
			end := at + syscall.SizeofInotifyEvent + int(event.Len)
			if end > n {
				return syscall.EIO // the kernel hands out whole events
			}
			name := strings.TrimRight(string(buf[at+syscall.SizeofInotifyEvent:end]), "\x00")
			if err := x.event(event.Wd, event.Mask, name); err != nil {
				return err
			}
			at = end
		}
	}
	return refuse("ENOENT", "watch", x.roots[0], "nothing is left to watch")
}

func (x *watcher) event(number int32, mask uint32, name string) error {
	if mask&syscall.IN_Q_OVERFLOW != 0 {
		return x.overflow()
	}
	base, known := x.paths[number]
	if mask&syscall.IN_IGNORED != 0 {
		x.drop(number)
		return nil
	}
	if !known {
		return nil
	}
	full, isRoot := path.Join(base, name), slices.Contains(x.roots, base)
	if name == "" && !isRoot && mask&(syscall.IN_DELETE_SELF|syscall.IN_MOVE_SELF|syscall.IN_ATTRIB|inUnmount) != 0 {
		return nil // the watch above has told it
	}
	directory := mask&inIsDir != 0
	switch {
	case mask&(syscall.IN_CREATE|syscall.IN_MOVED_TO) != 0:
		return x.created(full, directory)
	case mask&(syscall.IN_DELETE|syscall.IN_DELETE_SELF|inUnmount) != 0:
		delete(x.announced, full)
		return x.report("remove", full, nil, directory)
	case mask&(syscall.IN_MOVED_FROM|syscall.IN_MOVE_SELF) != 0:
		if directory {
			x.forget(full)
		}
		return x.report("rename", full, nil, directory)
	case mask&syscall.IN_MODIFY != 0:
		return x.changed("write", full)
	case mask&syscall.IN_ATTRIB != 0:
		return x.changed("chmod", full)
	}
	return nil
}

func (x *watcher) created(full string, directory bool) error {
	if _, told := x.announced[full]; told {
		delete(x.announced, full)
	} else if err := x.changed("create", full); err != nil {
		return err
	}
	if !directory || !x.recursive {
		return nil
	}
	return x.found(atFdcwd, full, full, x.announceBelow(full))
}

// announceBelow tells what a new directory holds already, but not the directory itself again.
func (x *watcher) announceBelow(top string) func(full string, info *syscall.Stat_t) error {
	return func(full string, info *syscall.Stat_t) error {
		if full == top {
			return nil
		}
		if _, told := x.announced[full]; told {
			return nil
		}
		if len(x.announced) < maxAnnounced {
			x.announced[full] = time.Now()
		}
		return x.report("create", full, info, isDir(info))
	}
}

// overflow tells that events were lost, and watches the directories whose making was among them.
func (x *watcher) overflow() error {
	if err := x.tell(&watchLine{Type: "overflow", Error: "changes came faster than they were read; some were lost", Timestamp: timestamp()}); err != nil {
		return err
	}
	if !x.recursive {
		return nil
	}
	for _, root := range x.roots {
		if err := x.add(root, true, nil); err != nil && codeOf(err) != "ENOENT" {
			return err
		}
	}
	return nil
}

func (x *watcher) changed(event, full string) error {
	var info syscall.Stat_t
	err := x.actor.do(func() (err error) {
		info, err = statAt(atFdcwd, full, atSymlinkNoFollow)
		return err
	})
	if err != nil {
		return x.report(event, full, nil, false) // it has gone meanwhile
	}
	return x.report(event, full, &info, isDir(&info))
}

func (x *watcher) report(event, full string, info *syscall.Stat_t, directory bool) error {
	line := &watchLine{Type: "event", Event: event, Path: full, Timestamp: timestamp(), IsDir: directory}
	if info != nil {
		line.Size = info.Size
	}
	return x.tell(line)
}

func timestamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }

package main

import (
	"net/http"
	"path"
	"syscall"
)

// copier copies a file or a tree.
type copier struct {
	tree
	preserve bool
	bytes    int64
	// made is the directory the copy of the top goes to: it is never copied into itself.
	made *syscall.Stat_t
}

type copied struct {
	Source string `json:"source"`
	Dest   string `json:"dest"`
}

// copyFiles copies to exactly dest; directories are merged with what is there. Each file appears whole.
func copyFiles(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		Source, Dest, User       string
		Recursive, PreserveAttrs bool
	}{}
	if err := readFileRequest(r, &request); err != nil {
		return err
	}
	source, err := cleanPath(request.Source)
	if err != nil {
		return fileFail(err, "copy", request.Source)
	}
	dest, err := cleanPath(request.Dest)
	if err != nil {
		return fileFail(err, "copy", request.Dest)
	}
	c := &copier{tree: tree{ctx: r.Context(), operation: "copy", recursive: request.Recursive}, preserve: request.PreserveAttrs}
	err = newFileActor(request.User).do(func() error { return c.top(source, dest) })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"copied": c.done.items(), "count": c.done.count, "totalBytes": c.bytes})
	return nil
}

func (c *copier) top(source, dest string) error {
	info, err := statAt(atFdcwd, source, 0)
	if err != nil {
		return c.fail(err, source)
	}
	if isDir(&info) {
		if !c.recursive {
			return c.fail(syscall.EISDIR, source)
		}
		if err := c.assertOutside(&info, dest); err != nil {
			return err
		}
	}
	at, _, err := openTarget(dest)
	if err != nil {
		return c.fail(err, dest)
	}
	defer at.close()
	if now, err := statAt(at.dir, at.name, atSymlinkNoFollow); err == nil && sameFile(&now, &info) {
		return refuse("EINVAL", "copy", source, "source and destination are the same")
	}
	if err := c.entry(atFdcwd, source, source, at, dest, &info, 0); err != nil {
		return err
	}
	return syncAll(at.dir)
}

// assertOutside refuses to copy a directory into itself: none of the directories above dest may be it.
func (c *copier) assertOutside(source *syscall.Stat_t, dest string) error {
	dir, err := openDir(atFdcwd, path.Dir(dest), 0)
	if err != nil {
		return c.fail(err, dest)
	}
	defer func() { _ = dir.Close() }() // only read
	for range maxPathBytes {
		here, err := statAt(fdOf(dir), ".", 0)
		if err != nil {
			return c.fail(err, dest)
		}
		if sameFile(&here, source) {
			return refuse("EINVAL", "copy", dest, "a directory cannot be copied into itself")
		}
		above, err := openDir(fdOf(dir), "..", 0)
		if err != nil {
			return nil // what may not be read above cannot be walked down from either
		}
		upper, err := statAt(fdOf(above), ".", 0)
		_ = dir.Close() // only read
		dir = above
		if err != nil || sameFile(&upper, &here) {
			return nil
		}
	}
	return c.fail(syscall.ELOOP, dest)
}

// entry copies what has a name in one directory to a name in another.
func (c *copier) entry(dir int, name, full string, to *place, dest string, info *syscall.Stat_t, depth int) error {
	var err error
	switch info.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return c.directory(dir, name, full, to, dest, info, depth)
	case syscall.S_IFREG:
		err = c.content(dir, name, to, depth)
	case syscall.S_IFLNK:
		var target string
		if target, err = readLinkAt(dir, name); err == nil {
			err = replaced(to, func() error { return symlinkAt(target, to.dir, to.name) })
		}
	default:
		err = replaced(to, func() error { return syscall.Mknodat(to.dir, to.name, info.Mode, int(info.Rdev)) })
	}
	if err == nil && c.preserve && !isRegular(info) {
		err = changeMade(to, info.Mode&syscall.S_IFMT, func(fd int) error { return keepAttributes(fd, info) })
	}
	if err != nil {
		return c.fail(err, full)
	}
	c.done.add(&copied{full, dest})
	return nil
}

// replaced repeats making something after the file that was in its place is gone.
func replaced(at *place, create func() error) error {
	err := create()
	if err == syscall.EEXIST {
		if err = unlinkAt(at.dir, at.name, 0); err == nil {
			err = create()
		}
	}
	return err
}

func (c *copier) directory(dir int, name, full string, to *place, dest string, info *syscall.Stat_t, depth int) error {
	if depth >= maxDepth {
		return c.fail(syscall.ENAMETOOLONG, full)
	}
	source, err := openDir(dir, name, openLinks(depth))
	if err != nil {
		return c.fail(err, full)
	}
	defer source.Close()
	// Writable until it is full.
	made := syscall.Mkdirat(to.dir, to.name, info.Mode&0o777|0o700)
	if made != nil && made != syscall.EEXIST {
		return c.fail(made, dest)
	}
	below, err := openDir(to.dir, to.name, syscall.O_NOFOLLOW)
	if err != nil {
		return c.fail(err, dest)
	}
	defer below.Close()
	here, err := statAt(fdOf(below), ".", 0)
	if err != nil {
		return c.fail(err, dest)
	}
	if c.made == nil {
		c.made = &here
	}
	err = c.childrenOf(source, full, depth, func(dir int, name, full string, depth int) error {
		child, err := statAt(dir, name, atSymlinkNoFollow)
		if err == syscall.ENOENT || err == nil && sameFile(&child, c.made) {
			return nil // gone meanwhile, or the copy itself, moved in here
		}
		if err != nil {
			return c.fail(err, full)
		}
		return c.entry(dir, name, full, &place{dir: fdOf(below), name: name, synced: true}, path.Join(dest, name), &child, depth)
	})
	if err != nil {
		return err
	}
	if c.preserve {
		if err := keepAttributes(fdOf(below), info); err != nil {
			return c.fail(err, dest)
		}
	} else if made == nil {
		if err := syscall.Fchmod(fdOf(below), info.Mode&0o777&^0o022); err != nil {
			return c.fail(err, dest)
		}
	}
	c.done.add(&copied{full, dest})
	return nil
}

// keepAttributes gives a copy mode, time and, as far as the user may, owner of its origin.
func keepAttributes(fd int, info *syscall.Stat_t) error {
	mode := info.Mode & 0o7777
	switch err := syscall.Fchownat(fd, "", int(info.Uid), int(info.Gid), atEmptyPath); err {
	case nil:
	case syscall.EPERM:
		mode &= 0o777 // special bits speak of the owner
	default:
		return err
	}
	if !isSymlink(info) {
		if err := chmodPath(fd, mode); err != nil {
			return err
		}
	}
	return setTimes(fd, info.Mtim.Sec, info.Mtim.Nsec)
}

// changeMade opens what was just made, and makes sure that it is of that kind: somebody may have put something else into its place.
func changeMade(at *place, kind uint32, change func(fd int) error) error {
	fd, err := openAt(at.dir, at.name, oPath|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return err
	}
	if info.Mode&syscall.S_IFMT != kind {
		return syscall.EBUSY
	}
	return change(fd)
}

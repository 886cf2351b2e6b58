package main

import (
	"syscall"
)

// incoming is a file that gets its place when it is whole. Until then it lies beside it under another name.
type incoming struct {
	actor *fileActor
	at    *place
	// beside is its name meanwhile.
	beside string
	fd     int
	// replaces is the file that has the place now.
	replaces *syscall.Stat_t
}

// newIncoming looks at the place and makes the file beside it; call it within the actor's do. flags: O_EXCL for a fresh one. It owns the place from then on, unless it fails.
func newIncoming(actor *fileActor, at *place, beside string, flags int) (*incoming, error) {
	f := &incoming{actor: actor, at: at, beside: beside}
	if err := f.look(); err != nil {
		return nil, err
	}
	var err error
	f.fd, err = openAt(at.dir, beside, syscall.O_RDWR|syscall.O_CREAT|syscall.O_NOFOLLOW|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// look tells what has the place: nothing, or a regular file the user may write.
func (f *incoming) look() error {
	if f.at.name == "." {
		return syscall.EISDIR
	}
	fd, err := openAt(f.at.dir, f.at.name, oPath|syscall.O_NOFOLLOW, 0)
	if err == syscall.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return err
	}
	switch {
	case isDir(&info):
		return syscall.EISDIR
	case !isRegular(&info):
		return syscall.EINVAL
	}
	const mayWrite = 2
	if err := accessAt(fd, "", mayWrite, atEmptyPath); err != nil {
		return err
	}
	f.replaces = &info
	return nil
}

// settle gives the file its owner and mode, flushes it and puts it into its place. mode nil: that of the file it replaces, or 0644.
func (f *incoming) settle(mode *uint32, durable bool) (final uint32, err error) {
	final, foreign, err := f.inherit()
	if err != nil {
		return 0, err
	}
	if mode != nil && *mode != final {
		final = *mode & 0o7777
		change := func() error { return syscall.Fchmod(f.fd, final) }
		if foreign { // only its owner may
			err = f.actor.do(change)
		} else {
			err = change()
		}
		if err != nil {
			return 0, err
		}
	}
	if durable {
		if _, err := uninterrupted(func() (int, error) { return 0, syscall.Fsync(f.fd) }); err != nil {
			return 0, err
		}
	}
	err = f.actor.do(func() error { return syscall.Renameat(f.at.dir, f.beside, f.at.dir, f.at.name) })
	if err != nil {
		return 0, err
	}
	f.beside = ""
	if durable {
		if err := f.at.sync(); err != nil {
			return 0, err
		}
	}
	return final, nil
}

// inherit gives the file owner and mode of the one it replaces; foreign: the user does not own it any more.
func (f *incoming) inherit() (mode uint32, foreign bool, err error) {
	mode = 0o644
	if old := f.replaces; old != nil {
		var own syscall.Stat_t
		if err := syscall.Fstat(f.fd, &own); err != nil {
			return 0, false, err
		}
		mode = old.Mode & 0o7777
		if old.Uid != own.Uid || old.Gid != own.Gid {
			// Who may write a file may not choose its owner; that it stays is the agent's doing. As with any write by others, its special bits go.
			foreign = true
			mode &^= syscall.S_ISUID | syscall.S_ISGID
			if err := syscall.Fchown(f.fd, int(old.Uid), int(old.Gid)); err != nil {
				return 0, false, err
			}
		}
	}
	return mode, foreign, syscall.Fchmod(f.fd, mode)
}

// close ends it; one that was not settled is removed unless keep is given.
func (f *incoming) close(keep bool) {
	_ = syscall.Close(f.fd) // settle has flushed what counts
	if f.beside != "" && !keep {
		_ = f.actor.do(func() error { return unlinkAt(f.at.dir, f.beside, 0) }) // the user may have removed it before
	}
	f.at.close()
}

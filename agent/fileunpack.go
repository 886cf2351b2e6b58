package main

import (
	"archive/tar"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"syscall"
	"time"
)

// maxLockedDirs is how many directories get their mode and time after everything is in them; the archive of more is refused.
const maxLockedDirs = 100_000

// unpacker puts the entries of a tar stream below a directory. The kernel resolves each name and lets none lead out of it (RESOLVE_BENEATH, openat2(2)).
type unpacker struct {
	actor *fileActor
	full  string
	root  int
	// owners: entries get the owners the archive names, with their special bits; else they are the user's.
	owners bool
	dirs   []unpackedDir
	count  int64
	bytes  int64
}

type unpackedDir struct {
	name    string
	mode    uint32
	modTime time.Time
}

// unpackArchive unpacks the request's body. Each file appears whole; what came before a failure stays.
func unpackArchive(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	u := &unpacker{actor: query.actor, full: query.path, root: -1, owners: query.flag("owners")}
	err = u.actor.do(func() (err error) {
		if query.flag("parents") {
			if err := makeParents(path.Join(query.path, "x")); err != nil {
				return err
			}
		}
		u.root, err = openAt(atFdcwd, query.path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		return err
	})
	if err != nil {
		return fileFail(err, "open", query.path)
	}
	defer syscall.Close(u.root)
	body := contentOf(r)
	if err := u.all(tar.NewReader(body)); err != nil {
		return err
	}
	// What follows the end of an archive is padding; a sender waits until it is read.
	if _, err := io.Copy(io.Discard, io.LimitReader(body, 1<<20)); err != nil {
		return fileFail(err, "unpack", query.path)
	}
	if err := syncAll(u.root); err != nil {
		return fileFail(err, "sync", query.path)
	}
	writeJSON(w, http.StatusOK, map[string]any{"path": query.path, "count": u.count, "totalBytes": u.bytes})
	return nil
}

func (u *unpacker) all(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return u.finishDirs()
		}
		if errors.Is(err, tar.ErrHeader) || err == io.ErrUnexpectedEOF {
			return refuse("EINVAL", "unpack", u.full, "the archive is damaged or ends early")
		}
		if err != nil {
			return fileFail(err, "unpack", u.full)
		}
		name := path.Clean("/" + header.Name)[1:]
		if strings.Contains("/"+header.Name+"/", "/../") || strings.ContainsRune(header.Name+header.Linkname, 0) {
			return refuse("EINVAL", "unpack", path.Join(u.full, name), "the name leads out of the directory")
		}
		if err := u.entry(header, name, archive); err != nil {
			return fileFail(err, "unpack", path.Join(u.full, name))
		}
		u.count++
	}
}

func (u *unpacker) entry(header *tar.Header, name string, content io.Reader) error {
	if header.Typeflag == tar.TypeDir {
		return u.directory(header, name)
	}
	if name == "" {
		return syscall.EISDIR
	}
	at, err := u.place(name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(header, at, content) // which closes the place
	}
	defer at.close()
	kind := uint32(syscall.S_IFLNK)
	switch header.Typeflag {
	case tar.TypeSymlink:
		err = u.actor.do(func() error {
			return replaced(at, func() error { return symlinkAt(header.Linkname, at.dir, at.name) })
		})
	case tar.TypeLink:
		return u.link(header, at)
	case tar.TypeFifo:
		kind = syscall.S_IFIFO
		err = u.actor.do(func() error {
			return replaced(at, func() error {
				return syscall.Mknodat(at.dir, at.name, syscall.S_IFIFO|uint32(header.Mode)&0o777, 0)
			})
		})
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return refuse("EPERM", "unpack", path.Join(u.full, name), "only files, directories and links are unpacked")
	}
	if err != nil {
		return err
	}
	return u.actor.do(func() error {
		return changeMade(at, kind, func(fd int) error { return u.attributes(header, fd) })
	})
}

// place opens the directory of a name, making what is missing of it.
func (u *unpacker) place(name string) (at *place, err error) {
	err = u.actor.do(func() error {
		dir, err := u.openDir(path.Dir(name))
		at = &place{dir: dir, name: path.Base(name), synced: true}
		return err
	})
	return at, err
}

// openDir opens a directory below the root and makes it where it is missing.
func (u *unpacker) openDir(name string) (int, error) {
	fd, err := openBeneath(u.root, name, syscall.O_RDONLY|syscall.O_DIRECTORY)
	if err != syscall.ENOENT || name == "." {
		return fd, err
	}
	above, err := u.openDir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer syscall.Close(above)
	if err := syscall.Mkdirat(above, path.Base(name), 0o755); err != nil && err != syscall.EEXIST {
		return -1, err
	}
	return openBeneath(u.root, name, syscall.O_RDONLY|syscall.O_DIRECTORY)
}

func (u *unpacker) directory(header *tar.Header, name string) error {
	if len(u.dirs) >= maxLockedDirs {
		return syscall.EFBIG
	}
	if name == "" {
		name = "."
	}
	fd := -1
	err := u.actor.do(func() (err error) {
		fd, err = u.openDir(name)
		return err
	})
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if name == "." {
		return nil // the directory was there, and is the caller's
	}
	if u.owners {
		if err := u.actor.do(func() error { return syscall.Fchown(fd, header.Uid, header.Gid) }); err != nil {
			return err
		}
	}
	u.dirs = append(u.dirs, unpackedDir{name, u.modeOf(header), header.ModTime})
	return nil
}

// finishDirs gives directories their modes and times, the inner ones first.
func (u *unpacker) finishDirs() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		dir := u.dirs[i]
		err := u.actor.do(func() error {
			fd, err := openBeneath(u.root, dir.name, syscall.O_RDONLY|syscall.O_DIRECTORY)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			if err := syscall.Fchmod(fd, dir.mode); err != nil {
				return err
			}
			return setTimes(fd, dir.modTime.Unix(), int64(dir.modTime.Nanosecond()))
		})
		if err != nil {
			return fileFail(err, "unpack", path.Join(u.full, dir.name))
		}
	}
	return nil
}

func (u *unpacker) modeOf(header *tar.Header) uint32 {
	if u.owners {
		return uint32(header.Mode) & 0o7777
	}
	return uint32(header.Mode) & 0o777
}

func (u *unpacker) file(header *tar.Header, at *place, content io.Reader) error {
	var file *incoming
	err := u.actor.do(func() error {
		// A link in its place is replaced, as tar does; a file is written as any other.
		if info, err := statAt(at.dir, at.name, atSymlinkNoFollow); err == nil && isSymlink(&info) {
			if err := unlinkAt(at.dir, at.name, 0); err != nil {
				return err
			}
		}
		var err error
		file, err = newIncoming(u.actor, at, besideName(at.name, randomName()), syscall.O_EXCL)
		return err
	})
	if err != nil {
		at.close()
		return err
	}
	defer file.close(false)
	size, err := receiveContent(content, file.fd, 0, -1)
	if err == io.ErrUnexpectedEOF {
		return refuse("EINVAL", "unpack", u.full, "the archive ends early")
	}
	if err != nil {
		return err
	}
	u.bytes += size
	if u.owners {
		file.replaces = nil
	}
	if err := u.actor.do(func() error { return u.attributes(header, file.fd) }); err != nil {
		return err
	}
	mode := u.modeOf(header)
	_, err = file.settle(&mode, false)
	return err
}

// link gives what was unpacked before, or lies below the root, another name.
func (u *unpacker) link(header *tar.Header, at *place) error {
	target := path.Clean("/" + header.Linkname)[1:]
	if target == "" || strings.Contains("/"+header.Linkname+"/", "/../") {
		return syscall.EINVAL
	}
	return u.actor.do(func() error {
		from, err := openBeneath(u.root, path.Dir(target), syscall.O_RDONLY|syscall.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer syscall.Close(from)
		return replaced(at, func() error { return linkAt(from, path.Base(target), at.dir, at.name) })
	})
}

// attributes are owner and time of an entry.
func (u *unpacker) attributes(header *tar.Header, fd int) error {
	if u.owners {
		if err := syscall.Fchownat(fd, "", header.Uid, header.Gid, atEmptyPath); err != nil {
			return err
		}
	}
	return setTimes(fd, header.ModTime.Unix(), int64(header.ModTime.Nanosecond()))
}

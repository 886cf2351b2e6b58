package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"syscall"
	"time"
)

// archiver writes what lies at a path as a tar stream. First it looks whether everything can be read and how much there is: once bytes flow, a failure can only break them.
type archiver struct {
	tree
	actor   *fileActor
	entries int64
	bytes   int64
	out     *tar.Writer
}

// sendArchive sends a tree; names are relative to it. A file is one entry, under its own name.
func sendArchive(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	a := &archiver{tree: tree{ctx: r.Context(), operation: "archive"}, actor: query.actor}
	name, err := a.survey(query.path)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/x-tar")
	header.Set("X-Archive-Entries", strconv.FormatInt(a.entries, 10))
	header.Set("X-Archive-Bytes", strconv.FormatInt(a.bytes, 10))
	out := bufio.NewWriterSize(w, copyBytes)
	a.out = tar.NewWriter(out)
	err = a.entry(atFdcwd, query.path, query.path, name, 0)
	if err = errors.Join(err, a.out.Close()); err == nil {
		err = out.Flush()
	}
	if err != nil {
		if r.Context().Err() == nil {
			logf("archive of %q broke off: %v", query.path, err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// survey counts and looks whether the user may read; the name of the first entry.
func (a *archiver) survey(full string) (name string, err error) {
	name = path.Base(full)
	err = a.actor.do(func() error {
		info, err := statAt(atFdcwd, full, 0)
		if err == nil && isDir(&info) {
			name = "."
		}
		return a.look(atFdcwd, full, full, 0)
	})
	return name, err
}

// look is survey's look at one entry and what is below it. The thread is the user's already.
func (a *archiver) look(dir int, name, full string, depth int) error {
	const mayRead, mayEnter = 4, 1
	info, err := statAt(dir, name, statLinks(depth))
	if err == syscall.ENOENT && depth > 0 {
		return nil // it has gone meanwhile
	}
	if err != nil {
		return a.fail(err, full)
	}
	a.entries++
	switch {
	case isDir(&info):
		if err := accessAt(dir, name, mayRead|mayEnter, statLinks(depth)); err != nil {
			return a.fail(err, full)
		}
		opened, err := openDir(dir, name, openLinks(depth))
		if err != nil {
			return a.fail(err, full)
		}
		defer opened.Close()
		return a.childrenOf(opened, full, depth, a.look)
	case isRegular(&info):
		a.bytes += info.Size
		if err := accessAt(dir, name, mayRead, statLinks(depth)); err != nil && !(err == syscall.ENOENT && depth > 0) {
			return a.fail(err, full)
		}
	}
	return nil
}

// entry writes one entry and what is below it. Only opening is done as the user.
func (a *archiver) entry(dir int, name, full, inside string, depth int) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	var info syscall.Stat_t
	var link string
	fd := -1
	err := a.actor.do(func() (err error) {
		if info, err = statAt(dir, name, statLinks(depth)); err != nil {
			return err
		}
		switch {
		case isDir(&info):
			fd, err = openAt(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY|openLinks(depth), 0)
		case isRegular(&info):
			fd, info, err = openContent(dir, name, openLinks(depth))
		case isSymlink(&info):
			link, err = readLinkAt(dir, name)
		}
		return err
	})
	if err == syscall.ENOENT && depth > 0 {
		return nil // it has gone since it was listed
	}
	if err != nil {
		return a.fail(err, full)
	}
	if fd >= 0 {
		defer func() { _ = syscall.Close(fd) }() // only read
	}
	header := headerOf(&info, inside, link)
	if header == nil {
		return nil // a socket has nothing to keep
	}
	if err := a.out.WriteHeader(header); err != nil {
		return err
	}
	switch {
	case isRegular(&info):
		return sendSized(a.ctx, a.out, fd, info.Size)
	case isDir(&info):
		return a.below(fd, full, inside, depth)
	}
	return nil
}

func (a *archiver) below(fd int, full, inside string, depth int) error {
	opened, err := openDir(fd, ".", 0)
	if err != nil {
		return a.fail(err, full)
	}
	defer opened.Close()
	return a.childrenOf(opened, full, depth, func(dir int, name, full string, depth int) error {
		return a.entry(dir, name, full, path.Join(inside, name), depth)
	})
}

func headerOf(info *syscall.Stat_t, name, link string) *tar.Header {
	header := &tar.Header{Name: name, Mode: int64(info.Mode & 0o7777), Uid: int(info.Uid), Gid: int(info.Gid),
		ModTime: time.Unix(info.Mtim.Sec, info.Mtim.Nsec), Format: tar.FormatPAX, Linkname: link}
	switch info.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		header.Typeflag, header.Size = tar.TypeReg, info.Size
	case syscall.S_IFDIR:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case syscall.S_IFLNK:
		header.Typeflag = tar.TypeSymlink
	case syscall.S_IFIFO:
		header.Typeflag = tar.TypeFifo
	case syscall.S_IFCHR, syscall.S_IFBLK:
		header.Typeflag = tar.TypeChar
		if info.Mode&syscall.S_IFMT == syscall.S_IFBLK {
			header.Typeflag = tar.TypeBlock
		}
		header.Devmajor, header.Devminor = int64(info.Rdev>>8&0xfff), int64(info.Rdev&0xff|info.Rdev>>12&0xfff00)
	default:
		return nil
	}
	return header
}

// sendSized writes exactly size bytes, as the header promised: what a file has gained meanwhile is left out, what it has lost is zeros, as tar itself does it.
func sendSized(ctx context.Context, out io.Writer, fd int, size int64) error {
	buf := make([]byte, min(copyBytes, max(size, 1)))
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(int64(len(buf)), size-at)]
		n, err := uninterrupted(func() (int, error) { return syscall.Pread(fd, piece, at) })
		if err != nil {
			return err
		}
		if n == 0 {
			clear(piece)
			n = len(piece)
		}
		if _, err := out.Write(piece[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

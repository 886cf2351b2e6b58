package main

import (
	"io"
	"net/http"
	"regexp"
	"syscall"
)

// preallocateBytes: a larger file gets its room before the first byte, so that a full disk is told at once.
const preallocateBytes = 1 << 20

var uploadID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// upload is what a request says of the upload it is a part of.
type upload struct {
	id            string
	offset, total int64
}

func (q *fileQuery) upload() (*upload, error) {
	id := q.values.Get("upload")
	if id == "" {
		return nil, nil
	}
	offset, _, err := q.number("offset")
	if err != nil {
		return nil, err
	}
	total, _, err := q.number("total")
	if err != nil {
		return nil, err
	}
	if !uploadID.MatchString(id) || offset < 0 || total < 0 || offset > total {
		return nil, refuse("EINVAL", "open", q.path, "this is no part of an upload")
	}
	return &upload{id, offset, total}, nil
}

// writeContent makes a file of the request's body. It appears whole or not at all.
func writeContent(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	mode, err := query.mode()
	if err != nil {
		return err
	}
	part, err := query.upload()
	if err != nil {
		return err
	}
	file, err := query.openIncoming(part)
	if err != nil {
		return fileFail(err, "open", query.path)
	}
	keep := part != nil
	defer func() { file.close(keep) }()
	at, limit := int64(0), int64(-1)
	if part != nil {
		if at, err = file.continueAt(query.path, part); err != nil {
			return err
		}
		limit = part.total
	}
	if r.ContentLength > preallocateBytes {
		const keepSize = 1
		if err := syscall.Fallocate(file.fd, keepSize, at, r.ContentLength); err == syscall.ENOSPC {
			return fileFail(err, "write", query.path)
		}
	}
	size, err := receiveContent(contentOf(r), file.fd, at, limit)
	if err != nil {
		return fileFail(err, "write", query.path)
	}
	if part != nil && size < part.total {
		writeJSON(w, http.StatusOK, map[string]any{"path": query.path, "sizeBytes": size, "mode": modeText(0o600)})
		return nil
	}
	final, err := file.settle(mode, true)
	if err != nil {
		return fileFail(err, "write", query.path)
	}
	writeJSON(w, http.StatusOK, map[string]any{"path": query.path, "sizeBytes": size, "mode": modeText(final)})
	return nil
}

// openIncoming makes the file beside its place, or takes up the one of an upload.
func (q *fileQuery) openIncoming(part *upload) (file *incoming, err error) {
	err = q.actor.do(func() error {
		if q.flag("parents") {
			if err := makeParents(q.path); err != nil {
				return err
			}
		}
		at, _, err := openTarget(q.path)
		if err != nil {
			return err
		}
		beside, flags := besideName(at.name, randomName()), syscall.O_EXCL
		if part != nil {
			beside, flags = besideName(at.name, "upload-"+part.id), 0
		}
		if file, err = newIncoming(q.actor, at, beside, flags); err != nil {
			at.close()
		}
		return err
	})
	return file, err
}

// continueAt checks that the upload's file is ours alone and as long as the host thinks.
func (f *incoming) continueAt(path string, part *upload) (int64, error) {
	var info syscall.Stat_t
	if err := syscall.Fstat(f.fd, &info); err != nil {
		return 0, fileFail(err, "open", path)
	}
	if !f.actor.owns(&info) {
		return 0, refuse("EEXIST", "open", path, "something else has the place of the upload")
	}
	if err := syscall.Flock(f.fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, refuse("EBUSY", "open", path, "a part of this upload is still on its way")
	}
	if err := syscall.Fstat(f.fd, &info); err != nil {
		return 0, fileFail(err, "open", path)
	}
	if info.Size != part.offset {
		bad := refuse("EEXIST", "open", path, "the upload goes on elsewhere")
		bad.SizeBytes = &info.Size
		return 0, bad
	}
	return info.Size, nil
}

// owns tells whether a file is a regular one that the user made and nobody else has a name for.
func (a *fileActor) owns(info *syscall.Stat_t) bool {
	uid := a.account.uid
	if a.asSelf {
		uid = uint32(syscall.Geteuid())
	}
	return isRegular(info) && info.Uid == uid && info.Nlink == 1
}

// receiveContent writes a body from an offset on; the size afterwards. More than limit is refused unless limit is negative.
func receiveContent(body io.Reader, fd int, at, limit int64) (int64, error) {
	buf := make([]byte, copyBytes)
	for {
		n, err := body.Read(buf)
		if limit >= 0 && at+int64(n) > limit {
			return at, syscall.EFBIG
		}
		if writeErr := writeAt(fd, buf[:n], at); writeErr != nil {
			return at, writeErr
		}
		at += int64(n)
		if err == io.EOF {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}

// uploadState tells how much of an upload is there.
func uploadState(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	id := query.values.Get("upload")
	if !uploadID.MatchString(id) {
		return refuse("EINVAL", "open", query.path, "this is no upload")
	}
	var size int64
	err = query.actor.do(func() error {
		at, _, err := openTarget(query.path)
		if err != nil {
			return err
		}
		defer at.close()
		info, err := statAt(at.dir, besideName(at.name, "upload-"+id), atSymlinkNoFollow)
		if err == nil && query.actor.owns(&info) {
			size = info.Size
		}
		return nil // nothing is there of an upload that has not begun
	})
	if err != nil && codeOf(err) != "ENOENT" {
		return fileFail(err, "open", query.path)
	}
	writeJSON(w, http.StatusOK, map[string]any{"sizeBytes": size})
	return nil
}

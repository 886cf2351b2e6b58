package main

import (
	"io"
	"net/http"
	"strconv"
	"syscall"
)

// readContent sends a regular file, or a part of it. What it has lost meanwhile breaks the stream; what it has gained is not sent.
func readContent(w http.ResponseWriter, r *http.Request) error {
	query, err := readFileQuery(r)
	if err != nil {
		return err
	}
	var fd int
	var info syscall.Stat_t
	err = query.actor.do(func() (err error) {
		fd, info, err = openContent(atFdcwd, query.path, 0)
		return err
	})
	if err != nil {
		return fileFail(err, "open", query.path)
	}
	defer syscall.Close(fd)
	start, count, err := query.contentRange(info.Size)
	header := w.Header()
	header.Set("X-File-Size", strconv.FormatInt(info.Size, 10))
	if err != nil {
		return err
	}
	header.Set("X-File-Mode", modeText(info.Mode))
	header.Set("X-File-Mtime", strconv.FormatInt(info.Mtim.Sec*1000+info.Mtim.Nsec/1e6, 10))
	header.Set("X-Content-Offset", strconv.FormatInt(start, 10))
	header.Set("Content-Type", "application/octet-stream")
	// The kernel's own files have a content and no size.
	if err := sendContent(w, fd, start, count, info.Size == 0); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// openContent opens a regular file for reading.
func openContent(dir int, name string, flags int) (fd int, info syscall.Stat_t, err error) {
	fd, err = openAt(dir, name, syscall.O_RDONLY|flags, 0)
	if err != nil {
		return -1, info, err
	}
	if err = syscall.Fstat(fd, &info); err == nil && isDir(&info) {
		err = syscall.EISDIR
	}
	if err == nil && !isRegular(&info) {
		err = refuse("EINVAL", "open", name, "not a regular file")
	}
	if err != nil {
		_ = syscall.Close(fd) // nothing was written
		return -1, info, err
	}
	return fd, info, nil
}

// contentRange resolves offset and length; a negative offset counts from the end.
func (q *fileQuery) contentRange(size int64) (start, count int64, err error) {
	start, ranged, err := q.number("offset")
	if err != nil {
		return 0, 0, err
	}
	length, limited, err := q.number("length")
	if err != nil {
		return 0, 0, err
	}
	if start < 0 {
		start = max(0, size+start)
	}
	if ranged && start >= size || limited && length < 0 {
		return 0, 0, &fileFailure{Text: "read " + q.path + ": the range lies outside the file", Path: q.path, Code: "EINVAL", status: http.StatusRequestedRangeNotSatisfiable}
	}
	count = size - start
	if limited {
		count = min(count, length)
	}
	return start, count, nil
}

func sendContent(w io.Writer, fd int, start, count int64, toTheEnd bool) error {
	buf := make([]byte, min(copyBytes, max(count, 4<<10)))
	for count > 0 || toTheEnd {
		piece := buf
		if !toTheEnd {
			piece = buf[:min(int64(len(buf)), count)]
		}
		n, err := uninterrupted(func() (int, error) { return syscall.Pread(fd, piece, start) })
		if toTheEnd && (n <= 0 || err != nil) {
			return nil // such a file has no more to say now
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(piece[:n]); err != nil {
			return err
		}
		start, count = start+int64(n), count-int64(n)
	}
	return nil
}

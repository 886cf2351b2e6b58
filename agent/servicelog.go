package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxLogBytes is how long a log grows before it becomes the older one.
	maxLogBytes = 10 << 20
	// maxLogLineBytes cuts longer lines of output into several.
	maxLogLineBytes = 64 << 10
	// maxTailBytes bounds what of a log is read for an answer.
	maxTailBytes = 2 << 20
	// logTime is RFC 3339 with milliseconds, in UTC.
	logTime = "2006-01-02T15:04:05.000Z"
)

// serviceLog takes a service's output: into a file of the guest's disk, and to those who follow. The file is opened for each piece, so that nobody has to be told when it is renamed or removed,
// or the disk is to become read-only. A full disk costs lines, never the service.
type serviceLog struct {
	path string
	feed serviceFeed

	mu      sync.Mutex
	missing int   // lines that could not be written since the last that was
	cause   error // why
}

// name is that of its file.
func (l *serviceLog) name() string { return filepath.Base(l.path) }

// write adds lines of one stream, each with its newline if it had one.
func (l *serviceLog) write(stream string, lines [][]byte) {
	now := time.Now().UTC()
	text, events := &bytes.Buffer{}, make([]serviceEvent, 0, len(lines))
	for _, line := range lines {
		fmt.Fprintf(text, "%s [%s] %s\n", now.Format(logTime), stream, bytes.TrimSuffix(line, []byte("\n")))
		events = append(events, serviceEvent{Type: stream, Timestamp: now.UnixMilli()}.withData(string(line)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store(text.Bytes(), len(lines), now)
	l.feed.add(events...)
}

// store appends to the file. The caller holds the lock.
func (l *serviceLog) store(text []byte, lines int, now time.Time) {
	if l.missing > 0 {
		note := fmt.Sprintf("%s [stderr] sylph: %d lines are missing here: %v\n", now.Format(logTime), l.missing, l.cause)
		text = append([]byte(note), text...)
	}
	if err := appendLog(l.path, text); err != nil {
		l.missing += lines
		l.cause = err
		return
	}
	l.missing = 0
}

// appendLog adds a piece to a log whole or not at all, and begins a new file when the old one is long.
func appendLog(path string, text []byte) error {
	fd, sizeBytes, err := openLog(path)
	if err != nil {
		return err
	}
	if sizeBytes > 0 && sizeBytes+int64(len(text)) > maxLogBytes {
		if os.Rename(path, path+".1") == nil {
			_ = syscall.Close(fd) // nothing was written with it
			if fd, sizeBytes, err = openLog(path); err != nil {
				return err
			}
		} else if err := syscall.Ftruncate(fd, 0); err != nil { // something has the older one's place
			_ = syscall.Close(fd) // as above
			return err
		} else {
			sizeBytes = 0
		}
	}
	err = writeAt(fd, text, sizeBytes)
	if err != nil {
		err = errors.Join(err, syscall.Ftruncate(fd, sizeBytes))
	}
	return errors.Join(err, syscall.Close(fd))
}

// openLog opens a log, or makes it. What is no file in its place is refused, and never waited for.
func openLog(path string) (fd int, sizeBytes int64, err error) {
	open := func() (int, error) {
		return uninterrupted(func() (int, error) {
			return syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0o644)
		})
	}
	fd, err = open()
	if err == syscall.ENOENT {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return -1, 0, err
		}
		fd, err = open()
	}
	if err != nil {
		return -1, 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var info syscall.Stat_t
	if err = syscall.Fstat(fd, &info); err == nil && !isRegular(&info) {
		err = errNotRegular
	}
	if err != nil {
		_ = syscall.Close(fd) // nothing was written
		return -1, 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, info.Size, nil
}

// tail returns the newest lines as events, oldest first, and, if wanted, a follower that begins right behind them.
func (l *serviceLog) tail(count int, follow bool) ([]serviceEvent, *serviceFollower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var follower *serviceFollower
	if follow {
		follower = l.feed.follow()
	}
	if count == 0 {
		return nil, follower
	}
	lines, whole := tailOf(l.path, count)
	if whole && len(lines) < count {
		older, _ := tailOf(l.path+".1", count-len(lines))
		lines = append(older, lines...)
	}
	events := make([]serviceEvent, 0, len(lines))
	last := int64(0)
	for _, line := range lines {
		event := parseLogLine(line, last)
		last = event.Timestamp
		events = append(events, event)
	}
	return events, follower
}

// tailOf reads the newest lines of a file; whole: there are no others in it. A file that cannot be read has none.
func tailOf(path string, count int) (lines []string, whole bool) {
	fd, info, err := openRegular(path, syscall.O_RDONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return nil, true
	}
	defer syscall.Close(fd)
	sizeBytes := min(info.Size, maxTailBytes)
	text := make([]byte, sizeBytes)
	n, err := uninterrupted(func() (int, error) { return syscall.Pread(fd, text, info.Size-sizeBytes) })
	if err != nil || n == 0 {
		return nil, true
	}
	lines = strings.Split(strings.TrimSuffix(string(text[:n]), "\n"), "\n")
	whole = sizeBytes == info.Size
	if !whole {
		lines = lines[1:] // its beginning was not read
	}
	if len(lines) > count {
		lines, whole = lines[len(lines)-count:], false
	}
	return lines, whole
}

// parseLogLine reads a line back. One that somebody else wrote is taken as output of the time of the line before.
func parseLogLine(line string, before int64) serviceEvent {
	if len(line) > maxLogLineBytes+len(logTime)+len(" [stdout] ") {
		line = line[:maxLogLineBytes]
	}
	moment, rest, _ := strings.Cut(line, " ")
	if at, err := time.Parse(logTime, moment); err == nil {
		for _, stream := range []string{"stdout", "stderr"} {
			if text, ok := strings.CutPrefix(rest, "["+stream+"] "); ok {
				return serviceEvent{Type: stream, Timestamp: at.UnixMilli()}.withData(text + "\n")
			}
		}
	}
	return serviceEvent{Type: "stdout", Timestamp: before}.withData(line + "\n")
}

// pump passes a stream on by lines until it ends, and closes it.
func (l *serviceLog) pump(stream string, file *os.File) {
	cutter := &lineCutter{}
	buffer := make([]byte, 32<<10)
	for {
		n, err := file.Read(buffer)
		if lines := cutter.push(buffer[:n]); len(lines) > 0 {
			l.write(stream, lines)
		}
		if err != nil {
			break
		}
	}
	if len(cutter.rest) > 0 {
		l.write(stream, [][]byte{cutter.rest})
	}
	_ = file.Close() // a reading end: nothing to flush
}

// lineCutter makes lines of pieces.
type lineCutter struct{ rest []byte }

// push returns the lines a piece completes, with their newlines; a line that is too long comes in several parts without.
func (c *lineCutter) push(piece []byte) [][]byte {
	lines := [][]byte{}
	for len(piece) > 0 {
		end := bytes.IndexByte(piece, '\n') + 1
		if end == 0 {
			end = len(piece)
		}
		end = min(end, maxLogLineBytes-len(c.rest))
		c.rest = append(c.rest, piece[:end]...)
		piece = piece[end:]
		if c.rest[len(c.rest)-1] == '\n' || len(c.rest) == maxLogLineBytes {
			lines = append(lines, c.rest)
			c.rest = nil
		}
	}
	return lines
}

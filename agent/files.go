package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Every path of the root disk belongs to the guest's root, who may put a pipe, a device or a link in the place of a file, or leave no room for a byte.
// What is opened here never waits, is known to be a regular file before it is used, and is written so that a failure leaves it as it was.

// errNotRegular: something else has the place of a file.
var errNotRegular = errors.New("not a regular file")

// openRegular opens a file that exists with the access mode and further flags given. The caller closes the descriptor.
func openRegular(path string, flags int) (fd int, info syscall.Stat_t, err error) {
	fd, err = uninterrupted(func() (int, error) {
		return syscall.Open(path, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, info, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err = syscall.Fstat(fd, &info); err == nil && !isRegular(&info) {
		err = errNotRegular
	}
	if err != nil {
		_ = syscall.Close(fd) // nothing was written
		return -1, info, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, info, nil
}

// readSmall returns the first maxBytes of a file, all of it if it has less.
func readSmall(path string, maxBytes int) ([]byte, error) {
	fd, info, err := openRegular(path, syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	// The size is a guess: the kernel's own files have none. One byte more finds the end.
	text := make([]byte, 0, min(max(int(min(info.Size, int64(maxBytes)))+1, blockBytes), maxBytes))
	for len(text) < maxBytes {
		if len(text) == cap(text) {
			text = append(make([]byte, 0, min(2*cap(text), maxBytes)), text...)
		}
		n, err := uninterrupted(func() (int, error) { return syscall.Read(fd, text[len(text):cap(text)]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		text = text[:len(text)+n]
	}
	return text, nil
}

// writeSetting gives one of the kernel's own files a value.
func writeSetting(path, value string) error {
	fd, _, err := openRegular(path, syscall.O_WRONLY)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := writeAt(fd, []byte(value), 0); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// writeFile gives a file a text; one that holds it already is left alone. It makes missing folders, and a missing file with the given mode. A symbolic link, or a
// file with other names, is replaced, not followed. On failure, as on a full disk, the path is what it was: the old text stays, and no empty file appears.
//
// A small file is written in place: replacing one by a rename costs a new inode, and ext4 then starts to write back at once (auto_da_alloc, ext4(5)), which every
// first use of a sprite would wait for. A loss of power can leave the old text, or the new one with the old one's end.
func writeFile(path, text string, mode fs.FileMode) error {
	if overwrite(path, text, blockBytes) == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	beside := path + ".sylph-new"
	if err := createFile(beside, text, mode); err != nil {
		return err
	}
	err := os.Rename(beside, path)
	if err == nil {
		return nil
	}
	err = errors.Join(err, os.Remove(beside))
	// A mount point cannot be replaced. There is room: the text was beside it.
	if overwrite(path, text, etcFileLimitBytes) == nil {
		return nil
	}
	return err
}

// createFile makes a file that holds a text. What had its name is removed; after a failure nothing has it.
func createFile(path, text string, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := uninterrupted(func() (int, error) {
		return syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, uint32(mode))
	})
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	err = writeAt(fd, []byte(text), 0)
	if closeErr := syscall.Close(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(&fs.PathError{Op: "write", Path: path, Err: err}, os.Remove(path))
	}
	return nil
}

// overwrite writes a text over a file that has no other name, unless one of both is larger than maxBytes; equal texts are never too large.
// A failure puts back what was there, for which no room is needed.
func overwrite(path, text string, maxBytes int64) error {
	fd, info, err := openRegular(path, syscall.O_RDWR|syscall.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	small := max(info.Size, int64(len(text))) <= maxBytes
	if !small && info.Size != int64(len(text)) {
		return syscall.EFBIG
	}
	have := make([]byte, info.Size)
	if err := readAt(fd, have); err != nil || string(have) == text {
		return err
	}
	if !small {
		return syscall.EFBIG
	}
	if info.Nlink != 1 {
		return syscall.EMLINK
	}
	err = writeAt(fd, []byte(text), 0)
	if err == nil && len(have) > len(text) {
		err = syscall.Ftruncate(fd, int64(len(text)))
	}
	if err != nil {
		return errors.Join(err, writeAt(fd, have, 0), syscall.Ftruncate(fd, info.Size))
	}
	return nil
}

// readAt fills buf from the beginning of a file.
func readAt(fd int, buf []byte) error {
	for at := 0; at < len(buf); {
		n, err := uninterrupted(func() (int, error) { return syscall.Pread(fd, buf[at:], int64(at)) })
		if err == nil && n == 0 {
			err = syscall.EIO // it has shrunk meanwhile
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

func writeAt(fd int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := uninterrupted(func() (int, error) { return syscall.Pwrite(fd, data, at) })
		if err == nil && n == 0 {
			err = syscall.EIO
		}
		if err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// uninterrupted repeats a call that a signal ended.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

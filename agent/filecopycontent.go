package main

import (
	"syscall"
)

// content copies a regular file, its holes as holes. The thread is the user's already.
func (c *copier) content(dir int, name string, to *place, depth int) error {
	from, info, err := openContent(dir, name, openLinks(depth))
	if err != nil {
		return err
	}
	defer syscall.Close(from)
	own, err := openAt(to.dir, ".", oPath|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	at := &place{dir: own, name: to.name}
	file, err := newIncoming(&fileActor{asSelf: true}, at, besideName(to.name, randomName()), syscall.O_EXCL)
	if err != nil {
		at.close()
		return err
	}
	defer file.close(false)
	if err := c.spans(from, file.fd, info.Size); err != nil {
		return err
	}
	var mode *uint32
	if c.preserve {
		file.replaces = nil
		if err := keepAttributes(file.fd, &info); err != nil {
			return err
		}
		var now syscall.Stat_t
		if err := syscall.Fstat(file.fd, &now); err != nil {
			return err
		}
		mode = &now.Mode
	} else if file.replaces == nil {
		usual := info.Mode & 0o777 &^ 0o022
		mode = &usual
	}
	_, err = file.settle(mode, false)
	return err
}

// spans copies the parts of a file that hold data (lseek(2)).
func (c *copier) spans(from, to int, size int64) error {
	const seekData, seekHole = 3, 4
	buf := make([]byte, copyBytes)
	for at := int64(0); at < size; {
		start, err := syscall.Seek(from, at, seekData)
		if err == syscall.ENXIO {
			break // nothing but a hole follows
		}
		end := size
		if err == nil {
			end, err = syscall.Seek(from, start, seekHole)
		}
		if err == syscall.EINVAL { // this file system knows no holes
			start, end, err = at, size, nil
		}
		if err != nil {
			return err
		}
		for at = start; at < end; {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			n, err := uninterrupted(func() (int, error) { return syscall.Pread(from, buf[:min(int64(len(buf)), end-at)], at) })
			if err != nil {
				return err
			}
			if n == 0 { // it has shrunk
				size, end = at, at
				break
			}
			if err := writeAt(to, buf[:n], at); err != nil {
				return err
			}
			at, c.bytes = at+int64(n), c.bytes+int64(n)
		}
	}
	return syscall.Ftruncate(to, size)
}

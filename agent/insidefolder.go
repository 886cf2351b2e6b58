package main

import (
	"bytes"
	"embed"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// insideFiles are texts of /.sprite: what people and programs in the sprite are told of it.
//
//go:embed folder
var insideFiles embed.FS

// profileScript leads login shells to /.sprite.
//
//go:embed profile.sh
var profileScript string

// spriteEnvName is the file that holds this program; the others are links to it.
const spriteEnvName = "sprite-env"

// otherNames of this program in /.sprite/bin.
var otherNames = []string{"sprite-browser", "sprite-console", "xdg-open", "open", sftpServerName}

// prepareInside fills /.sprite below root, and its hook in /etc/profile.d, at boot: what is there already, or cannot be written, stays as it is. Programs find sprite-env there,
// which is this program.
func prepareInside(root string) {
	root = filepath.Join("/", root)
	folder := filepath.Join(root, ".sprite")
	failures := []error{writeTexts(folder), os.MkdirAll(filepath.Join(folder, "bin"), 0o755), os.MkdirAll(filepath.Join(folder, "logs/services"), 0o755),
		writeFile(filepath.Join(folder, "version.txt"), version+"\n", 0o644),
		writeFile(filepath.Join(root, "etc/profile.d/sprite.sh"), profileScript, 0o644),
		installProgram("/proc/self/exe", filepath.Join(folder, "bin", spriteEnvName))}
	for _, name := range otherNames {
		failures = append(failures, placeLink(spriteEnvName, filepath.Join(folder, "bin", name)))
	}
	if err := errors.Join(failures...); err != nil {
		logf("/.sprite: %v", err)
	}
}

// writeTexts writes all of insideFiles; a failure of one does not keep the others from being written.
func writeTexts(folder string) error {
	failures := []error{}
	walked := fs.WalkDir(insideFiles, "folder", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := insideFiles.ReadFile(name)
		if err == nil {
			err = writeFile(filepath.Join(folder, strings.TrimPrefix(name, "folder/")), string(text), 0o644)
		}
		failures = append(failures, err)
		return nil
	})
	return errors.Join(append(failures, walked)...)
}

// placeLink makes a symbolic link, in the place of whatever file is there.
func placeLink(target, path string) error {
	if found, err := os.Readlink(path); err == nil && found == target {
		return nil
	}
	beside := path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, beside); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}

// installProgram copies a program unless it is there already.
func installProgram(from, to string) error {
	if sameContent(from, to) {
		return nil
	}
	beside := to + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := copyFile(from, beside, make([]byte, 256<<10))
	if err == nil {
		err = os.Chmod(beside, 0o755)
	}
	if err == nil {
		err = os.Rename(beside, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}

// sameContent compares a program with what has the place of its copy, without waiting for that.
func sameContent(program, copied string) bool {
	source, err := os.Open(program)
	if err != nil {
		return false
	}
	defer source.Close()
	fd, info, err := openRegular(copied, os.O_RDONLY)
	if err != nil {
		return false
	}
	target := os.NewFile(uintptr(fd), copied)
	defer target.Close()
	if whole, err := source.Stat(); err != nil || whole.Size() != info.Size || info.Mode&0o111 == 0 {
		return false
	}
	a, b := make([]byte, 128<<10), make([]byte, 128<<10)
	for {
		n, err := io.ReadFull(source, a)
		m, otherErr := io.ReadFull(target, b)
		if !bytes.Equal(a[:n], b[:m]) || err != otherErr {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sftpMessage puts a message together: numbers as u32, int64 as u64, text with its length.
func sftpMessage(kind byte, fields ...any) []byte {
	a := sftpAnswer{bytes: []byte{0, 0, 0, 0, kind}}
	for _, field := range fields {
		switch value := field.(type) {
		case int:
			a.uint32(uint32(value))
		case int64:
			a.uint64(uint64(value))
		case string:
			a.string(value)
		}
	}
	return bytes.Clone(a.finish())
}

// askSFTP sends messages behind the greeting and returns the answers to them.
func askSFTP(t *testing.T, messages ...[]byte) [][]byte {
	t.Helper()
	var out bytes.Buffer
	must(t, serveSFTP(bytes.NewReader(append(sftpMessage(sftpInit, 3), bytes.Join(messages, nil)...)), &out))
	answers := [][]byte{}
	for out.Len() > 0 {
		length := binary.BigEndian.Uint32(out.Next(4))
		answers = append(answers, bytes.Clone(out.Next(int(length))))
	}
	if len(answers) != len(messages)+1 || answers[0][0] != sftpVersion {
		t.Fatalf("%d answers to %d messages", len(answers), len(messages))
	}
	return answers[1:]
}

// expectStatus wants an answer to be a status of this code.
func expectStatus(t *testing.T, what string, answer []byte, code uint32) {
	t.Helper()
	m := &sftpReader{rest: answer[1:]}
	m.uint32()
	if got := m.uint32(); answer[0] != sftpStatus || got != code || m.bad {
		t.Errorf("%s: type %d, code %d, not %d", what, answer[0], got, code)
	}
}

const noAttributes = 0

func TestSFTPWritesReadsAndRenamesFiles(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	handle := "\x00\x00\x00\x00"
	answers := askSFTP(t,
		sftpMessage(sftpOpen, 1, file, sftpFlagWrite|sftpFlagCreate|sftpFlagExcl, sftpAttrMode, 0o600),
		sftpMessage(sftpWrite, 2, handle, int64(0), "hello"),
		sftpMessage(sftpWrite, 3, handle, int64(10), "there"),
		sftpMessage(sftpClose, 4, handle),
		sftpMessage(sftpOpen, 5, file, sftpFlagRead, noAttributes),
		sftpMessage(sftpRead, 6, handle, int64(3), 100),
		sftpMessage(sftpRead, 7, handle, int64(15), 100),
		sftpMessage(sftpWrite, 8, handle, int64(0), "no"),
		sftpMessage(sftpClose, 9, handle),
		sftpMessage(sftpClose, 10, handle),
		sftpMessage(sftpRename, 11, file, other),
		sftpMessage(sftpOpen, 12, file, sftpFlagWrite|sftpFlagCreate, noAttributes),
		sftpMessage(sftpRename, 13, file, other),
		sftpMessage(sftpExtended, 14, "posix-rename@openssh.com", file, other),
		sftpMessage(sftpStat, 15, file),
	)
	if want := append([]byte{sftpData, 0, 0, 0, 6, 0, 0, 0, 12}, "lo\x00\x00\x00\x00\x00there"...); !bytes.Equal(answers[5], want) {
		t.Errorf("read %q", answers[5])
	}
	for place, code := range map[int]uint32{1: sftpOK, 2: sftpOK, 3: sftpOK, 6: sftpEOF, 7: sftpNoSuchFile, 8: sftpOK, 9: sftpNoSuchFile, 10: sftpOK, 12: sftpFailure, 13: sftpOK, 14: sftpNoSuchFile} {
		expectStatus(t, "message "+string(rune('A'+place)), answers[place], code)
	}
	info, err := os.Stat(other)
	must(t, err)
	if info.Size() != 0 {
		t.Errorf("%d bytes: posix-rename did not take the place of the other file", info.Size())
	}
}

func TestSFTPListsAndDescribes(t *testing.T) {
	dir := t.TempDir()
	for i := range 250 {
		must(t, os.WriteFile(filepath.Join(dir, "file"+strings.Repeat("x", i%40)+string(rune('a'+i%26))+string(rune('a'+i/26))), nil, 0o644))
	}
	must(t, os.Symlink("somewhere", filepath.Join(dir, "link")))
	messages := [][]byte{sftpMessage(sftpOpendir, 1, dir)}
	for i := range 6 {
		messages = append(messages, sftpMessage(sftpReaddir, 2+i, "\x00\x00\x00\x00"))
	}
	names := map[string]string{}
	answers := askSFTP(t, messages...)
	for _, answer := range answers[1:] {
		m := &sftpReader{rest: answer[1:]}
		m.uint32()
		if answer[0] != sftpName {
			expectStatus(t, "end of the listing", answer, sftpEOF)
			continue
		}
		for left := m.uint32(); left > 0; left-- {
			name, long := m.string(), m.string()
			readSFTPAttributes(m)
			names[name] = long
		}
		if m.bad || len(m.rest) > 0 {
			t.Fatal("a malformed listing")
		}
	}
	if len(names) != 253 || !strings.HasPrefix(names["link"], "lrwxrwxrwx   1 ") || !strings.HasPrefix(names["."], "drwx") {
		t.Errorf("%d names; %q %q", len(names), names["link"], names["."])
	}
}

func TestSFTPRefusesWhatMakesNoSense(t *testing.T) {
	dir := t.TempDir()
	answers := askSFTP(t,
		sftpMessage(99, 1, "x"),
		sftpMessage(sftpStat, 2),
		sftpMessage(sftpStat, 3, "a\x00b"),
		sftpMessage(sftpExtended, 4, "no-such-thing"),
		sftpMessage(sftpRead, 5, "\xff\xff\xff\xff", int64(0), 1),
		sftpMessage(sftpRead, 6, "1234567", int64(0), 1),
		sftpMessage(sftpOpendir, 7, dir),
		sftpMessage(sftpRead, 8, "\x00\x00\x00\x00", int64(0), 1),
		sftpMessage(sftpOpen, 9, filepath.Join(dir, "missing"), sftpFlagRead, noAttributes),
	)
	for place, code := range []uint32{sftpNotSupported, sftpBadMessage, sftpBadMessage, sftpNotSupported, sftpNoSuchFile, sftpNoSuchFile, 0, sftpFailure, sftpNoSuchFile} {
		if place != 6 {
			expectStatus(t, "message "+string(rune('A'+place)), answers[place], code)
		}
	}
	for _, bytesIn := range []string{"\xff\xff\xff\xff\x01", "\x00\x00\x00\x00", "\x00\x00\x00\x02\x01\x01"} {
		if err := serveSFTP(strings.NewReader(bytesIn), io.Discard); !errors.Is(err, errSFTPMalformed) {
			t.Errorf("%q: %v", bytesIn, err)
		}
	}
}

func TestSFTPHoldsAtMostSoManyHandles(t *testing.T) {
	messages := [][]byte{}
	for i := range sftpMaxHandles + 1 {
		messages = append(messages, sftpMessage(sftpOpendir, i, "/"))
	}
	answers := askSFTP(t, messages...)
	if answers[sftpMaxHandles-1][0] != sftpHandle {
		t.Errorf("the last allowed handle was refused")
	}
	expectStatus(t, "one too many", answers[sftpMaxHandles], sftpFailure)
}

func TestSFTPCopiesInside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "from"), []byte("0123456789"), 0o644))
	answers := askSFTP(t,
		sftpMessage(sftpOpen, 1, filepath.Join(dir, "from"), sftpFlagRead, noAttributes),
		sftpMessage(sftpOpen, 2, filepath.Join(dir, "to"), sftpFlagWrite|sftpFlagCreate, noAttributes),
		sftpMessage(sftpExtended, 3, "copy-data", "\x00\x00\x00\x00", int64(2), int64(0), "\x00\x00\x00\x01", int64(1)),
		sftpMessage(sftpExtended, 4, "copy-data", "\x00\x00\x00\x00", int64(0), int64(0), "\x00\x00\x00\x00", int64(0)),
	)
	expectStatus(t, "copy", answers[2], sftpOK)
	expectStatus(t, "copy onto itself", answers[3], sftpBadMessage)
	content, err := os.ReadFile(filepath.Join(dir, "to"))
	must(t, err)
	if string(content) != "\x0023456789" {
		t.Errorf("%q", content)
	}
}

// FuzzSFTP: whatever a client sends, the server ends without a panic, and every answer is whole. Each run is in a directory of its own, under a root that is not ours to write.
func FuzzSFTP(f *testing.F) {
	f.Add(sftpMessage(sftpOpen, 1, "file", sftpFlagWrite|sftpFlagCreate, noAttributes))
	f.Add(append(sftpMessage(sftpOpendir, 1, "."), sftpMessage(sftpReaddir, 2, "\x00\x00\x00\x00")...))
	f.Add(sftpMessage(sftpExtended, 1, "statvfs@openssh.com", "."))
	f.Add(sftpMessage(sftpSetstat, 1, "x", 0x8000000f))
	f.Fuzz(func(t *testing.T, input []byte) {
		// Absolute paths would be those of this machine.
		if bytes.ContainsAny(input, "/~") || bytes.Contains(input, []byte("..")) {
			return
		}
		t.Chdir(t.TempDir())
		var out bytes.Buffer
		_ = serveSFTP(bytes.NewReader(append(sftpMessage(sftpInit, 3), input...)), &out) // malformed input may end it
		for out.Len() > 0 {
			head := out.Next(4)
			if len(head) < 4 || int(binary.BigEndian.Uint32(head)) > out.Len() {
				t.Fatal("an answer that is not whole")
			}
			out.Next(int(binary.BigEndian.Uint32(head)))
		}
	})
}

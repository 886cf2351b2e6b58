package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Which attributes a message holds.
const (
	sftpAttrSize     = 1
	sftpAttrOwner    = 2
	sftpAttrMode     = 4
	sftpAttrTimes    = 8
	sftpAttrExtended = 0x80000000
)

// sftpAttributes are what a client sets.
type sftpAttributes struct {
	flags        uint32
	size         uint64
	uid, gid     uint32
	mode         uint32
	atime, mtime uint32
}

func readSFTPAttributes(m *sftpReader) sftpAttributes {
	a := sftpAttributes{flags: m.uint32()}
	if a.flags&sftpAttrSize != 0 {
		a.size = m.uint64()
	}
	if a.flags&sftpAttrOwner != 0 {
		a.uid, a.gid = m.uint32(), m.uint32()
	}
	if a.flags&sftpAttrMode != 0 {
		a.mode = m.uint32()
	}
	if a.flags&sftpAttrTimes != 0 {
		a.atime, a.mtime = m.uint32(), m.uint32()
	}
	if a.flags&sftpAttrExtended != 0 {
		for left := m.uint32(); left > 0 && !m.bad; left-- {
			m.bytes()
			m.bytes()
		}
	}
	return a
}

// sftpAttributeTarget is what attributes are set of.
type sftpAttributeTarget struct {
	truncate func(size int64) error
	chmod    func(mode uint32) error
	chown    func(uid, gid int) error
	utimes   func(times []syscall.Timeval) error
}

// apply sets all of them and returns the first failure. The size comes first: it changes the times.
func (a *sftpAttributes) apply(target sftpAttributeTarget) error {
	failures := []error{}
	if a.flags&sftpAttrSize != 0 {
		failures = append(failures, target.truncate(int64(a.size)))
	}
	if a.flags&sftpAttrMode != 0 {
		failures = append(failures, target.chmod(a.mode&0o7777))
	}
	if a.flags&sftpAttrOwner != 0 {
		failures = append(failures, target.chown(int(a.uid), int(a.gid)))
	}
	if a.flags&sftpAttrTimes != 0 {
		failures = append(failures, target.utimes([]syscall.Timeval{{Sec: int64(a.atime)}, {Sec: int64(a.mtime)}}))
	}
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// attributes answers with those of a file.
func (s *sftpServer) attributes(id uint32, stat *syscall.Stat_t) {
	s.answer.begin(sftpAttrs, id)
	s.addAttributes(stat)
}

func (s *sftpServer) addAttributes(stat *syscall.Stat_t) {
	s.answer.uint32(sftpAttrSize | sftpAttrOwner | sftpAttrMode | sftpAttrTimes)
	s.answer.uint64(uint64(stat.Size))
	s.answer.uint32(stat.Uid)
	s.answer.uint32(stat.Gid)
	s.answer.uint32(stat.Mode)
	s.answer.uint32(uint32(stat.Atim.Sec))
	s.answer.uint32(uint32(stat.Mtim.Sec))
}

// ownerNames remembers names of users and groups.
type ownerNames struct{ users, groups map[uint32]string }

// find looks an id up in a file of the form of /etc/passwd; one without a name is its number.
func findOwnerName(known *map[uint32]string, file string, id uint32) string {
	if *known == nil {
		*known = map[uint32]string{}
		eachLine(file, func(line string) bool {
			fields := strings.SplitN(line, ":", 4)
			if len(fields) == 4 {
				if number, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
					(*known)[uint32(number)] = fields[0]
				}
			}
			return true
		})
	}
	if name, ok := (*known)[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

// longName is a line as `ls -l` prints it: what people see in a client's listing.
func (n *ownerNames) longName(name string, stat *syscall.Stat_t) string {
	when := time.Unix(stat.Mtim.Sec, 0)
	clock := when.Format("Jan _2 15:04")
	if age := time.Since(when); age > 182*24*time.Hour || age < 0 {
		clock = when.Format("Jan _2  2006")
	}
	return fmt.Sprintf("%s %3d %-8s %-8s %8d %s %s", lsModeText(stat.Mode), stat.Nlink, findOwnerName(&n.users, "/etc/passwd", stat.Uid),
		findOwnerName(&n.groups, "/etc/group", stat.Gid), stat.Size, clock, name)
}

// lsModeText is a mode as `ls -l` prints it.
func lsModeText(mode uint32) string {
	kinds := map[uint32]byte{syscall.S_IFDIR: 'd', syscall.S_IFLNK: 'l', syscall.S_IFIFO: 'p', syscall.S_IFSOCK: 's', syscall.S_IFCHR: 'c', syscall.S_IFBLK: 'b'}
	text := []byte("-rwxrwxrwx")
	if kind, ok := kinds[mode&syscall.S_IFMT]; ok {
		text[0] = kind
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			text[1+i] = '-'
		}
	}
	for i, special := range []struct {
		bit         uint32
		with, alone byte
	}{{syscall.S_ISUID, 's', 'S'}, {syscall.S_ISGID, 's', 'S'}, {syscall.S_ISVTX, 't', 'T'}} {
		at := 3 + 3*i
		if mode&special.bit == 0 {
			continue
		}
		if text[at] == 'x' {
			text[at] = special.with
		} else {
			text[at] = special.alone
		}
	}
	return string(text)
}

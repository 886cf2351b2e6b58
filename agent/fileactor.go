package main

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// fileActor touches files with the permissions of one user of the guest. A user that is not there is root, as for processes. An agent that is not root stays what it is.
type fileActor struct {
	account account
	asSelf  bool
}

func newFileActor(user string) *fileActor {
	found := findAccount("", user)
	return &fileActor{account: found, asSelf: os.Geteuid() != 0 || found.uid == 0}
}

// ownGroups are the agent's supplementary groups.
var ownGroups = sync.OnceValues(func() ([]uint32, error) {
	groups, err := syscall.Getgroups()
	own := make([]uint32, len(groups))
	for i, group := range groups {
		own[i] = uint32(group)
	}
	return own, err
})

// do runs work as the user. Credentials belong to a thread (credentials(7)), and with a user other than root the kernel takes the capabilities over files from it (capabilities(7)),
// so the goroutine has a thread to itself meanwhile. What is opened inside may be read and written outside: the kernel checks when it opens.
func (a *fileActor) do(work func() error) error {
	if a.asSelf {
		return work()
	}
	own, err := ownGroups()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer func() {
		// A thread that cannot be made the agent's own again ends with its goroutine, which stays locked to it.
		if becomeForFiles(0, 0, own) == nil {
			runtime.UnlockOSThread()
		}
	}()
	if err := becomeForFiles(a.account.uid, a.account.gid, a.account.groups); err != nil {
		return err
	}
	return work()
}

// becomeForFiles changes the identity of this thread alone: the functions of package syscall change that of all threads.
func becomeForFiles(uid, gid uint32, groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	// These two report no errors; asked with an id that is none they tell what is in force.
	const noID = ^uintptr(0)
	syscall.RawSyscall(syscall.SYS_SETFSGID, uintptr(gid), 0, 0)
	syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0)
	nowGid, _, _ := syscall.RawSyscall(syscall.SYS_SETFSGID, noID, 0, 0)
	nowUID, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, noID, 0, 0)
	if uint32(nowUID) != uid || uint32(nowGid) != gid {
		return syscall.EPERM
	}
	return nil
}

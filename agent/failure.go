package main

import (
	"errors"
	"fmt"
	"syscall"
)

// failure is an error the host sees: a text for people and a code, an errno's name.
type failure struct {
	Text string `json:"error"`
	Code string `json:"code"`
}

func (f *failure) Error() string { return f.Text }

// fail makes a failure of an error's errno and says what it was about.
func fail(err error, format string, args ...any) *failure {
	return &failure{Text: fmt.Sprintf(format, args...) + ": " + err.Error(), Code: codeOf(err)}
}

func invalid(format string, args ...any) *failure {
	return &failure{Text: fmt.Sprintf(format, args...), Code: "EINVAL"}
}

var errnoNames = map[syscall.Errno]string{
	syscall.EPERM: "EPERM", syscall.ENOENT: "ENOENT", syscall.EIO: "EIO", syscall.E2BIG: "E2BIG", syscall.ENOEXEC: "ENOEXEC",
	syscall.EAGAIN: "EAGAIN", syscall.ENOMEM: "ENOMEM", syscall.EACCES: "EACCES", syscall.EBUSY: "EBUSY", syscall.EEXIST: "EEXIST",
	syscall.ENOTDIR: "ENOTDIR", syscall.EISDIR: "EISDIR", syscall.EINVAL: "EINVAL", syscall.ENFILE: "ENFILE", syscall.EMFILE: "EMFILE",
	syscall.ETXTBSY: "ETXTBSY", syscall.ENOSPC: "ENOSPC", syscall.EROFS: "EROFS", syscall.ENAMETOOLONG: "ENAMETOOLONG",
	syscall.ENOTEMPTY: "ENOTEMPTY", syscall.EXDEV: "EXDEV", syscall.EDQUOT: "EDQUOT", syscall.EFBIG: "EFBIG", syscall.EMLINK: "EMLINK",
	syscall.ELOOP: "ELOOP", syscall.ELIBBAD: "ELIBBAD", syscall.ESRCH: "ESRCH", syscall.ENOSYS: "ENOSYS",
}

// codeOf is the name of an error's errno; EIO where it has none or a rare one.
func codeOf(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name, ok := errnoNames[errno]; ok {
			return name
		}
	}
	return "EIO"
}

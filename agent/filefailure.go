package main

import (
	"errors"
	"net/http"
	"strconv"
	"syscall"
)

// fileFailure says what could not be done to which path.
type fileFailure struct {
	Text      string `json:"error"`
	Path      string `json:"path"`
	Code      string `json:"code"`
	SizeBytes *int64 `json:"sizeBytes,omitempty"` // of the partial file, where an upload does not continue it
	status    int
}

func (f *fileFailure) Error() string { return f.Text }

var fileStatus = map[string]int{
	"ENOENT": 404,
	"EACCES": 403, "EPERM": 403, "EROFS": 403,
	"EEXIST": 409, "ENOTEMPTY": 409, "EBUSY": 409, "ETXTBSY": 409,
	"EISDIR": 400, "ENOTDIR": 400, "EINVAL": 400, "ELOOP": 400, "ENAMETOOLONG": 400, "EXDEV": 400, "EFBIG": 400, "EMLINK": 400,
	"ENOSPC": 507, "EDQUOT": 507,
}

// fileFail makes a failure of an error; one that is told already stays what it is.
func fileFail(err error, operation, path string) *fileFailure {
	var told *fileFailure
	if errors.As(err, &told) {
		return told
	}
	code := codeOf(err)
	status, ok := fileStatus[code]
	if !ok {
		status, code = http.StatusInternalServerError, "EIO"
	}
	text := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text = errno.Error()
	}
	return &fileFailure{Text: operation + " " + path + ": " + text, Path: path, Code: code, status: status}
}

// refuse is a failure with a text of its own.
func refuse(code, operation, path, text string) *fileFailure {
	return &fileFailure{Text: operation + " " + path + ": " + text, Path: path, Code: code, status: fileStatus[code]}
}

func writeFileFailure(w http.ResponseWriter, bad *fileFailure) { writeJSON(w, bad.status, bad) }

func modeText(mode uint32) string {
	text := strconv.FormatUint(uint64(mode&0o7777), 8)
	for len(text) < 4 {
		text = "0" + text
	}
	return text
}

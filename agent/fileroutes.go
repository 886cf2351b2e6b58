package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

const (
	// maxFileRequestBytes bounds a JSON request about files: two paths, escaped, or those of a watch.
	maxFileRequestBytes = 256 << 10
	// copyBytes are read and written at once.
	copyBytes = 128 << 10
	// endTrailer says that an answer is whole: the host's library ends it also when its stream is cut.
	endTrailer = "X-End"
)

// files answers below /v1/files/.
func (s *api) files(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Trailer", endTrailer)
	var err error
	switch r.Method + " " + name {
	case "GET content":
		err = readContent(w, r)
	case "PUT content":
		err = writeContent(w, r)
	case "GET upload":
		err = uploadState(w, r)
	case "GET list":
		err = listFiles(w, r)
	case "GET archive":
		err = sendArchive(w, r)
	case "PUT archive":
		err = unpackArchive(w, r)
	case "POST delete":
		err = deleteFiles(w, r)
	case "POST rename":
		err = renameFile(w, r)
	case "POST copy":
		err = copyFiles(w, r)
	case "POST chmod":
		err = changeMode(w, r)
	case "POST chown":
		err = changeOwner(w, r)
	case "POST watch":
		err = watchFiles(w, r)
	default:
		noSuchPath(w)
	}
	if err != nil {
		writeFileFailure(w, fileFail(err, name, ""))
	}
	w.Header().Set(endTrailer, "1")
}

// fileQuery is the query of a request about one path.
type fileQuery struct {
	path   string
	actor  *fileActor
	values url.Values
}

func readFileQuery(r *http.Request) (*fileQuery, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse("EINVAL", "read", "", err.Error())
	}
	full, err := cleanPath(values.Get("path"))
	if err != nil {
		return nil, fileFail(err, "open", values.Get("path"))
	}
	return &fileQuery{full, newFileActor(values.Get("user")), values}, nil
}

func (q *fileQuery) flag(name string) bool { return q.values.Get(name) == "true" }

// number reads an optional whole number.
func (q *fileQuery) number(name string) (value int64, given bool, err error) {
	text := q.values.Get(name)
	if text == "" {
		return 0, false, nil
	}
	value, err = strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, false, refuse("EINVAL", "open", q.path, name+" is not a number")
	}
	return value, true, nil
}

// mode reads the octal mode; nil: none is given.
func (q *fileQuery) mode() (*uint32, error) {
	text := q.values.Get("mode")
	if text == "" {
		return nil, nil
	}
	value, err := strconv.ParseUint(text, 8, 32)
	if err != nil || value > 0o7777 {
		return nil, refuse("EINVAL", "open", q.path, "mode is not octal")
	}
	mode := uint32(value)
	return &mode, nil
}

// readFileRequest parses a JSON body.
func readFileRequest(r *http.Request, request any) error {
	if err := json.NewDecoder(io.LimitReader(r.Body, maxFileRequestBytes)).Decode(request); err != nil {
		return refuse("EINVAL", "read", "", "the request is not valid: "+err.Error())
	}
	return nil
}

// maxReportBytes bounds the list of what an operation did; its count is exact.
const maxReportBytes = 512 << 10

// report gathers what an operation did.
type report struct {
	list  bytes.Buffer
	count int64
}

func (p *report) add(item any) {
	p.count++
	if p.list.Len() > maxReportBytes {
		return
	}
	text, err := json.Marshal(item)
	if err != nil {
		return // strings and numbers always encode
	}
	if p.list.Len() > 0 {
		p.list.WriteByte(',')
	}
	p.list.Write(text)
}

// items is the JSON list.
func (p *report) items() json.RawMessage {
	return append(append([]byte{'['}, p.list.Bytes()...), ']')
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listening is the host's end of a listener inside.
type listening struct {
	status int
	body   io.ReadCloser
	lines  *bufio.Scanner
}

func listenFor(t *testing.T, client *http.Client, body string) *listening {
	t.Helper()
	response, err := client.Post("http://guest/v1/sockets/listen", "application/json", strings.NewReader(body))
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return &listening{response.StatusCode, response.Body, bufio.NewScanner(response.Body)}
}

func (l *listening) next(t *testing.T) map[string]string {
	t.Helper()
	line := map[string]string{}
	if !l.lines.Scan() {
		t.Fatalf("no further line: %v", l.lines.Err())
	}
	must(t, json.Unmarshal(l.lines.Bytes(), &line))
	return line
}

// streamTo opens a duplex stream of the host.
func streamTo(t *testing.T, client *http.Client, path string) (status int, body io.ReadCloser, input *io.PipeWriter) {
	t.Helper()
	reading, writing := io.Pipe()
	request, err := http.NewRequest(http.MethodPost, "http://guest"+path, reading)
	must(t, err)
	response, err := client.Transport.RoundTrip(request)
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response.StatusCode, response.Body, writing
}

func TestSocketsListenAndHandConnectionsOver(t *testing.T) {
	_, client := session(t)
	directory := filepath.Join(shortDir(t), "agent")
	path := filepath.Join(directory, "socket")
	for _, test := range []struct{ body, network string }{
		{`{"user":"sprite","host":"127.0.0.1","port":0}`, "tcp"},
		{`{"user":"sprite","private":true,"path":"` + path + `"}`, "unix"},
	} {
		listener := listenFor(t, client, test.body)
		at := listener.next(t)["listening"]
		for range 40 { // more than may wait at once
			program, err := net.Dial(test.network, at)
			must(t, err)
			status, body, input := streamTo(t, client, "/v1/sockets/accepted/"+listener.next(t)["accepted"])
			if status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			_, err = io.WriteString(program, "question")
			must(t, err)
			question := make([]byte, 4+8)
			_, err = io.ReadFull(body, question)
			must(t, err)
			// An end of its input is no end of its connection.
			must(t, program.(guestConn).CloseWrite())
			_, err = io.ReadFull(body, question[:4])
			must(t, err)
			_, err = io.WriteString(input, "answer")
			must(t, err)
			must(t, input.Close())
			answer, err := io.ReadAll(program)
			if err != nil || string(answer) != "answer" || string(question) != "\x00\x00\x00\x00question" {
				t.Fatalf("%q %q %v", question, answer, err)
			}
			must(t, program.Close())
		}
		must(t, listener.body.Close())
		await(t, "the listener to end", func() bool {
			_, err := net.Dial(test.network, at)
			return err != nil
		})
	}
	await(t, "the directory to go", func() bool {
		_, err := os.Stat(directory)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestSocketsConnectAndSayWhyNot(t *testing.T) {
	_, client := session(t)
	path := filepath.Join(shortDir(t), "socket")
	service, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { _ = service.Close() })
	go func() {
		conn, err := service.Accept()
		if err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	status, body, input := streamTo(t, client, "/v1/sockets/connect?user=sprite&path="+url.QueryEscape(path))
	_, err = io.WriteString(input, "echo")
	must(t, err)
	must(t, input.Close())
	if text, err := io.ReadAll(body); err != nil || string(text) != "\x00\x00\x00\x04echo\x00\x00\x00\x00" || status != http.StatusOK {
		t.Errorf("%d %q %v", status, text, err)
	}
	for _, test := range []struct {
		path   string
		status int
		code   string
	}{
		{path + "x", http.StatusBadGateway, "ENOENT"},
		{"relative", http.StatusBadRequest, "EINVAL"},
		{"@abstract", http.StatusBadRequest, "EINVAL"},
		{"/" + strings.Repeat("a", 200), http.StatusBadRequest, "EINVAL"},
	} {
		status, body, _ := streamTo(t, client, "/v1/sockets/connect?user=sprite&path="+url.QueryEscape(test.path))
		var bad failure
		must(t, json.NewDecoder(body).Decode(&bad))
		if status != test.status || bad.Code != test.code {
			t.Errorf("%s: %d %+v", test.path, status, bad)
		}
	}
	if status, _, _ := streamTo(t, client, "/v1/sockets/accepted/99"); status != http.StatusNotFound {
		t.Errorf("an unknown connection was given: %d", status)
	}
}

func TestSocketsRefuseWhatIsTakenAndReplaceWhatIsLeft(t *testing.T) {
	_, client := session(t)
	dir := shortDir(t)
	path := filepath.Join(dir, "socket")
	body := `{"user":"sprite","path":"` + path + `"}`
	first := listenFor(t, client, body)
	first.next(t)
	if second := listenFor(t, client, body); second.status != http.StatusConflict {
		t.Errorf("listened twice: %d", second.status)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + "2", Net: "unix"})
	must(t, err)
	left.SetUnlinkOnClose(false)
	must(t, left.Close())
	if again := listenFor(t, client, `{"user":"sprite","path":"`+path+`2"}`); again.status != http.StatusOK {
		t.Errorf("a socket nobody listens on was in the way: %d", again.status)
	}
	must(t, os.WriteFile(path+"3", []byte("a file"), 0o600))
	if over := listenFor(t, client, `{"user":"sprite","path":"`+path+`3"}`); over.status != http.StatusConflict {
		t.Errorf("a file was taken for a socket: %d", over.status)
	}
	must(t, os.Mkdir(filepath.Join(dir, "open"), 0o755))
	if open := listenFor(t, client, `{"user":"sprite","private":true,"path":"`+dir+`/open/socket"}`); open.status != http.StatusForbidden {
		t.Errorf("a directory others may enter counts as private: %d", open.status)
	}
	for _, bad := range []string{`{"user":"sprite","path":"x"}`, `{"host":"name","port":1}`, `[]`} {
		if answer := listenFor(t, client, bad); answer.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, answer.status)
		}
	}
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "socket")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

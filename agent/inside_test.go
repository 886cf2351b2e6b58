package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// inside runs sprite-env against an agent's socket.
func (s *servicesOf) inside(args ...string) (code int, out, trouble string) {
	var output, problems bytes.Buffer
	code = spriteEnv(filepath.Join(s.dir, "root/.sprite/api.sock"), args, &output, &problems)
	return code, output.String(), problems.String()
}

func TestInsideServices(t *testing.T) {
	s := startServices(t, servicesDir(t))
	code, out, _ := s.inside("services", "create", "web", "--cmd", "sh", "--args", "-c,echo $A; exec sleep 1000", "--env", "A=b", "--dir", "/", "--duration", "300ms")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 3 || !strings.Contains(lines[1], `"data":"b\n"`) {
		t.Fatalf("%d %s", code, out)
	}
	code, out, _ = s.inside("services", "list")
	found := []serviceView{}
	must(t, json.Unmarshal([]byte(out), &found))
	if code != 0 || len(found) != 1 || found[0].State.Status != serviceRunning {
		t.Fatalf("%d %s", code, out)
	}
	if code, _, trouble := s.inside("services", "signal", "web", "CONT"); code != 0 {
		t.Fatal(trouble)
	}
	code, out, _ = s.inside("services", "stop", "web", "--timeout", "1s")
	if code != 0 || !strings.Contains(out, `"stopped"`) {
		t.Fatalf("%d %s", code, out)
	}
	if code, _, trouble := s.inside("services", "stop", "web"); code != 1 || trouble != "sprite-env: service web is not running\n" {
		t.Fatalf("%d %s", code, trouble)
	}
	if code, _, _ := s.inside("services", "delete", "web"); code != 0 {
		t.Fatal(code)
	}
	for _, words := range [][]string{{}, {"services"}, {"services", "get"}, {"services", "create", "x"}, {"services", "what", "x"}, {"services", "list", "--no-such"}} {
		if code, _, trouble := s.inside(words...); code != 2 || !strings.Contains(trouble, "usage:") {
			t.Errorf("%v: %d %s", words, code, trouble)
		}
	}
}

func TestInsideTable(t *testing.T) {
	s := startServices(t, servicesDir(t))
	socket := filepath.Join(s.dir, "root/.sprite/api.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o666 {
		t.Fatalf("%v %v", info, err)
	}
	client := &http.Client{Transport: &http.Transport{Dial: func(_, _ string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v1/services", 200}, {"POST", "/v1/services", 405}, {"DELETE", "/v1/services", 405}, {"GET", "/v1/services/x", 404}, {"POST", "/v1/services/x/start", 404},
		{"POST", "/v1/services/signal", 400}, {"GET", "/v1/exec", 404}, {"GET", "/v1/processes", 404}, {"POST", "/v1/processes", 404}, {"GET", "/", 404},
		{"POST", "/v1/checkpoints", 405}, {"DELETE", "/v1/checkpoints/v1", 404}, {"GET", "/v1/checkpoint", 405}, {"POST", "/v1/policy/network", 405}, {"GET", "/v1/checkpoints/v1/other", 404},
		{"POST", "/v1/tasks", 400}, {"GET", "/v1/tasks/x", 404}, {"DELETE", "/v1/tasks/x", 404}, {"DELETE", "/v1/tasks", 405}, {"GET", "/v1/tasks", 200},
	} {
		if status, answer := call(t, client, c.method, "/"+strings.TrimPrefix(c.path, "/"), ""); status != c.status {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
}

func TestPrepareInside(t *testing.T) {
	root := t.TempDir()
	prepareInside(root)
	prepareInside(root)
	own, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	program := filepath.Join(root, ".sprite/bin/sprite-env")
	copied, err := os.ReadFile(program)
	must(t, err)
	if !bytes.Equal(own, copied) {
		t.Fatal("sprite-env is another program")
	}
	for _, name := range []string{"bin/sprite-env", "bin/sprite-browser"} {
		info, err := os.Stat(filepath.Join(root, ".sprite", name))
		must(t, err)
		if info.Mode().Perm() != 0o755 {
			t.Fatalf("%s: %v", name, info.Mode())
		}
	}
	must(t, os.WriteFile(program, []byte("short"), 0o755))
	prepareInside(root)
	if !sameContent("/proc/self/exe", program) {
		t.Fatal("an older program stays")
	}
	text, err := os.ReadFile(filepath.Join(root, ".sprite/version.txt"))
	must(t, err)
	expectText(t, "version", string(text), version+"\n")
}

// insideHTTP reaches an agent's own socket.
func (s *servicesOf) insideHTTP() *http.Client {
	socket := filepath.Join(s.dir, "root/.sprite/api.sock")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Dial: func(_, _ string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	s.t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestInsideCalls(t *testing.T) {
	s := startServices(t, servicesDir(t))
	inside := s.insideHTTP()
	begin := time.Now()
	if status, answer := call(t, inside, "GET", "/info", ""); status != 503 || answer["error"] == "" || time.Since(begin) < callWait {
		t.Fatalf("without a daemon: %d %v", status, answer)
	}
	response, err := s.client.Get("http://guest/v1/calls")
	must(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func() map[string]any {
		t.Helper()
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		line := map[string]any{}
		must(t, json.Unmarshal(lines.Bytes(), &line))
		return line
	}
	if line := next(); line["tasksMs"] != float64(0) {
		t.Fatalf("%v", line)
	}
	answered := make(chan string)
	go func() {
		response, err := inside.Post("http://sprite/v1/checkpoint", "application/json", strings.NewReader(`{"comment":"c"}`))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		answered <- fmt.Sprint(response.StatusCode, response.Header.Get("Content-Type"), string(text), err)
	}()
	asked := next()
	if asked["method"] != "POST" || asked["path"] != "/v1/checkpoint" || asked["body"] != `{"comment":"c"}` {
		t.Fatalf("%v", asked)
	}
	request, err := http.NewRequest("POST", fmt.Sprintf("http://guest/v1/calls/%v", asked["id"]), strings.NewReader("made\n"))
	must(t, err)
	request.Header.Set("X-Status", "201")
	request.Header.Set("Content-Type", "text/x-test")
	given, err := s.client.Do(request)
	must(t, err)
	_ = given.Body.Close()
	expectText(t, "answer", <-answered, "201text/x-testmade\n<nil>")
	if status, _ := call(t, s.client, "POST", "/v1/calls/999", ""); status != 400 {
		t.Fatalf("without a status: %d", status)
	}
	if status, _ := call(t, inside, "POST", "/v1/checkpoint", strings.Repeat("x", maxCallBytes+1)); status != 413 {
		t.Fatalf("too long: %d", status)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/tasks", `{"name":"build","expire":60}`, 201}, {"POST", "/v1/tasks", `{"name":"build","expire":60}`, 409}, {"PUT", "/v1/tasks/build", `{"expire":"10m"}`, 200},
		{"PUT", "/v1/tasks", `{"name":"other","expire":"1s"}`, 200}, {"GET", "/v1/tasks/build", "", 200}, {"POST", "/v1/tasks", `{"name":"long","expire":3601}`, 400},
		{"POST", "/v1/tasks", `{"name":"Upper","expire":1}`, 400}, {"POST", "/v1/tasks", `{"name":"never"}`, 400}, {"DELETE", "/v1/tasks/other", "", 204},
	} {
		if status, answer := call(t, inside, c.method, c.path, c.body); status != c.status {
			t.Errorf("%s %s %s: %d %v", c.method, c.path, c.body, status, answer)
		}
	}
	for line := next(); line["tasksMs"].(float64) < 590_000; line = next() { // the longest counts
	}
	if _, answer := call(t, inside, "GET", "/v1/tasks", ""); len(answer["tasks"].([]any)) != 1 {
		t.Fatalf("%v", answer)
	}
	call(t, inside, "DELETE", "/v1/tasks/build", "")
	for line := next(); line["tasksMs"] != float64(0); line = next() {
	}
}

func TestAProgramThatSendsNoBodyKeepsNoConnection(t *testing.T) {
	api := newInsideAPI(nil, newCallDesk())
	api.bodyWait = 50 * time.Millisecond
	server := httptest.NewServer(api)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "PUT /v1/tasks/build HTTP/1.1\r\nHost: sprite\r\nContent-Length: 10\r\n\r\n{")
	must(t, err)
	answer, err := io.ReadAll(conn) // until the agent closes it
	must(t, err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "ETIMEDOUT") {
		t.Fatalf("%s", answer)
	}
}

func TestARequestMayTakeLongerThanItsBody(t *testing.T) {
	desk := newCallDesk()
	api := newInsideAPI(nil, desk)
	api.bodyWait = 50 * time.Millisecond
	server := httptest.NewServer(api)
	defer server.Close()
	begin := time.Now()
	response, err := http.Post(server.URL+"/v1/checkpoint", "", strings.NewReader("{}"))
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != 503 || time.Since(begin) < callWait {
		t.Fatalf("%s after %v", response.Status, time.Since(begin))
	}
}

func TestAProgramThatReadsNoAnswerHoldsNobodyUp(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zeros, err := os.Open("/dev/zero")
		if err == nil {
			defer zeros.Close()
			err = copyFlushing(w, zeros, make([]byte, callReadBytes), 50*time.Millisecond)
		}
		ended <- err
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: sprite\r\n\r\n")
	must(t, err)
	promptly(t, "the answer", func() {
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	})
}

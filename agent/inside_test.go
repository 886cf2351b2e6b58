package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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

// testBase is what the daemon of the tests says of services.
func testBase() string {
	return fmt.Sprintf(`{"env":{"PATH":%q,"FROM_SPRITE":"yes"},"dir":"/","user":"sprite"}`, os.Getenv("PATH"))
}

// daemonSays answers the calls of an agent like a daemon that knows this base, until the returned function ends it.
func (s *servicesOf) daemonSays(status int, base string) (leave func()) {
	s.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	s.t.Cleanup(leave)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://guest/v1/calls", nil)
	must(s.t, err)
	response, err := s.client.Do(request)
	must(s.t, err)
	go func() {
		defer response.Body.Close()
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			asked := insideCall{}
			if json.Unmarshal(lines.Bytes(), &asked) != nil || asked.Path != baseCall {
				continue
			}
			answer, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://guest/v1/calls/"+asked.ID, strings.NewReader(base))
			if err != nil {
				s.t.Error(err)
				return
			}
			answer.Header.Set("X-Status", fmt.Sprint(status))
			if taken, err := s.client.Do(answer); err == nil { // else the test is over
				_ = taken.Body.Close()
			}
		}
	}()
	return leave
}

// keptBase is the base of a definition on the disk.
func (s *servicesOf) keptBase(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "root/.sprite/services", name+".json"))
	must(s.t, err)
	kept := struct{ Base json.RawMessage }{}
	must(s.t, json.Unmarshal(text, &kept))
	return string(kept.Base)
}

func TestAProgramMayNotChooseTheUserOfItsService(t *testing.T) {
	s := startServices(t, servicesDir(t))
	s.daemonSays(200, testBase())
	inside := s.insideHTTP()
	body := `{"cmd":"sh","args":["-c","echo $FROM_SPRITE$EVIL$MINE; exec sleep 1000"],"env":{"MINE":"m"},"base":{"user":"root","dir":"/root","env":{"EVIL":"e"}}}`
	request, err := http.NewRequest(http.MethodPut, "http://sprite/v1/services/web?duration=300ms", strings.NewReader(body))
	must(t, err)
	response, err := inside.Do(request)
	must(t, err)
	defer response.Body.Close()
	events, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != 200 || !strings.Contains(string(events), `"data":"yesm\n"`) {
		t.Fatalf("%s %s", response.Status, events)
	}
	want, have := serviceBase{}, serviceBase{}
	must(t, json.Unmarshal([]byte(testBase()), &want))
	must(t, json.Unmarshal([]byte(s.keptBase("web")), &have))
	if !reflect.DeepEqual(want, have) {
		t.Fatalf("%v, not %v", have, want)
	}
}

func TestAServiceDefinedInsideGetsWhatTheDaemonSaidLast(t *testing.T) {
	s := startServices(t, servicesDir(t))
	put := func(name string) int {
		status, _ := call(t, s.insideHTTP(), http.MethodPut, "/v1/services/"+name+"?duration=0s", `{"cmd":"sleep","args":["1000"]}`)
		return status
	}
	if status := put("early"); status != 503 {
		t.Fatalf("without a daemon: %d", status)
	}
	for _, refusal := range []struct {
		status int
		text   string
	}{{404, `{"error":"no such path"}`}, {200, `{"user":""}`}, {200, "no JSON"}, {200, strings.Repeat(" ", maxServiceRequestBytes) + testBase()}} {
		leave := s.daemonSays(refusal.status, refusal.text)
		if status := put("early"); status != 503 {
			t.Fatalf("%v: %d", refusal, status)
		}
		leave()
	}
	leave := s.daemonSays(200, testBase())
	if status := put("web"); status != 200 {
		t.Fatalf("with a daemon: %d", status)
	}
	leave()
	s.daemonSays(429, "{}")
	if status := put("later"); status != 200 || s.keptBase("later") != s.keptBase("web") {
		t.Fatalf("from memory: %d", status)
	}
	fork := resumeRequest()
	if answer := s.port.ask(fork); answer["ok"] != true {
		t.Fatalf("%v", answer)
	}
	nonce, err := hex.DecodeString(fork["nonce"].(string))
	must(t, err)
	s.client = s.dialData(nonce, nil)
	if status := put("other"); status != 503 {
		t.Fatalf("another sprite has the base of its origin: %d", status)
	}
}

func TestAServiceOfTheHostNeedsItsBase(t *testing.T) {
	s := startServices(t, servicesDir(t))
	if status, answer := call(t, s.client, http.MethodPut, "/v1/services/web", `{"cmd":"sleep"}`); status != 400 {
		t.Fatalf("%d %v", status, answer)
	}
}

func TestInsideServices(t *testing.T) {
	s := startServices(t, servicesDir(t))
	s.daemonSays(200, testBase())
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
	info, err := os.Stat(program)
	must(t, err)
	if info.Mode().Perm() != 0o755 {
		t.Fatal(info.Mode())
	}
	for _, name := range otherNames {
		target, err := os.Readlink(filepath.Join(root, ".sprite/bin", name))
		must(t, err)
		expectText(t, name, target, "sprite-env")
	}
	for _, name := range []string{".sprite/llm.txt", ".sprite/llm-dev.txt", ".sprite/docs/agent-context.md", ".sprite/checkpoints/README", ".sprite/languages/README",
		".sprite/etc/profile.d/README", "etc/profile.d/sprite.sh"} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Size() == 0 || info.Mode() != 0o644 {
			t.Fatalf("%s: %v %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(root, ".sprite/logs/services")); err != nil || !info.IsDir() {
		t.Fatal(err)
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

func TestPrepareInsideFollowsNoLinkAndStopsAtNothing(t *testing.T) {
	root := t.TempDir()
	mine := filepath.Join(root, "mine")
	must(t, os.WriteFile(mine, []byte("mine"), 0o600))
	must(t, os.MkdirAll(filepath.Join(root, ".sprite/bin"), 0o755))
	for _, name := range []string{"llm.txt", "bin/open", "bin/sprite-env", "bin/open.new"} {
		must(t, os.Symlink(mine, filepath.Join(root, ".sprite", name)))
	}
	must(t, os.MkdirAll(filepath.Join(root, ".sprite/bin/xdg-open/full"), 0o755)) // has the place of a link
	must(t, os.WriteFile(filepath.Join(root, ".sprite/docs"), nil, 0o600))        // and this of a directory
	prepareInside(root)
	text, err := os.ReadFile(mine)
	must(t, err)
	expectText(t, "a file that links led to", string(text), "mine")
	for _, name := range []string{"llm.txt", "bin/sprite-env", "llm-dev.txt", "languages/README"} {
		if info, err := os.Lstat(filepath.Join(root, ".sprite", name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	target, err := os.Readlink(filepath.Join(root, ".sprite/bin/open"))
	must(t, err)
	expectText(t, "open", target, "sprite-env")
}

func TestLoginShellsFindTheMachinesPrograms(t *testing.T) {
	// The script with the paths of a test's own folder.
	root := t.TempDir()
	script := strings.ReplaceAll(profileScript, "/.sprite", root+"/.sprite")
	hooks := filepath.Join(root, ".sprite/etc/profile.d")
	must(t, os.MkdirAll(hooks, 0o755))
	login := func(env ...string) string {
		command := exec.Command("/bin/sh", "-c", script+"\necho $PATH $BROWSER $HOOK $sprite_each")
		command.Env = env
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v", out, err)
		}
		return strings.ReplaceAll(string(out), root, "")
	}
	expectText(t, "plain", login("HOME=/h", "PATH=/bin"), "/h/.local/bin:/.sprite/bin:/bin /.sprite/bin/sprite-browser\n")
	expectText(t, "again", login("HOME=/h", "PATH=/h/.local/bin:"+root+"/.sprite/bin:/bin", "BROWSER=w3m"), "/h/.local/bin:/.sprite/bin:/bin w3m\n")
	must(t, os.WriteFile(filepath.Join(hooks, "a b.sh"), []byte("HOOK=hooked\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(hooks, "README"), []byte("exit 3\n"), 0o644))
	expectText(t, "no home", login("PATH=/bin"), "/.sprite/bin:/bin /.sprite/bin/sprite-browser hooked\n")
}

// insideHTTP reaches an agent's own socket.
func (s *servicesOf) insideHTTP() *http.Client {
	socket := filepath.Join(s.dir, "root/.sprite/api.sock")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Dial: func(_, _ string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	s.t.Cleanup(client.CloseIdleConnections)
	return client
}

// clientPatience is how long a program waits for its answer at most: the agent's wait for a daemon that is away has to end well before.
const clientPatience = 30 * time.Second

func TestInsideCalls(t *testing.T) {
	s := startServices(t, servicesDir(t))
	inside := s.insideHTTP()
	inside.Timeout = clientPatience
	if status, answer := call(t, inside, "GET", "/info", ""); status != 503 || answer["code"] != "EAGAIN" || !strings.Contains(fmt.Sprint(answer["error"]), "daemon of this sprite's host does not answer") {
		t.Fatalf("without a daemon: %d %v", status, answer)
	}
	inside.Timeout = 0
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
	client := &http.Client{Timeout: clientPatience}
	defer client.CloseIdleConnections()
	response, err := client.Post(server.URL+"/v1/checkpoint", "", strings.NewReader("{}"))
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != 503 { // and not cut off at the body's deadline
		t.Fatal(response.Status)
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

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hurriedVariable makes the agent under test give services up sooner.
const hurriedVariable = "SYLPH_AGENT_TEST_HURRIED"

func hurry() {
	if os.Getenv(hurriedVariable) != "" {
		defaultPace.alive, defaultPace.firstWait, defaultPace.longest, defaultPace.failures = 50*time.Millisecond, 20*time.Millisecond, 80*time.Millisecond, 4
	}
}

// servicesOf is an agent with services in hurried supervision, on a directory that outlives it.
type servicesOf struct {
	*guest
	client  *http.Client
	port    *controlClient
	command *exec.Cmd
}

func startServices(t *testing.T, dir string) *servicesOf {
	t.Helper()
	t.Setenv(hurriedVariable, "1")
	g := &guest{t: t, dir: dir}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveVariable+"="+dir)
	command.Stderr = os.Stderr
	must(t, command.Start())
	s := &servicesOf{guest: g, command: command}
	t.Cleanup(s.end)
	g.pid = command.Process.Pid
	s.port = g.control()
	s.client = g.open(s.port, nil)
	call(t, s.client, http.MethodGet, "/v1/ping", "")
	return s
}

func (s *servicesOf) end() {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	_ = s.command.Wait()
}

func servicesDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// events makes a request and returns its status and lines.
func (s *servicesOf) events(method, path, body string) (int, []serviceEvent) {
	s.t.Helper()
	request, err := http.NewRequest(method, "http://guest/v1/services/"+path, strings.NewReader(body))
	must(s.t, err)
	response, err := s.client.Do(request)
	must(s.t, err)
	defer response.Body.Close()
	found := []serviceEvent{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		event := serviceEvent{}
		must(s.t, json.Unmarshal(lines.Bytes(), &event))
		found = append(found, event)
	}
	return response.StatusCode, found
}

// put defines a shell script as a service.
func (s *servicesOf) put(name, script, more, query string) (int, []serviceEvent) {
	s.t.Helper()
	text, err := json.Marshal(script)
	must(s.t, err)
	body := fmt.Sprintf(`{"cmd":"/bin/sh","args":["-c",%s],"base":{"env":{"PATH":%q,"BASE":"b"},"dir":"/","user":"root"}%s}`, text, os.Getenv("PATH"), more)
	return s.events(http.MethodPut, name+query, body)
}

func (s *servicesOf) state(name string) map[string]any {
	s.t.Helper()
	_, answer := call(s.t, s.client, http.MethodGet, "/v1/services/"+name, "")
	state, _ := answer["state"].(map[string]any)
	return state
}

func (s *servicesOf) becomes(name, status string) map[string]any {
	s.t.Helper()
	var state map[string]any
	eventually(s.t, name+" is "+status, func() bool {
		state = s.state(name)
		return state["status"] == status
	})
	return state
}

func types(events []serviceEvent) string {
	names := []string{}
	for _, event := range events {
		names = append(names, event.Type)
	}
	return strings.Join(names, " ")
}

func expectText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %q, not %q", what, got, want)
	}
}

func TestServiceRunsAndIsLogged(t *testing.T) {
	s := startServices(t, servicesDir(t))
	status, events := s.put("web", `echo "$BASE $MINE"; echo bad >&2; exec sleep 1000`, `,"env":{"MINE":"m"}`, "?windowMs=400")
	if status != 200 || events[0].Type != "started" || events[len(events)-1].Type != "complete" {
		t.Fatalf("%d %s", status, types(events))
	}
	out := map[string]string{}
	for _, event := range events[1 : len(events)-1] {
		out[event.Type] += *event.Data
		if time.Since(time.UnixMilli(event.Timestamp)).Abs() > patience {
			t.Fatalf("timestamp %d", event.Timestamp)
		}
	}
	expectText(t, "stdout", out["stdout"], "b m\n")
	expectText(t, "stderr", out["stderr"], "bad\n")
	expectText(t, "log", events[len(events)-1].LogFiles.Combined, "/.sprite/logs/services/web.log")
	text, err := os.ReadFile(filepath.Join(s.dir, "root/.sprite/logs/services/web.log"))
	must(t, err)
	if !regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[stdout\] b m$`).Match(text) {
		t.Fatalf("log: %s", text)
	}
	state := s.becomes("web", serviceRunning)
	if state["pid"] == nil || state["started_at"] == nil || state["restart_count"] != float64(0) {
		t.Fatalf("%v", state)
	}
	if _, answer := call(t, s.client, http.MethodGet, "/v1/processes", ""); len(answer["processes"].([]any)) != 0 {
		t.Fatalf("the host sees %v", answer)
	}
	if _, answer := call(t, s.client, http.MethodGet, "/v1/services/web", ""); fmt.Sprint(answer["env"]) != "map[MINE:m]" || answer["base"] != nil {
		t.Fatalf("%v", answer)
	}
	status, events = s.events(http.MethodGet, "web/logs?lines=1", "")
	expectText(t, "tail", types(events), events[0].Type+" complete")
	s.put("chatty", `i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done`, "", "?windowMs=100")
	_, events = s.events(http.MethodGet, "chatty/logs?lines=2&followMs=300", "")
	last := 0
	for _, event := range events[:len(events)-1] {
		number, err := strconv.Atoi(strings.TrimSpace(*event.Data))
		must(t, err)
		if last != 0 && number != last+1 {
			t.Fatalf("%d follows %d", number, last)
		}
		last = number
	}
	if len(events) < 6 {
		t.Fatalf("%d events", len(events))
	}
}

func TestServiceRequestsThatDoNotFit(t *testing.T) {
	s := startServices(t, servicesDir(t))
	s.put("one", "sleep 1000", `,"http_port":18080`, "?windowMs=0")
	s.put("two", "sleep 1000", `,"needs":["one"]`, "?windowMs=0")
	for _, c := range []struct {
		name, more string
		status     int
		text       string
	}{
		{"three", `,"needs":["nobody"]`, 400, "it needs nobody, which does not exist"},
		{"one", `,"needs":["two"]`, 400, "it would need itself: one needs two needs one"},
		{"one", `,"needs":["one"]`, 400, "it would need itself: one needs one"},
		{"three", `,"http_port":18081`, 409, "another service already has an HTTP port configured"},
		{"three", `,"http_port":0`, 400, "http_port must be between 1 and 65535"},
		{"..", "", 400, "the name of a service must be"},
		{"a%2Fb", "", 404, "no such path"},
		{"three", `,"env":{"A=":"b"}`, 400, "is not valid"},
		{"three", `,"cmd":""`, 400, "cmd is empty"},
	} {
		body := fmt.Sprintf(`{"base":{"user":"root"},"cmd":"sleep"%s}`, c.more)
		if status, answer := call(t, s.client, http.MethodPut, "/v1/services/"+c.name, body); c.name != ".." && (status != c.status || !strings.Contains(fmt.Sprint(answer["error"]), c.text)) {
			t.Errorf("%s %s: %d %v", c.name, c.more, status, answer)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "nobody", "", 404}, {http.MethodPost, "nobody/start", "", 404}, {http.MethodPost, "nobody/stop", "", 404}, {http.MethodPost, "nobody/restart", "", 404},
		{http.MethodGet, "nobody/logs", "", 404}, {http.MethodDelete, "nobody", "", 404}, {http.MethodPost, "nobody/signal", `{"signal":"HUP"}`, 404},
		{http.MethodPost, "one/signal", `{"signal":"NOPE"}`, 400}, {http.MethodDelete, "one", "", 409}, {http.MethodPost, "one", "", 405}, {http.MethodGet, "one/other", "", 404},
		{http.MethodPost, "one/start?windowMs=-1", "", 400}, {http.MethodGet, "one/logs?lines=x", "", 400},
	} {
		if status, answer := call(t, s.client, c.method, "/v1/services/"+c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
	if status, _ := call(t, s.client, http.MethodDelete, "/v1/services/two", ""); status != 204 {
		t.Fatal(status)
	}
	if status, _ := call(t, s.client, http.MethodDelete, "/v1/services/one", ""); status != 204 {
		t.Fatal(status)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "root/.sprite/services")); len(left) != 0 {
		t.Fatalf("%v stays", left)
	}
}

func TestServiceRestartsAndIsGivenUp(t *testing.T) {
	s := startServices(t, servicesDir(t))
	s.put("steady", "exec sleep 1000", "", "?windowMs=200")
	before := s.becomes("steady", serviceRunning)
	must(t, syscall.Kill(int(before["pid"].(float64)), syscall.SIGKILL))
	eventually(t, "a restart", func() bool { return s.state("steady")["restart_count"] == float64(1) })
	if after := s.becomes("steady", serviceRunning); after["pid"] == before["pid"] {
		t.Fatalf("%v", after)
	}
	_, events := s.put("crash", "echo no; exit 3", "", "?windowMs=60000")
	expectText(t, "crash", types(events), "started stdout exit complete")
	if *events[2].ExitCode != 3 {
		t.Fatalf("exit code %d", *events[2].ExitCode)
	}
	state := s.becomes("crash", serviceFailed)
	expectText(t, "reason", state["error"].(string), "given up after 4 failures in a row; the last: ended with exit code 3")
	if state["restart_count"] != float64(3) || state["pid"] != nil {
		t.Fatalf("%v", state)
	}
	_, events = s.put("needy", "sleep 1000", `,"needs":["crash"]`, "?windowMs=60000")
	expectText(t, "needy", types(events), "error complete")
	expectText(t, "reason", *events[0].Data, "it needs crash, which is failed")
	_, events = s.put("missing", "", `,"cmd":"/no/such"`, "?windowMs=60000")
	expectText(t, "missing", types(events), "error complete")
	_, events = s.events(http.MethodPost, "crash/start?windowMs=60000", "")
	expectText(t, "by hand", types(events), "started stdout exit complete")
	status, events := s.events(http.MethodPost, "crash/stop", "")
	if status != 200 || !strings.HasSuffix(types(events), "stopped complete") {
		t.Fatalf("%d %s", status, types(events))
	}
	expectText(t, "given up and stopped", s.state("crash")["status"].(string), serviceStopped)
}

func TestServiceStops(t *testing.T) {
	s := startServices(t, servicesDir(t))
	s.put("kind", `trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done`, "", "?windowMs=300")
	_, events := s.events(http.MethodPost, "kind/stop", "")
	expectText(t, "kind", strings.ReplaceAll(types(events), "stderr ", ""), "stopping stdout stopped complete") // the shell may tell of its child
	if code := events[len(events)-2].ExitCode; *code != 7 {
		t.Fatalf("exit code %d", *code)
	}
	if status, _ := s.events(http.MethodPost, "kind/stop", ""); status != 409 {
		t.Fatalf("again: %d", status)
	}
	if status, _ := call(t, s.client, http.MethodPost, "/v1/services/kind/signal", `{"signal":"TERM"}`); status != 409 {
		t.Fatalf("signal: %d", status)
	}
	s.put("stubborn", `trap '' TERM; sh -c 'trap "" TERM; while :; do sleep 0.05; done' & echo $!; while :; do sleep 0.05; done`, "", "?windowMs=300")
	_, events = s.events(http.MethodGet, "stubborn/logs?lines=1", "")
	child, err := strconv.Atoi(strings.TrimSpace(*events[0].Data))
	must(t, err)
	_, events = s.events(http.MethodPost, "stubborn/stop?timeoutMs=100", "")
	expectText(t, "stubborn", types(events), "stopping stopped complete")
	if *events[1].ExitCode != 137 {
		t.Fatalf("exit code %d", *events[1].ExitCode)
	}
	eventually(t, "its child is gone", func() bool { return syscall.Kill(child, 0) == syscall.ESRCH })
	s.put("kind", `trap 'echo hup' HUP; while :; do sleep 0.01; done`, "", "?windowMs=100")
	before := s.becomes("kind", serviceRunning)
	if status, _ := call(t, s.client, http.MethodPost, "/v1/services/kind/signal", `{"signal":"SIGHUP"}`); status != 200 {
		t.Fatalf("signal: %d", status)
	}
	_, events = s.events(http.MethodPost, "kind/restart?windowMs=300", "")
	if !strings.HasPrefix(regexp.MustCompile("std(out|err) ").ReplaceAllString(types(events), ""), "stopping stopped started") {
		t.Fatalf("restart: %s", types(events))
	}
	if after := s.becomes("kind", serviceRunning); after["pid"] == before["pid"] || after["restart_count"] != float64(0) {
		t.Fatalf("%v", after)
	}
}

func TestServicesAtBoot(t *testing.T) {
	dir := servicesDir(t)
	order := filepath.Join(dir, "order")
	s := startServices(t, dir)
	s.put("db", "echo db >>"+order+"; exec sleep 1000", "", "?windowMs=200")
	s.put("app", "echo app >>"+order+"; exec sleep 1000", `,"needs":["db"]`, "?windowMs=200")
	s.put("off", "exec sleep 1000", "", "?windowMs=0")
	s.events(http.MethodPost, "off/stop", "")
	s.becomes("app", serviceRunning)
	s.end()
	for name, text := range map[string]string{"broken": "{", "newer": `{"version":2,"name":"newer","cmd":"x"}`, "other": `{"version":1,"name":"db","cmd":"x"}`,
		"ring": `{"version":1,"name":"ring","cmd":"x","needs":["ring"]}`} {
		must(t, os.WriteFile(filepath.Join(dir, "root/.sprite/services", name+".json"), []byte(text), 0o600))
	}
	must(t, mkfifo(filepath.Join(dir, "root/.sprite/services/pipe.json")))
	must(t, os.Remove(order))

	s = startServices(t, dir)
	if answer := s.port.ask(resumeRequest()); answer["ok"] != true {
		t.Fatalf("%v", answer)
	}
	eventually(t, "the order", func() bool {
		text, _ := os.ReadFile(order)
		return string(text) == "db\napp\n"
	})
}

func TestServicesOfABootAreListed(t *testing.T) {
	dir := servicesDir(t)
	s := startServices(t, dir)
	s.put("db", "exec sleep 1000", "", "?windowMs=0")
	s.put("off", "exec sleep 1000", "", "?windowMs=0")
	s.events(http.MethodPost, "off/stop", "")
	s.end()
	s = startServices(t, dir)
	expectText(t, "off", s.state("off")["status"].(string), serviceStopped)
	s.becomes("db", serviceRunning)
	s.put("user", "exec sleep 1000", `,"needs":["off"]`, "?windowMs=0")
	s.becomes("off", serviceRunning)
	s.becomes("user", serviceRunning)
}

func TestServiceWaitsForThePortOfWhatItNeeds(t *testing.T) {
	s := startServices(t, servicesDir(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	s.put("web", "exec sleep 1000", fmt.Sprintf(`,"http_port":%d`, port), "?windowMs=0")
	_, events := s.put("user", "exec sleep 1000", `,"needs":["web"]`, "?windowMs=300")
	expectText(t, "before the port is open", types(events), "complete")
	expectText(t, "before the port is open", s.state("user")["status"].(string), serviceStarting)
	listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) // in the place of the service
	must(t, err)
	defer listener.Close()
	s.becomes("web", serviceRunning)
	s.becomes("user", serviceRunning)
}

func TestServiceLogSurvivesAFullDisk(t *testing.T) {
	log := &serviceLog{path: filepath.Join(t.TempDir(), "deep/a.log")}
	lines := func(texts ...string) [][]byte {
		found := [][]byte{}
		for _, text := range texts {
			found = append(found, []byte(text))
		}
		return found
	}
	must(t, os.MkdirAll(log.path, 0o755)) // no file can be opened there
	log.write("stdout", lines("a\n", "b\n"))
	must(t, os.Remove(log.path))
	log.write("stderr", lines("c\n"))
	text, err := os.ReadFile(log.path)
	must(t, err)
	if !regexp.MustCompile(`^\S+ \[stderr\] sylph: 2 lines are missing here: .*is a directory\n\S+ \[stderr\] c\n$`).Match(text) {
		t.Fatalf("%s", text)
	}
	must(t, os.Remove(log.path))
	must(t, mkfifo(log.path))
	promptly(t, "a log that is a pipe", func() { log.write("stdout", lines("x\n")) })
}

func TestServiceLogIsRotated(t *testing.T) {
	log := &serviceLog{path: filepath.Join(t.TempDir(), "a.log")}
	must(t, os.WriteFile(log.path, bytes.Repeat([]byte("2020-01-01T00:00:00.000Z [stdout] old\n"), maxLogBytes/38), 0o644))
	for i := range 3 {
		log.write("stdout", [][]byte{fmt.Appendf(nil, "new %d\n", i), make([]byte, 100)})
	}
	info, err := os.Stat(log.path + ".1")
	must(t, err)
	if info.Size() > maxLogBytes {
		t.Fatalf("%d bytes", info.Size())
	}
	events, follower := log.tail(10, true)
	defer follower.leave()
	if len(events) != 10 || *events[0].Data != "old\n" || *events[9].Data != strings.Repeat("\x00", 100)+"\n" {
		t.Fatalf("%d events, first %v", len(events), *events[0].Data)
	}
}

func TestServiceFeedBoundsAndCounts(t *testing.T) {
	feed := &serviceFeed{}
	feed.add(eventNow("started")) // nobody follows
	follower := feed.follow()
	const count = 100
	for i := range count {
		feed.add(eventNow("stdout").withData(strings.Repeat("x", 10_000) + strconv.Itoa(i)))
	}
	events, _ := follower.take()
	if events[0].Type != "dropped" || int(events[0].Count)+len(events)-1 != count || feed.bytes > maxFeedBytes {
		t.Fatalf("%s %d of %d", events[0].Type, events[0].Count, len(events))
	}
	follower.leave()
	if feed.bytes != 0 || feed.events != nil {
		t.Fatal("kept for nobody")
	}
}

func TestLineCutter(t *testing.T) {
	cutter := &lineCutter{}
	lines := cutter.push([]byte("a\nb"))
	lines = append(lines, cutter.push([]byte("c\n\n"+strings.Repeat("x", maxLogLineBytes+1)+"\nend"))...)
	got := []string{}
	for _, line := range lines {
		got = append(got, string(line))
	}
	want := []string{"a\n", "bc\n", "\n", strings.Repeat("x", maxLogLineBytes), "x\n"}
	if strings.Join(got, "|") != strings.Join(want, "|") || string(cutter.rest) != "end" {
		t.Fatalf("%d lines, rest %q", len(got), cutter.rest)
	}
}

func TestAStreamOfEventsEndsWithTheRunItFollows(t *testing.T) {
	feed, life := &serviceFeed{}, &serviceLife{done: make(chan struct{})}
	stream := &eventStream{follower: feed.follow(), life: life, window: time.Hour}
	exit := eventNow("exit")
	exit.life = life
	feed.add(exit) // and no other event, as while a restart is waited for
	told := ""
	promptly(t, "the stream", func() {
		err := stream.relay(t.Context(), func(events []serviceEvent) error {
			told += types(events)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	expectText(t, "told", told, "exit")
}

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inside runs sprite-env against an agent's socket.
func (s *servicesOf) inside(args ...string) (code int, out, trouble string) {
	var output, errors bytes.Buffer
	code = spriteEnv(filepath.Join(s.dir, "root/.sprite/api.sock"), args, &output, &errors)
	return code, output.String(), errors.String()
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

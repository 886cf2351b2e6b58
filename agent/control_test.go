package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHello(t *testing.T) {
	control := startGuest(t).control()
	answer := control.ask(map[string]any{"op": "hello", "versions": []int{1, 2}})
	if answer["ok"] != true || answer["version"] != 1.0 || answer["ready"] != true || answer["agent"] != "sylph-agent "+version || answer["kernel"] == "" || len(answer["bootId"].(string)) != 36 {
		t.Fatalf("%v", answer)
	}
	answer = control.ask(map[string]any{"op": "hello", "versions": []int{9}})
	if answer["ok"] != false || answer["code"] != "EPROTONOSUPPORT" {
		t.Fatalf("%v", answer)
	}
}

func TestControlRefusesWhatMakesNoSense(t *testing.T) {
	control := startGuest(t).control()
	resumeWith := func(field string, value any) map[string]any {
		request := resumeRequest()
		request[field] = value
		return request
	}
	for name, request := range map[string]map[string]any{
		"unknown op":      {"op": "dance"},
		"short nonce":     {"op": "open", "nonce": "00"},
		"no nonce":        {"op": "open"},
		"deadline":        {"op": "poweroff", "deadlineMs": -1},
		"time":            resumeWith("time", "soon"),
		"entropy":         resumeWith("entropy", "AAAA"),
		"hostname":        resumeWith("hostname", "a b"),
		"hostname's line": resumeWith("hostname", "a\nb"),
		"machine id":      resumeWith("machineId", "x"),
		"generation":      resumeWith("generationId", "../x"),
	} {
		if answer := control.ask(request); answer["ok"] != false || answer["error"] == "" || answer["code"] == "" {
			t.Errorf("%s: %v", name, answer)
		}
	}
}

func TestControlIgnoresNoise(t *testing.T) {
	control := startGuest(t).control()
	for _, noise := range []string{"\n", "half of a line\",\"op\":\"hello\"}\n", "[1]\n", "{\"id\":\"a\"}\n", "{\"op\":\"hello\"}\n", "{\"id\":7,\"op\":\"hello\"}\n",
		"{\"id\":\"x\",\"op\":\"" + strings.Repeat("y", 3*maxLineBytes) + "\"}\n", "\x00\xff\n"} {
		_, err := io.WriteString(control.conn, noise)
		must(t, err)
	}
	if answer := control.ask(map[string]any{"op": "hello", "versions": []int{1}}); answer["ok"] != true {
		t.Fatalf("%v", answer)
	}
}

func TestControlServesOneHostAfterTheOther(t *testing.T) {
	g := startGuest(t)
	first := g.control()
	_, err := io.WriteString(first.conn, `{"id":"half`)
	must(t, err)
	must(t, first.conn.Close())
	if answer := g.control().ask(map[string]any{"op": "quiesce"}); answer["ok"] != true {
		t.Fatalf("%v", answer)
	}
}

func TestResumeAppliesTheIdentityAndOpens(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	root := g.dir + "/root"
	must(t, os.MkdirAll(root+"/etc/ssh", 0o755))
	must(t, os.WriteFile(root+"/etc/ssh/ssh_host_rsa_key", nil, 0o600))
	request := resumeRequest()
	for range 2 { // operations are idempotent
		if answer := control.ask(request); answer["ok"] != true || answer["ready"] != true {
			t.Fatalf("%v", answer)
		}
	}
	for path, want := range map[string]any{"/run/sylph/generation-id": request["generationId"], "/etc/hostname": "box-1", "/etc/machine-id": request["machineId"]} {
		if text, err := os.ReadFile(root + path); err != nil || strings.TrimSpace(string(text)) != want {
			t.Errorf("%s: %q %v", path, text, err)
		}
	}
	if _, err := os.Stat(root + "/etc/ssh/ssh_host_rsa_key"); !os.IsNotExist(err) {
		t.Error("host key is still there")
	}
	nonce, err := hex.DecodeString(request["nonce"].(string))
	must(t, err)
	client := g.dialData(nonce, nil)
	wantExit(t, g.run(client, g.spec("true")), 0, nil)
}

func TestNonceIsFoundBehindAnEarlierLife(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	stale := bytes.Repeat([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04"), 200<<10)
	client := g.open(control, stale)
	wantExit(t, g.run(client, g.spec("true")), 0, nil)
}

func TestNonceSplitAnywhere(t *testing.T) {
	nonce := []byte("0123456789abcdef")
	for before := 0; before < 40; before++ {
		wire := append(bytes.Repeat([]byte("0123"), before), nonce...)
		rest, err := syncNonce(&chunkReader{rest: append(wire, "rest"...), size: 1 + before%7}, nonce)
		if err != nil || !strings.HasPrefix("rest", string(rest)) {
			t.Fatalf("%d: %q %v", before, rest, err)
		}
	}
}

func TestNonceIsNotAwaitedForEver(t *testing.T) {
	if _, err := syncNonce(zeros{}, []byte("0123456789abcdef")); err != errNoNonce {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOpenTearsTheOldSessionDown(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	first := g.open(control, nil)
	s := g.spec("sleep", "1000")
	p := g.start(first, s)
	second := g.open(control, nil)
	if _, err := io.Copy(io.Discard, p.response.Body); err == nil {
		t.Fatal("the old stream ended well")
	}
	if _, err := first.Get("http://guest/v1/ping"); err == nil {
		t.Fatal("the old session answers")
	}
	status, _ := call(t, second, http.MethodPost, "/v1/processes/"+s.ID+"/signal", `{"signal":"KILL"}`)
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	wantExit(t, attach(t, second, s.ID, 0).finish(0), 137, "KILL")
}

func TestSessionEndsWithItsHost(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	g.open(control, nil).CloseIdleConnections()
	for range 3 {
		wantExit(t, g.run(g.open(control, nil), g.spec("true")), 0, nil)
	}
}

func TestPowerOffEndsProcessesInOrder(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	client := g.open(control, nil)
	polite := g.start(client, g.spec("sh", "-c", "trap 'echo bye; exit 3' TERM; echo set; while :; do sleep 0.02; done"))
	polite.next()
	stubborn := g.start(client, g.spec("sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.02; done"))
	stubborn.next()
	if answer := control.ask(map[string]any{"op": "poweroff", "deadlineMs": 500}); answer["ok"] != true {
		t.Fatalf("%v", answer)
	}
	wantExit(t, polite.finish(4), 3, nil)
	wantExit(t, stubborn.finish(4), 137, "KILL")
}

func TestPowerOffWithoutProcessesIsQuick(t *testing.T) {
	control := startGuest(t).control()
	begin := time.Now()
	if answer := control.ask(map[string]any{"op": "poweroff", "deadlineMs": 300000}); answer["ok"] != true || time.Since(begin) > patience {
		t.Fatalf("%v", answer)
	}
}

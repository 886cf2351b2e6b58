package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func wantExit(t *testing.T, r result, code int, signal any) {
	t.Helper()
	if r.exit["code"] != float64(code) || r.exit["signal"] != signal {
		t.Fatalf("exit %v instead of %d, %v; stderr %q", r.exit, code, signal, r.stderr)
	}
}

func TestOutputAndExitCode(t *testing.T) {
	g, client := session(t)
	r := g.run(client, g.spec("sh", "-c", "echo out; echo err >&2; pwd; exit 7"))
	wantExit(t, r, 7, nil)
	if string(r.stdout) != "out\n/\n" || string(r.stderr) != "err\n" {
		t.Fatalf("%q %q", r.stdout, r.stderr)
	}
}

func TestSignalledExit(t *testing.T) {
	g, client := session(t)
	wantExit(t, g.run(client, g.spec("sh", "-c", "kill -KILL $$")), 137, "KILL")
	p := g.start(client, g.spec("sleep", "1000"))
	p.send(frameSignal, []byte("TERM"))
	wantExit(t, p.finish(0), 143, "TERM")
	p = g.start(client, g.spec("sleep", "1000"))
	if status, answer := call(t, client, http.MethodPost, "/v1/processes/"+p.id+"/signal", `{"signal":"USR1"}`); status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	wantExit(t, p.finish(0), 138, "USR1")
	for body, want := range map[string]int{`{"signal":"TERM"}`: 410, `{"signal":"NO"}`: 400, `{`: 400} {
		if status, answer := call(t, client, http.MethodPost, "/v1/processes/"+p.id+"/signal", body); status != want {
			t.Fatalf("%s: %d %v", body, status, answer)
		}
	}
}

func TestSignalReachesTheWholeGroup(t *testing.T) {
	g, client := session(t)
	p := g.start(client, g.spec("sh", "-c", "sleep 1000 & sleep 1000 & wait"))
	p.send(frameSignal, []byte("KILL"))
	wantExit(t, p.finish(0), 137, "KILL")
}

func TestEnvironmentIsExactlyWhatIsAsked(t *testing.T) {
	g, client := session(t)
	s := g.spec("/usr/bin/env")
	s.Env = map[string]string{"A": "1", "B": "zwei = 2"}
	r := g.run(client, s)
	lines := strings.Split(strings.TrimSpace(string(r.stdout)), "\n")
	if len(lines) != 2 || !strings.Contains(string(r.stdout), "B=zwei = 2\n") {
		t.Fatalf("%q", r.stdout)
	}
}

func TestStdinAndItsEnd(t *testing.T) {
	g, client := session(t)
	s := g.spec("cat")
	s.Stdin = true
	p := g.start(client, s)
	data := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	go p.input(data)
	r := p.finish(0)
	wantExit(t, r, 0, nil)
	if !bytes.Equal(r.stdout, data) {
		t.Fatalf("%d bytes came back of %d", len(r.stdout), len(data))
	}
}

func TestStdinIsEmptyWithoutInput(t *testing.T) {
	g, client := session(t)
	p := g.start(client, g.spec("cat"))
	p.input([]byte("nobody reads this"))
	r := p.finish(0)
	wantExit(t, r, 0, nil)
	if len(r.stdout) != 0 {
		t.Fatalf("%q", r.stdout)
	}
}

func TestInputIsAcknowledgedAlsoWhenDiscarded(t *testing.T) {
	g, client := session(t)
	s := g.spec("sh", "-c", "exec 0<&-; read x < "+g.dir+"/go")
	must(t, mkfifo(g.dir+"/go"))
	s.Stdin = true
	p := g.start(client, s)
	// Once the read end is closed the rest is discarded, whatever its size.
	done := make(chan struct{})
	go func() { p.input(make([]byte, 3<<20)); close(done) }()
	for acked := uint64(0); acked < 3<<20; {
		kind, payload := p.next()
		if kind != frameStdinAck {
			t.Fatalf("frame %d", kind)
		}
		acked, _, _ = splitOffset(payload)
	}
	<-done
	must(t, os.WriteFile(g.dir+"/go", []byte("x\n"), 0))
	wantExit(t, p.finish(0), 0, nil)
}

func TestRepeatedInputIsIgnored(t *testing.T) {
	g, client := session(t)
	s := g.spec("cat")
	s.Stdin = true
	p := g.start(client, s)
	p.sendOffset(frameStdin, 0, []byte("abc"))
	p.sendOffset(frameStdin, 0, []byte("abc"))
	p.sendOffset(frameStdin, 1, []byte("bcde"))
	p.sendOffset(frameStdinEOF, 3, nil)
	p.sendOffset(frameStdinEOF, 5, nil)
	if r := p.finish(0); string(r.stdout) != "abcde" {
		t.Fatalf("%q", r.stdout)
	}
}

func TestTerminal(t *testing.T) {
	g, client := session(t)
	s := g.spec("sh", "-c", "tty >/dev/null && stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done")
	s.TTY, s.Stdin = &ttySize{Cols: 101, Rows: 33}, true
	p := g.start(client, s)
	seen := ""
	for !strings.Contains(seen, "ready") {
		kind, payload := p.next()
		if kind != frameStdout {
			t.Fatalf("frame %d", kind)
		}
		seen += string(payload[offsetBytes:])
	}
	p.send(frameResize, []byte{0, 90, 0, 20})
	r := p.finish(uint64(len(seen)))
	wantExit(t, r, 3, nil)
	if seen != "33 101\r\nready\r\n" || string(r.stdout) != "20 90\r\n" {
		t.Fatalf("%q then %q", seen, r.stdout)
	}
}

func TestTerminalInputSignalAndEnd(t *testing.T) {
	g, client := session(t)
	s := g.spec("sh", "-c", "stty -echo; echo on; cat; echo over; exec sleep 1000")
	s.TTY, s.Stdin = &ttySize{Cols: 80, Rows: 24}, true
	p := g.start(client, s)
	seen := ""
	for !strings.Contains(seen, "over") {
		kind, payload := p.next()
		if kind == frameStdout {
			seen += string(payload[offsetBytes:])
		}
		if seen == "on\r\n" {
			p.sendOffset(frameStdin, 0, []byte("line\n"))
			p.sendOffset(frameStdinEOF, 5, nil)
		}
	}
	if seen != "on\r\nline\r\nover\r\n" {
		t.Fatalf("%q", seen)
	}
	p.send(frameSignal, []byte("INT"))
	wantExit(t, p.finish(uint64(len(seen))), 130, "INT")
}

func TestTerminalLosesNothingAtTheEnd(t *testing.T) {
	g, client := session(t)
	for range 20 {
		s := g.spec("seq", "3000")
		s.TTY = &ttySize{Cols: 80, Rows: 24}
		if r := g.run(client, s); len(r.stdout) != 13893+3000 {
			t.Fatalf("%d bytes", len(r.stdout))
		}
	}
}

func TestWhatCannotStart(t *testing.T) {
	g, client := session(t)
	must(t, os.WriteFile(g.dir+"/text", []byte("no program"), 0o644))
	must(t, os.WriteFile(g.dir+"/odd", []byte("\x00odd"), 0o755))
	change := func(act func(s *spec)) *spec {
		s := g.spec("true")
		act(s)
		return s
	}
	for name, c := range map[string]struct {
		s    *spec
		code string
		text string
	}{
		"missing program":     {g.spec("no-such-program"), "ENOENT", "no-such-program"},
		"missing path":        {g.spec("/no/such"), "ENOENT", "/no/such"},
		"not executable":      {g.spec(g.dir + "/text"), "EACCES", "text"},
		"not a program":       {g.spec(g.dir + "/odd"), "ENOEXEC", "odd"},
		"folder":              {g.spec("/usr"), "EACCES", "/usr"},
		"missing directory":   {change(func(s *spec) { s.Dir = "/no/where" }), "ENOENT", "/no/where"},
		"directory is a file": {change(func(s *spec) { s.Dir = "/etc/passwd" }), "ENOTDIR", "/etc/passwd"},
		"no arguments":        {change(func(s *spec) { s.Argv = nil }), "EINVAL", "argv"},
		"zero byte":           {change(func(s *spec) { s.Argv = []string{"a\x00"} }), "EINVAL", "zero"},
		"bad variable":        {change(func(s *spec) { s.Env["A=B"] = "" }), "EINVAL", "A=B"},
	} {
		p := post(t, client, "/v1/processes", c.s.frame(t))
		kind, payload := p.next()
		bad := failure{}
		must(t, json.Unmarshal(payload, &bad))
		if kind != frameFailed || bad.Code != c.code || !strings.Contains(bad.Text, c.text) {
			t.Errorf("%s: frame %d %s", name, kind, payload)
		}
		if status, _ := call(t, client, http.MethodDelete, "/v1/processes/"+c.s.ID, ""); status != 404 {
			t.Errorf("%s: it is remembered (%d)", name, status)
		}
	}
}

func TestProgramIsFoundInItsOwnPath(t *testing.T) {
	g, client := session(t)
	must(t, os.WriteFile(g.dir+"/tool", []byte("#!/bin/sh\necho mine\n"), 0o755))
	s := g.spec("tool")
	s.Env["PATH"] = "/nowhere:" + g.dir
	p := g.start(client, s)
	if p.started["path"] != g.dir+"/tool" {
		t.Fatalf("%v", p.started)
	}
	if r := p.finish(0); string(r.stdout) != "mine\n" {
		t.Fatalf("%q", r.stdout)
	}
	s = g.spec("./tool")
	s.Dir = g.dir
	if r := g.run(client, s); string(r.stdout) != "mine\n" {
		t.Fatalf("%q", r.stdout)
	}
}

func TestIDsAreUnique(t *testing.T) {
	g, client := session(t)
	s := g.spec("sleep", "1000")
	p := g.start(client, s)
	if again := post(t, client, "/v1/processes", s.frame(t)); again.response.StatusCode != 409 {
		t.Fatalf("status %d", again.response.StatusCode)
	}
	p.send(frameSignal, []byte("KILL"))
	p.finish(0)
}

func TestListAndDelete(t *testing.T) {
	g, client := session(t)
	s := g.spec("sh", "-c", "echo hello; read x < "+g.dir+"/go")
	must(t, mkfifo(g.dir+"/go"))
	p := g.start(client, s)
	p.next()
	status, answer := call(t, client, http.MethodGet, "/v1/processes", "")
	entries := answer["processes"].([]any)
	if status != 200 || len(entries) != 1 {
		t.Fatalf("%d %v", status, answer)
	}
	entry := entries[0].(map[string]any)
	if entry["id"] != s.ID || entry["exited"] != false || entry["tty"] != false || entry["outputOffset"] != 6.0 || entry["acked"] != 0.0 || entry["pid"] != p.started["pid"] {
		t.Fatalf("%v", entry)
	}
	if status, _ = call(t, client, http.MethodDelete, "/v1/processes/"+s.ID, ""); status != 409 {
		t.Fatalf("status %d", status)
	}
	must(t, os.WriteFile(g.dir+"/go", []byte("x\n"), 0))
	p.finish(6)
	if status, _ = call(t, client, http.MethodDelete, "/v1/processes/"+s.ID, ""); status != 200 {
		t.Fatalf("status %d", status)
	}
	if status, _ = call(t, client, http.MethodDelete, "/v1/processes/"+s.ID, ""); status != 404 {
		t.Fatalf("status %d", status)
	}
}

func TestBackPressureThenEverything(t *testing.T) {
	g, client := session(t)
	const total = 100 << 20
	s := g.spec("sh", "-c", fmt.Sprintf("head -c %d /dev/zero | tr '\\0' 'z'; head -c 1000 /dev/urandom >/dev/null; echo end", total))
	p := g.start(client, s)
	offset := func() float64 {
		_, answer := call(t, client, http.MethodGet, "/v1/processes", "")
		return answer["processes"].([]any)[0].(map[string]any)["outputOffset"].(float64)
	}
	eventually(t, "the buffer is full", func() bool { return offset() == outputLimitBytes })
	time.Sleep(100 * time.Millisecond)
	if got := offset(); got != outputLimitBytes {
		t.Fatalf("read on to %v", got)
	}
	sum, count := sha256.New(), uint64(0)
	for {
		kind, payload := p.next()
		if kind == frameExit {
			break
		}
		at, data, _ := splitOffset(payload)
		if at != count {
			t.Fatalf("offset %d, not %d", at, count)
		}
		count += uint64(len(data))
		sum.Write(data)
		p.ackLater(count)
	}
	want := sha256.New()
	for range total >> 20 {
		want.Write(bytes.Repeat([]byte("z"), 1<<20))
	}
	want.Write([]byte("end\n"))
	if count != total+4 || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Fatalf("%d bytes", count)
	}
}

func TestAttachContinuesABrokenStream(t *testing.T) {
	g, client := session(t)
	whole := g.run(client, g.spec("seq", "100000"))
	p := g.start(client, g.spec("sh", "-c", "sleep 0.1; seq 100000"))
	got, offset := []byte(nil), uint64(0)
	for part := 0; ; part++ {
		kind, payload := p.next()
		if kind == frameExit {
			break
		}
		if kind == frameStdout {
			_, data, _ := splitOffset(payload)
			got, offset = append(got, data...), offset+uint64(len(data))
			p.ackLater(offset)
		}
		if part%3 == 2 {
			p.cancel()
			back := uint64(0)
			if part%2 == 0 {
				back = min(10, uint64(len(payload)-offsetBytes)) // the host may have journalled less than it acknowledged nowhere
			}
			_, answer := call(t, client, http.MethodGet, "/v1/processes", "")
			for _, entry := range answer["processes"].([]any) {
				if e := entry.(map[string]any); e["id"] == p.id && uint64(e["acked"].(float64)) > offset-back {
					back = 0
				}
			}
			got, offset = got[:uint64(len(got))-back], offset-back
			next := post(t, client, fmt.Sprintf("/v1/processes/%s/attach?offset=%d", p.id, offset), nil)
			if next.response.StatusCode == 416 { // an acknowledgement of the broken stream arrived meanwhile
				offset += back
				got = whole.stdout[:offset]
				next = post(t, client, fmt.Sprintf("/v1/processes/%s/attach?offset=%d", p.id, offset), nil)
			}
			next.id = p.id
			next.readStarted()
			if next.started["pid"] != p.started["pid"] || uint64(next.started["outputOffset"].(float64)) != offset {
				t.Fatalf("%v after %v", next.started, p.started)
			}
			p = next
		}
	}
	if !bytes.Equal(got, whole.stdout) {
		t.Fatalf("%d bytes differ from %d", len(got), len(whole.stdout))
	}
}

func TestAttachAfterTheExit(t *testing.T) {
	g, client := session(t)
	p := g.start(client, g.spec("sh", "-c", "echo before; echo end >&2; exit 5"))
	p.cancel()
	eventually(t, "the process ends", func() bool {
		_, answer := call(t, client, http.MethodGet, "/v1/processes", "")
		return answer["processes"].([]any)[0].(map[string]any)["exited"] == true
	})
	r := attach(t, client, p.id, 0).finish(0)
	wantExit(t, r, 5, nil)
	if string(r.stdout) != "before\n" || string(r.stderr) != "end\n" {
		t.Fatalf("%q %q", r.stdout, r.stderr)
	}
	wantExit(t, attach(t, client, p.id, 11).finish(11), 5, nil)
	for path, want := range map[string]int{"/v1/processes/" + p.id + "/attach?offset=12": 416, "/v1/processes/" + p.id + "/attach?offset=x": 400, "/v1/processes/none/attach?offset=0": 404} {
		if status, answer := call(t, client, http.MethodPost, path, ""); status != want || answer["code"] == nil {
			t.Fatalf("%s: %d %v", path, status, answer)
		}
	}
}

func TestProcessSurvivesANewSession(t *testing.T) {
	g := startGuest(t)
	control := g.control()
	first := g.open(control, nil)
	s := g.spec("cat")
	s.Stdin = true
	p := g.start(first, s)
	p.sendOffset(frameStdin, 0, []byte("one"))
	if kind, payload := p.next(); kind != frameStdinAck && kind != frameStdout {
		t.Fatalf("frame %d %s", kind, payload)
	}
	second := g.open(control, nil)
	p = attach(t, second, s.ID, 0)
	if p.started["inputOffset"] != 3.0 {
		t.Fatalf("%v", p.started)
	}
	p.sendOffset(frameStdin, 0, []byte("onetwo"))
	p.sendOffset(frameStdinEOF, 6, nil)
	if r := p.finish(0); string(r.stdout) != "onetwo" {
		t.Fatalf("%q", r.stdout)
	}
}

func TestNewerStreamEndsTheOlder(t *testing.T) {
	g, client := session(t)
	must(t, mkfifo(g.dir+"/go"))
	// The first stream is full and nobody reads it: the second one must not wait for it.
	p := g.start(client, g.spec("sh", "-c", "seq 400000; read x < "+g.dir+"/go; echo end"))
	eventually(t, "the buffer is full", func() bool {
		_, answer := call(t, client, http.MethodGet, "/v1/processes", "")
		return answer["processes"].([]any)[0].(map[string]any)["outputOffset"] == float64(outputLimitBytes)
	})
	second := attach(t, client, p.id, 0)
	if _, err := io.Copy(io.Discard, p.response.Body); err == nil {
		t.Fatal("the older stream ended well")
	}
	go func() { _ = os.WriteFile(g.dir+"/go", []byte("x\n"), 0) }()
	r := second.finish(0)
	if !bytes.HasSuffix(r.stdout, []byte("400000\nend\n")) {
		t.Fatalf("%d bytes", len(r.stdout))
	}
}

func TestManyShortCommandsLoseNothing(t *testing.T) {
	g, client := session(t)
	slots := make(chan struct{}, 16)
	var group sync.WaitGroup
	for i := range 500 {
		slots <- struct{}{}
		s := g.spec("sh", "-c", fmt.Sprintf("echo out %d; echo err %d >&2; exit %d", i, i, i%200))
		group.Add(1)
		go func() {
			defer func() { <-slots; group.Done() }()
			p := post(t, client, "/v1/processes", s.frame(t))
			p.id = s.ID
			p.readStarted()
			r := p.finish(0)
			if string(r.stdout) != fmt.Sprintf("out %d\n", i) || string(r.stderr) != fmt.Sprintf("err %d\n", i) || r.exit["code"] != float64(i%200) {
				t.Errorf("%d: %q %q %v", i, r.stdout, r.stderr, r.exit)
			}
		}()
	}
	group.Wait()
}

func TestBackgroundChildDoesNotHoldTheExit(t *testing.T) {
	g, client := session(t)
	r := g.run(client, g.spec("sh", "-c", "(sleep 1000) & (while :; do echo noise; sleep 0.01; done) & echo own; exit 4"))
	wantExit(t, r, 4, nil)
	if !bytes.Contains(r.stdout, []byte("own\n")) {
		t.Fatalf("%q", r.stdout)
	}
	s := g.spec("sh", "-c", "trap '' HUP; (sleep 1000) & echo own; exit 6")
	s.TTY = &ttySize{Cols: 80, Rows: 24}
	r = g.run(client, s)
	wantExit(t, r, 6, nil)
	if string(r.stdout) != "own\r\n" {
		t.Fatalf("%q", r.stdout)
	}
	killOrphans(t, g)
}

func TestWhatAProcessLeftIsReadAlsoUnderBackPressure(t *testing.T) {
	g, client := session(t)
	// More than the agent keeps, less than it keeps and the pipe holds: the process ends while nobody acknowledges, and a child holds the pipe.
	p := g.start(client, g.spec("sh", "-c", "(sleep 1000) & head -c 1800000 /dev/zero; exit 2"))
	time.Sleep(700 * time.Millisecond)
	r := p.finish(0)
	wantExit(t, r, 2, nil)
	if len(r.stdout) != 1800000 {
		t.Fatalf("%d bytes", len(r.stdout))
	}
	killOrphans(t, g)
}

func TestOrphansAreReaped(t *testing.T) {
	g, client := session(t)
	r := g.run(client, g.spec("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do (sleep 0.$i >/dev/null 2>&1 &) ; done; echo done"))
	wantExit(t, r, 0, nil)
	eventually(t, "no child is left", func() bool { return len(childrenOf(t, g.pid)) == 0 })
	wantExit(t, g.run(client, g.spec("true")), 0, nil)
}

func TestMalformedFramesBreakTheStreamOnly(t *testing.T) {
	g, client := session(t)
	for name, wire := range map[string][]byte{
		"unknown type":     appendFrame(nil, 99, nil),
		"host's own type":  appendFrame(nil, frameStarted, []byte("{}")),
		"second spec":      appendFrame(nil, frameSpec, []byte("{}")),
		"short ack":        appendFrame(nil, frameAck, []byte{1, 2}),
		"long ack":         appendFrame(nil, frameAck, make([]byte, 9)),
		"short resize":     appendFrame(nil, frameResize, []byte{1}),
		"unknown signal":   appendFrame(nil, frameSignal, []byte("NOPE")),
		"input gap":        appendFrame(nil, frameStdin, append(binary.BigEndian.AppendUint64(nil, 5), 'x')),
		"end gap":          appendFrame(nil, frameStdinEOF, binary.BigEndian.AppendUint64(nil, 5)),
		"oversized":        {frameStdin, 0x7f, 0xff, 0xff, 0xff},
		"oversized by far": {frameStdin, 0xff, 0xff, 0xff, 0xff},
	} {
		s := g.spec("cat")
		s.Stdin = true
		p := g.start(client, s)
		_, err := p.body.Write(wire)
		must(t, err)
		if _, err := io.Copy(io.Discard, p.response.Body); err == nil {
			t.Errorf("%s: the stream ended well", name)
		}
		again := attach(t, client, s.ID, 0)
		again.input([]byte("fine"))
		if r := again.finish(0); string(r.stdout) != "fine" {
			t.Errorf("%s: then %q", name, r.stdout)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	_, client := session(t)
	for name, first := range map[string][]byte{
		"not a spec":  appendFrame(nil, frameStdin, nil),
		"not JSON":    appendFrame(nil, frameSpec, []byte("{")),
		"wrong types": appendFrame(nil, frameSpec, []byte(`{"id":7}`)),
		"no id":       appendFrame(nil, frameSpec, []byte(`{"argv":["true"]}`)),
		"id of paths": appendFrame(nil, frameSpec, []byte(`{"id":"../x","argv":["true"]}`)),
		"oversized":   {frameSpec, 0, 2, 0, 0},
	} {
		if p := post(t, client, "/v1/processes", first); p.response.StatusCode != 400 {
			t.Errorf("%s: %d", name, p.response.StatusCode)
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{{"GET", "/", 404}, {"GET", "/v1/processes/1/other", 404}, {"PUT", "/v1/processes", 405}, {"POST", "/v1/ping", 405}, {"POST", "/v1/stats", 405},
		{"GET", "/v1/processes/1/attach", 405}, {"POST", "/v1/processes/1/signal", 404}, {"DELETE", "/v1/processes/1", 404}} {
		if status, answer := call(t, client, c.method, c.path, ""); status != c.want || answer["error"] == nil || answer["code"] == nil {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
}

func TestPingAndStats(t *testing.T) {
	_, client := session(t)
	response, err := client.Get("http://guest/v1/ping")
	must(t, err)
	text, err := io.ReadAll(response.Body)
	must(t, err)
	must(t, response.Body.Close())
	if string(text) != "pong" {
		t.Fatalf("%q", text)
	}
	status, answer := call(t, client, http.MethodGet, "/v1/stats", "")
	for _, name := range []string{"memTotalBytes", "memAvailableBytes", "diskTotalBytes", "diskFreeBytes", "uptimeMs"} {
		if value, ok := answer[name].(float64); !ok || value <= 0 {
			t.Errorf("%d: %s is %v", status, name, answer[name])
		}
	}
}

// childrenOf lists the direct children of a process.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	must(t, err)
	var children []string
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread that has ended has none
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}

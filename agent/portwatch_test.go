package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

type portLine struct {
	Ports  []portEntry `json:"ports"`
	Opened *portEntry  `json:"opened"`
	Closed *portEntry  `json:"closed"`
}

func watchPorts(t *testing.T, client *http.Client) func() portLine {
	t.Helper()
	response, err := client.Get("http://guest/v1/ports/watch")
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewReader(response.Body)
	return func() portLine {
		t.Helper()
		text, err := lines.ReadBytes('\n')
		must(t, err)
		var line portLine
		must(t, json.Unmarshal(text, &line))
		return line
	}
}

// about skips lines about other ports of this machine.
func about(next func() portLine, port int) portLine {
	for {
		line := next()
		for _, entry := range []*portEntry{line.Opened, line.Closed} {
			if entry != nil && int(entry.Port) == port {
				return line
			}
		}
	}
}

func TestPortWatchTellsWhatIsThereAndWhatChanges(t *testing.T) {
	_, client := session(t)
	there, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	next := watchPorts(t, client)
	found := false
	for _, entry := range next().Ports {
		if int(entry.Port) == there.Addr().(*net.TCPAddr).Port {
			found = entry.Address == "127.0.0.1" && entry.PID == os.Getpid() && entry.Session == ""
		}
	}
	if !found {
		t.Error("a port that was open is not in the list")
	}
	later, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	port := later.Addr().(*net.TCPAddr).Port
	if line := about(next, port); line.Opened == nil || line.Opened.Address != "127.0.0.1" || line.Opened.PID != os.Getpid() {
		t.Errorf("%+v", line)
	}
	must(t, later.Close())
	if line := about(next, port); line.Closed == nil {
		t.Errorf("%+v", line)
	}
	must(t, there.Close())
}

func TestPortWatchKnowsTheSessionOfAPort(t *testing.T) {
	g, client := session(t)
	next := watchPorts(t, client)
	next()
	script := "import socket,time\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)"
	wanted := g.spec("sh", "-c", "python3 -c \"$1\" & wait", "sh", script)
	process := g.start(client, wanted)
	_, payload := process.next()
	_, text, _ := splitOffset(payload)
	port, err := strconv.Atoi(string(text[:len(text)-1]))
	must(t, err)
	line := about(next, port)
	if line.Opened == nil || line.Opened.Session != wanted.ID || line.Opened.PID == int(process.started["pid"].(float64)) || line.Opened.PID == 0 {
		t.Errorf("%+v of %v", line.Opened, process.started)
	}
	call(t, client, http.MethodPost, "/v1/processes/"+wanted.ID+"/signal", `{"signal":"KILL"}`)
	if line := about(next, port); line.Closed == nil || line.Closed.Session != wanted.ID {
		t.Errorf("%+v", line)
	}
}

func TestPortWatchLooksOnceASecondForAll(t *testing.T) {
	_, client := session(t)
	first := watchPorts(t, client)
	first()
	began := time.Now()
	for range 5 {
		watchPorts(t, client)() // the last look is news enough
	}
	if took := time.Since(began); took > portLookInterval/2 {
		t.Errorf("five watchers waited %v", took)
	}
}

func TestParseListeners(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	rest := " 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0\n"
	for _, test := range []struct{ local, address string }{
		{"0100007F:1F90", "127.0.0.1"}, {"00000000:1F90", "127.0.0.1"}, {"0F02000A:1F90", "10.0.2.15"},
		{"00000000000000000000000001000000:1F90", "::1"}, {"00000000000000000000000000000000:1F90", "127.0.0.1"},
		{"0000000000000000FFFF00000100007F:1F90", "127.0.0.1"},
	} {
		list := parseListeners([]byte(head + "   0: " + test.local + rest))
		if len(list) != 1 || list[0].port != 8080 || list[0].address.String() != test.address || list[0].inode != 77 {
			t.Errorf("%s: %+v", test.local, list)
		}
	}
	for _, bad := range []string{"", "x", head, head + "   0: zz:1F90" + rest, head + "   0: 0100007F:0000" + rest, head + "0: 0100007F:1F90 00000000:0000 01\n"} {
		if list := parseListeners([]byte(bad)); len(list) != 0 {
			t.Errorf("%q: %+v", bad, list)
		}
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add([]byte("head\n 0: 0100007F:1F90 0:0 0A 0 0 0 0 0 77\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, each := range parseListeners(table) {
			if each.port == 0 || !each.address.IsValid() {
				t.Errorf("%+v", each)
			}
		}
	})
}

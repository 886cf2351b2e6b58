package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serveVariable makes the test binary the agent itself: tests speak to a process of its own, as the host does.
const serveVariable = "SYLPH_AGENT_TEST_SERVE"

// patience bounds every wait of a test; no test depends on how short one is.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	runAsProgram()
	var err error
	dir, root := os.Getenv(serveVariable), os.Getenv(mountVariable)
	switch {
	case dir != "":
		limitResources()
		hurry()
		err = serveUnix(dir)
	case root != "":
		err = checkMounts(root)
	case os.Getenv(reaperVariable) != "":
		err = checkReaper()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// guest is an agent under test.
type guest struct {
	t    *testing.T
	dir  string
	pid  int
	last atomic.Int64
}

func startGuest(t *testing.T) *guest {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // t.TempDir's paths are too long for a socket
	must(t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveVariable+"="+dir)
	command.Stderr = os.Stderr
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		_ = os.RemoveAll(dir)
	})
	return &guest{t: t, dir: dir, pid: command.Process.Pid}
}

func dialUnix(t *testing.T, path string) net.Conn {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// controlClient is the host's end of the control port.
type controlClient struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func (g *guest) control() *controlClient {
	g.t.Helper()
	conn := dialUnix(g.t, filepath.Join(g.dir, "control"))
	g.t.Cleanup(func() { _ = conn.Close() })
	_, err := io.WriteString(conn, "\n")
	must(g.t, err)
	return &controlClient{g.t, conn, bufio.NewReader(conn)}
}

func (c *controlClient) ask(fields map[string]any) map[string]any {
	c.t.Helper()
	id := randomHex(8)
	fields["id"] = id
	line, err := json.Marshal(fields)
	must(c.t, err)
	must(c.t, c.conn.SetDeadline(time.Now().Add(patience)))
	_, err = c.conn.Write(append(line, '\n'))
	must(c.t, err)
	for {
		text, err := c.lines.ReadBytes('\n')
		must(c.t, err)
		answer := map[string]any{}
		if json.Unmarshal(text, &answer) == nil && answer["id"] == id {
			return answer
		}
	}
}

// open makes a data session, with stale bytes in front of the nonce as after a restore.
func (g *guest) open(control *controlClient, stale []byte) *http.Client {
	g.t.Helper()
	nonce := make([]byte, nonceBytes)
	_, err := rand.Read(nonce)
	must(g.t, err)
	if answer := control.ask(map[string]any{"op": "open", "nonce": hex.EncodeToString(nonce)}); answer["ok"] != true {
		g.t.Fatalf("open: %v", answer)
	}
	return g.dialData(nonce, stale)
}

func (g *guest) dialData(nonce, stale []byte) *http.Client {
	g.t.Helper()
	conn := dialUnix(g.t, filepath.Join(g.dir, "data"))
	g.t.Cleanup(func() { _ = conn.Close() })
	go func() { _, _ = conn.Write(append(stale, nonce...)) }()
	must(g.t, conn.SetReadDeadline(time.Now().Add(patience)))
	echo := make([]byte, nonceBytes)
	_, err := io.ReadFull(conn, echo)
	must(g.t, err)
	if !bytes.Equal(echo, nonce) {
		g.t.Fatalf("nonce %x answered with %x", nonce, echo)
	}
	must(g.t, conn.SetReadDeadline(time.Time{}))
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	dialled := false
	transport := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		if dialled {
			return nil, net.ErrClosed
		}
		dialled = true
		return conn, nil
	}}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// session is an agent with a data session. Its first request is over: requests that come together on a fresh client would each dial.
func session(t *testing.T) (*guest, *http.Client) {
	t.Helper()
	g := startGuest(t)
	client := g.open(g.control(), nil)
	call(t, client, http.MethodGet, "/v1/processes", "")
	return g, client
}

func (g *guest) nextID() string { return strconv.FormatInt(g.last.Add(1), 10) }

// processClient is the host's end of one process.
type processClient struct {
	t        *testing.T
	id       string
	response *http.Response
	body     *io.PipeWriter
	frames   *frameReader
	started  map[string]any
	cancel   context.CancelFunc
}

type result struct {
	stdout, stderr []byte
	end            uint64 // offset behind the last output
	inputAcked     uint64
	exit           map[string]any
}

// post opens a process's stream. The first frame back is not read yet.
func post(t *testing.T, client *http.Client, path string, first []byte) *processClient {
	t.Helper()
	reading, writing := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://guest"+path, reading)
	must(t, err)
	if first != nil {
		go func() { _, _ = writing.Write(first) }()
	}
	response, err := client.Do(request)
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return &processClient{t: t, response: response, body: writing, frames: newFrameReader(response.Body), cancel: cancel}
}

func (g *guest) spec(argv ...string) *spec {
	return &spec{ID: g.nextID(), Argv: argv, Path: argv[0], Env: map[string]string{"PATH": os.Getenv("PATH"), "LANG": "C"}, Dir: "/", User: "root"}
}

func (s *spec) frame(t *testing.T) []byte {
	t.Helper()
	payload, err := json.Marshal(s)
	must(t, err)
	return appendFrame(nil, frameSpec, payload)
}

// start starts a process and expects it to begin.
func (g *guest) start(client *http.Client, s *spec) *processClient {
	g.t.Helper()
	p := post(g.t, client, "/v1/processes", s.frame(g.t))
	p.id = s.ID
	p.readStarted()
	return p
}

func attach(t *testing.T, client *http.Client, id string, offset uint64) *processClient {
	t.Helper()
	p := post(t, client, fmt.Sprintf("/v1/processes/%s/attach?offset=%d", id, offset), nil)
	p.id = id
	p.readStarted()
	return p
}

func (p *processClient) readStarted() {
	p.t.Helper()
	kind, payload := p.next()
	if kind != frameStarted {
		p.t.Fatalf("process %s: frame %d %s instead of started", p.id, kind, payload)
	}
	must(p.t, json.Unmarshal(payload, &p.started))
}

func (p *processClient) next() (byte, []byte) {
	p.t.Helper()
	kind, payload, err := p.frames.next()
	if err != nil {
		p.t.Fatalf("process %s: status %d: %v", p.id, p.response.StatusCode, err)
	}
	return kind, payload
}

func (p *processClient) send(kind byte, payload []byte) {
	p.t.Helper()
	_, err := p.body.Write(appendFrame(nil, kind, payload))
	must(p.t, err)
}

func (p *processClient) sendOffset(kind byte, offset uint64, data []byte) {
	p.t.Helper()
	p.send(kind, append(binary.BigEndian.AppendUint64(nil, offset), data...))
}

// input writes everything and its end; a process that ends before has ended its stream.
func (p *processClient) input(data []byte) {
	for offset := 0; offset < len(data); offset += 32 << 10 {
		piece := data[offset:min(offset+32<<10, len(data))]
		_, _ = p.body.Write(appendFrame(nil, frameStdin, append(binary.BigEndian.AppendUint64(nil, uint64(offset)), piece...)))
	}
	_, _ = p.body.Write(appendFrame(nil, frameStdinEOF, binary.BigEndian.AppendUint64(nil, uint64(len(data)))))
}

// finish reads to the exit from output offset, acknowledging on the way, and checks every offset.
func (p *processClient) finish(offset uint64) result {
	p.t.Helper()
	r := result{end: offset}
	for {
		kind, payload := p.next()
		switch kind {
		case frameStdout, frameStderr:
			at, data, ok := splitOffset(payload)
			if !ok || at != r.end {
				p.t.Fatalf("process %s: output at %d, not at %d", p.id, at, r.end)
			}
			r.end += uint64(len(data))
			if kind == frameStdout {
				r.stdout = append(r.stdout, data...)
			} else {
				r.stderr = append(r.stderr, data...)
			}
			p.ackLater(r.end)
		case frameStdinAck:
			r.inputAcked, _, _ = splitOffset(payload)
		case frameExit:
			must(p.t, json.Unmarshal(payload, &r.exit))
			if uint64(r.exit["outputOffset"].(float64)) != r.end {
				p.t.Fatalf("process %s: exit %v after output up to %d", p.id, r.exit, r.end)
			}
			return r
		default:
			p.t.Fatalf("process %s: frame of type %d", p.id, kind)
		}
	}
}

// ackLater ignores a stream that the exit has ended meanwhile.
func (p *processClient) ackLater(offset uint64) {
	_, _ = p.body.Write(appendFrame(nil, frameAck, binary.BigEndian.AppendUint64(nil, offset)))
}

// run starts a process and reads it to its end.
func (g *guest) run(client *http.Client, s *spec) result {
	g.t.Helper()
	return g.start(client, s).finish(0)
}

// call makes a plain request and returns status and JSON.
func call(t *testing.T, client *http.Client, method, path, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequest(method, "http://guest"+path, bytes.NewBufferString(body))
	must(t, err)
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	answer := map[string]any{}
	text, err := io.ReadAll(response.Body)
	must(t, err)
	_ = json.Unmarshal(text, &answer)
	return response.StatusCode, answer
}

// eventually repeats check until it holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !check(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func randomHex(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

func resumeRequest() map[string]any {
	entropy := make([]byte, 64)
	return map[string]any{"op": "resume", "time": strconv.FormatInt(time.Now().UnixNano(), 10), "entropy": base64.StdEncoding.EncodeToString(entropy),
		"generationId": randomHex(16), "hostname": "box-1", "spriteId": "s1", "machineId": randomHex(16), "newIdentity": true, "nonce": randomHex(nonceBytes)}
}

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxLineBytes bounds a line of the control port; longer ones are dropped.
	maxLineBytes = 64 << 10
	// answerTimeout is how long an answer waits for a host that does not read.
	answerTimeout = 5 * time.Second
	// brokenPortPause keeps a port that fails at once from taking the processor.
	brokenPortPause = 100 * time.Millisecond
	// maxSlowOps bounds the operations that run beside the reading of further lines.
	maxSlowOps = 4
	// maxPowerOffDeadline is as long as a host may let processes take to end.
	maxPowerOffDeadline = 10 * time.Minute
)

// machine is what the control port does to the VM as a whole.
type machine interface {
	// resume applies an identity event; it fails when the guest would go on with a stale clock or random numbers.
	resume(event *resumeEvent) error
	// quiesce writes the file systems to disk.
	quiesce() error
	// powerOff ends all processes, by force after the deadline, and leaves the disk clean. The host then ends the VM.
	powerOff(deadline time.Duration) error
}

// request is a line from the host.
type request struct {
	ID       string `json:"id"`
	Op       string `json:"op"`
	Versions []int  `json:"versions"`
	Nonce    string `json:"nonce"`

	Time         string `json:"time"`
	Entropy      string `json:"entropy"`
	GenerationID string `json:"generationId"`
	Hostname     string `json:"hostname"`
	SpriteID     string `json:"spriteId"`
	MachineID    string `json:"machineId"`
	NewIdentity  bool   `json:"newIdentity"`

	DeadlineMs int64 `json:"deadlineMs"`
}

// resumeEvent is a request's identity, checked.
type resumeEvent struct {
	time         time.Time
	entropy      []byte
	generationID string
	hostname     string
	machineID    string
	newIdentity  bool
}

type controlPort struct {
	data     *dataPort
	machine  machine
	services *services
	calls    *callDesk
	slow     chan struct{}
}

func newControlPort(data *dataPort, m machine, supervised *services, calls *callDesk) *controlPort {
	return &controlPort{data: data, machine: m, services: supervised, calls: calls, slow: make(chan struct{}, maxSlowOps)}
}

// serveAll serves one connection after the other, for ever.
func (c *controlPort) serveAll(l link) {
	for {
		conn, err := l.connect(context.Background())
		if err != nil {
			return // the listener is gone with the agent
		}
		err = c.serve(conn)
		_ = conn.Close() // all answers were written or had no reader
		if err != io.EOF {
			logf("control port: %v", err)
			time.Sleep(brokenPortPause)
		}
	}
}

// serve answers lines until the connection ends. Lines that are too long or do not parse are ignored.
func (c *controlPort) serve(conn net.Conn) error {
	out := &answers{conn: conn}
	lines := bufio.NewReaderSize(conn, maxLineBytes)
	tooLong := false
	for {
		line, err := lines.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			tooLong = true
			continue
		}
		if err != nil {
			return err
		}
		if request := parseRequest(line); !tooLong && request != nil {
			c.handle(request, out)
		}
		tooLong = false
	}
}

// parseRequest reads a line; nil: it is none of ours.
func parseRequest(line []byte) *request {
	r := &request{}
	if json.Unmarshal(line, r) != nil || r.ID == "" || r.Op == "" {
		return nil
	}
	return r
}

func (c *controlPort) handle(r *request, out *answers) {
	switch r.Op {
	case "hello":
		if !slices.Contains(r.Versions, wireVersion) {
			out.refuse(r.ID, &failure{Text: "no common wire version; the agent speaks " + strconv.Itoa(wireVersion), Code: "EPROTONOSUPPORT"})
			return
		}
		out.send(r.ID, hello())
	case "resume":
		event, nonce, bad := checkResume(r)
		if bad != nil {
			out.refuse(r.ID, bad)
			return
		}
		if err := c.machine.resume(event); err != nil {
			out.refuse(r.ID, fail(err, "resume"))
			return
		}
		if event.newIdentity {
			c.calls.forgetBase()
		}
		c.data.open(nonce)
		out.send(r.ID, hello())
		c.services.begin()
	case "open":
		nonce, bad := checkNonce(r.Nonce)
		if bad != nil {
			out.refuse(r.ID, bad)
			return
		}
		c.data.open(nonce)
		out.send(r.ID, map[string]any{})
	case "quiesce":
		c.later(r, out, c.machine.quiesce)
	case "poweroff":
		deadline := time.Duration(r.DeadlineMs) * time.Millisecond
		if r.DeadlineMs < 0 || deadline > maxPowerOffDeadline {
			out.refuse(r.ID, invalid("deadlineMs must be between 0 and %d", maxPowerOffDeadline.Milliseconds()))
			return
		}
		c.later(r, out, func() error {
			c.services.halt()
			return c.machine.powerOff(deadline)
		})
	default:
		out.refuse(r.ID, &failure{Text: "unknown operation " + strconv.Quote(r.Op), Code: "ENOSYS"})
	}
}

// later runs an operation that may take long beside the next lines.
func (c *controlPort) later(r *request, out *answers, act func() error) {
	select {
	case c.slow <- struct{}{}:
	default:
		out.refuse(r.ID, &failure{Text: "too many operations at once", Code: "EAGAIN"})
		return
	}
	go func() {
		defer func() { <-c.slow }()
		if err := act(); err != nil {
			out.refuse(r.ID, fail(err, "%s", r.Op))
			return
		}
		out.send(r.ID, map[string]any{})
	}()
}

// answers writes lines to one connection.
type answers struct {
	mu   sync.Mutex
	conn net.Conn
}

func (a *answers) send(id string, fields map[string]any) {
	fields["id"], fields["ok"] = id, true
	a.write(fields)
}

func (a *answers) refuse(id string, bad *failure) {
	a.write(map[string]any{"id": id, "ok": false, "error": bad.Text, "code": bad.Code})
}

func (a *answers) write(fields map[string]any) {
	line, err := json.Marshal(fields)
	if err != nil {
		return // plain values always encode
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// A host that does not read, or is gone, asks again with another id.
	_ = a.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	_, _ = a.conn.Write(append(line, '\n'))
	_ = a.conn.SetWriteDeadline(time.Time{})
}

// hello describes the guest. The control port is served only once the root file system is mounted and processes can run, so it is always ready.
func hello() map[string]any {
	return map[string]any{"version": wireVersion, "agent": "sylph-agent " + version, "kernel": kernelRelease(), "bootId": bootID(), "ready": true}
}

// bootID stays the same as long as the agent lives.
var bootID = sync.OnceValue(func() string {
	text, _ := readSmall("/proc/sys/kernel/random/boot_id", blockBytes) // a guest without it answers an empty one
	return strings.TrimSpace(string(text))
})

// kernelRelease is what uname -r prints.
func kernelRelease() string {
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		return ""
	}
	release := make([]byte, 0, len(name.Release))
	for _, c := range name.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	return string(release)
}

func checkNonce(text string) ([]byte, *failure) {
	nonce, err := hex.DecodeString(text)
	if err != nil || len(nonce) != nonceBytes {
		return nil, invalid("nonce must be %d hex digits", 2*nonceBytes)
	}
	return nonce, nil
}

func checkResume(r *request) (*resumeEvent, []byte, *failure) {
	nonce, bad := checkNonce(r.Nonce)
	if bad != nil {
		return nil, nil, bad
	}
	nanoseconds, err := strconv.ParseInt(r.Time, 10, 64)
	if err != nil || nanoseconds <= 0 {
		return nil, nil, invalid("time must be unix nanoseconds")
	}
	entropy, err := base64.StdEncoding.DecodeString(r.Entropy)
	if err != nil || len(entropy) < 32 || len(entropy) > 512 {
		return nil, nil, invalid("entropy must be base64 of 32 to 512 bytes")
	}
	if err := checkNames(r); err != nil {
		return nil, nil, invalid("%v", err)
	}
	return &resumeEvent{time: time.Unix(0, nanoseconds), entropy: entropy, generationID: r.GenerationID,
		hostname: r.Hostname, machineID: r.MachineID, newIdentity: r.NewIdentity}, nonce, nil
}

// checkNames refuses what would not be one word of a file.
func checkNames(r *request) error {
	word := func(text string, most int) bool {
		for _, c := range []byte(text) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
				return false
			}
		}
		return text != "" && len(text) <= most
	}
	if !word(r.GenerationID, 64) {
		return errors.New("generationId must be a uuid")
	}
	if !word(r.Hostname, 64) {
		return errors.New("hostname must be 1 to 64 letters, digits, dots or dashes")
	}
	if id, err := hex.DecodeString(r.MachineID); err != nil || len(id) != 16 {
		return errors.New("machineId must be 32 hex digits")
	}
	return nil
}

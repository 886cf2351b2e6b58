package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tunnel is the host's end of a CONNECT.
type tunnel struct {
	status int
	target string
	body   io.ReadCloser
	input  *io.PipeWriter
}

func connectTo(t *testing.T, client *http.Client, target string) *tunnel {
	t.Helper()
	reading, writing := io.Pipe()
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: "guest"}, Host: target, Header: http.Header{}, Body: reading}
	response, err := client.Transport.RoundTrip(request)
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return &tunnel{response.StatusCode, response.Header.Get("X-Target"), response.Body, writing}
}

// service listens in the guest's network, which here is the test's own, and handles connections one by one.
func service(t *testing.T, address string, handle func(*net.TCPConn)) int {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// closedPort is one nobody listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().(*net.TCPAddr).Port
}

// expectRefusal wants no tunnel, for one of these reasons.
func expectRefusal(t *testing.T, client *http.Client, target string, status int, codes ...string) {
	t.Helper()
	tunnel := connectTo(t, client, target)
	var bad failure
	must(t, json.NewDecoder(tunnel.body).Decode(&bad))
	if tunnel.status != status || !slices.Contains(codes, bad.Code) || bad.Text == "" {
		t.Errorf("%s: %d %+v", target, tunnel.status, bad)
	}
}

// hasIPv6Loopback reads the kernel's list of addresses (/proc/net/if_inet6), which it does not have without IPv6.
func hasIPv6Loopback(t *testing.T) bool {
	t.Helper()
	addresses, err := os.ReadFile("/proc/net/if_inet6")
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, err)
	}
	return strings.Contains(string(addresses), hex.EncodeToString(net.IPv6loopback))
}

func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func TestTunnelCarriesBytesBothWaysAndKeepsTheEndOfInput(t *testing.T) {
	_, client := session(t)
	port := service(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		sum := sha256.New()
		_, _ = io.Copy(sum, conn) // until the end of input
		_, _ = conn.Write(sum.Sum(nil))
		_, _ = io.Copy(conn, bytes.NewReader(make([]byte, 3<<20)))
	})
	tunnel := connectTo(t, client, at("localhost", port))
	if tunnel.status != http.StatusOK || tunnel.target != at("127.0.0.1", port) {
		t.Fatalf("%d %s", tunnel.status, tunnel.target)
	}
	sent := make([]byte, 5<<20)
	_, _ = rand.Read(sent)
	go func() {
		_, _ = tunnel.input.Write(sent)
		_ = tunnel.input.Close()
	}()
	got, err := io.ReadAll(tunnel.body)
	must(t, err)
	sum := sha256.Sum256(sent)
	if len(got) != len(sum)+3<<20 || !bytes.Equal(got[:len(sum)], sum[:]) {
		t.Fatalf("%d bytes came back", len(got))
	}
}

func TestTunnelSaysWhyThereIsNone(t *testing.T) {
	_, client := session(t)
	closed := closedPort(t)
	for _, test := range []struct {
		target string
		status int
		code   string
	}{
		{at("127.0.0.1", closed), http.StatusBadGateway, "ECONNREFUSED"},
		{at("localhost", closed), http.StatusBadGateway, "ECONNREFUSED"},
		{"127.0.0.1:0", http.StatusBadRequest, "EINVAL"},
		{"127.0.0.1", http.StatusBadRequest, "EINVAL"},
		{strings.Repeat("a", 300) + ":1", http.StatusBadRequest, "EINVAL"},
	} {
		expectRefusal(t, client, test.target, test.status, test.code)
	}
}

func TestTunnelKnowsBothLoopbacks(t *testing.T) {
	_, client := session(t)
	if !hasIPv6Loopback(t) {
		closed := closedPort(t)
		expectRefusal(t, client, at("::1", closed), http.StatusBadGateway, "EADDRNOTAVAIL", "ENETUNREACH", "EAFNOSUPPORT")
		expectRefusal(t, client, at("localhost", closed), http.StatusBadGateway, "ECONNREFUSED") // of the address people mean
		return
	}
	port := service(t, "[::1]:0", func(conn *net.TCPConn) { _, _ = io.WriteString(conn, "six") })
	for _, target := range []string{at("localhost", port), at("LocalHost", port), at("::1", port)} {
		tunnel := connectTo(t, client, target)
		text, err := io.ReadAll(tunnel.body)
		if err != nil || string(text) != "six" || tunnel.target != at("::1", port) {
			t.Errorf("%s: %q %v %s", target, text, err, tunnel.target)
		}
	}
}

func TestTunnelBreaksAsTheConnectionDoes(t *testing.T) {
	_, client := session(t)
	ended := make(chan error, 1)
	port := service(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, "hello")
		what := make([]byte, 4)
		_, err := io.ReadFull(conn, what)
		if string(what) == "rset" {
			must(t, conn.SetLinger(0))
			return
		}
		ended <- err
	})
	broken := connectTo(t, client, at("127.0.0.1", port))
	_, err := io.ReadFull(broken.body, make([]byte, 5))
	must(t, err)
	_, err = io.WriteString(broken.input, "rset")
	must(t, err)
	if _, err = io.ReadAll(broken.body); err == nil {
		t.Error("a reset connection ended in order")
	}
	left := connectTo(t, client, at("127.0.0.1", port))
	_, err = io.ReadFull(left.body, make([]byte, 5))
	must(t, err)
	must(t, left.body.Close()) // resets the stream: the answer had not ended
	select {
	case err := <-ended:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a host that broke off was seen as %v", err)
		}
	case <-time.After(patience):
		t.Error("the service never heard that the host broke off")
	}
}

func TestTunnelsThatTakeNothingHoldNobodyUp(t *testing.T) {
	g, client := session(t)
	port := service(t, "127.0.0.1:0", func(*net.TCPConn) { time.Sleep(patience) })
	for range 24 {
		stuck := connectTo(t, client, at("127.0.0.1", port))
		go func() {
			for {
				if _, err := stuck.input.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}()
	}
	time.Sleep(300 * time.Millisecond) // they fill up; the assertion below holds at any time
	wanted := g.spec("cat")
	wanted.Stdin = true
	process := g.start(client, wanted)
	input := bytes.Repeat([]byte("x"), 300<<10)
	go process.input(input)
	if got := process.finish(0); !bytes.Equal(got.stdout, input) {
		t.Errorf("%d bytes", len(got.stdout))
	}
}

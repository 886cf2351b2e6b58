package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

func TestBrowserTellsTheTerminalAndThePerson(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"https://example.org/a?b=c#d"}, "\x1b]9999;browser-open;https://example.org/a?b=c#d\x1b\\Open this address: https://example.org/a?b=c#d\r\n"},
		{[]string{"http://localhost:8080", "8080,9000"}, "\x1b]9999;browser-open;http://localhost:8080;8080,9000\x1b\\Open this address: http://localhost:8080\r\n"},
		{[]string{"https://e.org/a;b ü"}, "\x1b]9999;browser-open;https://e.org/a%3Bb%20%C3%BC\x1b\\Open this address: https://e.org/a%3Bb%20%C3%BC\r\n"},
	} {
		terminal := filepath.Join(t.TempDir(), "tty")
		must(t, os.WriteFile(terminal, nil, 0o600))
		var out, trouble bytes.Buffer
		if code := spriteBrowser(c.args, terminal, &out, &trouble); code != 0 || out.Len() > 0 {
			t.Fatalf("%v: %d %s %s", c.args, code, out.String(), trouble.String())
		}
		written, err := os.ReadFile(terminal)
		must(t, err)
		expectText(t, "terminal", string(written), c.want)
	}
}

func TestBrowserWithoutATerminalPrintsTheAddress(t *testing.T) {
	var out bytes.Buffer
	if code := spriteBrowser([]string{"https://example.org/"}, "/nonexistent/tty", &out, io.Discard); code != 0 {
		t.Fatal(code)
	}
	expectText(t, "output", out.String(), "Open this address: https://example.org/\n")
}

func TestBrowserRefusesWhatIsNoAddress(t *testing.T) {
	terminal := filepath.Join(t.TempDir(), "tty")
	must(t, os.WriteFile(terminal, nil, 0o600))
	for _, args := range [][]string{{}, {""}, {"a", "1", "2"}, {"https://e.org/\x1b]0;x\x07"}, {"https://e.org/\u009c"}, {"https://e.org/\xff"}, {"https://e.org/\n"},
		{"file:///etc/passwd"}, {"javascript:alert(1)"}, {"/etc/passwd"}, {"https://"}, {"--version"}, {"https://e.org/" + strings.Repeat("x", maxBrowserBytes)},
		{"https://e.org", ""}, {"https://e.org", "0"}, {"https://e.org", "65536"}, {"https://e.org", "80;x"}, {"https://e.org", "80,"}, {"https://e.org", strings.Repeat("1,", 16) + "1"}, {"https://e.org", "8\x1b"}} {
		var out, trouble bytes.Buffer
		if code := spriteBrowser(args, terminal, &out, &trouble); code != 2 || out.Len() > 0 {
			t.Errorf("%q: %d %q", args, code, out.String())
		}
		if strings.ContainsFunc(strings.TrimSuffix(trouble.String(), "\n"), unicode.IsControl) {
			t.Errorf("%q: %q", args, trouble.String())
		}
	}
	if written, err := os.ReadFile(terminal); err != nil || len(written) > 0 {
		t.Fatalf("%q %v", written, err)
	}
}

func FuzzBrowserSequence(f *testing.F) {
	f.Add("https://example.org/a;b", "80")
	f.Add("http://[::1]:80/\u00fc ", "1,2")
	f.Add("https://\x1b\\", "")
	f.Fuzz(func(t *testing.T, address, ports string) {
		args := []string{address, ports}
		if ports == "" {
			args = args[:1]
		}
		address, ports, err := browserArguments(args)
		if err != nil {
			return
		}
		inner, begins := strings.CutPrefix(browserSequence(address, ports), "\x1b]9999;browser-open;")
		inner, ends := strings.CutSuffix(inner, "\x1b\\")
		parts := strings.Split(inner, ";")
		if !begins || !ends || len(parts) != len(args) || strings.ContainsFunc(inner, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			t.Fatalf("%q", inner)
		}
	})
}

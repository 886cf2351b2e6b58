package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxBrowserBytes bounds an address: with its ports it makes a sequence of less than the 4 KiB that a client gathers.
	maxBrowserBytes = 3 << 10
	// maxBrowserPorts bounds what a page may need.
	maxBrowserPorts = 16
)

// spriteBrowser is this program under the name sprite-browser, and under those by which others open an address: it asks the command line a person sits at to open it in the
// browser there. The address is also written as text, for people whose command line knows nothing of that. It returns the exit code.
func spriteBrowser(args []string, terminal string, out, trouble io.Writer) int {
	address, ports, err := browserArguments(args)
	if err != nil {
		fmt.Fprintln(trouble, "sprite-browser:", err)
		return 2
	}
	text := "Open this address: " + inSequence(address)
	if tty, err := os.OpenFile(terminal, os.O_WRONLY, 0); err == nil {
		defer tty.Close()
		// The terminal may be in raw mode, where a line feed alone does not begin a line.
		if _, err := io.WriteString(tty, browserSequence(address, ports)+text+"\r\n"); err == nil {
			return 0
		}
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return 1
	}
	return 0
}

// browserSequence is ESC ] 9999;browser-open;<url>[;ports] ESC \.
func browserSequence(address, ports string) string {
	if ports != "" {
		ports = ";" + ports
	}
	return "\x1b]9999;browser-open;" + inSequence(address) + ports + "\x1b\\"
}

// inSequence is an address with what would end or part the sequence written as in addresses. The command line knows the text behind the sequence by it, and leaves it out.
func inSequence(address string) string {
	escaped := strings.Builder{}
	for _, c := range []byte(address) {
		if c <= ' ' || c >= 0x7f || c == ';' {
			fmt.Fprintf(&escaped, "%%%02X", c)
		} else {
			escaped.WriteByte(c)
		}
	}
	return escaped.String()
}

// browserArguments checks an address and the ports that may follow it. No control character gets to the terminal, in errors neither.
func browserArguments(args []string) (address, ports string, err error) {
	if len(args) < 1 || len(args) > 2 {
		return "", "", fmt.Errorf("usage: sprite-browser URL [PORT,…]")
	}
	for _, text := range args {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return "", "", fmt.Errorf("there are control characters in %s", strconv.QuoteToASCII(shorten(text)))
		}
	}
	address = args[0]
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || len(address) > maxBrowserBytes {
		return "", "", fmt.Errorf("%s is not an http or https address of at most %d bytes", strconv.QuoteToASCII(shorten(address)), maxBrowserBytes)
	}
	if len(args) == 1 {
		return address, "", nil
	}
	ports = args[1]
	numbers := strings.Split(ports, ",")
	for _, text := range numbers {
		if number, err := strconv.ParseUint(text, 10, 16); err != nil || number == 0 || len(numbers) > maxBrowserPorts {
			return "", "", fmt.Errorf("ports must be up to %d numbers with commas between", maxBrowserPorts)
		}
	}
	return address, ports, nil
}

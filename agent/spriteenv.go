package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const spriteEnvUsage = `usage: sprite-env services list | get NAME | delete NAME
       sprite-env services create NAME --cmd PROGRAM [--args A,B] [--env K=V,…] [--dir PATH] [--needs X,Y] [--http-port PORT] [--duration 5s] [--no-stream]
       sprite-env services start | restart NAME [--duration 5s] [--no-stream]
       sprite-env services stop NAME [--timeout 10s]
       sprite-env services signal NAME SIGNAL
       sprite-env services logs NAME [--lines N] [--duration 1h]
       sprite-env checkpoints list | create [--comment TEXT] | restore ID
       sprite-env info
       sprite-env curl [CURL OPTIONS] /PATH`

// errUsage asks for the usage to be printed.
var errUsage = errors.New(spriteEnvUsage)

// spriteEnv is this program under the name sprite-env: a client of the socket for people and scripts in the sprite. It returns the exit code.
func spriteEnv(socket string, args []string, out, trouble io.Writer) int {
	client := &insideClient{socket: socket, out: out}
	err := client.run(args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(trouble, "sprite-env:", strings.TrimPrefix(err.Error(), "sprite-env: "))
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

type insideClient struct {
	socket string
	out    io.Writer
}

func (c *insideClient) run(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "curl":
		return c.curl(args[1:])
	case len(args) == 1 && args[0] == "info":
		return c.send(http.MethodGet, "/info", nil)
	case len(args) > 1 && args[0] == "checkpoints":
		return c.checkpoints(args[1], args[2:])
	case len(args) > 1 && args[0] == "services":
		return c.services(args[1], args[2:])
	}
	return errUsage
}

func (c *insideClient) services(verb string, args []string) error {
	line, err := readServiceLine(args)
	if err != nil {
		return err
	}
	wanted := map[string]int{"list": 0, "signal": 2}
	count, known := wanted[verb]
	if !known {
		count = 1
	}
	if len(line.words) != count {
		return errUsage
	}
	path := "/v1/services"
	if count == 1 {
		path += "/" + url.PathEscape(line.words[0])
	}
	query := "?" + line.query().Encode()
	switch verb {
	case "list", "get":
		return c.send(http.MethodGet, path, nil)
	case "delete":
		return c.send(http.MethodDelete, path, nil)
	case "logs":
		return c.send(http.MethodGet, path+"/logs"+query, nil)
	case "start", "restart", "stop":
		return c.send(http.MethodPost, path+"/"+verb+query, nil)
	case "signal":
		return c.send(http.MethodPost, path+"/signal", map[string]any{"name": line.words[0], "signal": line.words[1]})
	case "create":
		body, err := serviceBody(line.text)
		if err != nil {
			return err
		}
		return c.send(http.MethodPut, path+query, body)
	}
	return errUsage
}

// serviceLine is what stands behind the verb of a command about services.
type serviceLine struct {
	words []string
	text  map[string]*string // options, by name
	quiet bool
}

// readServiceLine reads names and options, which may stand behind them.
func readServiceLine(args []string) (*serviceLine, error) {
	line := &serviceLine{text: map[string]*string{}}
	flags := flag.NewFlagSet("sprite-env", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"cmd", "args", "env", "dir", "needs", "http-port", "duration", "timeout", "lines"} {
		line.text[name] = flags.String(name, "", "")
	}
	flags.BoolVar(&line.quiet, "no-stream", false, "")
	for rest := args; len(rest) > 0; {
		if err := flags.Parse(rest); err != nil {
			return nil, fmt.Errorf("%w\n%w", err, errUsage)
		}
		if rest = flags.Args(); len(rest) > 0 {
			line.words, rest = append(line.words, rest[0]), rest[1:]
		}
	}
	return line, nil
}

// query is what the options say about the answer.
func (l *serviceLine) query() url.Values {
	query := url.Values{}
	for _, name := range []string{"duration", "timeout", "lines"} {
		if *l.text[name] != "" {
			query.Set(name, *l.text[name])
		}
	}
	if l.quiet {
		query.Set("duration", "0s")
	}
	return query
}

func (c *insideClient) checkpoints(verb string, args []string) error {
	flags := flag.NewFlagSet("sprite-env", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	comment := flags.String("comment", "", "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w\n%w", err, errUsage)
	}
	words := flags.Args()
	switch {
	case verb == "list" && len(words) == 0:
		return c.send(http.MethodGet, "/v1/checkpoints", nil)
	case verb == "create" && len(words) == 0:
		return c.send(http.MethodPost, "/v1/checkpoint", map[string]any{"comment": *comment})
	case verb == "restore" && len(words) == 1:
		return c.send(http.MethodPost, "/v1/checkpoints/"+url.PathEscape(words[0])+"/restore", nil)
	}
	return errUsage
}

// serviceBody is a service as the options of create say.
func serviceBody(text map[string]*string) (map[string]any, error) {
	if *text["cmd"] == "" {
		return nil, fmt.Errorf("--cmd is missing\n%w", errUsage)
	}
	env := map[string]string{}
	for _, pair := range list(*text["env"]) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("--env %s: not of the form NAME=VALUE", pair)
		}
		env[name] = value
	}
	body := map[string]any{"cmd": *text["cmd"], "args": list(*text["args"]), "env": env, "dir": *text["dir"], "needs": list(*text["needs"])}
	if *text["http-port"] != "" {
		port, err := strconv.Atoi(*text["http-port"])
		if err != nil {
			return nil, fmt.Errorf("--http-port %s: not a number", *text["http-port"])
		}
		body["http_port"] = port
	}
	return body, nil
}

// list splits at commas.
func list(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(part string) bool { return part == "" })
}

// send makes a request and prints the answer as it comes.
func (c *insideClient) send(method, path string, body any) error {
	text := []byte{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, "http://sprite"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
	}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		bad := &failure{}
		answer, _ := io.ReadAll(io.LimitReader(response.Body, maxRequestBytes)) // what can be read of it is said
		if json.Unmarshal(answer, bad) != nil || bad.Text == "" {
			bad.Text = response.Status
		}
		return bad
	}
	_, err = io.Copy(c.out, response.Body)
	return err
}

// curl becomes curl, with the socket and the host filled in.
func (c *insideClient) curl(args []string) error {
	program, err := exec.LookPath("curl")
	if err != nil {
		return err
	}
	words := []string{"curl", "--unix-socket", c.socket}
	for _, word := range args {
		if strings.HasPrefix(word, "/") {
			word = "http://sprite" + word
		}
		words = append(words, word)
	}
	return syscall.Exec(program, words, os.Environ())
}

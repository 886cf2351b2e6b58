package main

import (
	"encoding/json"
	"strings"
)

// maxIDBytes bounds a process's id.
const maxIDBytes = 128

// spec is what the host asks to start.
type spec struct {
	ID    string            `json:"id"`
	Argv  []string          `json:"argv"`
	Path  string            `json:"path"`
	Env   map[string]string `json:"env"`
	Dir   string            `json:"dir"`
	User  string            `json:"user"`
	TTY   *ttySize          `json:"tty"`
	Stdin bool              `json:"stdin"`
}

type ttySize struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// parseSpec reads and checks a spec. Its failures are the host's mistakes.
func parseSpec(payload []byte) (*spec, *failure) {
	s := &spec{}
	if err := json.Unmarshal(payload, s); err != nil {
		return nil, invalid("spec is not valid: %v", err)
	}
	if !validID(s.ID) {
		return nil, invalid("id must be 1 to %d letters, digits, dots, dashes or underscores", maxIDBytes)
	}
	return s, nil
}

// check finds what no program could be started with, and fills defaults.
func (s *spec) check() *failure {
	if len(s.Argv) == 0 {
		return invalid("argv is empty")
	}
	if s.Path == "" {
		s.Path = s.Argv[0]
	}
	if s.Path == "" {
		return &failure{Text: "the program's name is empty", Code: "ENOENT"}
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	for _, text := range append(s.Argv, s.Path, s.Dir) {
		if strings.IndexByte(text, 0) >= 0 {
			return invalid("arguments must not contain a zero byte")
		}
	}
	for name, value := range s.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return invalid("environment variable %q is not valid", name)
		}
	}
	return nil
}

// environment is env as execve(2) takes it.
func (s *spec) environment() []string {
	list := make([]string, 0, len(s.Env))
	for name, value := range s.Env {
		list = append(list, name+"="+value)
	}
	return list
}

func validID(id string) bool {
	if id == "" || len(id) > maxIDBytes {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

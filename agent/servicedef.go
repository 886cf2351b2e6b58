package main

import (
	"maps"
	"slices"
	"strings"
)

const (
	// serviceVersion is the version of a definition's file.
	serviceVersion = 1
	// maxServices bounds the services of a sprite, and with maxDefinitionBytes what a list of them takes.
	maxServices = 100
	// maxDefinitionBytes bounds a definition, as JSON.
	maxDefinitionBytes = 64 << 10
	// maxDefinitionsBytes bounds all definitions together: the host reads no longer list.
	maxDefinitionsBytes = 512 << 10
	// maxServiceName keeps a name with its endings a file name.
	maxServiceName = 63
	maxNeeds       = 32
)

// serviceDefinition says what a service is. It is a file of the guest's disk, so that it follows checkpoints, restores and forks. Never changed once it is in use: a change replaces it.
type serviceDefinition struct {
	Version  int               `json:"version"`
	Name     string            `json:"name"`
	Cmd      string            `json:"cmd"` // the program, as execvp(3) takes it
	Args     []string          `json:"args"`
	Env      map[string]string `json:"env"`       // over that of Base
	Dir      string            `json:"dir"`       // empty: that of Base; relative: below it
	Needs    []string          `json:"needs"`     // services that have to run before this one starts
	HTTPPort *int              `json:"http_port"` // at most one service has one
	Base     serviceBase       `json:"base"`
	Stopped  bool              `json:"stopped"` // by its user: boots leave it alone
}

// serviceBase is what the host adds: not the user's, and not shown.
type serviceBase struct {
	Env  map[string]string `json:"env"`
	Dir  string            `json:"dir"`
	User string            `json:"user"`
}

// check finds what could never start, and fills what may be absent. Whether what it needs exists is not its business.
func (d *serviceDefinition) check() *failure {
	if !validServiceName(d.Name) {
		return invalid("the name of a service must be 1 to %d letters, digits, dots, dashes or underscores, and begin with a letter or digit", maxServiceName)
	}
	if d.Cmd == "" {
		return invalid("cmd is empty")
	}
	if d.HTTPPort != nil && (*d.HTTPPort < 1 || *d.HTTPPort > 65535) {
		return invalid("http_port must be between 1 and 65535")
	}
	if len(d.Needs) > maxNeeds {
		return invalid("a service needs at most %d others", maxNeeds)
	}
	for i, need := range d.Needs {
		if !validServiceName(need) {
			return invalid("%q in needs is not the name of a service", shorten(need))
		}
		if slices.Contains(d.Needs[:i], need) {
			return invalid("needs names %s twice", need)
		}
	}
	if d.Args == nil {
		d.Args = []string{}
	}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	if d.Needs == nil {
		d.Needs = []string{}
	}
	if strings.IndexByte(d.Base.User, 0) >= 0 {
		return invalid("user is not valid")
	}
	return d.spec().check()
}

// spec says what to run.
func (d *serviceDefinition) spec() *spec {
	env := maps.Clone(d.Base.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, d.Env)
	dir := d.Base.Dir
	switch {
	case strings.HasPrefix(d.Dir, "/"):
		dir = d.Dir
	case d.Dir != "":
		dir += "/" + d.Dir
	}
	return &spec{ID: d.Name, Argv: append([]string{d.Cmd}, d.Args...), Path: d.Cmd, Env: env, Dir: dir, User: d.Base.User}
}

func validServiceName(name string) bool {
	return len(name) <= maxServiceName && validID(name) && name[0] != '.' && name[0] != '-' && name[0] != '_'
}

// shorten makes a text fit for an error.
func shorten(text string) string {
	if len(text) > maxServiceName {
		return text[:maxServiceName] + "…"
	}
	return text
}

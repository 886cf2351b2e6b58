package main

import (
	"os"
	"syscall"
)

// command is what a spec comes to in this guest. Only its standard files are missing.
type command struct {
	program    string // its path
	argv       []string
	owner      account
	attributes *syscall.ProcAttr
}

// command checks a spec and looks up whom and what it names. Its failures are those of the spec, or of the guest's disk.
func (s *spec) command() (*command, *failure) {
	if bad := s.check(); bad != nil {
		return nil, bad
	}
	owner := findAccount("", s.User)
	if err := directoryError(s.Dir, owner); err != nil {
		return nil, fail(err, "working directory %s", s.Dir)
	}
	search, given := s.Env["PATH"]
	if !given {
		search = defaultPath
	}
	program, err := findProgram(s.Path, s.Dir, search)
	if err != nil {
		return nil, fail(err, "%s", s.Path)
	}
	attributes := &syscall.ProcAttr{Dir: s.Dir, Env: s.environment(), Sys: &syscall.SysProcAttr{Setsid: true}}
	if os.Geteuid() == 0 {
		attributes.Sys.Credential = &syscall.Credential{Uid: owner.uid, Gid: owner.gid, Groups: owner.groups}
	}
	return &command{program: program, argv: s.Argv, owner: owner, attributes: attributes}, nil
}

// start starts the program with these standard files, of which it gets copies. terminal: they are one, which becomes its controlling terminal. The reaper calls exited.
func (c *command) start(r *reaper, files [3]int, terminal bool, exited func(syscall.WaitStatus)) (pid int, bad *failure) {
	c.attributes.Files = []uintptr{uintptr(files[0]), uintptr(files[1]), uintptr(files[2])}
	c.attributes.Sys.Setctty, c.attributes.Sys.Ctty = terminal, 1 // output: input may be /dev/null
	pid, err := r.start(func() (int, error) { return syscall.ForkExec(c.program, c.argv, c.attributes) }, exited)
	if err != nil {
		return 0, fail(err, "%s", c.program)
	}
	return pid, nil
}

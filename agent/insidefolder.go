package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// insideFiles are texts of /.sprite, by path. What people and programs in the sprite are told of it.
var insideFiles = map[string]string{
	"version.txt": version + "\n",
	"llm.txt": `# This machine

You are on a sprite: a Linux virtual machine of your own, with a disk that stays and memory that sleeps with it.

- When nobody uses it, it is put to sleep with its memory, and goes on at the next request: programs need not be started again, but connections to the outside break.
- Its owner can keep a checkpoint of disk and memory and go back to it, or fork the machine. After a restore it is as it was then; the clock is right, and it may have another name.
- Commands of a session end with their session's rules. What is to run for good is a service: started again when it ends, and when the machine boots.

    sprite-env services create web --cmd python3 --args -m,http.server,8000 --http-port 8000
    sprite-env services list
    sprite-env services stop web

- The log of a service is /.sprite/logs/services/NAME.log.
- The machine can keep a checkpoint of itself, and go back to one: sprite-env checkpoints create --comment "before the upgrade"; sprite-env checkpoints list; sprite-env checkpoints restore ID
- Long work that prints nothing may be taken for idleness. A task keeps the machine awake: sprite-env curl -X PUT -d '{"expire":"30m"}' /v1/tasks/build
- sprite-env speaks HTTP on the Unix socket /.sprite/api.sock: sprite-env curl /v1/services
- You may become root with sudo. /.sprite is the machine's own: read it, but leave it alone.

More: /.sprite/docs/agent-context.md
`,
	"docs/agent-context.md": `# Working on a sprite

## What stays
Everything on the disk. Memory too, while the machine sleeps; not when it is booted afresh (a restart, an upgrade, a restore of the disk alone).

## Services
A service is a program that is kept running. ` + "`sprite-env services create NAME --cmd PROGRAM --args A,B --env K=V --dir PATH --needs X,Y --http-port PORT`" + `

- It runs in the foreground: a program that goes to the background has ended.
- It is started when what it needs runs, and started again 1 s after it ended, doubled up to 60 s; after 10 failures in a row it is given up until somebody starts it.
- ` + "`stop`" + ` keeps it stopped, also when the machine boots. ` + "`delete`" + ` forgets it; its log stays.
- Services do not keep the machine awake.

## The socket
` + "`/.sprite/api.sock`" + `, HTTP, no authentication: GET /v1/services; GET, PUT, DELETE /v1/services/NAME; POST /v1/services/NAME/start, stop, restart; GET /v1/services/NAME/logs; POST /v1/services/signal.
GET /info; GET /v1/checkpoints, GET /v1/checkpoints/ID; POST /v1/checkpoint with {"comment"}; POST /v1/checkpoints/ID/restore, after which everything is as it was then; GET /v1/policy/network.
Tasks keep the machine awake until they expire, at most an hour from now: GET /v1/tasks; POST /v1/tasks with {"name","expire"}; GET, PUT, DELETE /v1/tasks/NAME. expire is seconds, or a text such as "10m".
Streams are JSON objects, one a line; the last has the type complete.
`,
}

// browserScript tells the terminal's other end to open an address.
const browserScript = `#!/bin/sh
# Asks the command line a person sits at to open an address in the browser there.
[ -n "$1" ] || { echo "usage: sprite-browser URL" >&2; exit 2; }
case $1 in *[![:print:]]*|*";"*) echo "sprite-browser: not an address: $1" >&2; exit 2 ;; esac
{ printf '\033]9999;browser-open;%s\033\\' "$1" >/dev/tty; } 2>/dev/null || echo "open this address: $1"
`

// prepareInside fills /.sprite below root, at boot: what is there already, or cannot be written, stays as it is. Programs find sprite-env there, which is this program.
func prepareInside(root string) {
	folder := filepath.Join("/", root, ".sprite")
	failures := []error{}
	for _, name := range []string{"bin", "docs", "logs/services"} {
		failures = append(failures, os.MkdirAll(filepath.Join(folder, name), 0o755))
	}
	for name, text := range insideFiles {
		failures = append(failures, writeFile(filepath.Join(folder, name), text, 0o644))
	}
	failures = append(failures, writeFile(filepath.Join(folder, "bin/sprite-browser"), browserScript, 0o755),
		installProgram("/proc/self/exe", filepath.Join(folder, "bin/sprite-env")))
	if err := errors.Join(failures...); err != nil {
		logf("/.sprite: %v", err)
	}
}

// installProgram copies a program unless it is there already.
func installProgram(from, to string) error {
	if sameContent(from, to) {
		return nil
	}
	beside := to + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := copyFile(from, beside, make([]byte, 256<<10))
	if err == nil {
		err = os.Chmod(beside, 0o755)
	}
	if err == nil {
		err = os.Rename(beside, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}

// sameContent compares a program with what has the place of its copy, without waiting for that.
func sameContent(program, copied string) bool {
	source, err := os.Open(program)
	if err != nil {
		return false
	}
	defer source.Close()
	fd, info, err := openRegular(copied, os.O_RDONLY)
	if err != nil {
		return false
	}
	target := os.NewFile(uintptr(fd), copied)
	defer target.Close()
	if whole, err := source.Stat(); err != nil || whole.Size() != info.Size || info.Mode&0o111 == 0 {
		return false
	}
	a, b := make([]byte, 128<<10), make([]byte, 128<<10)
	for {
		n, err := io.ReadFull(source, a)
		m, otherErr := io.ReadFull(target, b)
		if !bytes.Equal(a[:n], b[:m]) || err != otherErr {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

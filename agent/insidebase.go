package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// baseCall is the path of a call that the agent makes itself. No program can: it is not among those that are forwarded.
const baseCall = "/base"

// baseMemory is what the daemon said last of the base of services, for when it is away. It sleeps with the guest, and is forgotten where the guest becomes another sprite.
type baseMemory struct {
	mu    sync.Mutex
	known *serviceBase
	life  int // counts what was forgotten: an answer to an earlier sprite is not kept
}

// serviceBase asks the daemon for the base of a service that a program of the sprite defines; what the program itself says of one does not count: it may not choose its user.
// Without a daemon the last answer is used, and there is none before the first.
func (d *callDesk) serviceBase(ctx context.Context, _ serviceBase) (serviceBase, *failure) {
	d.base.mu.Lock()
	life := d.base.life
	d.base.mu.Unlock()
	said := d.askBase(ctx)
	d.base.mu.Lock()
	defer d.base.mu.Unlock()
	if said != nil && d.base.life == life {
		d.base.known = said
	}
	if d.base.known == nil {
		return serviceBase{}, daemonAway()
	}
	return *d.base.known, nil
}

// forgetBase is called when the guest becomes another sprite.
func (d *callDesk) forgetBase() {
	d.base.mu.Lock()
	defer d.base.mu.Unlock()
	d.base.known = nil
	d.base.life++
}

// askBase returns the daemon's answer; nil: there is none that can be used.
func (d *callDesk) askBase(ctx context.Context) *serviceBase {
	answer := d.ask(ctx, http.MethodGet, baseCall, "")
	if answer == nil {
		return nil
	}
	defer close(answer.done) // ends also a read that is under way
	read := make(chan *serviceBase, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(answer.body, maxServiceRequestBytes+1))
		if err != nil || answer.status != http.StatusOK {
			text = nil
		}
		read <- parseBase(text)
	}()
	select {
	case said := <-read:
		return said
	case <-time.After(callWait):
	case <-ctx.Done():
	}
	return nil
}

// parseBase reads a base; nil: it is none, or too long.
func parseBase(text []byte) *serviceBase {
	base := &serviceBase{}
	if len(text) > maxServiceRequestBytes || json.Unmarshal(text, base) != nil || base.User == "" {
		return nil
	}
	return base
}

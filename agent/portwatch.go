package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// portLookInterval is the shortest time between two looks at the listening ports.
const portLookInterval = time.Second

// portWatch tells hosts which ports somebody listens on. One goroutine looks for all who watch, once a second; while nobody watches nobody looks.
type portWatch struct {
	mu       sync.Mutex
	watchers map[chan struct{}]bool // a token: there is a newer look
	looking  bool
	lookedAt time.Time
	ports    []listener
	// searches counts the looks at which no holder of a socket was found.
	searches map[uint64]int
}

// serve answers GET /v1/ports/watch until the host leaves. A slow host misses looks, never a difference.
func (p *portWatch) serve(w http.ResponseWriter, r *http.Request, processes *table) {
	news := make(chan struct{}, 1)
	p.join(news, processes)
	defer p.leave(news)
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	flush := http.NewResponseController(w).Flush
	var told map[portKey]listener
	for {
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
		p.mu.Lock()
		ports := p.ports
		p.mu.Unlock()
		var err error
		if told == nil {
			err = lines.Encode(map[string]any{"ports": describePorts(ports)})
		} else {
			err = tellChanges(lines, told, ports)
		}
		if err != nil || flush() != nil {
			return // the host has left
		}
		told = make(map[portKey]listener, len(ports))
		for _, each := range ports {
			told[each.portKey] = each
		}
	}
}

func tellChanges(lines *json.Encoder, told map[portKey]listener, ports []listener) error {
	present := make(map[portKey]uint64, len(ports))
	for _, each := range ports {
		present[each.portKey] = each.inode
	}
	for key, each := range told {
		if inode, ok := present[key]; ok && inode == each.inode {
			continue
		}
		if err := lines.Encode(map[string]any{"closed": describePort(each)}); err != nil {
			return err
		}
	}
	for _, each := range ports {
		if before, ok := told[each.portKey]; ok && before.inode == each.inode {
			continue
		}
		if err := lines.Encode(map[string]any{"opened": describePort(each)}); err != nil {
			return err
		}
	}
	return nil
}

type portEntry struct {
	Port    uint16 `json:"port"`
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Session string `json:"session,omitempty"`
}

func describePort(each listener) portEntry {
	return portEntry{each.port, each.address.String(), each.pid, each.session}
}

func describePorts(ports []listener) []portEntry {
	entries := make([]portEntry, 0, len(ports))
	for _, each := range ports {
		entries = append(entries, describePort(each))
	}
	return entries
}

// join counts a watcher in. It hears of what the last look found if that was just now, else of the next look.
func (p *portWatch) join(news chan struct{}, processes *table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watchers == nil {
		p.watchers, p.searches = map[chan struct{}]bool{}, map[uint64]int{}
	}
	p.watchers[news] = true
	if time.Since(p.lookedAt) < portLookInterval {
		news <- struct{}{}
	}
	if !p.looking {
		p.looking = true
		go p.run(processes)
	}
}

func (p *portWatch) leave(news chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, news)
}

// run looks until nobody watches.
func (p *portWatch) run(processes *table) {
	for {
		p.mu.Lock()
		wait := portLookInterval - time.Since(p.lookedAt)
		p.mu.Unlock()
		time.Sleep(wait)
		p.mu.Lock()
		if len(p.watchers) == 0 {
			p.looking, p.ports = false, nil
			p.mu.Unlock()
			return
		}
		before := p.ports
		p.mu.Unlock()
		ports := p.look(before, processes)
		p.mu.Lock()
		p.ports, p.lookedAt = ports, time.Now()
		for news := range p.watchers {
			select {
			case news <- struct{}{}:
			default: // it has not taken the last one yet
			}
		}
		p.mu.Unlock()
	}
}

// look reads the ports. Who holds a socket is searched for once it is seen first, and again while that is unknown or the holder has gone.
func (p *portWatch) look(before []listener, processes *table) []listener {
	known := make(map[uint64]listener, len(before))
	for _, each := range before {
		known[each.inode] = each
	}
	ports := readListeners("")
	wanted, searches := map[uint64]bool{}, map[uint64]int{}
	for i := range ports {
		each := &ports[i]
		was := known[each.inode]
		each.pid, each.session = was.pid, was.session
		if each.pid != 0 {
			if _, _, alive := parentAndLeader("", each.pid); alive {
				continue
			}
			each.pid = 0
		}
		searches[each.inode] = p.searches[each.inode]
		if searches[each.inode] < maxHolderSearches {
			wanted[each.inode] = true
			searches[each.inode]++
		}
	}
	if len(wanted) > 0 {
		holders := findHolders("", wanted)
		leaders := processes.leaders()
		for i := range ports {
			each := &ports[i]
			if pid := holders[each.inode]; wanted[each.inode] && pid != 0 {
				each.pid = pid
				delete(searches, each.inode)
				if each.session == "" {
					each.session = sessionOf("", pid, leaders)
				}
			}
		}
	}
	p.searches = searches
	return ports
}

package main

import (
	"sync"
	"time"
)

// maxFeedBytes bounds what a service's feed keeps for readers that are slower than the service.
const maxFeedBytes = 256 << 10

// serviceEvent is a line of a stream that tells of a service.
type serviceEvent struct {
	Type      string       `json:"type"`
	Data      *string      `json:"data,omitempty"`
	ExitCode  *int         `json:"exit_code,omitempty"`
	Count     uint64       `json:"count,omitempty"` // of type dropped: events this reader was too slow for
	Timestamp int64        `json:"timestamp"`       // unix milliseconds
	LogFiles  *serviceLogs `json:"log_files,omitempty"`

	life *serviceLife // whose it is; nil for output
}

// serviceLogs are the paths of a service's log: one file for all.
type serviceLogs struct {
	Combined string `json:"combined"`
	Stderr   string `json:"stderr"`
	Stdout   string `json:"stdout"`
}

func eventNow(kind string) serviceEvent {
	return serviceEvent{Type: kind, Timestamp: time.Now().UnixMilli()}
}

func (e serviceEvent) withData(text string) serviceEvent {
	e.Data = &text
	return e
}

func (e serviceEvent) sizeBytes() int {
	const fixed = 128
	if e.Data == nil {
		return fixed
	}
	return fixed + len(*e.Data)
}

// serviceFeed passes events to those who follow a service right now, and keeps none for nobody.
type serviceFeed struct {
	mu        sync.Mutex
	followers int
	events    []serviceEvent
	bytes     int
	first     uint64        // number of events[0]
	changed   chan struct{} // closed when there is more; made by the first who waits
}

func (f *serviceFeed) add(events ...serviceEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers == 0 {
		return
	}
	for _, event := range events {
		f.events = append(f.events, event)
		f.bytes += event.sizeBytes()
	}
	drop := 0
	for f.bytes > maxFeedBytes && drop < len(f.events)-1 {
		f.bytes -= f.events[drop].sizeBytes()
		drop++
	}
	if drop > 0 {
		f.events = append([]serviceEvent(nil), f.events[drop:]...)
		f.first += uint64(drop)
	}
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// follow begins with what comes next. The caller leaves in the end.
func (f *serviceFeed) follow() *serviceFollower {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers++
	return &serviceFollower{feed: f, next: f.first + uint64(len(f.events))}
}

// serviceFollower is one reader of a feed.
type serviceFollower struct {
	feed *serviceFeed
	next uint64
}

// take returns what there is, and a channel that is closed when there is more. Events that are gone are counted in one of type dropped.
func (r *serviceFollower) take() ([]serviceEvent, <-chan struct{}) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	found := []serviceEvent{}
	if r.next < f.first {
		lost := eventNow("dropped")
		lost.Count = f.first - r.next
		found = append(found, lost)
		r.next = f.first
	}
	found = append(found, f.events[r.next-f.first:]...)
	r.next = f.first + uint64(len(f.events))
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return found, f.changed
}

func (r *serviceFollower) leave() {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers--
	if f.followers == 0 {
		f.first += uint64(len(f.events))
		f.events, f.bytes = nil, 0
	}
}

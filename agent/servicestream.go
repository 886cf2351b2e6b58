package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// eventStream is what a stream of events tells.
type eventStream struct {
	begin     []serviceEvent
	follower  *serviceFollower // nil: what begins it is all
	life      *serviceLife     // with whose end the stream ends; nil: with no life's
	window    time.Duration
	untilOver bool // an exit is no end: only that nothing of the life is left
	log       *serviceLog
}

// streamEvents answers with lines of JSON, the last of type complete. A host that is gone ends nothing but the stream.
func streamEvents(w http.ResponseWriter, r *http.Request, stream *eventStream) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	flush := http.NewResponseController(w).Flush
	tell := func(events []serviceEvent) error {
		for _, event := range events {
			if err := lines.Encode(event); err != nil {
				return err
			}
		}
		return flush()
	}
	if tell(stream.begin) != nil || stream.relay(r.Context(), tell) != nil {
		return // the host is gone
	}
	complete := eventNow("complete")
	path := "/.sprite/logs/services/" + stream.log.name()
	complete.LogFiles = &serviceLogs{Combined: path, Stderr: path, Stdout: path}
	_ = tell([]serviceEvent{complete}) // as above
}

// relay tells what comes until the window is over or the life has ended.
func (s *eventStream) relay(ctx context.Context, tell func([]serviceEvent) error) error {
	if s.follower == nil {
		return nil
	}
	var over <-chan struct{}
	if s.life != nil {
		over = s.life.done
	}
	window := time.NewTimer(s.window)
	defer window.Stop()
	for last := false; ; {
		events, changed := s.follower.take()
		if err := tell(events); err != nil {
			return err
		}
		if last || slices.ContainsFunc(events, s.isEnd) {
			return nil
		}
		select {
		case <-changed:
		case <-over:
			last = true
		case <-window.C:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isEnd tells whether nothing that follows an event belongs to the stream.
func (s *eventStream) isEnd(event serviceEvent) bool {
	if s.untilOver || s.life == nil || event.life != s.life {
		return false
	}
	return event.Type == "exit" || event.Type == "error" || event.Type == "stopped"
}

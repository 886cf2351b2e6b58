package main

import (
	"encoding/json"
	"net/http"
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
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	flush := http.NewResponseController(w).Flush
	write := func(events []serviceEvent) (ended, ok bool) {
		for _, event := range events {
			if encoder.Encode(event) != nil {
				return false, false
			}
			ended = ended || !stream.untilOver && stream.life != nil && event.life == stream.life && (event.Type == "exit" || event.Type == "error" || event.Type == "stopped")
		}
		return ended, flush() == nil
	}
	ended, ok := write(stream.begin)
	if !ok {
		return
	}
	var over <-chan struct{}
	if stream.life != nil {
		over = stream.life.done
	}
	window := time.NewTimer(stream.window)
	defer window.Stop()
	for last := stream.follower == nil; !ended; {
		var changed <-chan struct{}
		if stream.follower != nil {
			var events []serviceEvent
			events, changed = stream.follower.take()
			if ended, ok = write(events); !ok {
				return
			}
		}
		if last {
			break
		}
		select {
		case <-changed:
		case <-over:
			last = true
		case <-window.C:
			last = true
		case <-r.Context().Done():
			return
		}
	}
	complete := eventNow("complete")
	path := "/.sprite/logs/services/" + stream.log.name()
	complete.LogFiles = &serviceLogs{Combined: path, Stderr: path, Stdout: path}
	_, _ = write([]serviceEvent{complete}) // a host that is gone needs no end
}

package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong") })
	mux.HandleFunc("POST /sync", func(http.ResponseWriter, *http.Request) { syscall.Sync() })
	mux.HandleFunc("PUT /file", put)
	mux.HandleFunc("POST /run", run)
	mux.HandleFunc("POST /start", start)
	mux.HandleFunc("GET /attach", attach)
	return mux
}

// put writes the body to an executable file.
func put(w http.ResponseWriter, r *http.Request) {
	file, err := os.OpenFile(r.URL.Query().Get("path"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(file, r.Body)
		if closed := file.Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// run runs a command and streams its output; the trailer carries its exit code.
func run(w http.ResponseWriter, r *http.Request) {
	argv := r.URL.Query()["argv"]
	cmd := exec.Command(argv[0], argv[1:]...)
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Trailer", "exit")
	flush(w)
	pump(output, w)
	_ = cmd.Wait() // the exit code says how it ended
	w.Header().Set("exit", strconv.Itoa(cmd.ProcessState.ExitCode()))
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() } // a broken session shows at the next write

func pump(from io.Reader, w http.ResponseWriter) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, failed := w.Write(buffer[:n]); failed != nil {
				return
			}
			flush(w)
		}
		if err != nil {
			return
		}
	}
}

// job is a command that runs without anyone listening; its first output is kept.
type job struct {
	mu     sync.Mutex
	output []byte
}

const keptBytes = 64 << 10

var (
	jobsMu sync.Mutex
	jobs   []*job
)

func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.output = append(j.output, p[:min(len(p), keptBytes-len(j.output))]...)
	return len(p), nil
}

// start starts a command in the background and answers with its id.
func start(w http.ResponseWriter, r *http.Request) {
	argv := r.URL.Query()["argv"]
	j := &job{}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = j, j
	if err := cmd.Start(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	go func() { _ = cmd.Wait() }() // reaped; its output is all anyone asks for
	jobsMu.Lock()
	defer jobsMu.Unlock()
	jobs = append(jobs, j)
	io.WriteString(w, strconv.Itoa(len(jobs)-1))
}

// attach answers with what a command has written so far.
func attach(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.URL.Query().Get("id"))
	jobsMu.Lock()
	known := err == nil && id >= 0 && id < len(jobs)
	jobsMu.Unlock()
	if !known {
		http.Error(w, "no such command", http.StatusNotFound)
		return
	}
	jobsMu.Lock()
	j := jobs[id]
	jobsMu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	w.Write(j.output)
}

package main

import (
	"bytes"
	"strconv"
	"syscall"
)

// procFileLimitBytes is more than any of the files in /proc read here has.
const procFileLimitBytes = 64 << 10

// stats is the answer of GET /v1/stats.
type stats struct {
	MemTotalBytes     uint64  `json:"memTotalBytes"`
	MemAvailableBytes uint64  `json:"memAvailableBytes"`
	DiskTotalBytes    uint64  `json:"diskTotalBytes"`
	DiskFreeBytes     uint64  `json:"diskFreeBytes"`
	UptimeMs          int64   `json:"uptimeMs"`
	LoadAverage1      float64 `json:"loadAverage1"`
	Processes         int     `json:"processes"` // of the host that run
}

// readStats reads what it can; a figure that cannot be read is 0.
func readStats(t *table) stats {
	s := stats{Processes: t.running()}
	if text, err := readSmall("/proc/meminfo", procFileLimitBytes); err == nil {
		s.MemTotalBytes, s.MemAvailableBytes = kibField(text, "MemTotal:")<<10, kibField(text, "MemAvailable:")<<10
	}
	if text, err := readSmall("/proc/loadavg", procFileLimitBytes); err == nil {
		first, _, _ := bytes.Cut(text, []byte(" "))
		s.LoadAverage1, _ = strconv.ParseFloat(string(first), 64)
	}
	if text, err := readSmall("/proc/uptime", procFileLimitBytes); err == nil {
		first, _, _ := bytes.Cut(text, []byte(" "))
		seconds, _ := strconv.ParseFloat(string(first), 64)
		s.UptimeMs = int64(seconds * 1000)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs("/", &disk); err == nil {
		s.DiskTotalBytes, s.DiskFreeBytes = disk.Blocks*uint64(disk.Bsize), disk.Bavail*uint64(disk.Bsize)
	}
	return s
}

// kibField finds a line "Name:   123 kB" of /proc/meminfo.
func kibField(text []byte, name string) uint64 {
	_, rest, found := bytes.Cut(text, []byte(name))
	if !found {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return 0
	}
	value, _ := strconv.ParseUint(string(fields[0]), 10, 64)
	return value
}

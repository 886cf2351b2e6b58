// Command probe runs in a guest while it is checkpointed. It changes a given amount of memory, then advances a counter in a tight loop on a page of
// its own, with the guest's CLOCK_MONOTONIC beside it. The host finds the page by its token and watches it in the VM's memory: the guest's own clock
// stands still while the VM is paused, so only a clock outside can tell how long that was.
//
//	page: token (32 bytes) | zeros to 64 | counter u64 | CLOCK_MONOTONIC, nanoseconds, u64     little endian
package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	pageBytes     = 4096
	counterOffset = 64
	clockOffset   = 72
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: probe MEGABYTES TOKEN")
	}
	megabytes, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fail(err)
	}
	token, err := hex.DecodeString(os.Args[2])
	if err != nil || len(token) != 32 {
		fail("TOKEN is 64 hex digits")
	}
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	changed := fill(megabytes * 1_000_000)
	page := anonymous(pageBytes)
	copy(page, token)
	fmt.Println("ready")
	count(page)
	runtime.KeepAlive(changed)
}

// fill returns memory none of whose pages is zero or equal to another.
func fill(size int) []byte {
	memory := anonymous(size)
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), size/8)
	state := uint64(0x9e3779b97f4a7c15)
	for i := range words {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		words[i] = state
	}
	return memory
}

func anonymous(size int) []byte {
	memory, err := syscall.Mmap(-1, 0, max(size, pageBytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		fail(err)
	}
	return memory
}

func count(page []byte) {
	counter := (*uint64)(unsafe.Pointer(&page[counterOffset]))
	clock := (*int64)(unsafe.Pointer(&page[clockOffset]))
	began := time.Now()
	for {
		atomic.StoreInt64(clock, int64(time.Since(began)))
		atomic.AddUint64(counter, 1)
	}
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, "probe:", reason)
	os.Exit(1)
}

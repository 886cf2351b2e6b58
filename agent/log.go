package main

import (
	"fmt"
	"os"
)

// logf writes one line to the console (standard error of PID 1). It never fails: a console that is gone must not stop the guest.
func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "sylph-agent: "+format+"\n", args...)
}

package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// signalNumbers are the names a host may send, without SIG (signal(7), x86-64).
var signalNumbers = map[string]syscall.Signal{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
	"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21,
	"TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "PWR": 30, "SYS": 31,
}

// signalName is the inverse of signalNumbers; a real-time signal has its number as its name.
func signalName(number syscall.Signal) string {
	for name, n := range signalNumbers {
		if n == number {
			return name
		}
	}
	return strconv.Itoa(int(number))
}

// absorbSignals makes PID 1 immune to what a guest's root may send it: Go would otherwise end the program on most of them. They are caught, not
// ignored, so that children start with default dispositions. SIGCHLD is the reaper's; SIGURG and SIGPROF belong to Go's runtime; KILL and STOP the kernel keeps from PID 1.
func absorbSignals() {
	caught := make(chan os.Signal, 1)
	for _, number := range signalNumbers {
		switch number {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, syscall.SIGKILL, syscall.SIGSTOP:
		default:
			signal.Notify(caught, number)
		}
	}
	go func() {
		for range caught {
		}
	}()
}

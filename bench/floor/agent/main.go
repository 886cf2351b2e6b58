// Command floor-agent is PID 1 of the benchmark's bare VMs: HTTP/2 without TLS over one virtio-serial port, standard library only. It does what a
// figure needs and nothing else; the product's agent is another program.
package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
)

func main() {
	debug.SetGCPercent(50)
	if err := boot(); err != nil {
		fmt.Println("floor-agent:", err)
		os.Exit(1)
	}
	listener, err := openPort()
	if err != nil {
		fmt.Println("floor-agent:", err)
		os.Exit(1)
	}
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: routes(), Protocols: protocols, HTTP2: &http.HTTP2Config{
		MaxReadFrameSize: 1 << 20, MaxReceiveBufferPerConnection: 16 << 20, MaxReceiveBufferPerStream: 4 << 20}}
	fmt.Println("floor-agent:", server.Serve(listener))
}

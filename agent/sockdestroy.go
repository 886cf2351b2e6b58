package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"
)

// Netlink socket diagnosis, sock_diag(7) and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	diagRequestBytes = 56
	diagMessageBytes = 72
	diagIDAtRequest  = 8 // of struct inet_diag_sockid within the request
	diagIDAtMessage  = 4 // and within an answer
	diagIDBytes      = 48
	// connectedStates are all TCP states but LISTEN, CLOSE and those without an owner: 1 << TCP_ESTABLISHED and so on (net/tcp_states.h).
	connectedStates = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<8 | 1<<9 | 1<<11
)

// destroyConnections aborts every TCP connection with an address that is not loopback: their other ends belong to the origin of a fork.
func destroyConnections() error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_INET_DIAG)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	timeout := syscall.Timeval{Sec: 5}
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	var failures error
	for _, family := range []byte{syscall.AF_INET, syscall.AF_INET6} {
		ids, err := listConnections(fd, family)
		failures = errors.Join(failures, err)
		for _, id := range ids {
			if err := destroyConnection(fd, family, id); err != nil && err != syscall.ENOENT {
				failures = errors.Join(failures, err)
			}
		}
	}
	return failures
}

// listConnections returns the socket ids to destroy.
func listConnections(fd int, family byte) (ids [][]byte, err error) {
	request := diagRequest(sockDiagByFamily, syscall.NLM_F_DUMP, family, nil)
	if err := syscall.Sendto(fd, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			return ids, fmt.Errorf("list connections: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return ids, err
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == syscall.NLMSG_DONE:
				return ids, nil
			case m.Header.Type == syscall.NLMSG_ERROR:
				return ids, fmt.Errorf("list connections: %w", netlinkError(m.Data))
			case len(m.Data) >= diagMessageBytes && leavesMachine(family, m.Data[diagIDAtMessage:]):
				ids = append(ids, append([]byte(nil), m.Data[diagIDAtMessage:diagIDAtMessage+diagIDBytes]...))
			}
		}
	}
}

func destroyConnection(fd int, family byte, id []byte) error {
	request := diagRequest(sockDestroy, syscall.NLM_F_ACK, family, id)
	if err := syscall.Sendto(fd, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4<<10)
	n, _, err := syscall.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil || len(messages) == 0 {
		return errors.Join(err, errors.New("no answer to the destruction of a connection"))
	}
	return netlinkError(messages[0].Data)
}

// diagRequest is a netlink message with a struct inet_diag_req_v2.
func diagRequest(kind uint16, flags uint16, family byte, id []byte) []byte {
	message := make([]byte, syscall.SizeofNlMsghdr+diagRequestBytes)
	*(*syscall.NlMsghdr)(unsafe.Pointer(&message[0])) = syscall.NlMsghdr{Len: uint32(len(message)), Type: kind, Flags: syscall.NLM_F_REQUEST | flags}
	body := message[syscall.SizeofNlMsghdr:]
	body[0], body[1] = family, syscall.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], connectedStates)
	copy(body[diagIDAtRequest:], id)
	return message
}

// leavesMachine reads a struct inet_diag_sockid: ports, source and destination of 16 bytes each.
func leavesMachine(family byte, id []byte) bool {
	address := func(at int) netip.Addr {
		if family == syscall.AF_INET {
			return netip.AddrFrom4([4]byte(id[at : at+4]))
		}
		return netip.AddrFrom16([16]byte(id[at : at+16])).Unmap()
	}
	return !address(4).IsLoopback() || !address(20).IsLoopback()
}

// netlinkError is the errno of a struct nlmsgerr, nil for an acknowledgement.
func netlinkError(data []byte) error {
	if len(data) < 4 {
		return syscall.EBADMSG
	}
	if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

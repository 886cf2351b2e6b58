package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// The guest's side of the host's network.
const (
	kernelInterface = "eth0"
	guestInterface  = "spr0"
	resolver        = "10.0.0.2"
)

var (
	guestAddress   = [4]byte{10, 0, 0, 1}
	guestNetmask   = [4]byte{255, 255, 255, 0}
	gatewayAddress = [4]byte{10, 0, 0, 2}

	guestAddress6   = [16]byte{0x0f, 0xdf, 15: 1} // fdf::1
	gatewayAddress6 = [16]byte{0x0f, 0xdf, 15: 2} // fdf::2
)

// configureNetwork brings loopback up and, where the VM has a network card, the card too.
func configureNetwork() {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		logf("network: %v", err)
		return
	}
	defer syscall.Close(fd)
	if err := bringUp(fd, "lo"); err != nil {
		logf("loopback: %v", err)
	}
	if _, err := os.Stat("/sys/class/net/" + kernelInterface); err != nil {
		return // this VM has no network card
	}
	quietIPv6()
	if err := configureCard(fd); err != nil {
		logf("network: %v", err)
	}
	if err := configureCard6(fd); err != nil {
		logf("IPv6: %v", err)
	}
	if err := writeFile("/etc/resolv.conf", "nameserver "+resolver+"\n", 0o644); err != nil {
		logf("resolv.conf: %v", err)
	}
}

// quietIPv6 keeps the kernel from probing for neighbours and routers that a sprite's network cannot have: every address of it is given by the host.
func quietIPv6() {
	for _, setting := range []string{"dad_transmits", "router_solicitations", "accept_ra"} {
		if err := writeSetting("/proc/sys/net/ipv6/conf/"+kernelInterface+"/"+setting, "0"); err != nil {
			logf("IPv6: %v", err)
		}
	}
}

func configureCard(fd int) error {
	if err := renameInterface(fd, kernelInterface, guestInterface); err != nil {
		return err
	}
	if err := setAddress(fd, syscall.SIOCSIFADDR, guestAddress); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := setAddress(fd, syscall.SIOCSIFNETMASK, guestNetmask); err != nil {
		return fmt.Errorf("netmask: %w", err)
	}
	if err := bringUp(fd, guestInterface); err != nil {
		return err
	}
	return addDefaultRoute(fd)
}

// configureCard6 gives the card, which is up, its IPv6 address and default route.
func configureCard6(fd int) error {
	r := requestFor(guestInterface)
	if err := ioctl(fd, syscall.SIOCGIFINDEX, unsafe.Pointer(r)); err != nil {
		return fmt.Errorf("%s: %w", guestInterface, err)
	}
	index := *(*int32)(unsafe.Pointer(&r.data))
	fd6, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd6)
	// struct in6_ifreq, linux/ipv6.h.
	address := struct {
		address [16]byte
		prefix  uint32
		index   int32
	}{guestAddress6, 64, index}
	if err := ioctl(fd6, syscall.SIOCSIFADDR, unsafe.Pointer(&address)); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	// struct in6_rtmsg, linux/ipv6_route.h.
	const (
		routeUp      = 0x1 // RTF_UP
		routeGateway = 0x2 // RTF_GATEWAY
	)
	route := struct {
		destination, source, gateway [16]byte
		kind                         uint32
		destinationBits, sourceBits  uint16
		metric                       uint32
		info                         uint64
		flags                        uint32
		index                        int32
	}{gateway: gatewayAddress6, metric: 1, flags: routeUp | routeGateway, index: index}
	if err := ioctl(fd6, syscall.SIOCADDRT, unsafe.Pointer(&route)); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	return nil
}

// interfaceRequest is struct ifreq, netdevice(7).
type interfaceRequest struct {
	name [syscall.IFNAMSIZ]byte
	data [24]byte
}

func requestFor(name string) *interfaceRequest {
	r := &interfaceRequest{}
	copy(r.name[:syscall.IFNAMSIZ-1], name)
	return r
}

func bringUp(fd int, name string) error {
	r := requestFor(name)
	if err := ioctl(fd, syscall.SIOCGIFFLAGS, unsafe.Pointer(r)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*(*uint16)(unsafe.Pointer(&r.data)) |= syscall.IFF_UP
	if err := ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(r)); err != nil {
		return fmt.Errorf("%s up: %w", name, err)
	}
	return nil
}

func renameInterface(fd int, from, to string) error {
	const setName = 0x8923 // SIOCSIFNAME, linux/sockios.h
	r := requestFor(from)
	copy(r.data[:syscall.IFNAMSIZ-1], to)
	if err := ioctl(fd, setName, unsafe.Pointer(r)); err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	return nil
}

func setAddress(fd int, request uintptr, address [4]byte) error {
	r := requestFor(guestInterface)
	*(*syscall.RawSockaddrInet4)(unsafe.Pointer(&r.data)) = inet4(address)
	return ioctl(fd, request, unsafe.Pointer(r))
}

func inet4(address [4]byte) syscall.RawSockaddrInet4 {
	return syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: address}
}

// addDefaultRoute uses struct rtentry, route(7): destination and mask of zero, one gateway.
func addDefaultRoute(fd int) error {
	const (
		routeUp      = 0x1 // RTF_UP
		routeGateway = 0x2 // RTF_GATEWAY
	)
	var route struct {
		_                          uint64
		destination, gateway, mask syscall.RawSockaddrInet4
		flags                      uint16
		_                          [62]byte
	}
	route.destination, route.gateway, route.mask = inet4([4]byte{}), inet4(gatewayAddress), inet4([4]byte{})
	route.flags = routeUp | routeGateway
	if err := ioctl(fd, syscall.SIOCADDRT, unsafe.Pointer(&route)); err != nil {
		return fmt.Errorf("route to %s: %w", strings.Trim(fmt.Sprint(gatewayAddress), "[]"), err)
	}
	return nil
}

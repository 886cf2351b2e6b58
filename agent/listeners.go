package main

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	// maxPorts is how many listening ports are told of, the lowest.
	maxPorts = 1024
	// socketTableLimitBytes is how much of the kernel's list of sockets is read; those that listen come first.
	socketTableLimitBytes = 4 << 20
	// maxAncestors bounds the way from a process to the one of the host's that it descends from.
	maxAncestors = 64
	// maxDescriptorsSeen bounds one search for the holders of new sockets.
	maxDescriptorsSeen = 1 << 18
	// maxHolderSearches is how often a socket's holder is looked for; it may belong to none, such as the kernel's.
	maxHolderSearches = 3
)

// portKey is a port as it is reached.
type portKey struct {
	port    uint16
	address netip.Addr
}

// listener is a listening socket: where it is reached, and who holds it.
type listener struct {
	portKey
	inode   uint64
	pid     int
	session string
}

// readListeners reads the kernel's tables: one listener per port and address, the first of several, ordered by port.
func readListeners(root string) []listener {
	found := map[portKey]listener{}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := readSmall(root+name, socketTableLimitBytes)
		if err != nil {
			continue // a kernel without IPv6
		}
		for _, each := range parseListeners(table) {
			if before, ok := found[each.portKey]; !ok || each.inode < before.inode {
				found[each.portKey] = each
			}
		}
	}
	list := make([]listener, 0, len(found))
	for _, each := range found {
		list = append(list, each)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.port < b.port || a.port == b.port && a.address.Less(b.address)
	})
	return list[:min(len(list), maxPorts)]
}

// parseListeners reads /proc/net/tcp or tcp6 (proc_net_tcp(5)) up to its first socket that does not listen: the kernel lists those that do first.
func parseListeners(table []byte) []listener {
	const listening = "0A"
	var list []listener
	_, table, _ = bytes.Cut(table, []byte("\n"))
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) < 10 || fields[3] != listening {
			break
		}
		address, port, ok := parseSocketAddress(fields[1])
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if !ok || err != nil || port == 0 {
			continue
		}
		list = append(list, listener{portKey: portKey{port, reachable(address)}, inode: inode})
	}
	return list
}

// parseSocketAddress reads 0100007F:1F90: words of 32 bits in the byte order of the machine, here little-endian, and a port.
func parseSocketAddress(text string) (address netip.Addr, port uint16, ok bool) {
	host, number, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	value, portErr := strconv.ParseUint(number, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.Addr{}, 0, false
	}
	for word := 0; word < len(raw); word += 4 {
		slices.Reverse(raw[word : word+4])
	}
	address, ok = netip.AddrFromSlice(raw)
	return address.Unmap(), uint16(value), ok
}

// reachable is the address that reaches a bound one from inside. A socket bound to all of IPv6 takes IPv4 too, unless its program refused that.
func reachable(bound netip.Addr) netip.Addr {
	if bound.IsUnspecified() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return bound.WithZone("")
}

// findHolders looks for the processes that hold sockets, by inode: the lowest pid of several.
func findHolders(root string, wanted map[uint64]bool) map[uint64]int {
	holders := map[uint64]int{}
	left := maxDescriptorsSeen
	for _, pid := range processIDs(root) {
		if len(holders) == len(wanted) || left <= 0 {
			break
		}
		folder := root + "/proc/" + strconv.Itoa(pid) + "/fd"
		descriptors, err := os.Open(folder)
		if err != nil {
			continue // it has ended
		}
		names, _ := descriptors.Readdirnames(left) // those that could be read are looked at
		_ = descriptors.Close()
		left -= len(names)
		for _, name := range names {
			link, err := os.Readlink(folder + "/" + name)
			if err != nil {
				continue
			}
			inode, ok := socketInode(link)
			if ok && wanted[inode] && holders[inode] == 0 {
				holders[inode] = pid
			}
		}
	}
	return holders
}

// processIDs lists the processes, lowest first.
func processIDs(root string) []int {
	folder, err := os.Open(root + "/proc")
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// socketInode reads socket:[123].
func socketInode(link string) (uint64, bool) {
	text, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	return inode, err == nil
}

// sessionOf finds the host's process that pid is, belongs to the session of, or descends from. Empty: none.
func sessionOf(root string, pid int, leaders map[int]string) string {
	for range maxAncestors {
		parent, leader, ok := parentAndLeader(root, pid)
		if id, found := leaders[pid]; found {
			return id
		}
		if !ok {
			return ""
		}
		if id, found := leaders[leader]; found {
			return id
		}
		if parent <= 1 {
			return ""
		}
		pid = parent
	}
	return ""
}

// parentAndLeader reads the fields ppid and session of /proc/PID/stat (proc_pid_stat(5)). The name before them may hold anything.
func parentAndLeader(root string, pid int) (parent, leader int, ok bool) {
	text, err := readSmall(root+"/proc/"+strconv.Itoa(pid)+"/stat", 4<<10)
	if err != nil {
		return 0, 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 4 {
		return 0, 0, false
	}
	parent, parentErr := strconv.Atoi(fields[1])
	leader, leaderErr := strconv.Atoi(fields[3])
	return parent, leader, parentErr == nil && leaderErr == nil
}

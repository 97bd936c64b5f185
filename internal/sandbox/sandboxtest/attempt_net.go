package sandboxtest

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netAttempts try to reach anything that is not in the zone.
func netAttempts() []attempt {
	return []attempt{
		{id: "net.host-tcp", control: plain, try: func(w world) error { return dial("127.0.0.1", w.TCP) }},
		{id: "net.host-tcp-any", control: plain, try: func(w world) error { return dial("0.0.0.0", w.TCP) }},
		{id: "net.host-udp", control: plain, try: func(w world) error { return echo("127.0.0.1", w.UDP) }},
		{id: "net.host-fastopen", try: func(w world) error { return fastOpen(w.TCP) }},
		{id: "net.public", try: func(world) error { return dial("192.0.2.1", 443) }},
		{id: "net.public-udp", try: func(world) error { return echo("198.51.100.1", 443) }},
		{id: "net.metadata", try: func(world) error { return dial("169.254.169.254", 80) }},
		{id: "net.metadata-ecs", try: func(world) error { return dial("169.254.170.2", 80) }},
		{id: "net.link-local6", try: func(world) error { return dial6([16]byte{0xfe, 0x80, 15: 1}) }},
		{id: "net.private-10", try: func(world) error { return dial("10.0.0.1", 443) }},
		{id: "net.private-172", try: func(world) error { return dial("172.17.0.1", 2375) }},
		{id: "net.private-192", try: func(world) error { return dial("192.168.0.1", 80) }},
		{id: "net.public6", try: func(world) error { return dial6([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}) }},
		{id: "net.multicast", try: func(world) error { return echo("224.0.0.251", 5353) }},
		{id: "net.dns", try: func(w world) error { return lookUp(w.Resolvers) }},
		{id: "net.interface", control: plain, try: func(world) error { return otherInterface() }},
		{id: "net.interface-up", control: loose, try: func(world) error { return interfaceUp() }},
		{id: "net.address", control: loose, try: func(world) error { return addAddress() }},
		{id: "net.unix-path", control: plain, try: func(w world) error { return dialUnix(w.Socket) }},
		{id: "net.unix-abstract", control: plain, try: func(w world) error { return dialUnix("@" + w.Abstract) }},
	}
}

// dial connects by a raw call, so that no resolver or retry stands between.
func dial(host string, port int) error {
	ip := net.ParseIP(host).To4()
	return connect(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte(ip)})
}

func dial6(a [16]byte) error {
	return connect(unix.AF_INET6, &unix.SockaddrInet6{Port: 443, Addr: a, ZoneId: 1})
}

func connect(family int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A blocking connect with a bound: an answer that does not come is none.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

// echo sends a datagram and waits for it to come back: that it could be sent
// says nothing.
func echo(host string, port int) error {
	c, err := net.Dial("udp4", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	return answered(c)
}

func answered(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(400 * time.Millisecond)); err != nil {
		return err
	}
	n, err := c.Read(make([]byte, 64))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return safe("no answer")
	}
	if err == nil && n == 0 {
		return safe("an empty answer")
	}
	return err
}

// fastOpen sends data with the first packet, past a filter on connect.
func fastOpen(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte("ping"), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// lookUp asks for a name, by UDP, each server that there might be.
func lookUp(servers []string) error {
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x00\x00\x01\x00\x01")
	var last error = safe("no server")
	for _, s := range append([]string{"127.0.0.53", "127.0.0.1"}, servers...) {
		c, err := net.Dial("udp", net.JoinHostPort(s, "53"))
		if err != nil {
			last = err
			continue
		}
		_, err = c.Write(query)
		if err == nil {
			err = answered(c)
		}
		c.Close()
		if err == nil {
			return nil
		}
		last = err
	}
	return last
}

func otherInterface() error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Name != "lo" {
			return nil
		}
	}
	return safe("lo alone")
}

func interfaceUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(req)))
	if e != 0 {
		return e
	}
	return nil
}

// addAddress gives lo another address by rtnetlink (RTM_NEWADDR).
func addAddress() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b bytes.Buffer
	const request = unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE
	b.Write([]byte{40, 0, 0, 0, unix.RTM_NEWADDR, 0, request & 0xff, request >> 8, 1, 0, 0, 0, 0, 0, 0, 0})
	b.Write([]byte{unix.AF_INET, 8, 0, unix.RT_SCOPE_HOST, 1, 0, 0, 0})
	b.Write([]byte{8, 0, unix.IFA_LOCAL, 0, 127, 9, 9, 9, 8, 0, unix.IFA_ADDRESS, 0, 127, 9, 9, 9})
	if err := unix.Sendto(fd, b.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return err
	}
	if n < 20 {
		return fmt.Errorf("a reply of %d bytes", n)
	}
	if code := *(*int32)(unsafe.Pointer(&reply[16])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

func dialUnix(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: name})
}

// familyAttempts try to make sockets that leave the network namespace or reach
// far into the kernel.
func familyAttempts() []attempt {
	socket := func(family, kind, protocol int) func(world) error {
		return func(world) error {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}
	}
	return []attempt{
		{id: "family.vsock", control: plain, try: socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{id: "family.vsock-dgram", try: socket(unix.AF_VSOCK, unix.SOCK_DGRAM, 0)},
		{id: "family.packet", control: loose, try: socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)},
		{id: "family.packet-raw", control: loose, try: socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{id: "family.raw", control: loose, try: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{id: "family.raw6", try: socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)},
		{id: "family.alg", try: socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{id: "family.netlink-audit", try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)},
		{id: "family.netlink-netfilter", try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{id: "family.netlink-uevent", control: plain, try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT)},
		{id: "family.netlink-diag", control: plain, try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_INET_DIAG)},
		{id: "family.netlink-generic", control: plain, try: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)},
		{id: "family.xdp", try: socket(unix.AF_XDP, unix.SOCK_RAW, 0)},
		{id: "family.key", try: socket(unix.AF_KEY, unix.SOCK_RAW, 2)},
		{id: "family.tipc", try: socket(unix.AF_TIPC, unix.SOCK_STREAM, 0)},
		{id: "family.bluetooth", try: socket(unix.AF_BLUETOOTH, unix.SOCK_RAW, 0)},
		{id: "family.can", try: socket(unix.AF_CAN, unix.SOCK_RAW, 1)},
		{id: "family.rds", try: socket(unix.AF_RDS, unix.SOCK_SEQPACKET, 0)},
		{id: "family.high-bit", try: func(world) error {
			// The kernel reads 32 bits of the family: a filter that compares 64 is passed.
			fd, _, e := unix.Syscall(unix.SYS_SOCKET, unix.AF_VSOCK|1<<32, unix.SOCK_STREAM, 0)
			if e != 0 {
				return e
			}
			return unix.Close(int(fd))
		}, control: plain},
	}
}

package probe

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// network checks what the zone's network namespace holds, and, only where it
// holds nothing but lo, that no address answers.
func (p *prober) network() {
	interfaces := p.interfacesAgainst()
	routes := p.routesAgainst()
	p.found("net.interfaces", "lo alone", interfaces)
	p.found("net.routes", "none", routes)
	if !p.OwnKernel { // which has no table of them: see RunAround
		p.found("net.listeners", "only the gateway's", p.listenersAgainst())
	}
	p.found("net.unix.named", "none", p.unixAgainst())
	isolated := interfaces == "" && routes == ""
	metadata := "169.254.170.2:80 100.100.100.200:80"
	if p.Metadata {
		p.found("net.metadata.honey", "the zone's own", honeyAgainst())
	} else {
		metadata = "169.254.169.254:80 " + metadata
	}
	for _, a := range [...]struct{ name, wanted, v4 string }{
		{"net.tcp.public", "unreachable", "192.0.2.1:443 198.51.100.1:80 203.0.113.1:22"},
		{"net.tcp.metadata", "unreachable", metadata},
		{"net.tcp.private", "unreachable", "10.0.0.1:443 172.16.0.1:443 192.168.0.1:443"},
	} {
		p.found(a.name, a.wanted, p.reach(isolated, a.v4))
	}
	p.found("net.tcp6", "unreachable", reach6(isolated))
	p.found("net.dns.config", "no name server", resolvAgainst(readFile("/etc/resolv.conf")))
	servers := "8.8.8.8:53 1.1.1.1:53"
	if !p.NoLoopback { // without lo there is nothing that could answer, not even with a refusal
		servers += " 127.0.0.53:53"
	}
	p.found("net.dns.servers", "unreachable", p.reach(isolated, servers))
	if p.NoLoopback {
		p.found("net.loopback", "down", loopbackAgainst())
	}
}

func (p *prober) interfacesAgainst() string {
	dev, err := readFile(p.proc + "/self/net/dev")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	return interfaceBesideLo(dev)
}

// interfaceBesideLo reads /proc/net/dev: two lines of heading, then one for
// each interface.
func interfaceBesideLo(dev string) string {
	lines := strings.Split(strings.TrimSuffix(dev, "\n"), "\n")
	if len(lines) < 2 {
		return "cannot tell: the list has no heading"
	}
	for _, line := range lines[2:] {
		name, _, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name != "lo" {
			return "interface " + strconv.Quote(name)
		}
	}
	return ""
}

func (p *prober) routesAgainst() string {
	v4, err := readFile(p.proc + "/self/net/route")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	v6, err := readFile(p.proc + "/self/net/ipv6_route")
	if err != nil && err != unix.ENOENT { // absent where the kernel has no IPv6
		return "cannot tell: " + errnoName(err)
	}
	return routeBesideLo(v4, v6)
}

// routeBesideLo reads the two route tables: in the first the interface stands
// first, below a heading, in the second it stands last. A namespace in which no
// interface was ever up has no table yet, and so no heading.
func routeBesideLo(v4, v6 string) string {
	rest, ok := strings.CutPrefix(v4, "Iface")
	if !ok && v4 != "" {
		return "cannot tell: the route table has no heading"
	}
	_, rest, _ = strings.Cut(rest, "\n")
	for line := range strings.Lines(rest) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "lo" {
			return "a route by " + strconv.Quote(f[0])
		}
	}
	for line := range strings.Lines(v6) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] != "lo" {
			return "an IPv6 route by " + strconv.Quote(f[len(f)-1])
		}
	}
	return ""
}

// reach tries addresses that must not answer.
func (p *prober) reach(isolated bool, addresses string) string {
	if !isolated {
		return "not tried: the network may be the host's"
	}
	s := newSockets(unix.AF_INET)
	defer s.close()
	for _, a := range strings.Fields(addresses) {
		host, port, _ := strings.Cut(a, ":")
		n, _ := strconv.Atoi(port)
		if e := connect(s, &unix.SockaddrInet4{Port: n, Addr: parse4(host)}); !unreachable(e) {
			return a + ": " + answer(e)
		}
	}
	return ""
}

// reach6 tries a documentation address and the metadata address of IPv6.
func reach6(isolated bool) string {
	if !isolated {
		return "not tried: the network may be the host's"
	}
	s := newSockets(unix.AF_INET6)
	defer s.close()
	for _, a := range [...]struct {
		name string
		addr [16]byte
	}{
		{"2001:db8::1", [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}},
		{"fd00:ec2::254", [16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}},
	} {
		if e := connect(s, &unix.SockaddrInet6{Port: 443, Addr: a.addr}); !unreachable(e) {
			return a.name + ": " + answer(e)
		}
	}
	return ""
}

// connect tries UDP first, which only looks up a route and sends nothing, and
// TCP only where the kernel had no route to give.
func connect(s *sockets, to unix.Sockaddr) unix.Errno {
	e := s.try(0, to)
	if e != 0 && !unreachable(e) {
		return e
	}
	if e == 0 && !isLoopback(to) {
		return 0
	}
	return s.try(1, to)
}

// sockets are one of each kind, with which one address after the other is
// tried: what was refused leaves a socket as it was.
type sockets struct {
	fds  [2]int
	errs [2]unix.Errno
}

func newSockets(family int) *sockets {
	s := &sockets{}
	for i, kind := range [...]int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
		fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		s.fds[i], s.errs[i] = fd, errno(err)
	}
	return s
}

func (s *sockets) close() {
	for i, fd := range s.fds {
		if s.errs[i] == 0 {
			unix.Close(fd)
		}
	}
}

func (s *sockets) try(i int, to unix.Sockaddr) unix.Errno {
	if s.errs[i] != 0 {
		return s.errs[i]
	}
	e := errno(unix.Connect(s.fds[i], to))
	if e == unix.EINPROGRESS && isLoopback(to) {
		// lo answers at once: the second call tells what came back.
		e = errno(unix.Connect(s.fds[i], to))
	}
	return e
}

func isLoopback(to unix.Sockaddr) bool {
	a, ok := to.(*unix.SockaddrInet4)
	return ok && a.Addr[0] == 127
}

func errno(err error) unix.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(unix.Errno); ok {
		return e
	}
	return unix.EIO
}

func answer(e unix.Errno) string {
	if e == 0 {
		return "connected"
	}
	return errnoName(e)
}

func unreachable(e unix.Errno) bool {
	switch e {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED, unix.ENETDOWN, unix.EADDRNOTAVAIL,
		unix.EPERM, unix.EACCES, unix.EAFNOSUPPORT, unix.ENOSYS:
		return true
	}
	return false
}

func parse4(s string) (a [4]byte) {
	i := 0
	for part := range strings.SplitSeq(s, ".") {
		n, _ := strconv.Atoi(part)
		a[i&3] = byte(n)
		i++
	}
	return a
}

func resolvAgainst(conf string, err error) string {
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return ""
	}
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	for line := range strings.Lines(conf) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "nameserver" {
			return "resolv.conf names a server"
		}
	}
	return ""
}

// listenersAgainst counts the sockets of the network namespace that can be
// reached. The tables in proc would name them, but reading one walks the hash
// table of the whole host, which takes milliseconds.
func (p *prober) listenersAgainst() string {
	v4, err := readFile(p.proc + "/self/net/sockstat")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	v6, err := readFile(p.proc + "/self/net/sockstat6")
	if err != nil && err != unix.ENOENT { // absent where the kernel has no IPv6
		return "cannot tell: " + errnoName(err)
	}
	tcp, against := socketsInUse(v4, v6)
	if against != "" {
		return against
	}
	if tcp == 0 {
		return ""
	}
	taken := 0
	if p.Metadata && (p.around && addressTaken(MetadataAddress(), MetadataPort) || !p.around && honeyAgainst() == "") {
		taken++
	}
	if tcp > len(p.AllowedListen)+taken {
		return strconv.Itoa(tcp) + " TCP sockets"
	}
	for _, port := range p.AllowedListen {
		if portTaken(port) {
			taken++
		}
	}
	if taken < tcp {
		return "a TCP socket on another port"
	}
	return ""
}

// socketsInUse reads sockstat and sockstat6 and gives the number of TCP sockets
// that are bound or connected; there may be none of another kind.
func socketsInUse(v4, v6 string) (tcp int, against string) {
	told := false
	for line := range strings.Lines(v4 + v6) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "inuse" {
			continue
		}
		n, err := strconv.Atoi(f[2])
		if err != nil || n < 0 {
			return 0, "cannot tell: " + strconv.Quote(bounded(line))
		}
		if f[0] == "TCP:" {
			tcp, told = n, true
		} else if n > 0 {
			return 0, "sockets of kind " + strings.TrimSuffix(f[0], ":")
		}
	}
	if !told {
		return 0, "cannot tell: the kernel does not count TCP sockets"
	}
	return tcp, ""
}

// MetadataAddress and MetadataPort are where clouds answer about a machine.
func MetadataAddress() [4]byte { return [4]byte{169, 254, 169, 254} }

// MetadataPort is HTTP's.
const MetadataPort = 80

// honeyAgainst checks that the metadata address is an address of the zone
// itself: a socket can be bound to it. Whoever answers there is then in this
// network namespace, and that is the socket that the controller serves.
func honeyAgainst() string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: MetadataAddress()}); err != nil {
		return "not an address of the zone: " + errnoName(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: MetadataAddress(), Port: MetadataPort}); err != nil {
		return "nobody listens: " + errnoName(err)
	}
	return ""
}

// portTaken tells whether some socket holds the port on the loopback address.
func portTaken(port int) bool { return addressTaken([4]byte{127, 0, 0, 1}, port) }

func addressTaken(address [4]byte, port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: address}) == unix.EADDRINUSE
}

func contains[T comparable](list []T, n T) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

func (p *prober) unixAgainst() string {
	text, err := readFile(p.proc + "/self/net/unix")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	if against := namedUnix(text); against != "" {
		return against
	}
	for _, path := range [...]string{
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
		"/run/crio/crio.sock", "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/user",
	} {
		var st unix.Stat_t
		if e := errno(unix.Lstat(path, &st)); e != unix.ENOENT && e != unix.ENOTDIR {
			return path + ": " + answer(e)
		}
	}
	return ""
}

// namedUnix reads /proc/net/unix: a socket with an eighth field has a name, on
// disk or, with @, in the namespace.
func namedUnix(text string) string {
	_, rows, ok := strings.Cut(text, "\n")
	if !ok {
		return "cannot tell: the list has no heading"
	}
	for line := range strings.Lines(rows) {
		if f := strings.Fields(line); len(f) > 7 {
			return "socket " + strconv.Quote(bounded(f[7]))
		}
	}
	return ""
}

func bounded(s string) string {
	if len(s) > 100 {
		return s[:100]
	}
	return s
}

// ifreq is the kernel's struct ifreq as SIOCGIFFLAGS fills it.
type ifreq struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

func loopbackAgainst() string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "" // without a socket of the family there is no loopback to use
	}
	defer unix.Close(fd)
	req := ifreq{name: [unix.IFNAMSIZ]byte{'l', 'o'}}
	if e := ioctlPtr(fd, unix.SIOCGIFFLAGS, &req); e != 0 {
		return "cannot tell: " + errnoName(e)
	}
	if req.flags&unix.IFF_UP != 0 {
		return "up"
	}
	return ""
}

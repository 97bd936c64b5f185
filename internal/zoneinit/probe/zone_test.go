package probe

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// emptyNetwork puts the test's thread into a network namespace of its own, with
// lo up or down, and gives a proc in which "self" is that thread. The thread
// ends with the test.
func emptyNetwork(t *testing.T, up bool) *prober {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not run: needs root to enter a network namespace")
	}
	runtime.LockOSThread() // and never unlocked: no other goroutine may run there
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("not run: needs network namespaces: %v", err)
	}
	if up {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if e := ioctlPtr(fd, unix.SIOCSIFFLAGS, &ifreq{name: [unix.IFNAMSIZ]byte{'l', 'o'}, flags: unix.IFF_UP | unix.IFF_RUNNING}); e != 0 {
			t.Fatal(e)
		}
	}
	p := &prober{proc: t.TempDir()}
	if err := os.Symlink("/proc/thread-self", filepath.Join(p.proc, "self")); err != nil {
		t.Fatal(err)
	}
	return p
}

// against gives the results of one group that are not OK.
func against(p *prober, group func()) string {
	p.results = nil
	group()
	var names []string
	for _, r := range p.results {
		if !r.OK {
			names = append(names, r.Name+" ("+r.Got+")")
		}
	}
	return strings.Join(names, ", ")
}

// withoutHostRows leaves out the rows that judge files of the host, which a network namespace
// does not change.
func withoutHostRows(s string) string {
	var kept []string
	for _, n := range strings.Split(s, ", ") {
		if n != "" && !strings.HasPrefix(n, "net.dns.config") && !strings.HasPrefix(n, "net.unix.named (/run") && !strings.HasPrefix(n, "net.unix.named (/var/run") {
			kept = append(kept, n)
		}
	}
	return strings.Join(kept, ", ")
}

func TestEmptyNetworkIsClean(t *testing.T) {
	p := emptyNetwork(t, true)
	if got := withoutHostRows(against(p, p.network)); got != "" {
		t.Errorf("in a namespace with lo alone: %s", got)
	}
	p.NoLoopback = true
	if got := against(p, p.network); !strings.Contains(got, "net.loopback (up)") {
		t.Errorf("lo is up and has to be down: %s", got)
	}
}

func TestNetworkWithoutLoopback(t *testing.T) {
	p := emptyNetwork(t, false)
	p.NoLoopback = true
	if got := withoutHostRows(against(p, p.network)); got != "" {
		t.Errorf("in a namespace with nothing: %s", got)
	}
}

// socketFD makes a socket in this thread's namespace, which package net might
// make on another thread.
func socketFD(t *testing.T, family, kind int, to unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, to); err != nil {
		t.Fatal(err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

// Each of these is one thing too many in a namespace that is else empty.
func TestNetworkThatHoldsSomething(t *testing.T) {
	p := emptyNetwork(t, true)
	lo := [4]byte{127, 0, 0, 1}
	for _, c := range []struct {
		row          string
		family, kind int
		to           unix.Sockaddr
	}{
		{"net.listeners", unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 8081, Addr: lo}},
		{"net.listeners", unix.AF_INET, unix.SOCK_DGRAM, &unix.SockaddrInet4{Port: 8081, Addr: lo}},
		{"net.listeners", unix.AF_INET6, unix.SOCK_STREAM, &unix.SockaddrInet6{Port: 8081}},
		{"net.dns.servers", unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 53}}},
		{"net.unix.named", unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: "@probe-test"}},
	} {
		fd := socketFD(t, c.family, c.kind, c.to)
		if got := against(p, p.network); !strings.Contains(got, c.row) {
			t.Errorf("a socket %+v, and not OK are only: %s", c.to, got)
		}
		unix.Close(fd)
	}
	fd := socketFD(t, unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Port: 8081, Addr: lo})
	defer unix.Close(fd)
	p.AllowedListen = []int{8081}
	if got := withoutHostRows(against(p, p.network)); got != "" {
		t.Errorf("with the gateway's socket: %s", got)
	}
}

// An interface beside lo, and a route, have to stop every attempt.
func TestNetworkWithAnInterface(t *testing.T) {
	p := emptyNetwork(t, true)
	if err := makeTun("probe0"); err != nil {
		t.Skipf("not run: needs /dev/net/tun: %v", err)
	}
	got := against(p, p.network)
	for _, row := range []string{"net.interfaces", "net.tcp.public (not tried", "net.tcp.metadata (not tried", "net.tcp6 (not tried"} {
		if !strings.Contains(got, row) {
			t.Errorf("with an interface, not OK are only: %s", got)
		}
	}
}

// makeTun makes an interface that stays as long as the namespace.
func makeTun(name string) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	req.flags = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); e != 0 {
		return e
	}
	return nil // the descriptor keeps it, to the end of the process
}

// Without a proc nothing can be told, so nothing may be OK.
func TestWithoutProcNothingIsOK(t *testing.T) {
	p := &prober{proc: t.TempDir(), Config: Config{HostNS: []string{"net:[1]"}}}
	p.identity()
	p.namespaces()
	p.network()
	p.processes()
	p.files()
	p.descriptors()
	got := outcomes(t, p.results)
	for _, name := range []string{"id.capabilities", "id.no_new_privs", "id.seccomp", "ns.own", "net.interfaces", "net.routes",
		"net.tcp.public", "net.tcp6", "net.listeners", "net.unix.named", "proc.own", "fs.root", "fs.mounts", "fd.inherited"} {
		if r, ran := got[name]; !ran || r.OK {
			t.Errorf("%s: ran %v, %+v", name, ran, r)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, c := range []struct {
		real, effective, saved int
		ok                     bool
	}{{1000, 1000, 1000, true}, {0, 0, 0, false}, {1000, 0, 1000, false}, {1000, 1000, 0, false}, {1000, 1000, 1001, false}, {0, 1000, 1000, false}} {
		if got := idAgainst("user", c.real, c.effective, c.saved); (got == "") != c.ok {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestNamespaces(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host string
		ok   bool
	}{
		{"net:[1]", true},
		{own, false},
		{"", false},
		{"nothing", false},
		{"../net:[1]", false},
		{"unheard:[1]", false},
	} {
		p := &prober{proc: "/proc", Config: Config{HostNS: []string{c.host}}}
		if p.namespaces(); p.results[0].OK != c.ok {
			t.Errorf("%q: %+v", c.host, p.results[0])
		}
	}
}

func TestKernelFiles(t *testing.T) {
	p := &prober{proc: t.TempDir()}
	clean := p.kernelAgainst()
	if clean != "" && os.Getuid() != 0 {
		t.Errorf("nothing there: %q", clean)
	}
	for name, what := range map[string]string{"kcore": "can be read", "sysrq-trigger": "can be written"} {
		path := filepath.Join(p.proc, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.kernelAgainst(); clean == "" && !strings.Contains(got, name+" "+what) {
			t.Errorf("%s: %q", name, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcOfAnotherNamespace(t *testing.T) {
	for _, c := range []struct {
		self, status string
		ok           bool
	}{
		{pidText(), "NSpid:\t" + pidText() + "\n", true},
		{"1", "NSpid:\t1\n", false},
		{pidText(), "NSpid:\t" + pidText() + "\t7\n", false},
		{pidText(), "Pid:\t1\n", false},
	} {
		p := &prober{proc: t.TempDir()}
		if err := os.Mkdir(filepath.Join(p.proc, c.self), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.proc, c.self, "status"), []byte(c.status), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(c.self, filepath.Join(p.proc, "self")); err != nil {
			t.Fatal(err)
		}
		if got := p.ownProcAgainst(); (got == "") != c.ok {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func pidText() string { return strconv.Itoa(os.Getpid()) }

func TestSocketsOfOtherFamiliesAreSeen(t *testing.T) {
	// AF_UNIX stands in for a family that the filter should refuse and does not.
	if socketRefused(unix.AF_UNIX, unix.SOCK_STREAM, 0) == "" {
		t.Error("a socket that can be made counts as refused")
	}
	if got := socketRefused(255, unix.SOCK_STREAM, 0); got != "" {
		t.Errorf("a family that no kernel has: %q", got)
	}
	if socketRefused(unix.AF_UNIX, 77, 0) == "" {
		t.Error("an answer that is no refusal counts as one")
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{errnoName(unix.EPERM), "EPERM"},
		{errnoName(unix.Errno(4000)), "errno 4000"},
		{errnoName(net.ErrClosed), "unknown error"},
		{reached(0), "done"},
		{reached(unix.Errno(4000)), "reaches the kernel (errno 4000)"},
		{answer(0), "connected"},
		{bounded(strings.Repeat("x", 200)), strings.Repeat("x", 100)},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

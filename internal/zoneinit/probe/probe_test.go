package probe

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func outcomes(t *testing.T, results []Result) map[string]Result {
	t.Helper()
	m := make(map[string]Result)
	for _, r := range results {
		if _, twice := m[r.Name]; twice {
			t.Errorf("two results are called %s", r.Name)
		}
		if r.Wanted == "" || r.Got == "" {
			t.Errorf("%s: wanted %q, got %q: both have to say something", r.Name, r.Wanted, r.Got)
		}
		m[r.Name] = r
	}
	return m
}

// The control: on a host, outside of any zone, the probe has to object. What
// passed here would pass everywhere.
func TestHostIsNotClean(t *testing.T) {
	t.Setenv("PROBE_SECRET", "a-forbidden-value")
	net, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(t, Run(Config{
		HostPIDs: []int{os.Getpid(), os.Getppid()}, StateDir: t.TempDir(), HostNS: []string{net},
		Forbidden: []string{"a-forbidden-value"}, AllowedEnv: []string{"PATH"}, Zone: "build", NoLoopback: true,
	}))
	want := []string{
		"id.capabilities", "ns.own", "net.interfaces", "net.tcp.public", "net.tcp.metadata", "net.tcp.private", "net.tcp6",
		"net.dns.servers", "state.directory", "env.names", "env.values", "fs.root", "fs.mounts", "fs.host", "fs.devices",
		"call.userns", "call.mount", "call.ptrace", "call.keyring", "call.bpf", "call.io_uring", "call.perf", "call.terminal",
	}
	if os.Getuid() == 0 {
		want = append(want, "id.user", "proc.kernel", "fs.writable")
	}
	for _, name := range want {
		r, ran := got[name]
		if !ran {
			t.Errorf("%s did not run", name)
		} else if r.OK && !confined(name) {
			t.Errorf("%s is OK on a host (got %q)", name, r.Got)
		}
	}
}

// confined tells whether the machine of the test is itself a container in which
// a row may rightly pass.
func confined(name string) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	s, _ := statusField(string(status), "Seccomp")
	bnd, _ := statusField(string(status), "CapBnd")
	return strings.HasPrefix(name, "call.") && s == "2" || name == "id.capabilities" && strings.Trim(bnd, "0") == ""
}

func TestNothingKnownIsNotClean(t *testing.T) {
	got := outcomes(t, Run(Config{}))
	for _, name := range []string{"ns.own", "proc.controller", "state.directory"} {
		if got[name].OK {
			t.Errorf("%s is OK though the controller said nothing", name)
		}
	}
}

func TestNoPacketWhereARouteExists(t *testing.T) {
	p := &prober{}
	if got := p.reach(false, "192.0.2.1:443"); !strings.HasPrefix(got, "not tried") {
		t.Errorf("reach tried an address on a network that may be the host's: %q", got)
	}
	if got := reach6(false); !strings.HasPrefix(got, "not tried") {
		t.Errorf("reach6 tried an address on a network that may be the host's: %q", got)
	}
}

func TestResultsHoldNoSecret(t *testing.T) {
	t.Setenv("PROBE_SECRET", "sesame-4711")
	for _, r := range Run(Config{Forbidden: []string{"sesame-4711"}, Env: []string{"A=sesame-4711"}}) {
		if strings.Contains(r.Got+r.Wanted, "sesame-4711") {
			t.Errorf("%s holds the forbidden value: %q", r.Name, r.Got)
		}
	}
}

// No process may appear, no descriptor may stay open.
func TestLeavesNothingBehind(t *testing.T) {
	before, _, err := readDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	Run(Config{})
	after, _, err := readDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(after) > len(before) {
		t.Errorf("descriptors before %v, after %v", before, after)
	}
	children, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	if err == nil && len(children) > 0 {
		t.Errorf("children were left: %s", children)
	}
}

func TestEnvironment(t *testing.T) {
	p := &prober{Config: Config{AllowedEnv: []string{"PATH", "HOME"}, Forbidden: []string{"s3cret", "honey"}, Canaries: []string{"honey"}}, proc: t.TempDir()}
	for _, c := range []struct {
		env           []string
		names, values bool
	}{
		{[]string{"PATH=/bin", "HOME=/home"}, true, true},
		{nil, true, true},
		{[]string{"PATH=/bin:honey"}, true, true},
		{[]string{"PATH=/bin", "TOKEN="}, false, true},
		{[]string{"PATH=xs3cretx"}, true, false},
		{[]string{"s3cret=1"}, false, false},
		{[]string{"path=/bin"}, false, true},
	} {
		if got := p.namesAgainst(c.env); (got == "") != c.names {
			t.Errorf("names of %q: %q", c.env, got)
		}
		if got := p.valuesAgainst(c.env); (got == "") != c.values {
			t.Errorf("values of %q: %q", c.env, got)
		}
	}
}

func TestForbiddenInACommandLine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "7", "cmdline"), []byte("npm\x00--token\x00s3cret\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &prober{Config: Config{Forbidden: []string{"s3cret"}}, proc: dir}
	if got := p.valuesAgainst(nil); !strings.Contains(got, "process 7") {
		t.Errorf("got %q", got)
	}
}

const header = "Inter-|   Receive\n face |bytes\n"

func TestTables(t *testing.T) {
	const routes = "Iface\tDestination\tGateway\n"
	const units = "Num       RefCount Protocol Flags    Type St Inode Path\n"
	for _, c := range []struct {
		what, got string
		ok        bool
	}{
		{"lo alone", interfaceBesideLo(header + "    lo:    0    0\n"), true},
		{"no interface", interfaceBesideLo(header), true},
		{"eth0", interfaceBesideLo(header + "    lo: 0\n  eth0: 0\n"), false},
		{"lo in the name", interfaceBesideLo(header + "    lo0: 0\n"), false},
		{"empty list", interfaceBesideLo(""), false},
		{"garbage", interfaceBesideLo(header + "no colon\n"), false},
		{"no route", routeBesideLo(routes, "00000000 00 00000000 00 0000 ffffffff 1 0 00200200       lo\n"), true},
		{"no IPv6", routeBesideLo(routes, ""), true},
		{"default route", routeBesideLo(routes+"eth0\t00000000\t010200C0\n", ""), false},
		{"IPv6 route", routeBesideLo(routes, "20010db8 40 00000000 00 0000 100 1 0 1 eth0\n"), false},
		{"no table yet", routeBesideLo("", ""), true},
		{"no table yet, but an IPv6 route", routeBesideLo("", "20010db8 40 00000000 00 0000 100 1 0 1 eth0\n"), false},
		{"no heading", routeBesideLo("eth0\t00000000\n", ""), false},
		{"unnamed sockets", namedUnix(units + "0: 00000002 00000000 00000000 0001 01 5\n"), true},
		{"abstract socket", namedUnix(units + "0: 00000002 00000000 00000000 0001 01 5 @/tmp/.X11-unix/X0\n"), false},
		{"socket on disk", namedUnix(units + "0: 00000002 00000000 00000000 0001 01 5 /run/a\n"), false},
		{"empty unix list", namedUnix(""), false},
		{"no resolv.conf", resolvAgainst("", unix.ENOENT), true},
		{"empty resolv.conf", resolvAgainst("# nameserver 1.2.3.4\n", nil), true},
		{"a name server", resolvAgainst("search x\nnameserver\t10.0.0.2\n", nil), false},
		{"resolv.conf closed", resolvAgainst("", unix.EACCES), false},
		{"no capability", capabilitiesAgainst("CapInh:\t0\nCapPrm:\t0000000000000000\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\n"), true},
		{"bounding set", capabilitiesAgainst("CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t1ff\nCapAmb:\t0\n"), false},
		{"no bounding set", capabilitiesAgainst("CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\n"), false},
		{"filter", fieldAgainst("Seccomp:\t2\nSeccomp_filters:\t1\n", "Seccomp", "2"), true},
		{"no filter", fieldAgainst("Seccomp:\t0\nSeccomp_filters:\t2\n", "Seccomp", "2"), false},
		{"filter not said", fieldAgainst("NoNewPrivs:\t1\n", "Seccomp", "2"), false},
	} {
		if (c.got == "") != c.ok {
			t.Errorf("%s: got %q", c.what, c.got)
		}
	}
}

func TestSocketsInUse(t *testing.T) {
	const none = "sockets: used 3\nTCP: inuse 0 orphan 0 tw 0 alloc 9 mem 0\nUDP: inuse 0 mem 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
	for _, c := range []struct {
		what, v4, v6 string
		tcp          int
		ok           bool
	}{
		{"none", none, "", 0, true},
		{"none, IPv6", none, "TCP6: inuse 0\nUDP6: inuse 0\n", 0, true},
		{"one listener", strings.Replace(none, "TCP: inuse 0", "TCP: inuse 1", 1), "", 1, true},
		{"TCP6", none, "TCP6: inuse 1\n", 0, false},
		{"UDP", strings.Replace(none, "UDP: inuse 0", "UDP: inuse 1", 1), "", 0, false},
		{"RAW", strings.Replace(none, "RAW: inuse 0", "RAW: inuse 1", 1), "", 0, false},
		{"nothing said", "", "", 0, false},
		{"no number", "TCP: inuse x\n", "", 0, false},
		{"below zero", "TCP: inuse -1\n", "", 0, false},
	} {
		tcp, against := socketsInUse(c.v4, c.v6)
		if tcp != c.tcp || (against == "") != c.ok {
			t.Errorf("%s: got %d, %q", c.what, tcp, against)
		}
	}
}

func TestListenerOnAnotherPort(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "self", "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	stat := []byte("TCP: inuse 1 orphan 0\nUDP: inuse 0\n")
	if err := os.WriteFile(filepath.Join(dir, "self", "net", "sockstat"), stat, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	p := &prober{Config: Config{AllowedListen: []int{port}}, proc: dir}
	if got := p.listenersAgainst(); got != "" {
		t.Errorf("the gateway's socket: got %q", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if p.listenersAgainst() == "" {
		t.Error("the socket is on another port and the check is OK")
	}
	p.AllowedListen = nil
	if p.listenersAgainst() == "" {
		t.Error("no socket is allowed, one is there, and the check is OK")
	}
}

const zoneMounts = `1 0 0:50 / / ro,nosuid,nodev,relatime - tmpfs sallyport ro
2 1 8:1 /usr /usr ro,nosuid,nodev,relatime - ext4 /dev/sda1 rw
3 1 0:51 / /proc rw,nosuid,nodev,noexec - proc proc rw
4 1 0:52 / /dev ro,nosuid,noexec - tmpfs tmpfs rw
5 4 0:6 /null /dev/null rw,nosuid - devtmpfs devtmpfs rw
6 4 0:53 / /dev/pts rw,nosuid,noexec - devpts devpts rw
7 1 0:54 / /box rw,nosuid,nodev - overlay overlay rw,lowerdir=/a
8 1 0:55 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw
9 3 0:56 / /proc/keys ro,nosuid,nodev - tmpfs tmpfs rw
`

func TestMounts(t *testing.T) {
	p := &prober{Config: Config{Writable: []string{"/cache"}}}
	for _, c := range []struct {
		what, line, point string
	}{
		{"a zone's table", "", ""},
		{"own writable mount", "9 1 0:60 / /cache rw,nosuid,nodev - ext4 x rw\n", ""},
		{"below a writable one", "9 1 0:60 / /box/a\\040b rw,nosuid,nodev - ext4 x rw\n", ""},
		{"writable elsewhere", "9 1 0:60 / /opt rw,nosuid,nodev - ext4 x rw\n", "/opt"},
		{"only the name begins alike", "9 1 0:60 / /boxes rw,nosuid,nodev - ext4 x rw\n", "/boxes"},
		{"set-user-id counts", "9 1 0:60 / /opt ro,nodev - ext4 x rw\n", "/opt"},
		{"devices count", "9 1 0:60 / /tmp/x rw,nosuid - ext4 x rw\n", "/tmp/x"},
		{"sysfs", "9 1 0:60 / /sys ro,nosuid,nodev - sysfs x ro\n", "/sys"},
		{"cgroup", "9 1 0:60 / /sys/fs/cgroup ro,nosuid,nodev - cgroup2 x ro\n", "/sys/fs/cgroup"},
		{"a second proc", "9 1 0:60 / /tmp/proc ro,nosuid,nodev - proc x ro\n", "/tmp/proc"},
		{"the host's /dev", "9 1 0:6 / /dev ro,nosuid - devtmpfs x ro\n", "/dev"},
		{"kvm", "9 1 0:6 /kvm /dev/kvm rw,nosuid - devtmpfs x ro\n", "/dev/kvm"},
		{"unreadable line", "nonsense\n", "cannot tell"},
	} {
		got := p.mountsAgainst(parseMounts(zoneMounts + c.line))
		if c.point == "" && got != "" || c.point != "" && !strings.Contains(got, c.point) {
			t.Errorf("%s: got %q", c.what, got)
		}
	}
}

func TestRoot(t *testing.T) {
	for _, c := range []struct {
		table string
		ok    bool
	}{
		{zoneMounts, true},
		{zoneMounts + "9 1 8:1 / / ro - ext4 /dev/sda1 rw\n", false},
		{"1 0 0:50 / / rw - tmpfs sallyport rw\n", false},
		{"1 0 0:50 / / ro - overlay overlay rw\n", false},
		{"1 0 0:50 / /usr ro - tmpfs sallyport ro\n", false},
		{"", false},
		{"x", false},
	} {
		if got := (&prober{}).rootAgainst(parseMounts(c.table)); (got == "") != c.ok {
			t.Errorf("%q: got %q", c.table, got)
		}
	}
}

func TestDevices(t *testing.T) {
	for _, c := range []struct {
		name               string
		mode, major, minor uint32
		ok                 bool
	}{
		{"null", unix.S_IFCHR, 1, 3, true},
		{"null", unix.S_IFCHR, 1, 1, false}, // /dev/mem under another name
		{"null", unix.S_IFREG, 0, 0, false},
		{"kvm", unix.S_IFCHR, 10, 232, false},
		{"sda", unix.S_IFBLK, 1, 3, false},
		{"pts", unix.S_IFDIR, 0, 0, true},
		{"fd", unix.S_IFLNK, 0, 0, true},
		{"ptmx", unix.S_IFLNK, 0, 0, true},
		{"core", unix.S_IFLNK, 0, 0, false},
		{"log", unix.S_IFSOCK, 0, 0, false},
	} {
		if got := deviceAllowed(c.name, c.mode, c.major, c.minor); got != c.ok {
			t.Errorf("%s %o %d:%d: got %v", c.name, c.mode, c.major, c.minor, got)
		}
	}
}

func TestControllerIsSeen(t *testing.T) {
	// A parent's parent lives outside every exception that the check makes.
	status, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	v, _ := statusField(string(status), "PPid")
	pid, err := strconv.Atoi(v)
	if err != nil || pid <= 1 {
		t.Skip("not run: needs a process above the test's parent")
	}
	p := &prober{Config: Config{HostPIDs: []int{pid}}, proc: "/proc"}
	if p.controllerAgainst() == "" {
		t.Error("a process of the host is visible and the check is OK")
	}
}

func TestInitIsOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := &prober{proc: dir}
	if got := p.initAgainst(); got != "" {
		t.Errorf("nothing to see: got %q", got)
	}
	for _, file := range []string{"mem", "environ"} {
		if err := os.WriteFile(filepath.Join(dir, "1", file), []byte("A=1\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.initAgainst(); !strings.HasPrefix(got, file) {
			t.Errorf("%s is open: got %q", file, got)
		}
	}
	p = &prober{proc: t.TempDir()}
	if err := os.Symlink("1", filepath.Join(p.proc, "1")); err != nil {
		t.Fatal(err)
	}
	if p.initAgainst() == "" {
		t.Error("an answer that is no refusal is OK")
	}
}

func TestInheritedDescriptor(t *testing.T) {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := &prober{proc: "/proc"}
	if p.descriptorAgainst(fd) == "" {
		t.Error("a directory of the host would be inherited and the check is OK")
	}
	p.FDs = []int{fd}
	if got := p.descriptorAgainst(fd); got != "" {
		t.Errorf("a descriptor that is meant to be inherited: %q", got)
	}
}

func TestOrderIsFixed(t *testing.T) {
	names := func() (n []string) {
		for _, r := range Run(Config{}) {
			n = append(n, r.Name)
		}
		return n
	}
	if a, b := names(), names(); !slices.Equal(a, b) {
		t.Errorf("two orders:\n%v\n%v", a, b)
	}
}

func FuzzTables(f *testing.F) {
	f.Add(zoneMounts)
	f.Add(header + "    lo: 0\n")
	f.Add("Iface\n\tx\n")
	f.Add("1 0 0:1 / /a\\0 ro - tmpfs\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := &prober{}
		p.mountsAgainst(parseMounts(text))
		(&prober{}).rootAgainst(parseMounts(text))
		interfaceBesideLo(text)
		routeBesideLo(text, text)
		socketsInUse(text, text)
		namedUnix(text)
		capabilitiesAgainst(text)
	})
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		Run(Config{Forbidden: []string{"x"}})
	}
}

// A kernel is one's own only when it shows another release than the host's; one
// that cannot be compared is not.
func TestKernel(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	here := unix.ByteSliceToString(u.Release[:])
	for release, want := range map[string]bool{here: false, "": false, here + "-other": true} {
		p := &prober{Config: Config{OwnKernel: true, HostRelease: release}}
		p.kernel()
		if len(p.results) != 1 || p.results[0].OK != want {
			t.Errorf("beside %q: %+v", release, p.results)
		}
	}
}

// What is let pass of a kernel of one's own is not let pass of the host's, and
// a root that can be written is never let pass.
func TestOwnKernelAlone(t *testing.T) {
	const root = "1 0 0:1 / / ro - 9p none ro\n"
	for _, c := range []struct {
		own   bool
		table string
		ok    bool
	}{
		{true, root, true},
		{false, root, false},
		{true, strings.ReplaceAll(root, "ro", "rw"), false},
		{true, "1 0 0:1 / / ro - ext4 none ro\n", false},
	} {
		p := &prober{Config: Config{OwnKernel: c.own}}
		if got := p.rootAgainst(parseMounts(c.table)); (got == "") != c.ok {
			t.Errorf("own kernel %v, %s: %q", c.own, c.table, got)
		}
	}
	for _, table := range []string{"1 0 0:1 / /sys rw - sysfs none rw\n", "1 0 0:1 / /opt rw - 9p none rw\n"} {
		p := &prober{Config: Config{OwnKernel: true}}
		if p.mountsAgainst(parseMounts(table)) == "" {
			t.Errorf("%s is let pass", table)
		}
	}
}

// Around a container the network is told from the zone's own tables: of the
// host's, or of one with a socket too many, it is not clean.
func TestAroundAContainer(t *testing.T) {
	p := emptyNetwork(t, true)
	look := func() string {
		return against(p, func() {
			p.around = true
			p.found("zone.net.interfaces", "lo alone", p.interfacesAgainst())
			p.found("zone.net.listeners", "only the gateway's", p.listenersAgainst())
		})
	}
	if got := look(); got != "" {
		t.Errorf("an empty network: %s", got)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := look(); !strings.Contains(got, "zone.net.listeners") {
		t.Errorf("a socket that nobody asked for: %q", got)
	}
	p.AllowedListen = []int{l.Addr().(*net.TCPAddr).Port}
	if got := look(); got != "" {
		t.Errorf("the gateway's socket: %s", got)
	}
}

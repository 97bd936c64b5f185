package namespaces

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestZoneDenialsAreNamed(t *testing.T) {
	s := newSandbox(t, nil)
	spec := script(`/usr/bin/python3 - <<'X'
import socket
for kind, to in ((socket.SOCK_STREAM, ("192.0.2.1", 443)), (socket.SOCK_STREAM, ("192.0.2.1", 443)), (socket.SOCK_DGRAM, ("198.51.100.7", 9)),
                 (socket.SOCK_STREAM, ("127.0.0.1", 9)), (socket.SOCK_DGRAM, ("127.0.0.1", 53))):
    try: socket.socket(socket.AF_INET, kind).connect(to)
    except OSError: pass
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
try: s.connect(("2001:db8::1", 80))
except OSError: pass
X
true`)
	_, r := run(t, s, spec)
	var got []string
	for _, b := range r.Blocked {
		got = append(got, b.What+" "+b.Target)
		if !strings.HasPrefix(b.Process, "sh -c ") || !strings.Contains(b.Process, " > /usr/bin/python3 -") {
			t.Errorf("process %q", b.Process)
		}
	}
	if want := []string{"connect 192.0.2.1:443", "connect 198.51.100.7:9", "lookup a name server", "connect [2001:db8::1]:80"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if r.Blocked[0].Count != 2 {
		t.Errorf("tried twice, counted %d", r.Blocked[0].Count)
	}
}

// What goes to a socket of the zone's own is none of it.
func TestZoneServedConnectionsAreNotDenials(t *testing.T) {
	s := newSandbox(t, nil)
	spec := script(`/usr/bin/python3 -c 'import socket; print(socket.create_connection(("127.0.0.1", 9153)).recv(9))'`)
	spec.Listen = []int{9153}
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := p.Listeners()[0].Accept(); err == nil {
			_, _ = c.Write([]byte("served"))
			_ = c.Close()
		}
	}()
	r, err := p.Wait()
	if err != nil || r.ExitCode != 0 || len(r.Blocked) > 0 {
		t.Errorf("%+v %v", r, err)
	}
	_ = p.Listeners()[0].Close()
}

func sockaddr(family uint16, rest ...byte) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, family), rest...)
}

func TestAddress(t *testing.T) {
	v6 := slices.Concat([]byte{0, 80, 0, 0, 0, 0}, make([]byte, 10), []byte{0xff, 0xff, 192, 0, 2, 1}, []byte{0, 0, 0, 0})
	for _, c := range []struct {
		raw  []byte
		want string
	}{
		{sockaddr(unix.AF_INET, 1, 187, 192, 0, 2, 1, 0, 0), "192.0.2.1:443"},
		{sockaddr(unix.AF_INET6, v6...), "192.0.2.1:80"},
		{sockaddr(unix.AF_INET6, v6[:20]...), ""},
		{sockaddr(unix.AF_INET, 1, 187, 192), ""},
		{sockaddr(unix.AF_UNIX, '/', 'x'), ""},
		{[]byte{2}, ""},
		{nil, ""},
	} {
		got, ok := address(c.raw)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%v: %v %v, want %q", c.raw, got, ok, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for given, want := range map[string]string{
		"npm\x00ci\x00":             "npm ci",
		"sh\x00-c\x00\x1b[31mred\n": "sh -c ?[31mred?",
		"\xff\xfe":                  "??",
		"\u202eabc":                 "?abc",
		strings.Repeat("x", 1000):   strings.Repeat("x", maxCommand) + "...",
	} {
		if got := printable([]byte(given)); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestParent(t *testing.T) {
	for stat, want := range map[string]int{
		"12 (sh) S 7 12 12": 7, "12 (a) S 9 (b) R 4 1": 4, "": 0, "12 (sh)": 0, "12 (sh) S x": 0,
	} {
		if got := parent([]byte(stat)); got != want {
			t.Errorf("%q: %d, want %d", stat, got, want)
		}
	}
}

// Attempts without end take no memory without end.
func TestBlockedIsBounded(t *testing.T) {
	var w watcher
	for i := range 10 * maxBlocked {
		w.note(sandbox.Blocked{What: "connect", Target: strings.Repeat("x", i%1000), Process: "p", Count: 1})
	}
	if n := len(w.blocked()); n != maxBlocked {
		t.Errorf("%d are kept", n)
	}
}

// FuzzAddress reads what a hostile process passes to connect.
func FuzzAddress(f *testing.F) {
	f.Add(sockaddr(unix.AF_INET, 1, 187, 192, 0, 2, 1, 0, 0))
	f.Add(sockaddr(unix.AF_INET6, make([]byte, 26)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if to, ok := address(raw); ok && (!to.IsValid() || len(raw) < 8) {
			t.Errorf("%v from %v", to, raw)
		}
		for _, r := range printable(raw) {
			if r < ' ' {
				t.Errorf("control character %#x", r)
			}
		}
		parent(raw)
	})
}

// Whose code it was is what package managers tell their scripts, made harmless.
func TestOwner(t *testing.T) {
	env := func(all ...string) []byte { return []byte(strings.Join(all, "\x00") + "\x00") }
	for want, b := range map[string][]byte{
		"npm:sharp@0.34.1 install script":  env("HOME=/x", "npm_package_name=sharp", "npm_package_version=0.34.1", "npm_lifecycle_event=install"),
		"cargo:evil@0.1.0 build script":    env("CARGO_PKG_NAME=evil", "CARGO_PKG_VERSION=0.1.0", "OUT_DIR=/box/out"),
		"go generate of a.go in package x": env("GOFILE=a.go", "GOPACKAGE=x"),
		"":                                 env("npm_package_name=sharp", "A", "=", "CARGO_PKG_NAME=evil"),
		"npm:?[31mx@ a script":             env("npm_package_name=\x1b[31mx", "npm_lifecycle_event=a"),
	} {
		if got := owner(b); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if got := owner(env("npm_package_name="+strings.Repeat("x", 5000), "npm_lifecycle_event=a")); len(got) > 100 {
		t.Errorf("%d characters", len(got))
	}
}

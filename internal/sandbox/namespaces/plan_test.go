package namespaces

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestProgram(t *testing.T) {
	built := fstest.MapFS{"init/zoneinit": {Data: []byte("built")}}
	if code, err := program(nil, built); string(code) != "built" || err != nil {
		t.Errorf("got %q, %v", code, err)
	}
	if code, err := program([]byte("given"), built); string(code) != "given" || err != nil {
		t.Errorf("got %q, %v", code, err)
	}
	if _, err := program(nil, fstest.MapFS{}); !errors.Is(err, ErrNoInit) {
		t.Errorf("a binary that was built without: %v", err)
	}
}

// A Spec that makes no sense is refused before anything is made, and says why.
func TestSpecsThatAreRefused(t *testing.T) {
	s := newSandbox(t, nil)
	dir := owned(t, s, "upper/work", "a", "b,c", "work")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	small, large := filepath.Join(dir, "small"), filepath.Join(dir, "large")
	write(t, s, small, "")
	write(t, s, large, strings.Repeat("x", sandbox.MaxCopy+1))
	change := func(f func(*sandbox.Spec)) sandbox.Spec {
		spec := script("exit 0")
		f(&spec)
		return spec
	}
	for why, spec := range map[string]sandbox.Spec{
		"no command":          change(func(p *sandbox.Spec) { p.Args = nil }),
		"NUL byte":            change(func(p *sandbox.Spec) { p.Env = []string{"A=\x00"} }),
		"not absolute":        change(func(p *sandbox.Spec) { p.Dir = "src" }),
		"port 70000":          change(func(p *sandbox.Spec) { p.Listen = []int{70000} }),
		"cannot listen":       change(func(p *sandbox.Spec) { p.Listen, p.NoLoopback = []int{80}, true }),
		"user -1":             change(func(p *sandbox.Spec) { p.UID = -1 }),
		"hostname of":         change(func(p *sandbox.Spec) { p.Hostname = strings.Repeat("h", 65) }),
		"no isolation level":  change(func(p *sandbox.Spec) { p.Require = "high" }),
		"layer":               change(func(p *sandbox.Spec) { p.Overlay.Lower = []string{dir + "/none"} }),
		"not below /box":      change(func(p *sandbox.Spec) { p.Masks = []string{"/etc/hosts"} }),
		`mask "/box/../etc"`:  change(func(p *sandbox.Spec) { p.Masks = []string{"/box/../etc"} }),
		"the zone's own":      change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Inside: "/proc/sys"}} }),
		"clean absolute":      change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Inside: "/a/../etc"}} }),
		"mount /:":            change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Inside: "/"}} }),
		"neither a directory": change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Host: "/dev/null", Inside: "/a"}} }),
		"is no file":          change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Host: dir, Inside: "/a", Copy: true}} }),
		"that can be written": change(func(p *sandbox.Spec) {
			p.Mounts = []sandbox.Mount{{Host: small, Inside: "/a", Copy: true, Writable: true}}
		}),
		"a copy has at most": change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Host: large, Inside: "/a", Copy: true}} }),
		"neither may hold":   change(func(p *sandbox.Spec) { p.Overlay.Upper, p.Overlay.Work = dir+"/upper", dir+"/upper/work" }),
		"layers and mounts":  change(func(p *sandbox.Spec) { p.Mounts = make([]sandbox.Mount, 300) }),
		"no such file":       change(func(p *sandbox.Spec) { p.Mounts = []sandbox.Mount{{Host: dir + "/none", Inside: "/a"}} }),
		"invalid argument": change(func(p *sandbox.Spec) {
			p.Overlay.Upper, p.Overlay.Work = dir+"/b,c", dir+"/work"
			p.Overlay.Lower = []string{dir + "/a"}
		}),
		`directory: "up" is not`: change(func(p *sandbox.Spec) { p.Overlay.Upper = "up" }),
	} {
		p, err := s.Start(t.Context(), spec)
		if err == nil {
			p.Kill()
			_, _ = p.Wait()
			t.Errorf("%s: it started", why)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestUpperOfAnotherUser(t *testing.T) {
	s := newSandbox(t, nil)
	spec := script("exit 0")
	dir := owned(t, s, "upper", "work")
	spec.Overlay.Upper, spec.Overlay.Work = dir+"/upper", dir+"/work"
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root")
	}
	if err := os.Chown(dir+"/upper", 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("got %v", err)
	}
}

// No limit is ever "none".
func TestDefaults(t *testing.T) {
	for _, given := range []sandbox.Limits{{}, {Memory: -1, PIDs: -1, CPUs: -1, Disk: -1, FileSize: -1, OpenFiles: -1, Time: -1, Output: -1}} {
		v := reflect.ValueOf(withDefaults(given))
		for i := range v.NumField() {
			if f := v.Field(i); f.CanInt() && f.Int() <= 0 || f.CanFloat() && f.Float() <= 0 {
				t.Errorf("%s is %v", v.Type().Field(i).Name, f)
			}
		}
	}
	own := sandbox.Limits{Memory: 1, PIDs: 2, CPUs: 0.5, Disk: 3, FileSize: 4, OpenFiles: 5, Time: time.Second, Output: 6}
	if got := withDefaults(own); got != own {
		t.Errorf("%+v became %+v", own, got)
	}
}

func TestLevels(t *testing.T) {
	lack := sandbox.Lack{Primitive: "landlock"}
	full := sandbox.Level{Name: sandbox.LevelFull}
	reduced := lowered(full, lack)
	none := sandbox.Level{Name: sandbox.LevelNone, Missing: []sandbox.Lack{{Primitive: "userns"}}}
	for _, c := range []struct {
		require string
		level   sandbox.Level
		ok      bool
	}{
		{"", full, true}, {"", reduced, false}, {"", none, false},
		{sandbox.LevelFull, full, true}, {sandbox.LevelFull, reduced, false},
		{sandbox.LevelReduced, full, true}, {sandbox.LevelReduced, reduced, true}, {sandbox.LevelReduced, none, false},
		{sandbox.LevelNone, full, false}, {sandbox.LevelNone, none, false}, {"Full", full, false}, {"", sandbox.Level{}, false},
	} {
		if err := enough(c.require, c.level); (err == nil) != c.ok {
			t.Errorf("%q against %q: %v", c.require, c.level.Name, err)
		}
	}
	if again := lowered(reduced, lack); len(again.Missing) != 1 || len(full.Missing) != 0 {
		t.Errorf("missing is %v, and of the full level %v", again.Missing, full.Missing)
	}
	if got := lowered(none, lack); got.Name != sandbox.LevelNone {
		t.Errorf("nothing became %s", got.Name)
	}
}

func TestCommonDir(t *testing.T) {
	for _, c := range [][3]string{
		{"/a/b/upper", "/a/b/work", "/a/b"}, {"/a/b/c/d", "/a/e", "/a"}, {"/a", "/b", "/"}, {"/ab/x", "/a/x", "/"}, {"/a/b", "/a/b/c", "/a/b"},
	} {
		if got := commonDir(c[0], c[1]); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestIDMaps(t *testing.T) {
	for table, want := range map[string]bool{
		"         0          0 4294967295\n": true, "0 0 1\n": false, "0 100000 65536\n": true, "0 1000 1\n1 100000 65535\n": true,
		"": false, "x y z\n": false, "64913 5 1\n": true, "64914 5 10\n": false,
	} {
		if got := maps([]byte(table), hostID); got != want {
			t.Errorf("%q: %v", table, got)
		}
	}
}

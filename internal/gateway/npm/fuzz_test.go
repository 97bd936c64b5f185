package npm

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/intake"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/pipeline"
)

func testConfig(t testing.TB) Config {
	t.Helper()
	builtin, err := upstream.NewSite("https://registry.example/")
	if err != nil {
		t.Fatal(err)
	}
	mirror, err := upstream.NewSite("https://mirror.example/npm")
	if err != nil {
		t.Fatal(err)
	}
	private, err := upstream.NewSite("https://private.example")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Registry: mirror, Default: builtin, Scopes: map[string]upstream.Site{"@acme": private}}
}

// FuzzLockfile plans arbitrary lockfiles. Whatever stands in one, every member
// comes from a configured registry, under a path of its own, with a promise.
func FuzzLockfile(f *testing.F) {
	seeds, err := filepath.Glob("../../../spec/vectors/gateway/npm/*/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no vectors: %v", err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	conf := testConfig(f)
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{}"), 0o600); err != nil {
		f.Fatal(err)
	}
	tree, err := intake.Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, "package-lock.json"), b, 0o600); err != nil {
			t.Skip(err)
		}
		p := NewPlan()
		if err := p.Read(tree, pipeline.NpmSource{Dir: ".", Lockfile: "package-lock.json"}, evidence.PinLockfile, conf); err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		for _, m := range p.Packages() {
			u, err := m.Site.URL(m.Path)
			if err != nil {
				t.Fatalf("%s: %v", m.id(), err)
			}
			if want := conf.For(m.Name).Host(); u.Host != want || u.Scheme != "https" || u.User != nil {
				t.Errorf("%s comes from %s", m.id(), u)
			}
			if m.Integrity.IsZero() || !validName(m.Name) || !validVersion(m.Version) || m.Line < 1 {
				t.Errorf("bad member %+v", m)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"left", "@acme/right", "left/-/left-1.0.0.tgz", "@acme/right/-/right-1.0.0.tgz", "left/1.0.0", "../x", "-/v1/search", "a/-/../b-1.0.0.tgz", "a%2fb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parsePath(s)
		if err != nil {
			return
		}
		if !validName(q.name) || (q.version != "" && !validVersion(q.version)) || strings.Contains(q.name, "..") && strings.HasPrefix(base(q.name), ".") {
			t.Errorf("%q became %+v", s, q)
		}
		if q.tarball && usualPath(q.name, q.version) != s {
			t.Errorf("%q is not the path of %+v", s, q)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(upstreamtest.Tarball(f, "package/", map[string]string{"a": "1", "b/c": "2"}))
	f.Add(upstreamtest.Tarball(f, "../../", map[string]string{"a": "1"}))
	f.Add(upstreamtest.Tarball(f, "/etc/", map[string]string{"a": "1"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			t.Skip("large")
		}
		parent := t.TempDir()
		_ = unpack(bytes.NewReader(b), filepath.Join(parent, "dst")) // its error is one of many
		list, err := os.ReadDir(parent)
		if err != nil || len(list) > 1 {
			t.Errorf("beside the destination: %v %v", list, err)
		}
		err = filepath.WalkDir(parent, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%s is %s", path, d.Type())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func FuzzIntegrity(f *testing.F) {
	f.Add("sha512-" + strings.Repeat("A", 86) + "==")
	f.Add("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	f.Add("md5-abc")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseIntegrity(s)
		if err != nil {
			return
		}
		again, err := ParseIntegrity(i.String())
		if err != nil || again != i {
			t.Errorf("%q: %v %v", s, i, err)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"name":"x","versions":{"1.0.0":{"dist":{}}},"time":{"1.0.0":"2020-01-01T00:00:00Z"},"dist-tags":{"latest":"1.0.0"}}`))
	f.Add([]byte(`{"versions":{"a":[[[]]]},"x":{"y":[1,{}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := readDocument(bytes.NewReader(b), parts{each: func(_ string, raw json.RawMessage) error {
			n++
			if !json.Valid(raw) {
				t.Errorf("%q is no JSON", raw)
			}
			return nil
		}})
		if err == nil && n > len(b) {
			t.Errorf("%d versions in %d bytes", n, len(b))
		}
	})
}

func FuzzRC(f *testing.F) {
	f.Add("registry=https://registry.example/\n//registry.example/:_authToken=${TOKEN}\n@a:registry = \"https://b.example\"\n")
	f.Add("${${}}=${A-b}\n;x\n[y]\n=")
	f.Fuzz(func(t *testing.T, s string) {
		set := settings{"registry": "https://registry.example/"}
		set.parse(s, func(string) string { return "value" })
		c, err := set.config("https://registry.example/")
		if err == nil && (c.Registry.IsZero() || strings.Contains(c.Registry.String(), "@")) {
			t.Errorf("%q: %v", s, c.Registry)
		}
	})
}

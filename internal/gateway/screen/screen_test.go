package screen

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

func feed(t *testing.T, records ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, r := range records {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), []byte(r), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	all      = `{"id":"MAL-2026-1","affected":[{"package":{"ecosystem":"npm","name":"evil"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`
	some     = `{"id":"MAL-2026-2","affected":[{"package":{"ecosystem":"npm","name":"half"},"versions":["1.2.3"],"ranges":[{"type":"SEMVER","events":[{"introduced":"2.0.0"},{"fixed":"2.1.0"},{"introduced":"3.0.0"},{"last_affected":"3.0.5"}]}]}]}`
	bare     = `{"id":"MAL-2026-3","affected":[{"package":{"ecosystem":"Go","name":"evil.example/x"}}]}`
	taken    = `{"id":"MAL-2026-4","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"cleared"}}]}`
	advisory = `{"id":"GHSA-1","affected":[{"package":{"ecosystem":"npm","name":"buggy"}}]}`
)

func TestMalware(t *testing.T) {
	f, err := Load(Options{Path: feed(t, all, some, bare, taken, advisory)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ecosystem, name, version string
		bad                      bool
	}{
		{Npm, "evil", "0.0.1", true}, {Npm, "evil", "9.9.9-rc.1", true}, {Go, "evil", "v1.0.0", false},
		{Npm, "half", "1.2.3", true}, {Npm, "half", "1.2.4", false}, {Npm, "half", "2.0.0", true}, {Npm, "half", "2.0.9", true}, {Npm, "half", "2.1.0", false},
		{Npm, "half", "3.0.5", true}, {Npm, "half", "3.0.6", false}, {Npm, "half", "not a version", true},
		{Go, "evil.example/x", "v1.2.3", true}, {Npm, "cleared", "1.0.0", false}, {Npm, "buggy", "1.0.0", false}, {Npm, "other", "1.0.0", false},
	} {
		if id, bad := f.Malware(c.ecosystem, c.name, c.version); bad != c.bad {
			t.Errorf("%s %s@%s: %v %s", c.ecosystem, c.name, c.version, bad, id)
		}
	}
	if err := f.Refusal(Npm, "evil", "1.0.0", "package-lock.json:3"); !errors.Is(err, fault.Malware) || !strings.Contains(err.Error(), "MAL-2026-1") {
		t.Errorf("%v", err)
	}
	if err := f.Refusal(Npm, "good", "1.0.0", ""); err != nil {
		t.Error(err)
	}
}

func TestArchive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "all.zip")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	w, err := z.Create("npm/MAL-2026-1.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(all)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := Load(Options{Path: name})
	if err != nil {
		t.Fatal(err)
	}
	if _, bad := f.Malware(Npm, "evil", "1.0.0"); !bad {
		t.Error("what the archive names is let in")
	}
}

// A feed that is not what was asked for lets nothing in.
func TestFeedFailsClosed(t *testing.T) {
	for name, o := range map[string]Options{
		"missing":    {Path: filepath.Join(t.TempDir(), "none")},
		"empty":      {Path: t.TempDir()},
		"no malware": {Path: feed(t, advisory)},
		"broken":     {Path: feed(t, all, `{"id": "MAL-`)},
		"huge":       {Path: feed(t, `{"id":"MAL-1","x":"`+strings.Repeat("x", maxRecord)+`"}`)},
		"old":        {Path: feed(t, all), MaxAge: time.Hour, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }},
		"no zip":     {Path: filepath.Join(feed(t, all), "0.json")},
	} {
		if f, err := Load(o); !errors.Is(err, fault.Feed) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, bad := f.Malware(Npm, "evil", "1.0.0"); bad {
		t.Error("no feed was asked for")
	}
}

func TestLookalike(t *testing.T) {
	for name, want := range map[string]string{
		"loadsh": "lodash", "lodas": "lodash", "expresss": "express", "ex-press": "express", "chalks": "chalk", "axois": "axios", "cross-nev": "cross-env",
		"lodash": "", "preact": "", "color": "", "colors": "", "tslint": "", "through": "", "cookies": "", "object.assign": "", "xml-js": "", "eventemitter2": "", "dtslint": "", "coffeescript": "", "jsdoc": "", "@me/loadsh": "", "left-pad": "", "glob": "", "ab": "", "": "",
	} {
		if got, _ := Lookalike(name); got != want {
			t.Errorf("%s looks like %q, not %q", name, got, want)
		}
	}
	if err := LookalikeRefusal("loadsh", "package.json:3", nil); !errors.Is(err, fault.Lookalike) {
		t.Error(err)
	}
	if err := LookalikeRefusal("loadsh", "package.json:3", []string{"loadsh"}); err != nil {
		t.Error(err)
	}
}

func TestInternal(t *testing.T) {
	own := []string{"@acme/*", "acme-*", "tool"}
	for name, want := range map[string]bool{"@acme/x": true, "acme-utils": true, "tool": true, "tools": false, "@other/x": false, "xacme-utils": false} {
		if Internal(own, name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	name := filepath.Join(b.TempDir(), "all.zip")
	out, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	z := zip.NewWriter(out)
	for i := range 72_000 {
		w, err := z.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(w, `{"id":"MAL-%d","affected":[{"package":{"ecosystem":"npm","name":"evil-%d"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`, i, i)
	}
	if err := errors.Join(z.Close(), out.Close()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Load(Options{Path: name}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzFeed(f *testing.F) {
	for _, s := range []string{all, some, bare, taken, advisory, "{", `{"id":"MAL-1","affected":[{"ranges":[{"events":[{"fixed":"1"}]}]}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		total := int64(0)
		one := &Feed{records: map[string][]record{}}
		if err := one.take("x", strings.NewReader(s), &total); err == nil {
			one.Malware(Npm, "evil", "1.0.0")
		}
	})
}

package golang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

func FuzzGoSum(f *testing.F) {
	seeds, err := filepath.Glob("../../../spec/vectors/gateway/go/*/*.sum")
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
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := parseGoSum("go.sum", b)
		if err != nil {
			return
		}
		for _, l := range lines {
			if module.Check(l.Path, l.Version.Version) != nil || checkH1(l.sum) != nil || l.line < 1 {
				t.Errorf("accepted %+v", l)
			}
			if _, err := remotePath(l.Version, KindZip); err != nil {
				t.Errorf("%v has no path: %v", l.Version, err)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"mod.example/x/@v/list", "mod.example/x/@latest", "mod.example/!upper/@v/v1.0.0.zip", "exfil.test/00ff/@v/list", "a/@v/../b.zip", "sumdb/x/tile/8/0/000", "a/@v/v1.0.0+incompatible.mod"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parsePath(s)
		if err != nil {
			return
		}
		if strings.Contains(q.Path, "..") && module.CheckPath(q.Path) != nil {
			t.Errorf("%q became %+v", s, q)
		}
		if q.what != "list" && q.what != "latest" && q.what != "info" && q.what != "mod" && q.what != "zip" {
			t.Errorf("%q asks for %q", s, q.what)
		}
	})
}

func FuzzPurl(f *testing.F) {
	for _, s := range []string{"pkg:golang/mod.example/x@v1.0.0", "pkg:golang/mod.example/X@v2.0.0%2Bincompatible", "pkg:golang/../x@v1.0.0", "pkg:golang/x@latest"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParsePurl(s)
		if err != nil {
			return
		}
		if again, err := ParsePurl(Purl(v.Path, v.Version)); err != nil || again != v {
			t.Errorf("%q: %v became %v (%v)", s, v, again, err)
		}
	})
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a.example login b password c\nmacdef x\n y\n\nmachine d login e password f default login g")
	f.Fuzz(func(t *testing.T, s string) {
		for m, l := range ParseNetrc(s).logins {
			if m == "" || l.name == "" || l.password == "" {
				t.Errorf("%q: half a login for %q", s, m)
			}
		}
	})
}

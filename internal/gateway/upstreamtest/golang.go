package upstreamtest

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// Module is one version of a module: its files, without the module's prefix.
type Module struct {
	Path, Version string
	Files         map[string]string
}

// GoProxy is a module proxy that passes a checksum database on.
type GoProxy struct {
	Server
	Key  string // verifier key, for GOSUMDB
	Name string // of the checksum database

	zips map[module.Version][]byte
	mods map[module.Version][]byte
	Time map[string]string // of .info, by path@version; else a fixed one
}

// NewGoProxy serves modules. The checksum database is called sum.example.
func NewGoProxy(t testing.TB, modules ...Module) *GoProxy {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "sum.example")
	if err != nil {
		t.Fatal(err)
	}
	p := &GoProxy{Key: vkey, Name: "sum.example", zips: map[module.Version][]byte{}, mods: map[module.Version][]byte{}, Time: map[string]string{}}
	for _, m := range modules {
		p.add(t, m)
	}
	db := sumdb.NewServer(sumdb.NewTestServer(skey, p.gosum))
	p.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"+p.Name); ok {
			if rest == "/supported" {
				return
			}
			r2 := r.Clone(r.Context())
			r2.URL.Path = rest
			db.ServeHTTP(w, r2)
			return
		}
		p.serve(w, r)
	}))
	return p
}

func (p *GoProxy) add(t testing.TB, m Module) {
	t.Helper()
	v := module.Version{Path: m.Path, Version: m.Version}
	mod := m.Files["go.mod"]
	if mod == "" {
		mod = "module " + m.Path + "\n"
	}
	p.mods[v] = []byte(mod)
	p.zips[v] = Zip(t, m.Path+"@"+m.Version+"/", m.Files)
}

// Zip packs files under a prefix, in order of their names.
func Zip(t testing.TB, prefix string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (p *GoProxy) serve(w http.ResponseWriter, r *http.Request) {
	escaped, file, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@v/")
	path, err := module.UnescapePath(escaped)
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	if file == "list" {
		for _, v := range slices.SortedFunc(maps.Keys(p.zips), func(a, b module.Version) int { return strings.Compare(a.Version, b.Version) }) {
			if v.Path == path {
				fmt.Fprintln(w, v.Version)
			}
		}
		return
	}
	ext := filepath.Ext(file)
	version, err := module.UnescapeVersion(strings.TrimSuffix(file, ext))
	v := module.Version{Path: path, Version: version}
	if err != nil || p.zips[v] == nil {
		http.NotFound(w, r)
		return
	}
	switch ext {
	case ".info":
		at := p.Time[v.String()]
		if at == "" {
			at = "2020-01-02T03:04:05Z"
		}
		fmt.Fprintf(w, `{"Version":%q,"Time":%q}`, version, at)
	case ".mod":
		_, _ = w.Write(p.mods[v])
	case ".zip":
		w.Header().Set("ETag", `"`+v.Version+`"`)
		http.ServeContent(w, r, "", fixed, bytes.NewReader(p.zips[v]))
	default:
		http.NotFound(w, r)
	}
}

func (p *GoProxy) gosum(path, version string) ([]byte, error) {
	v := module.Version{Path: path, Version: version}
	if p.zips[v] == nil {
		return nil, os.ErrNotExist
	}
	zip, mod := p.Sums(v)
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, mod), nil
}

// Sums gives a version's checksums, as go.sum has them.
func (p *GoProxy) Sums(v module.Version) (zip, mod string) {
	f, err := os.CreateTemp("", "upstreamtest-*.zip")
	if err != nil {
		panic(err) // a test without a temporary directory cannot go on
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(p.zips[v]); err != nil {
		panic(err)
	}
	if zip, err = dirhash.HashZip(f.Name(), dirhash.Hash1); err != nil {
		panic(err)
	}
	mod, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(p.mods[v])), nil
	})
	if err != nil {
		panic(err)
	}
	return zip, mod
}

// GoSum gives the go.sum lines of versions, written PATH@VERSION.
func (p *GoProxy) GoSum(versions ...string) string {
	var b strings.Builder
	for _, s := range versions {
		path, version, _ := strings.Cut(s, "@")
		zip, mod := p.Sums(module.Version{Path: path, Version: version})
		fmt.Fprintf(&b, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, mod)
	}
	return b.String()
}

// Zip replaces the zip that a version is served with. The database keeps the
// checksum of the first that it was asked about.
func (p *GoProxy) Replace(version string, zip []byte) {
	path, v, _ := strings.Cut(version, "@")
	p.Tamper(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/"+path+"/@v/"+v+".zip" {
			return false
		}
		_, _ = w.Write(zip)
		return true
	})
}

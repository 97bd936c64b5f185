package upstreamtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var fixed = time.Unix(1577934245, 0)

// Package is one version of a package. Extra goes into its package.json.
type Package struct {
	Name, Version string
	Files         map[string]string
	Extra         map[string]any
}

// Registry is an npm registry.
type Registry struct {
	Server
	tarballs map[string][]byte // by path
	versions map[string]map[string]map[string]any
	Time     map[string]string // publishing times, by name@version
	NoTags   bool              // leave dist-tags out, as some mirrors do
}

// NewRegistry serves packages.
func NewRegistry(t testing.TB, packages ...Package) *Registry {
	t.Helper()
	r := &Registry{tarballs: map[string][]byte{}, versions: map[string]map[string]map[string]any{}, Time: map[string]string{}}
	for _, p := range packages {
		r.add(t, p)
	}
	r.start(t, http.HandlerFunc(r.serve))
	return r
}

func (p Package) manifest() map[string]any {
	m := map[string]any{"name": p.Name, "version": p.Version}
	maps.Copy(m, p.Extra)
	return m
}

func (r *Registry) add(t testing.TB, p Package) {
	t.Helper()
	files := maps.Clone(p.Files)
	if files == nil {
		files = map[string]string{"index.js": "module.exports = " + fmt.Sprintf("%q", p.Name+"@"+p.Version) + "\n"}
	}
	b, err := json.Marshal(p.manifest())
	if err != nil {
		t.Fatal(err)
	}
	files["package.json"] = string(b)
	r.tarballs[TarballPath(p.Name, p.Version)] = Tarball(t, "package/", files)
	if r.versions[p.Name] == nil {
		r.versions[p.Name] = map[string]map[string]any{}
	}
	r.versions[p.Name][p.Version] = p.manifest()
}

// TarballPath is where a version's tarball is served.
func TarballPath(name, version string) string {
	return "/" + name + "/-/" + name[strings.LastIndexByte(name, '/')+1:] + "-" + version + ".tgz"
}

// Tarball packs files under a prefix.
func Tarball(t testing.TB, prefix string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: prefix + name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg, ModTime: fixed}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// SRI is the sha512 integrity value of b.
func SRI(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Integrity is the integrity value of a version.
func (r *Registry) Integrity(name, version string) string {
	return SRI(r.tarballs[TarballPath(name, version)])
}

// Bytes is a version's tarball.
func (r *Registry) Bytes(name, version string) []byte { return r.tarballs[TarballPath(name, version)] }

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	if b := r.tarballs[req.URL.Path]; b != nil {
		w.Header().Set("ETag", `"`+SRI(b)+`"`)
		http.ServeContent(w, req, "", fixed, bytes.NewReader(b))
		return
	}
	name := strings.TrimPrefix(req.URL.Path, "/")
	if r.versions[name] == nil {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.document(name, "http://"+req.Host))
}

func (r *Registry) document(name, host string) map[string]any {
	versions, times := map[string]any{}, map[string]string{}
	var last string
	for _, v := range slices.Sorted(maps.Keys(r.versions[name])) {
		doc := maps.Clone(r.versions[name][v])
		doc["dist"] = map[string]any{"tarball": host + TarballPath(name, v), "integrity": r.Integrity(name, v)}
		versions[v], last = doc, v
		if at := r.Time[name+"@"+v]; at != "" {
			times[v] = at
		}
	}
	doc := map[string]any{"name": name, "versions": versions}
	if !r.NoTags {
		doc["dist-tags"] = map[string]string{"latest": last}
	}
	if len(times) > 0 {
		doc["time"] = times
	}
	return doc
}

// Put replaces a version's tarball; its document promises the new one.
func (r *Registry) Put(name, version string, tarball []byte) {
	r.tarballs[TarballPath(name, version)] = tarball
}

package drill

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/dirhash"
)

// upstream is an npm registry and a Go module proxy that do as a case says. They
// stand at /npm and /go of the HTTP sink, which records what they are asked.
type upstream struct {
	mu       sync.Mutex
	packages map[string]map[string]*release // npm, by name and version
	files    map[string][]byte              // Go, by path
	down     bool                           // documents answer with 503; tarballs are given
}

// release is one version of an npm package.
type release struct {
	published time.Time // zero: the document does not say
	tarball   []byte
	at        string // address in the document; empty: the registry's own
	redirect  string // where the tarball's address leads on to
}

func newUpstream() *upstream {
	return &upstream{packages: map[string]map[string]*release{}, files: map[string][]byte{}}
}

// publish adds a version, whose code prints what it says.
func (u *upstream) publish(name, version string, age time.Duration, says string) *release {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.packages[name] == nil {
		u.packages[name] = map[string]*release{}
	}
	r := &release{published: time.Now().Add(-age), tarball: tarball(map[string]string{
		"package.json": fmt.Sprintf(`{"name": %q, "version": %q, "description": %q, "main": "index.js"}`, name, version, says), "index.js": fmt.Sprintf("console.log(%q)\n", says),
	})}
	u.packages[name][version] = r
	return r
}

// serve answers below /npm and /go; false: not its path.
func (u *upstream) serve(w http.ResponseWriter, r *http.Request) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if rest, ok := strings.CutPrefix(r.URL.Path, "/go/"); ok {
		b, known := u.files[rest]
		if !known {
			http.NotFound(w, r)
			return true
		}
		_, _ = w.Write(b)
		return true
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/npm/")
	if !ok {
		return false
	}
	name, file, isTarball := strings.Cut(rest, "/-/")
	versions := u.packages[name]
	switch {
	case r.Method != http.MethodGet || versions == nil:
		http.NotFound(w, r)
	case isTarball:
		u.tarball(w, r, name, file)
	case u.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(u.document(name, r.Host)) // a client that is gone
	}
	return true
}

func (u *upstream) tarball(w http.ResponseWriter, r *http.Request, name, file string) {
	for v, rel := range u.packages[name] {
		if file != path.Base(name)+"-"+v+".tgz" {
			continue
		}
		if rel.redirect != "" {
			http.Redirect(w, r, rel.redirect, http.StatusFound)
			return
		}
		_, _ = w.Write(rel.tarball)
		return
	}
	http.NotFound(w, r)
}

func (u *upstream) document(name, host string) map[string]any {
	all, times, latest := map[string]any{}, map[string]any{}, ""
	for v, rel := range u.packages[name] {
		at := rel.at
		if at == "" {
			at = tarballAt(host, name, v)
		}
		all[v] = map[string]any{"name": name, "version": v, "dist": map[string]any{"tarball": at, "integrity": integrity(rel.tarball)}}
		if !rel.published.IsZero() {
			times[v] = rel.published.UTC().Format(time.RFC3339)
		}
		latest = max(latest, v)
	}
	return map[string]any{"name": name, "versions": all, "time": times, "dist-tags": map[string]any{"latest": latest}}
}

func tarballAt(host, name, version string) string {
	return "http://" + host + "/npm/" + name + "/-/" + path.Base(name) + "-" + version + ".tgz"
}

func integrity(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// lock is a lockfile that names one package of this upstream.
func (w *World) lock(name, version, sri string) string {
	return fmt.Sprintf(`{"name": "victim", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
  "": {"name": "victim", "version": "1.0.0", "dependencies": {%q: %q}},
  %q: {"version": %q, "resolved": %q, "integrity": %q}}}`, name, version, "node_modules/"+name, version, tarballAt(w.sinks.HTTP, name, version), sri)
}

// module is a Go module as a proxy gives it, and its lines for go.sum.
func (u *upstream) module(name, version, source string) (sums string, err error) {
	b, err := moduleZip(name, version, source)
	if err != nil {
		return "", err
	}
	mod := "module " + name + "\n"
	u.mu.Lock()
	at := name + "/@v/" + version
	u.files[at+".mod"], u.files[at+".zip"] = []byte(mod), b
	u.files[at+".info"] = fmt.Appendf(nil, `{"Version":%q,"Time":"2024-01-01T00:00:00Z"}`, version)
	u.files[name+"/@v/list"] = []byte(version + "\n")
	u.mu.Unlock()
	f, err := os.CreateTemp("", "module")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return "", err
	}
	h1, err := dirhash.HashZip(f.Name(), dirhash.Hash1)
	if err != nil {
		return "", err
	}
	h2, err := goModSum(mod)
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", name, version, h1, name, version, h2), err
}

func moduleZip(name, version, source string) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range [][2]string{{"go.mod", "module " + name + "\n"}, {"x.go", source}} {
		w, err := z.Create(name + "@" + version + "/" + f[0])
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// goModSum is the h1 of a go.mod (golang.org/ref/mod#go-sum-files).
func goModSum(mod string) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mod)), nil })
}

// bomb is a gzip stream of a document with one very long value.
func bomb(size int) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		panic("drill: " + err.Error()) // the level is known
	}
	_, _ = z.Write([]byte(`{"name":"bomb","dist-tags":{"latest":"1.0.0"},"versions":{},"x":"`)) // into memory
	chunk := bytes.Repeat([]byte("a"), 1<<20)
	for range size >> 20 {
		_, _ = z.Write(chunk)
	}
	_, _ = z.Write([]byte(`"}`))
	_ = z.Close()
	return out.Bytes()
}

package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// registry is an npm registry of the packages in a folder: one txtar file for
// each version, with package.json first.
type registry struct {
	*httptest.Server
	packages map[string]map[string]release // name -> version
}

type release struct {
	manifest map[string]any
	tarball  []byte
}

func newRegistry(t *testing.T, dir string) *registry {
	t.Helper()
	r := &registry{packages: map[string]map[string]release{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		r.add(t, f)
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) add(t *testing.T, file string) {
	t.Helper()
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rel := release{tarball: pack(t, ar)}
	for _, f := range ar.Files {
		if f.Name == "package.json" {
			if err := json.Unmarshal(f.Data, &rel.manifest); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
	}
	name, _ := rel.manifest["name"].(string)
	version, _ := rel.manifest["version"].(string)
	if r.packages[name] == nil {
		r.packages[name] = map[string]release{}
	}
	r.packages[name][version] = rel
}

func pack(t *testing.T, ar *txtar.Archive) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range ar.Files {
		h := &tar.Header{Name: "package/" + f.Name, Mode: 0o644, Size: int64(len(f.Data)), Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (r *registry) serve(w http.ResponseWriter, req *http.Request) {
	name, file, isTarball := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/-/")
	versions, ok := r.packages[name]
	if !ok {
		http.NotFound(w, req)
		return
	}
	if isTarball {
		for v, rel := range versions {
			if file == path.Base(name)+"-"+v+".tgz" {
				w.Write(rel.tarball)
				return
			}
		}
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(r.packument(name, versions))
}

func (r *registry) packument(name string, versions map[string]release) map[string]any {
	all, times, latest := map[string]any{}, map[string]any{}, ""
	for v, rel := range versions {
		m := map[string]any{}
		for k, x := range rel.manifest {
			m[k] = x
		}
		sri := sha512.Sum512(rel.tarball)
		sum := sha1.Sum(rel.tarball)
		m["dist"] = map[string]any{
			"tarball":   r.URL + "/" + name + "/-/" + path.Base(name) + "-" + v + ".tgz",
			"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sri[:]),
			"shasum":    hex.EncodeToString(sum[:]),
		}
		if scripts, ok := rel.manifest["scripts"].(map[string]any); ok {
			for _, s := range []string{"preinstall", "install", "postinstall"} {
				if scripts[s] != nil {
					m["hasInstallScript"] = true
				}
			}
		}
		all[v] = m
		times[v] = "2024-01-01T00:00:00.000Z"
		latest = max(latest, v)
	}
	return map[string]any{"name": name, "versions": all, "time": times, "dist-tags": map[string]any{"latest": latest}}
}

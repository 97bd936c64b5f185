package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"

	digests "github.com/opencontainers/go-digest"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdMakeImage makes an OCI image layout of two layers and puts the digest of
// its index into a variable: makeimage DIR VARIABLE PROGRAM...
//
// The lower layer holds the host's shell, the named programs of the host, and
// what they load; the upper one takes a file of it away and adds another.
func cmdMakeImage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: makeimage DIR VARIABLE PROGRAM...")
	}
	lower := map[string][]byte{"etc/gone": []byte("x"), "opt/word": []byte("from the image\n")}
	for _, name := range append([]string{"sh"}, args[2:]...) {
		path, err := exec.LookPath(name)
		ts.Check(err)
		ts.Check(addProgram(lower, path, "usr/bin/"+name))
	}
	upper := map[string][]byte{"etc/.wh.gone": nil, "etc/here": []byte("above\n")}
	l := newLayout(ts.MkAbs(args[0]))
	layers := []v1.Descriptor{l.layer(lower, map[string]string{"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}), l.layer(upper, nil)}
	d := l.image(layers, v1.ImageConfig{Env: []string{"PATH=/usr/bin"}, User: "0", Cmd: []string{"/bin/false"}})
	ts.Check(l.err)
	ts.Setenv(args[1], d.String())
}

// cmdServeImage serves a layout as a registry that wants a token, and puts its
// host into a variable: serveimage DIR VARIABLE.
func cmdServeImage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: serveimage DIR VARIABLE")
	}
	dir := ts.MkAbs(args[0])
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"token":"for-%s"}`, r.FormValue("scope"))
	})
	mux.HandleFunc("GET /v2/a/img/{kind}/{digest}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer for-repository:a/img:pull" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x",scope="repository:all:*"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.ServeFile(w, r, filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(r.PathValue("digest"), "sha256:")))
	})
	srv := httptest.NewServer(mux)
	ts.Defer(srv.Close)
	ts.Setenv(args[1], strings.TrimPrefix(srv.URL, "http://"))
}

// addProgram adds a program, its interpreter and its libraries, each below usr.
func addProgram(files map[string][]byte, path, name string) error {
	code, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files[name] = code
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return err
		}
		loader := strings.TrimRight(string(b), "\x00")
		if files[below(loader)], err = os.ReadFile(loader); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, lib := range needed {
		if err := addLibrary(files, lib); err != nil {
			return err
		}
	}
	return nil
}

// below is a place of the host's root in an image where all stands below usr.
func below(path string) string {
	if strings.HasPrefix(path, "/usr/") {
		return path[1:]
	}
	return "usr" + path
}

func addLibrary(files map[string][]byte, lib string) error {
	for _, pattern := range []string{"/usr/lib/*-linux-gnu/", "/usr/lib64/", "/usr/lib/"} {
		found, err := filepath.Glob(pattern + lib)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		if files[below(found[0])] != nil {
			return nil
		}
		return addProgram(files, found[0], below(found[0]))
	}
	return &fs.PathError{Op: "find library", Path: lib, Err: fs.ErrNotExist}
}

// layout writes an OCI image layout; err is the first error.
type layout struct {
	dir   string
	plain []digests.Digest
	err   error
}

func newLayout(dir string) *layout {
	l := &layout{dir: dir}
	l.try(os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	l.try(os.WriteFile(filepath.Join(dir, v1.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return l
}

func (l *layout) try(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *layout) blob(kind string, b []byte) v1.Descriptor {
	d := digests.FromBytes(b)
	l.try(os.WriteFile(filepath.Join(l.dir, "blobs", "sha256", d.Encoded()), b, 0o644))
	return v1.Descriptor{MediaType: kind, Digest: d, Size: int64(len(b))}
}

func (l *layout) json(kind string, v any) v1.Descriptor {
	b, err := json.Marshal(v)
	l.try(err)
	return l.blob(kind, b)
}

// layer adds a compressed layer of files, all of which are programs, and links.
func (l *layout) layer(files map[string][]byte, links map[string]string) v1.Descriptor {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, name := range slices.Sorted(maps.Keys(links)) {
		l.try(w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: links[name]}))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// The set-id bits and the owner are what a hostile image would say.
		l.try(w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o6755, Uid: 4321, Size: int64(len(files[name]))}))
		_, err := w.Write(files[name])
		l.try(err)
	}
	l.try(w.Close())
	z := gzip.NewWriter(&packed)
	_, err := z.Write(plain.Bytes())
	l.try(err)
	l.try(z.Close())
	l.plain = append(l.plain, digests.FromBytes(plain.Bytes()))
	return l.blob(v1.MediaTypeImageLayerGzip, packed.Bytes())
}

// image writes the documents, and gives the digest of an index that holds the
// image and, before it, one for another machine.
func (l *layout) image(layers []v1.Descriptor, conf v1.ImageConfig) digests.Digest {
	here := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	config := l.json(v1.MediaTypeImageConfig, v1.Image{Platform: here, Config: conf, RootFS: v1.RootFS{Type: "layers", DiffIDs: l.plain}})
	m := l.json(v1.MediaTypeImageManifest, v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Config: config, Layers: layers})
	m.Platform = &here
	other := m
	other.Digest, other.Platform = digests.FromString("none"), &v1.Platform{OS: "linux", Architecture: "pdp11"}
	index := l.json(v1.MediaTypeImageIndex, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{other, m}})
	index.Annotations = map[string]string{v1.AnnotationRefName: "latest"}
	b, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{index}})
	l.try(err)
	l.try(os.WriteFile(filepath.Join(l.dir, v1.ImageIndexFile), b, 0o644))
	return index.Digest
}

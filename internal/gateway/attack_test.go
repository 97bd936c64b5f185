package gateway_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// planErr plans a tree and wants a refusal with a code, a place and a text.
func planErr(t *testing.T, b *bench, files map[string]string, code error, parts ...string) {
	t.Helper()
	dir := tree(t, files)
	_, err := b.gw.Plan(t.Context(), dir, sources(t, dir))
	if !errors.Is(err, code) {
		t.Errorf("%v, wanted %v", err, code)
		return
	}
	for _, p := range parts {
		contains(t, err.Error(), p)
	}
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("raw control characters in %q", err)
	}
}

// TestLockfileThatLeadsElsewhere is R19, R20 and G11: valid integrity, other host.
func TestLockfileThatLeadsElsewhere(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	for name, row := range map[string]struct {
		resolved string
		code     error
		text     string
	}{
		"other host":         {"https://evil.example/left/-/left-1.0.0.tgz", gateway.ErrForeignHost, "host evil.example"},
		"other host, port":   {"https://registry.example:444/left/-/left-1.0.0.tgz", gateway.ErrForeignHost, "registry.example:444"},
		"look-alike":         {"https://registry.example.evil.example/left/-/left-1.0.0.tgz", gateway.ErrForeignHost, "evil.example"},
		"user in address":    {"https://registry.example@evil.example/left/-/left-1.0.0.tgz", gateway.ErrForeignHost, "more than a path"},
		"query":              {"https://registry.example/left/-/left-1.0.0.tgz?x=1", gateway.ErrForeignHost, "more than a path"},
		"git over ssh":       {"git+ssh://git@forge.example/a/left.git#abc", gateway.ErrForeignHost, "version control"},
		"git protocol":       {"git://forge.example/a/left.git", gateway.ErrForeignHost, "version control"},
		"github shorthand":   {"github:a/left#abc", gateway.ErrForeignHost, "no registry"},
		"file outside":       {"file:../../left.tgz", gateway.ErrForeignHost, "outside the project"},
		"another package":    {"https://registry.example/real/-/real-3.0.0.tgz", gateway.ErrForeignHost, "belongs to another"},
		"another version":    {"https://registry.example/left/-/left-1.1.0.tgz", gateway.ErrForeignHost, "belongs to another"},
		"climbing":           {"https://registry.example/left/-/../../../left/-/left-1.0.0.tgz", gateway.ErrForeignHost, "belongs to another"},
		"control characters": {"https://evil.example/\u001b[2Jleft.tgz", gateway.ErrForeignHost, "no registry"},
		"not an address":     {"://", gateway.ErrForeignHost, "no registry"},
	} {
		t.Run(name, func(t *testing.T) {
			files := npmProject(t, r, builtin)
			e := entry(r, "left", "1.0.0", "")
			e["resolved"] = row.resolved
			files["package-lock.json"] = lock(t, map[string]map[string]any{"node_modules/left": e}, map[string]string{"left": "^1.0.0"})
			files["package.json"] = manifest(t, map[string]string{"left": "^1.0.0"})
			planErr(t, b, files, row.code, row.text, "package-lock.json:", "left")
		})
	}
	if got := r.Asked(); len(got) != 0 {
		t.Errorf("planning asked upstream: %v", got)
	}
}

func TestPlainHTTPForAnHTTPSRegistry(t *testing.T) { // G11, downgrade
	b := newBench(t, nil, upstreamtest.NewRegistry(t, npmPackages()...))
	up := b.upstreams()
	conf, err := up.Npm(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	conf.Registry = site(t, builtin)
	b.gw = withNpm(t, b, conf)
	e := entry(b.npm, "left", "1.0.0", "http://registry.example")
	planErr(t, b, map[string]string{
		"package.json":      manifest(t, map[string]string{"left": "1.0.0"}),
		"package-lock.json": lock(t, map[string]map[string]any{"node_modules/left": e}, map[string]string{"left": "1.0.0"}),
	}, gateway.ErrForeignHost, "plain http")
}

func TestScopeFromThePublicRegistry(t *testing.T) { // G9
	b := newBench(t, nil, upstreamtest.NewRegistry(t, npmPackages()...))
	conf, err := b.upstreams().Npm(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	conf.Scopes = map[string]siteType{"@acme": site(t, "https://private.example/npm/")}
	b.gw = withNpm(t, b, conf)
	e := entry(b.npm, "@acme/right", "2.0.1", builtin)
	planErr(t, b, map[string]string{
		"package.json":      manifest(t, map[string]string{"@acme/right": "2.0.1"}),
		"package-lock.json": lock(t, map[string]map[string]any{"node_modules/@acme/right": e}, map[string]string{"@acme/right": "2.0.1"}),
	}, gateway.ErrForeignHost, "wanted private.example")
}

func TestManifestThatWantsAURL(t *testing.T) { // R20, without a lockfile
	b := newBench(t, nil, upstreamtest.NewRegistry(t))
	for _, spec := range []string{"http://evil.example/e.tgz", "https://evil.example/e.tgz", "git+https://forge.example/a/b", "a/b", "a/b#semver:^1", "github:a/b", "file:../../x", "link:/etc", "~/x"} {
		planErr(t, b, map[string]string{"package.json": "{\n \"dependencies\": {\n  \"dep\": " + quote(spec) + "}}"}, gateway.ErrForeignHost, "package.json:3", "dependency dep")
	}
	for _, spec := range []string{"^1.0.0", "latest", "*", "", ">=1 <2 || 3.x", "npm:real@^3", "file:./lib", "workspace:*"} {
		dir := tree(t, map[string]string{"package.json": `{"dependencies": {"dep": ` + quote(spec) + `}}`})
		if _, err := b.gw.Plan(t.Context(), dir, sources(t, dir)); err != nil {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

func TestLockfileThatDisagrees(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, r)
	wants := map[string]string{"left": "^1.0.0"}
	left := entry(r, "left", "1.0.0", builtin)
	with := func(f func(map[string]string)) map[string]string {
		files := map[string]string{"package.json": manifest(t, wants), "package-lock.json": lock(t, map[string]map[string]any{"node_modules/left": left}, wants)}
		f(files)
		return files
	}
	without := func(field string) string {
		e := entry(r, "left", "1.0.0", builtin)
		delete(e, field)
		return lock(t, map[string]map[string]any{"node_modules/left": e}, wants)
	}
	for name, row := range map[string]struct {
		change func(map[string]string)
		text   string
	}{
		"not in it": {func(f map[string]string) {
			f["package.json"] = manifest(t, map[string]string{"left": "^1.0.0", "real": "3"})
		}, "real@3 is not in package-lock.json"},
		"other version": {func(f map[string]string) { f["package.json"] = manifest(t, map[string]string{"left": "^2.0.0"}) }, "package-lock.json has 1.0.0"},
		"version 1":     {func(f map[string]string) { f["package-lock.json"] = `{"lockfileVersion":1,"dependencies":{}}` }, "lockfile version 1"},
		"version 9":     {func(f map[string]string) { f["package-lock.json"] = `{"lockfileVersion":9,"packages":{}}` }, "not known"},
		"no integrity":  {func(f map[string]string) { f["package-lock.json"] = without("integrity") }, "no usable integrity"},
		"no version":    {func(f map[string]string) { f["package-lock.json"] = without("version") }, "is not a version"},
		"truncated":     {func(f map[string]string) { f["package-lock.json"] = f["package-lock.json"][:80] }, "package-lock.json:"},
		"trailing":      {func(f map[string]string) { f["package-lock.json"] += "{}" }, "follows"},
		"twice":         {func(f map[string]string) { f["package-lock.json"] = `{"lockfileVersion":3,"packages":{"a":{},"a":{}}}` }, "stands twice"},
		"field twice": {func(f map[string]string) {
			f["package-lock.json"] = `{"lockfileVersion":3,"packages":{"a":{"version":"1","version":"2"}}}`
		}, "stands twice"},
		"manifest is none": {func(f map[string]string) { f["package.json"] = "]" }, "read the manifest"},
		"link outside": {func(f map[string]string) {
			f["package-lock.json"] = lock(t, map[string]map[string]any{"node_modules/left": {"link": true, "resolved": "../../left"}}, wants)
		}, "outside the project"},
		"evil name": {func(f map[string]string) {
			e := entry(r, "left", "1.0.0", "")
			e["name"] = "../../etc/passwd"
			f["package-lock.json"] = lock(t, map[string]map[string]any{"node_modules/left": e}, wants)
		}, "not a package name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, with(row.change))
			_, err := b.gw.Plan(t.Context(), dir, sources(t, dir))
			if err == nil {
				t.Fatal("planned")
			}
			var e *gateway.Error
			if !errors.As(err, &e) || e.Where == "" {
				t.Errorf("error without a place: %v", err)
			}
			contains(t, err.Error(), row.text)
		})
	}
	files := goProject(p)
	files["go.sum"] = p.GoSum("mod.example/greet@v1.2.0")
	planErr(t, b, files, gateway.ErrLockfile, "go.mod:7", "mod.example/words@v1.0.0")
	files["go.sum"] += "mod.example/words v1.0.0 h1:short=\n"
	planErr(t, b, files, gateway.ErrLockfile, "go.sum:3")
	files = goProject(p)
	files["go.sum"] += strings.Replace(files["go.sum"], "h1:", "h1:A", 1)
	planErr(t, b, files, gateway.ErrLockfile, "go.sum:5")
	files = goProject(p)
	files["go.mod"] += "\nreplace mod.example/words => ../../words\n"
	planErr(t, b, files, gateway.ErrForeignHost, "go.mod:9", "outside the project")
	files["go.mod"] = strings.Replace(files["go.mod"], "../../words", "/etc", 1)
	planErr(t, b, files, gateway.ErrForeignHost, "outside the project")
	files["go.mod"] = "nonsense"
	planErr(t, b, files, gateway.ErrLockfile, "go.mod")
	delete(files, "go.mod")
	files["go.work"] = "go 1.21\n\nuse ../x\n"
	planErr(t, b, files, gateway.ErrForeignHost, "go.work:3")
}

func TestProjectFilesThatAreNoFiles(t *testing.T) {
	b := newBench(t, nil, upstreamtest.NewRegistry(t))
	src := pipeline.Gateway{Npm: []pipeline.NpmSource{{Dir: ".", Lockfile: "package-lock.json"}}}
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, "/", map[string]string{outside: `{"lockfileVersion":3,"packages":{}}`})
	wants := map[string]string{"link out": "escapes", "directory": "not a regular file", "pipe": "not a regular file", "huge": "larger than"}
	for name, make := range map[string]func(string) error{
		"link out":  func(p string) error { return os.Symlink(outside, p) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"pipe":      func(p string) error { return mkfifo(p) },
		"huge": func(p string) error {
			f, err := os.Create(p)
			if err == nil {
				err = f.Truncate(65 << 20)
			}
			return errors.Join(err, f.Close())
		},
	} {
		dir := tree(t, map[string]string{"package.json": "{}"})
		if err := make(filepath.Join(dir, "package-lock.json")); err != nil {
			t.Fatal(err)
		}
		_, err := b.gw.Plan(t.Context(), dir, src)
		var e *gateway.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), wants[name]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	src.Npm[0].Lockfile = "../secret"
	if _, err := b.gw.Plan(t.Context(), t.TempDir(), src); !errors.Is(err, gateway.ErrForeignHost) {
		t.Errorf("lockfile above the root: %v", err)
	}
	if _, err := b.gw.Plan(t.Context(), "/does/not/exist", src); !errors.Is(err, gateway.ErrLockfile) {
		t.Errorf("no such directory: %v", err)
	}
}

func TestUpstreamThatRedirectsAway(t *testing.T) { // G11
	var reached atomic.Int32
	other := upstreamtest.NewRegistry(t)
	other.Tamper(func(w http.ResponseWriter, _ *http.Request) bool { reached.Add(1); return false })
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	for _, to := range []string{other.URL + "/x", "http://169.254.169.254/latest/meta-data/", "https://" + strings.TrimPrefix(r.URL, "http://") + "/left/-/left-1.0.0.tgz"} {
		r.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
			http.Redirect(w, req, to, http.StatusFound)
			return true
		})
		z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
		status, body := get(t, z, "/left/-/left-1.0.0.tgz")
		if status != 403 || !errors.Is(z.Err(), gateway.ErrForeignHost) {
			t.Errorf("%s: %d %s (%v)", to, status, body, z.Err())
		}
	}
	if reached.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestUpstreamThatIsDown(t *testing.T) { // G14
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	for name, f := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500":     func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true },
		"429":     func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(429); return true },
		"hang up": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("x"))
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(r.Asked())
			r.Tamper(f)
			z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
			status, body := get(t, z, "/left/-/left-1.0.0.tgz")
			if status != 502 || !errors.Is(z.Err(), gateway.ErrUpstreamDown) {
				t.Errorf("%d %s (%v)", status, body, z.Err())
			}
			if n := len(r.Asked()) - before; n < 4 || n > 8 { // net/http may repeat one on its own
				t.Errorf("%d attempts, wanted 4", n)
			}
		})
	}
	r.Tamper(nil) // nothing is remembered against an upstream that came back
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "npm", "ci", "--ignore-scripts")
}

func TestUpstreamThatFallsSilentAndComesBack(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	whole := r.Bytes("left", "1.0.0")
	var ranges []string
	var once atomic.Bool
	r.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "left-1.0.0.tgz") {
			return false
		}
		ranges = append(ranges, req.Header.Get("Range"))
		if once.Swap(true) {
			return false // the second time all is well
		}
		w.Header().Set("ETag", `"`+upstreamtest.SRI(whole)+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = w.Write(whole[:100])
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done() // until the gateway has had enough
		return true
	})
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	if status, body := get(t, z, "/left/-/left-1.0.0.tgz"); status != 200 || body != string(whole) {
		t.Errorf("status %d, %d bytes of %d", status, len(body), len(whole))
	}
	if len(ranges) != 2 || ranges[1] != "bytes=100-" {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

func TestHugeDocument(t *testing.T) { // G12
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, map[string]string{"package.json": manifest(t, map[string]string{"left": "^1.0.0", "bomb": "1"})})
	r.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
		switch req.URL.Path {
		case "/left":
			io.WriteString(w, `{"name":"left","versions":{`)
			for i := range 10_000 {
				fmt.Fprintf(w, `"1.0.%d":{"name":"left","version":"1.0.%d","readme":%q,"dist":{"tarball":"http://%s/left/-/left-1.0.%d.tgz","integrity":%q}},`, i, i, strings.Repeat("x", 2000), req.Host, i, r.Integrity("left", "1.0.0"))
			}
			fmt.Fprintf(w, `"9.9.9":{}},"time":{}}`)
			return true
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 300 {
				if _, err := z.Write(make([]byte, 1<<20)); err != nil {
					return true
				}
			}
			_ = z.Close()
			return true
		}
		return false
	})
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), Beyond: gateway.Reachable})
	status, body := get(t, z, "/left")
	var doc struct {
		Tags     map[string]string `json:"dist-tags"`
		Versions map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || len(doc.Versions) != 10_000 || doc.Tags["latest"] != "1.0.9999" {
		t.Errorf("%d %v: %d versions, %v", status, err, len(doc.Versions), doc.Tags)
	}
	if status, _ := get(t, z, "/bomb"); status != 502 || !errors.Is(z.Err(), gateway.ErrLimit) {
		t.Errorf("a bomb was swallowed: %d %v", status, z.Err())
	}
}

// tarOf packs headers as they are, for what Tarball would not do.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		body := strings.Repeat("x", int(h.Size))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSourceArchiveThatIsHostile(t *testing.T) {
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 3}
	}
	bomb := tar.Header{Name: "package/zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: 160 << 20}
	for name, row := range map[string]struct {
		tgz  []byte
		code error // nil: it is unpacked
	}{
		"climbs":       {tarOf(t, file("package/../../escaped")), gateway.ErrArchive},
		"absolute":     {tarOf(t, file("/etc/escaped")), gateway.ErrArchive},
		"backslash":    {tarOf(t, file(`package\..\..\escaped`)), gateway.ErrArchive},
		"device":       {tarOf(t, file("package/a"), tar.Header{Name: "package/dev", Typeflag: tar.TypeChar}), gateway.ErrArchive},
		"pipe":         {tarOf(t, tar.Header{Name: "package/pipe", Typeflag: tar.TypeFifo}), gateway.ErrArchive},
		"empty":        {tarOf(t), gateway.ErrArchive},
		"not gzip":     {[]byte("hello"), gateway.ErrArchive},
		"truncated":    {tarOf(t, file("package/a"))[:60], gateway.ErrArchive},
		"deep":         {tarOf(t, file("package/"+strings.Repeat("d/", 200)+"x")), gateway.ErrLimit},
		"bomb":         {zeros(t, bomb), gateway.ErrLimit},
		"file as dir":  {tarOf(t, file("package/a"), file("package/a/b")), gateway.ErrArchive},
		"link is left": {tarOf(t, tar.Header{Name: "package/l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, file("package/l/escaped")), nil},
		"hard link":    {tarOf(t, tar.Header{Name: "package/l", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, file("package/a")), nil},
		"twice":        {tarOf(t, file("package/a"), file("package/a")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := upstreamtest.NewRegistry(t, npmPackages()...)
			r.Put("left", "1.0.0", row.tgz)
			b := newBench(t, nil, r)
			parent := t.TempDir()
			_, err := b.gw.Source(t.Context(), "pkg:npm/left@1.0.0", filepath.Join(parent, "dst"))
			if !errors.Is(err, row.code) {
				t.Errorf("%v, wanted %v", err, row.code)
			}
			if _, err := os.Lstat("/etc/escaped"); err == nil {
				t.Error("a file was written into /etc")
			}
			if list, _ := os.ReadDir(parent); len(list) > 1 {
				t.Errorf("something was written beside the destination: %v", list)
			}
		})
	}
}

func zeros(t testing.TB, h tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for range h.Size / int64(len(chunk)) {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zipThatClaims packs a file whose header tells of more than there is.
func zipThatClaims(t testing.TB, name string, size uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, UncompressedSize64: size, CompressedSize64: 2})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte{3, 0})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZipBombIsNotUnpackedToBeHashed(t *testing.T) { // G12
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	p.Replace("mod.example/greet@v1.2.0", zipThatClaims(t, "mod.example/greet@v1.2.0/zeros", 501<<20))
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	status, body := get(t, z, "/-/go/mod.example/greet/@v/v1.2.0.zip")
	if status != 403 || !strings.Contains(body, "too large") {
		t.Errorf("%d %s", status, body)
	}
}

func TestMinAge(t *testing.T) { // G1, G2, G3, G4
	day := 24 * time.Hour
	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(time.RFC3339) }
	for name, row := range map[string]struct {
		published string
		ok        bool
	}{
		"old enough": {at(10 * day), true},
		"too young":  {at(10 * time.Minute), false},
		"no time":    {"", false},
		"in future":  {at(-day), false},
		"not a time": {"yesterday", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := upstreamtest.NewRegistry(t, npmPackages()...)
			p := upstreamtest.NewGoProxy(t, goModules()...)
			b := newBench(t, p, r)
			for _, id := range []string{"left@1.0.0", "@acme/right@2.0.1", "real@3.0.0", "for-win@1.0.0"} {
				r.Time[id] = row.published
			}
			for _, id := range []string{"mod.example/greet@v1.2.0", "mod.example/words@v1.0.0"} {
				p.Time[id] = row.published
				if row.published == "" {
					p.Time[id] = "0001-01-01T00:00:00Z"
				}
			}
			files := npmProject(t, r, builtin)
			for k, v := range goProject(p) {
				files[k] = v
			}
			dir := tree(t, files)
			src := sources(t, dir)
			// The bytes may be here already: the exact address is held back too.
			warm := b.gw.Session(gateway.SessionOptions{Allow: b.plan(dir)})
			warm.Fetched()
			_ = warm.Close()
			src.Npm[0].MinAge, src.Go[0].MinAge = 3*day, 3*day
			set, err := b.gw.Plan(t.Context(), dir, src)
			if err != nil {
				t.Fatal(err)
			}
			z := b.zone(gateway.SessionOptions{Allow: set, NoPrefetch: true})
			want := 403
			if row.ok {
				want = 200
			}
			for _, path := range []string{"/left/-/left-1.0.0.tgz", "/-/go/mod.example/greet/@v/v1.2.0.zip"} {
				if status, body := get(t, z, path); status != want {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			if !row.ok && !errors.Is(z.Err(), gateway.ErrTooYoung) {
				t.Errorf("session says %v", z.Err())
			}
		})
	}
}

func TestSlowUpstreamIsAskedOnce(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	go_ := make(chan struct{})
	r.Tamper(func(http.ResponseWriter, *http.Request) bool { <-go_; return false })
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	done := make(chan int, 8)
	for range 8 {
		go func() {
			status, _ := get(t, z, "/left/-/left-1.0.0.tgz")
			done <- status
		}()
	}
	for r.AskedAbout("left-1.0.0") == 0 {
		time.Sleep(time.Millisecond) // until the first is under way; what is checked does not depend on it
	}
	close(go_)
	for range 8 {
		if s := <-done; s != 200 {
			t.Errorf("status %d", s)
		}
	}
	if n := r.AskedAbout("left-1.0.0"); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
}

func TestDenialIDsAreTheRunsOwn(t *testing.T) {
	b := newBench(t, nil, upstreamtest.NewRegistry(t))
	n := 6
	s := b.gw.Session(gateway.SessionOptions{Run: "7", Stage: "s", Zone: boundary.Build, NextDenial: func() int { n++; return n }})
	defer s.Close()
	w := &discard{h: http.Header{}}
	req, err := http.NewRequestWithContext(context.Background(), "GET", "http://127.0.0.1/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.ServeHTTP(w, req)
	if d := s.Denials(); len(d) != 1 || d[0].ID != "D-7-7" || d[0].Zone != boundary.Build {
		t.Errorf("%+v", d)
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

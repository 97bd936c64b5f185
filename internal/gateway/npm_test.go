package gateway_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
)

func npmPackages() []upstreamtest.Package {
	return []upstreamtest.Package{
		{Name: "left", Version: "1.0.0", Extra: map[string]any{"dependencies": map[string]string{"@acme/right": "^2.0.0"}}},
		{Name: "left", Version: "1.1.0"},
		{Name: "@acme/right", Version: "2.0.1", Extra: map[string]any{"scripts": map[string]string{"postinstall": "exit 1"}}},
		{Name: "real", Version: "3.0.0"},
		{Name: "for-win", Version: "1.0.0", Extra: map[string]any{"os": []string{"win32"}}},
		{Name: "pre", Version: "1.0.0-rc.1"},
	}
}

// entry is what npm writes for a package whose address it knows.
func entry(r *upstreamtest.Registry, name, version, host string) map[string]any {
	e := map[string]any{"version": version, "integrity": r.Integrity(name, version)}
	if host != "" {
		e["resolved"] = strings.TrimSuffix(host, "/") + upstreamtest.TarballPath(name, version)
	}
	return e
}

func npmProject(t testing.TB, r *upstreamtest.Registry, host string) map[string]string {
	wants := map[string]string{"left": "^1.0.0", "alias": "npm:real@^3.0.0"}
	left := entry(r, "left", "1.0.0", host)
	left["dependencies"] = map[string]string{"@acme/right": "^2.0.0"}
	alias := entry(r, "real", "3.0.0", host)
	alias["name"] = "real"
	right := entry(r, "@acme/right", "2.0.1", host)
	right["hasInstallScript"] = true
	win := entry(r, "for-win", "1.0.0", host)
	win["os"], win["optional"] = []string{"win32"}, true
	left["optionalDependencies"] = map[string]string{"for-win": "1.0.0"}
	return map[string]string{
		"package.json": manifest(t, wants),
		"package-lock.json": lock(t, map[string]map[string]any{
			"node_modules/left": left, "node_modules/@acme/right": right, "node_modules/alias": alias, "node_modules/for-win": win,
		}, wants),
	}
}

func TestNpmCi(t *testing.T) {
	for name, host := range map[string]func(*upstreamtest.Registry) string{
		"built-in host":   func(*upstreamtest.Registry) string { return builtin },
		"configured host": func(r *upstreamtest.Registry) string { return r.URL },
		"no address":      func(*upstreamtest.Registry) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			r := upstreamtest.NewRegistry(t, npmPackages()...)
			b := newBench(t, nil, r)
			dir := tree(t, npmProject(t, r, host(r)))
			set := b.plan(dir)
			z := b.zone(gateway.SessionOptions{Allow: set})
			z.must(dir, "npm", "ci", "--ignore-scripts")
			for _, p := range []string{"left", "@acme/right", "alias"} {
				if _, err := os.Stat(filepath.Join(dir, "node_modules", p, "package.json")); err != nil {
					t.Error(err)
				}
			}
			if d := z.Denials(); len(d) != 0 {
				t.Errorf("denials: %+v", d)
			}
			if len(z.Served()) != 3 || len(set.Materials()) != 4 {
				t.Errorf("served %d of %d", len(z.Served()), len(set.Materials()))
			}
			for _, m := range z.Served() {
				if m.Digest.IsZero() || !strings.HasPrefix(m.Sum, "sha512-") || m.Pin != evidence.PinLockfile || m.File != "package-lock.json" || m.Line < 5 || !strings.HasPrefix(m.URI, r.URL+"/") {
					t.Errorf("incomplete material %+v", m)
				}
				if want := m.PURL == "pkg:npm/%40acme/right@2.0.1"; m.Scripts != want {
					t.Errorf("%s: scripts %v", m.PURL, m.Scripts)
				}
			}
			z.Fetched()
			for _, a := range r.Asked() {
				if !strings.HasSuffix(a, ".tgz") || strings.Contains(a, "for-win") || strings.Contains(a, "left-1.1.0") {
					t.Errorf("upstream was asked %s", a)
				}
			}
		})
	}
}

func TestNpmNestedLinkedAndBundled(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	files := map[string]string{
		"package.json":            `{"name":"app","version":"1.0.0","workspaces":["packages/*"]}`,
		"packages/a/package.json": `{"name":"a","version":"0.1.0","dependencies":{"left":"1.1.0","b":"^0.1.0"}}`,
		"packages/b/package.json": `{"name":"b","version":"0.1.0","dependencies":{"left":"1.0.0"}}`,
	}
	left := entry(r, "left", "1.0.0", builtin)
	left["dependencies"] = map[string]string{"@acme/right": "^2.0.0"}
	files["package-lock.json"] = mustJSON(t, map[string]any{"name": "app", "version": "1.0.0", "lockfileVersion": 2, "packages": map[string]any{
		"":                             map[string]any{"name": "app", "version": "1.0.0", "workspaces": []string{"packages/*"}},
		"packages/a":                   map[string]any{"version": "0.1.0", "dependencies": map[string]string{"left": "1.1.0", "b": "^0.1.0"}},
		"packages/b":                   map[string]any{"version": "0.1.0", "dependencies": map[string]string{"left": "1.0.0"}},
		"node_modules/a":               map[string]any{"resolved": "packages/a", "link": true},
		"node_modules/b":               map[string]any{"resolved": "packages/b", "link": true},
		"node_modules/left":            left,
		"node_modules/@acme/right":     entry(r, "@acme/right", "2.0.1", builtin),
		"packages/a/node_modules/left": entry(r, "left", "1.1.0", builtin),
	}})
	dir := tree(t, files)
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "npm", "ci", "--ignore-scripts")
	if _, err := os.Stat(filepath.Join(dir, "packages/a/node_modules/left/package.json")); err != nil {
		t.Error(err)
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNpmRefusesEverythingElse(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	secret := "x" + hex.EncodeToString([]byte("secret token"))
	for path, want := range map[string]int{ // G15
		"/" + secret:                             403,
		"/@acme%2fother":                         403,
		"/left/-/left-1.1.0.tgz":                 403,
		"/left/1.1.0":                            403,
		"/-/v1/search?text=" + secret:            403,
		"/-/whoami":                              403,
		"/-/user/org.couchdb.user:x":             403,
		"/left/-/../../../etc/passwd":            403,
		"/left/-/left-1.0.0.tgz/../../" + secret: 403,
		"/%2e%2e/%2e%2e/etc/passwd":              403,
		"/-/go/mod.example/x/@v/list":            403,
		"/" + strings.Repeat("a", 5000):          403,
		"/-/ping":                                200,
		"/left":                                  200,
		"/left/1.0.0":                            200,
	} {
		if status, body := get(t, z, path); status != want {
			t.Errorf("%.80s: status %d %s", path, status, body)
		} else if want == 403 && !strings.Contains(body, "refused by sallyport (D-42-") {
			t.Errorf("%.80s: %s", path, body)
		}
	}
	for _, m := range []string{"PUT", "POST", "DELETE", "PATCH"} {
		if status, _ := do(t, z, m, "/left", `{"_attachments":{}}`); status != 403 {
			t.Errorf("%s: status %d", m, status)
		}
	}
	if status, _ := do(t, z, "GET", "/left", "a body"); status != 403 {
		t.Errorf("GET with a body: status %d", status)
	}
	if status, _ := do(t, z, "POST", "/-/npm/v1/security/advisories/bulk", `{"left":["1.0.0"]}`); status != 404 {
		t.Errorf("audit: status %d", status)
	}
	if got := r.Asked(); len(got) != 0 {
		t.Errorf("upstream was asked: %v", got)
	}
	out, err := z.run(dir, "npm", "install", "left@1.1.0")
	if err == nil {
		t.Fatalf("another version was installed:\n%s", out)
	}
	out, err = z.run(dir, "npm", "view", secret)
	if err == nil {
		t.Fatal("another name was answered")
	}
	contains(t, out, "refused by sallyport (D-42-")
	contains(t, out, "no lockfile of the project names this package")
}

func TestZoneThatWantsAnywhereIsTold(t *testing.T) {
	b := newBench(t, nil, upstreamtest.NewRegistry(t))
	z := b.zone(gateway.SessionOptions{})
	proxied := func(u string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", u, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(fmt.Sprintf("http://127.0.0.1:%d", z.port)) }}).RoundTrip(req)
		if err != nil {
			return 403 // CONNECT was refused
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if s := proxied("http://downloads.example/x"); s != 403 {
		t.Errorf("plain proxy request: %d", s)
	}
	if s := proxied("https://downloads.example/x"); s != 403 {
		t.Errorf("CONNECT: %d", s)
	}
	d := z.Denials()
	if len(d) != 2 || d[0].Class != "net" || d[0].Target != "downloads.example" || d[1].Target != "downloads.example:443" {
		t.Errorf("%+v", d)
	}
}

func TestNpmBytesThatDifferFromTheLockfile(t *testing.T) { // G5, G6
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	evil := upstreamtest.Tarball(t, "package/", map[string]string{"package.json": `{"name":"left","version":"1.0.0"}`, "index.js": "evil()"})
	r.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "left-1.0.0.tgz") {
			return false
		}
		_, _ = w.Write(evil)
		return true
	})
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	out, err := z.run(dir, "npm", "ci", "--ignore-scripts")
	if err == nil {
		t.Fatal("forged bytes were installed")
	}
	contains(t, out, "left@1.0.0 is not what the lockfile promises")
	contains(t, out, "package-lock.json:")
	if !errors.Is(z.Err(), gateway.ErrChecksum) {
		t.Errorf("session says %v", z.Err())
	}
}

func TestNpmTamperedStoreIsNeverServed(t *testing.T) { // G7
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	s := b.gw.Session(gateway.SessionOptions{Allow: b.plan(dir)})
	s.Fetched()
	_ = s.Close()
	for _, f := range blobs(t, b.dir) {
		flip(t, f)
	}
	b.open() // a new process finds the changed files
	r.Tamper(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true })
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	if out, err := z.run(dir, "npm", "ci", "--ignore-scripts"); err == nil {
		t.Fatalf("changed bytes were installed:\n%s", out)
	}
	r.Tamper(nil)
	z = b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "npm", "ci", "--ignore-scripts")
}

func TestNpmIndexPointingAtOtherBytes(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	s := b.gw.Session(gateway.SessionOptions{Allow: b.plan(dir)})
	s.Fetched()
	_ = s.Close()
	// Someone swaps the index of two packages that npm is going to install:
	// each blob still has the digest by which it is named.
	list, err := filepath.Glob(filepath.Join(b.dir, "index", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	var swapped []map[string]any
	for _, p := range list {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var e map[string]any
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		key, _ := e["key"].(string)
		if strings.HasPrefix(key, "npm.tgz left@") || strings.HasPrefix(key, "npm.tgz real@") {
			paths, swapped = append(paths, p), append(swapped, e)
		}
	}
	if len(swapped) != 2 {
		t.Fatalf("%d of the two packages are in the index: %v", len(swapped), swapped)
	}
	for _, field := range []string{"digest", "size"} {
		swapped[0][field], swapped[1][field] = swapped[1][field], swapped[0][field]
	}
	write(t, "/", map[string]string{paths[0]: mustJSON(t, swapped[0]), paths[1]: mustJSON(t, swapped[1])})
	b.open()
	before := r.AskedAbout(".tgz")
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "npm", "ci", "--ignore-scripts") // npm checks the integrity too
	if r.AskedAbout(".tgz") < before+2 {
		t.Error("swapped packages were served out of the store")
	}
}

func TestNpmMakesALockfile(t *testing.T) {
	for _, noTags := range []bool{false, true} {
		r := upstreamtest.NewRegistry(t, npmPackages()...)
		r.NoTags = noTags
		b := newBench(t, nil, r)
		dir := tree(t, map[string]string{"package.json": manifest(t, map[string]string{"left": "~1.0.0", "alias": "npm:real@^3.0.0"})})
		set := b.plan(dir)
		if u := set.Unpinned(); len(u) != 1 || u[0] != "package.json" {
			t.Fatalf("unpinned %v", u)
		}
		z := b.zone(gateway.SessionOptions{Allow: set, Beyond: gateway.Reachable})
		z.must(dir, "npm", "install", "--package-lock-only", "--ignore-scripts")
		if out, err := z.run(dir, "npm", "view", "pre"); err == nil {
			t.Errorf("an unreachable name was let through:\n%s", out)
		}
		if n := r.AskedAbout("/pre"); n != 0 {
			t.Error("upstream was asked for an unreachable name")
		}
		made, err := b.gw.PlanMade(t.Context(), dir, sources(t, dir))
		if err != nil {
			raw, _ := os.ReadFile(filepath.Join(dir, "package-lock.json"))
			t.Fatalf("%v\n%s", err, raw)
		}
		if len(made.Materials()) != 3 {
			t.Errorf("made plan: %+v", made.Materials())
		}
		z2 := b.zone(gateway.SessionOptions{Allow: made})
		z2.must(dir, "npm", "ci", "--ignore-scripts")
		for _, m := range z2.Served() {
			if m.Pin != evidence.PinMade {
				t.Errorf("%s has pin %s", m.PURL, m.Pin)
			}
		}
	}
}

func TestNpmSource(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dst := filepath.Join(t.TempDir(), "src")
	m, err := b.gw.Source(t.Context(), "pkg:npm/%40acme/right@2.0.1", dst)
	if err != nil {
		t.Fatal(err)
	}
	if m.Pin != evidence.PinSource || m.Sum != r.Integrity("@acme/right", "2.0.1") || m.Digest.IsZero() {
		t.Errorf("%+v", m)
	}
	if _, err := os.Stat(filepath.Join(dst, "index.js")); err != nil {
		t.Error(err)
	}
	for purl, want := range map[string]error{
		"pkg:npm/left":          gateway.ErrPurl,
		"pkg:npm/left@latest":   gateway.ErrPurl,
		"pkg:npm/../../x@1.0.0": gateway.ErrPurl,
		"pkg:npm/left@9.9.9":    gateway.ErrNotFound,
		"pkg:npm/none@1.0.0":    gateway.ErrNotFound,
	} {
		if _, err := b.gw.Source(t.Context(), purl, filepath.Join(t.TempDir(), "x")); !errors.Is(err, want) {
			t.Errorf("%s: %v, wanted %v", purl, err, want)
		}
	}
}

func TestProjectThatNamesItsOwnRegistry(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	files := npmProject(t, r, "") // without addresses npm asks the scope's registry
	files[".npmrc"] = "# settings\nlegacy-peer-deps=true\n@acme:registry=https://corp.example/\n//corp.example/:_authToken=${TOKEN}\ncafile=/x\n"
	dir := tree(t, files)
	set := b.plan(dir)
	got := string(set.Overrides()[".npmrc"])
	if got != "# settings\nlegacy-peer-deps=true\n" {
		t.Errorf("override %q", got)
	}
	z := b.zone(gateway.SessionOptions{Allow: set})
	out, err := z.run(dir, "npm", "ci", "--ignore-scripts")
	if err == nil {
		t.Error("without the override, npm should have gone to the scope's registry")
	}
	t.Log(out)
	write(t, dir, map[string]string{".npmrc": got})
	z.must(dir, "npm", "ci", "--ignore-scripts")
	if d := z.Denials(); len(d) == 0 || d[0].Class != "net" || d[0].Target != "corp.example:443" {
		t.Errorf("%+v", d)
	}
}

package gateway_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
)

// excepted plans a tree with exceptions for these packages, as allow makes them.
func (b *bench) excepted(dir string, purls ...string) *gateway.AllowSet {
	b.Helper()
	src := sources(b, dir)
	for i, p := range purls {
		a, err := b.gw.Promise(b.Context(), b.plan(dir), boundary.Allowance{Package: p, Reason: "r", Line: i + 3})
		if err != nil {
			b.Fatal(err)
		}
		src.Allow = append(src.Allow, a)
	}
	set, err := b.gw.Plan(b.Context(), dir, src)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// An exception lets one version of one package in; the lockfile's own stay.
func TestNpmException(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	set := b.excepted(dir, "pkg:npm/left@1.1.0")
	z := b.zone(gateway.SessionOptions{Allow: set, NoPrefetch: true})
	for path, want := range map[string]int{"/left/-/left-1.1.0.tgz": 200, "/left/-/left-1.0.0.tgz": 200, "/pre": 403, "/pre/-/pre-1.0.0-rc.1.tgz": 403} {
		if status, body := get(t, z, path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	pins := map[evidence.Pin]int{}
	for _, m := range z.Served() {
		pins[m.Pin]++
		if m.Pin == evidence.PinAllowed && (m.File != ".sallyport/allow.yaml" || m.Line != 3 || !strings.HasPrefix(m.Sum, "sha512-")) {
			t.Errorf("%+v", m)
		}
	}
	if pins[evidence.PinAllowed] != 1 || pins[evidence.PinLockfile] != 1 {
		t.Errorf("pins: %v", pins)
	}
}

// The document of an excepted package says what it needs, and that is refused.
func TestNpmExceptionIsForOnePackage(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, map[string]string{"package.json": `{"name":"app","version":"1.0.0"}`})
	z := b.zone(gateway.SessionOptions{Allow: b.excepted(dir, "pkg:npm/left@1.0.0")})
	out, err := z.run(dir, "npm", "install", "--no-save", "left")
	if err == nil {
		t.Fatalf("left came without @acme/right, or with it:\n%s", out)
	}
	contains(t, out, "@acme%2fright - refused by sallyport")
	z = b.zone(gateway.SessionOptions{Allow: b.excepted(dir, "pkg:npm/left@1.0.0", "pkg:npm/%40acme/right", "pkg:npm/for-win")})
	z.must(dir, "npm", "install", "--no-save", "--ignore-scripts", "left")
}

// Other bytes than those that were allowed do not come in.
func TestNpmExceptionHoldsTheChecksum(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, map[string]string{"package.json": `{"name":"app","version":"1.0.0"}`})
	set := b.excepted(dir, "pkg:npm/pre@1.0.0-rc.1")
	b.dir = t.TempDir() // a gateway that has not seen the bytes
	b.open()
	r.Put("pre", "1.0.0-rc.1", upstreamtest.Tarball(t, "package/", map[string]string{"package.json": `{"name":"pre","version":"1.0.0-rc.1"}`, "index.js": "steal()"}))
	a := set.Materials()[0]
	src := sources(t, dir)
	src.Allow = []boundary.Allowance{{Package: a.PURL, Sum: a.Sum, Reason: "r"}}
	set, err := b.gw.Plan(t.Context(), dir, src)
	if err != nil {
		t.Fatal(err)
	}
	z := b.zone(gateway.SessionOptions{Allow: set, NoPrefetch: true})
	if status, body := get(t, z, "/pre/-/pre-1.0.0-rc.1.tgz"); status == 200 || !strings.Contains(body, "not what the lockfile promises") {
		t.Errorf("%d %s", status, body)
	}
}

// The rules for all packages hold for those of exceptions.
func TestExceptionsKeepTheRules(t *testing.T) {
	r := upstreamtest.NewRegistry(t, append(npmPackages(), upstreamtest.Package{Name: "acme-tool", Version: "1.0.0"}, upstreamtest.Package{Name: "expresss", Version: "1.0.0"})...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	for _, id := range []string{"left@1.0.0", "left@1.1.0", "pre@1.0.0-rc.1"} {
		r.Time[id] = time.Now().Add(-30 * 24 * time.Hour).UTC().Format(time.RFC3339)
	}
	r.Time["left@1.1.0"] = time.Now().UTC().Format(time.RFC3339)
	src := sources(t, dir)
	src.Npm[0].Internal, src.Npm[0].MinAge = []string{"acme-*"}, 3*24*time.Hour
	set, err := b.gw.Plan(t.Context(), dir, src)
	if err != nil {
		t.Fatal(err)
	}
	for purl, want := range map[string]error{
		"pkg:npm/acme-tool@1.0.0": fault.Internal, "pkg:npm/expresss": fault.Lookalike, "pkg:npm/left@1.1.0": fault.TooYoung,
		"pkg:npm/none@1.0.0": fault.NotFound, "pkg:npm/..%2fleft@1.0.0": fault.Purl, "pkg:cargo/left@1.0.0": fault.Purl,
	} {
		if a, err := b.gw.Promise(t.Context(), set, boundary.Allowance{Package: purl}); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", purl, a, err, want)
		}
	}
	// Without a version it is the newest that is old enough.
	if a, err := b.gw.Promise(t.Context(), set, boundary.Allowance{Package: "pkg:npm/left"}); err != nil || a.Package != "pkg:npm/left@1.0.0" {
		t.Errorf("%+v, %v", a, err)
	}
	// They hold when the file of exceptions is read, too: somebody may have written it by hand.
	sum := r.Integrity("left", "1.1.0")
	for _, c := range []struct {
		purl string
		want error
	}{{"pkg:npm/acme-tool@1.0.0", fault.Internal}, {"pkg:npm/left@1.0.0", fault.Lockfile}} {
		src.Allow = []boundary.Allowance{{Package: c.purl, Sum: sum, Reason: "r"}}
		if _, err := b.gw.Plan(t.Context(), dir, src); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.purl, err, c.want)
		}
	}
	src.Allow = []boundary.Allowance{{Package: "pkg:npm/left@1.1.0", Sum: sum, Reason: "r"}}
	if set, err = b.gw.Plan(t.Context(), dir, src); err != nil {
		t.Fatal(err)
	}
	z := b.zone(gateway.SessionOptions{Allow: set, NoPrefetch: true})
	if status, body := get(t, z, "/left/-/left-1.1.0.tgz"); status != 403 {
		t.Errorf("a version that is too young: %d %s", status, body)
	}
}

// Known malware is no exception, be it made by allow or written by hand.
func TestNoExceptionForMalware(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, p, r)
	dir := tree(t, npmProject(t, r, builtin))
	src, set := sources(t, dir), b.plan(dir)
	purls := []string{"pkg:npm/pre@1.0.0-rc.1", "pkg:golang/mod.example/greet@v1.2.0"}
	var made []boundary.Allowance
	for _, purl := range purls {
		a, err := b.gw.Promise(t.Context(), set, boundary.Allowance{Package: purl, Reason: "r"})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, a)
	}
	feed := t.TempDir()
	for i, pkg := range []string{`{"ecosystem":"npm","name":"pre"}`, `{"ecosystem":"Go","name":"mod.example/greet"}`} {
		text := fmt.Sprintf(`{"id":"MAL-2026-%d","modified":%q,"affected":[{"package":%s,"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`, i+1, time.Now().UTC().Format(time.RFC3339), pkg)
		write(t, feed, map[string]string{fmt.Sprintf("MAL-2026-%d.json", i+1): text})
	}
	gw, err := gateway.New(gateway.Options{Dir: b.dir, Upstreams: b.upstreams(), Malware: screen.Options{Path: feed}})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	if set, err = gw.Plan(t.Context(), dir, src); err != nil {
		t.Fatal(err)
	}
	for i, a := range made {
		if got, err := gw.Promise(t.Context(), set, boundary.Allowance{Package: purls[i]}); !errors.Is(err, fault.Malware) {
			t.Errorf("allow %s: %+v, %v", purls[i], got, err)
		}
		src.Allow = []boundary.Allowance{a}
		if _, err := gw.Plan(t.Context(), dir, src); !errors.Is(err, fault.Malware) {
			t.Errorf("by hand %s: %v", purls[i], err)
		}
	}
}

// A Go module comes in with the go.mod files of what it needs, and no code of it.
func TestGoException(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, map[string]string{"README": "no Go here\n"})
	z := b.zone(gateway.SessionOptions{Allow: b.excepted(dir, "pkg:golang/mod.example/greet"), NoPrefetch: true})
	for _, c := range []struct {
		path string
		want int
	}{
		{"/-/go/mod.example/words/@v/v1.0.0.mod", 403}, // nobody has asked for what names it yet
		{"/-/go/mod.example/greet/@v/v1.2.0.zip", 200},
		{"/-/go/mod.example/greet/@v/v1.2.0.mod", 200},
		{"/-/go/mod.example/words/@v/v1.0.0.mod", 200},
		{"/-/go/mod.example/words/@v/v1.0.0.zip", 403},
		{"/-/go/mod.example/@v/list", 404},
		{"/-/go/mod.example/greet/cmd/@v/list", 404},
		{"/-/go/mod.example/other/@v/list", 403},
		{"/-/go/evil.example/x/@v/v1.0.0.mod", 403},
	} {
		if status, body := get(t, z, c.path); status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.path, status, c.want, body)
		}
	}
	if n := p.AskedAbout("evil.example"); n != 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
	z = b.zone(gateway.SessionOptions{Allow: b.excepted(dir, "pkg:golang/mod.example/greet@v1.2.0", "pkg:golang/mod.example/words@v1.0.0")})
	project := tree(t, map[string]string{"go.mod": "module app.example/app\n\ngo 1.21\n", "main.go": "package main\n\nimport \"mod.example/greet\"\n\nfunc main() { println(greet.Hello()) }\n"})
	z.must(project, "go", "get", "mod.example/greet")
	z.must(project, "go", "build", "-o", filepath.Join(z.home, "app"), ".")
}

// A session that learns gives what is asked for, and says what that was.
func TestLearningSession(t *testing.T) {
	r := upstreamtest.NewRegistry(t, append(npmPackages(), upstreamtest.Package{Name: "acme-tool", Version: "1.0.0"})...)
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, r)
	dir := tree(t, npmProject(t, r, builtin))
	src := sources(t, dir)
	src.Npm[0].Internal = []string{"acme-*"}
	set, err := b.gw.Plan(t.Context(), dir, src)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.gw.Widen(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	z := b.zone(gateway.SessionOptions{Allow: set, Beyond: gateway.Anything})
	for path, want := range map[string]int{
		"/pre": 200, "/acme-tool": 403, "/-/go/mod.example/words/@v/v1.1.0.zip": 200, "/left/-/left-1.0.0.tgz": 200,
	} {
		if status, body := get(t, z, path); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
	if status, body := get(t, z, "/pre/-/pre-1.0.0-rc.1.tgz"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	got := map[string]evidence.Pin{}
	for _, m := range z.Served() {
		got[m.PURL] = m.Pin
	}
	if len(got) != 3 || got["pkg:npm/pre@1.0.0-rc.1"] != evidence.PinMade || got["pkg:golang/mod.example/words@v1.1.0"] != evidence.PinMade || got["pkg:npm/left@1.0.0"] != evidence.PinLockfile {
		t.Errorf("%v", got)
	}
	if n := r.AskedAbout("acme-tool"); n != 0 {
		t.Errorf("the registry was asked %d times for a name of the owner's", n)
	}
}

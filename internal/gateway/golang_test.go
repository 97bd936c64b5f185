package gateway_test

import (
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
)

func goModules() []upstreamtest.Module {
	return []upstreamtest.Module{
		{Path: "mod.example/greet", Version: "v1.2.0", Files: map[string]string{
			"go.mod":   "module mod.example/greet\n\ngo 1.21\n\nrequire mod.example/words v1.0.0\n",
			"greet.go": "package greet\n\nimport \"mod.example/words\"\n\nfunc Hello() string { return words.Hello }\n"}},
		{Path: "mod.example/words", Version: "v1.0.0", Files: map[string]string{
			"go.mod": "module mod.example/words\n\ngo 1.21\n", "words.go": "package words\n\nconst Hello = \"hello\"\n"}},
		{Path: "mod.example/words", Version: "v1.1.0", Files: map[string]string{
			"go.mod": "module mod.example/words\n\ngo 1.21\n", "words.go": "package words\n\nconst Hello = \"newer\"\n"}},
		{Path: "mod.example/Upper", Version: "v0.1.0+incompatible", Files: map[string]string{"u.go": "package Upper\n"}},
	}
}

func goProject(p *upstreamtest.GoProxy) map[string]string {
	return map[string]string{
		"go.mod":  "module app.example/app\n\ngo 1.21\n\nrequire mod.example/greet v1.2.0\n\nrequire mod.example/words v1.0.0 // indirect\n",
		"go.sum":  p.GoSum("mod.example/greet@v1.2.0", "mod.example/words@v1.0.0"),
		"main.go": "package main\n\nimport \"mod.example/greet\"\n\nfunc main() { println(greet.Hello()) }\n",
	}
}

func TestGoCommandGetsWhatGoSumNames(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	set := b.plan(dir)
	z := b.zone(gateway.SessionOptions{Allow: set})
	z.must(dir, "go", "mod", "download")
	z.must(dir, "go", "build", "-o", filepath.Join(z.home, "app"), ".")

	if d := z.Denials(); len(d) != 0 {
		t.Errorf("denials: %+v", d)
	}
	served := z.Served()
	if len(served) != 4 {
		t.Fatalf("served %d materials, wanted 2 modules with their go.mod: %+v", len(served), served)
	}
	for _, m := range served {
		if m.Digest.IsZero() || m.Size == 0 || m.Sum == "" || m.Pin != evidence.PinLockfile || m.File != "go.sum" || m.Line == 0 || !strings.HasPrefix(m.URI, p.URL) {
			t.Errorf("incomplete material %+v", m)
		}
	}
	if planned := set.Materials(); len(planned) != len(served) {
		t.Errorf("planned %d, served %d", len(planned), len(served))
	}
	if n := p.AskedAbout("v1.1.0") + p.AskedAbout("list") + p.AskedAbout(".info"); n != 0 {
		t.Errorf("upstream was asked about more than the members: %v", p.Asked())
	}
}

func TestGoWarmStoreNeedsNoUpstream(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	s := b.gw.Session(gateway.SessionOptions{Allow: b.plan(dir)})
	s.Fetched()
	_ = s.Close()
	before := len(p.Asked())

	b.open() // a new process
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "go", "mod", "download")
	if after := len(p.Asked()); after != before {
		t.Errorf("upstream was asked %d more times", after-before)
	}
	for _, m := range z.Served() {
		if !m.Cached {
			t.Errorf("%s %s is not marked as cached", m.PURL, m.Kind)
		}
	}
}

func TestGoRefusesEveryNameOutsideThePlan(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	secret := "exfil.example/" + hex.EncodeToString([]byte("the very secret token")) // G15
	out, err := z.run(dir, "go", "list", "-m", "-versions", secret)
	if err == nil {
		t.Fatalf("a name with a secret in it was answered:\n%s", out)
	}
	contains(t, out, "refused by sallyport (D-42-1)")
	contains(t, out, "sallyport allow D-42-1")
	out, err = z.run(dir, "go", "mod", "download", "mod.example/words@v1.1.0")
	if err == nil {
		t.Fatalf("a version outside go.sum was given:\n%s", out)
	}
	contains(t, out, "does not name this version of mod.example/words (it names v1.0.0)")
	if p.AskedAbout("exfil")+p.AskedAbout("v1.1.0")+p.AskedAbout("lookup") != 0 {
		t.Errorf("upstream was asked: %v", p.Asked())
	}
	for _, d := range z.Denials() {
		if d.Class != "package" || d.Rule != "SP3" || d.Stage != "fetch" || d.Package == "" {
			t.Errorf("denial does not explain itself: %+v", d)
		}
	}
}

func TestGoDenialIsCountedOnce(t *testing.T) {
	b := newBench(t, upstreamtest.NewGoProxy(t, goModules()...), nil)
	dir := tree(t, goProject(b.go_))
	told := 0
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), OnDenial: func(evidence.Denial) { told++ }})
	for range 3 {
		get(t, z, "/-/go/other.example/x/@v/list")
	}
	if d := z.Denials(); len(d) != 1 || d[0].Count != 3 || told != 1 {
		t.Errorf("%d denials, told %d times: %+v", len(d), told, d)
	}
}

func TestGoBytesThatDifferFromGoSum(t *testing.T) { // G5
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	p.Replace("mod.example/greet@v1.2.0", upstreamtest.Zip(t, "mod.example/greet@v1.2.0/", map[string]string{"go.mod": "module mod.example/greet\n", "greet.go": "package greet\n\nfunc Hello() string { panic(\"evil\") }\n"}))
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	out, err := z.run(dir, "go", "mod", "download")
	if err == nil {
		t.Fatal("forged bytes were downloaded")
	}
	contains(t, out, "refused by sallyport")
	contains(t, out, "upstream gave h1:")
	if !errors.Is(z.Err(), gateway.ErrChecksum) {
		t.Errorf("session says %v", z.Err())
	}
	for _, m := range z.Served() {
		if m.PURL == "pkg:golang/mod.example/greet@v1.2.0" && m.Kind == "go.zip" {
			t.Error("forged bytes are recorded as served")
		}
	}
}

func TestGoSumThatDisagreesWithTheDatabase(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	forged := upstreamtest.NewGoProxy(t, upstreamtest.Module{Path: "mod.example/words", Version: "v1.0.0", Files: map[string]string{"go.mod": "module mod.example/words\n\ngo 1.21\n", "words.go": "package words // evil\n"}})
	files := goProject(p)
	files["go.sum"] = p.GoSum("mod.example/greet@v1.2.0") + forged.GoSum("mod.example/words@v1.0.0")
	dir := tree(t, files)
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	out, err := z.run(dir, "go", "mod", "download")
	if err == nil {
		t.Fatal("a changed go.sum was believed")
	}
	contains(t, out, "the checksum database has")
}

func TestGoTamperedStoreIsNeverServed(t *testing.T) { // G7
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dir := tree(t, goProject(p))
	set := b.plan(dir)
	s := b.gw.Session(gateway.SessionOptions{Allow: set})
	s.Fetched()
	_ = s.Close()
	// In the same process: the file was verified already, and is changed after.
	for _, f := range blobs(t, b.dir) {
		flip(t, f)
	}
	z := b.zone(gateway.SessionOptions{Allow: set})
	z.must(dir, "go", "mod", "download")
	before := p.AskedAbout(".zip")
	if before != 4 {
		t.Errorf("two zips should have been fetched twice, upstream saw %d", before)
	}
	// Upstream is gone too: an error, not the changed bytes.
	for _, f := range blobs(t, b.dir) {
		flip(t, f)
	}
	p.Tamper(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	z2 := b.zone(gateway.SessionOptions{Allow: set})
	out, err := z2.run(dir, "go", "mod", "download")
	if err == nil {
		t.Fatalf("changed bytes were served:\n%s", out)
	}
	if !errors.Is(z2.Err(), gateway.ErrUpstreamDown) {
		t.Errorf("session says %v", z2.Err())
	}
	if q, err := os.ReadDir(filepath.Join(b.dir, "quarantine")); err != nil || len(q) == 0 {
		t.Errorf("nothing in quarantine (%v)", err)
	}
}

func TestGoModuleWithoutZipHashIsHeldToTheDatabase(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	files := goProject(p)
	var kept []string
	for _, l := range strings.Split(files["go.sum"], "\n") {
		if !strings.HasPrefix(l, "mod.example/words v1.0.0 h1:") {
			kept = append(kept, l)
		}
	}
	files["go.sum"] = strings.Join(kept, "\n")
	dir := tree(t, files)
	set := b.plan(dir)
	z := b.zone(gateway.SessionOptions{Allow: set})
	z.must(dir, "go", "mod", "download") // the go command asks the database through the session
	pins := map[string]evidence.Pin{}
	for _, m := range z.Served() {
		pins[m.PURL+" "+m.Kind] = m.Pin
	}
	if pins["pkg:golang/mod.example/words@v1.0.0 go.zip"] != evidence.PinSumDB {
		t.Errorf("pins: %v", pins)
	}
	if d := z.Denials(); len(d) != 0 {
		t.Errorf("denials: %+v", d)
	}
}

func TestZoneCannotSpellAMessageInTiles(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	z := b.zone(gateway.SessionOptions{Allow: b.plan(tree(t, goProject(p)))})
	z.Fetched()
	before := p.AskedAbout("/tile/")
	for _, path := range []string{"tile/8/0/x001/234", "tile/8/1/077", "lookup/secret.example/x@v1.0.0", "latest/../lookup/x@v1"} {
		if status, _ := get(t, z, "/-/go/sumdb/sum.example/"+path); status != 403 {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if status, _ := get(t, z, "/-/go/sumdb/other.example/supported"); status != 403 {
		t.Errorf("another database: status %d", status)
	}
	if after := p.AskedAbout("/tile/"); after != before {
		t.Errorf("upstream saw %d tile requests of the zone", after-before)
	}
}

func TestGoNewerToolchainComesAsMember(t *testing.T) {
	name := "v0.0.1-go1.99.0." + runtime.GOOS + "-" + runtime.GOARCH
	p := upstreamtest.NewGoProxy(t, append(goModules(), upstreamtest.Module{Path: "golang.org/toolchain", Version: name, Files: map[string]string{
		"bin/go": "#!/bin/sh\necho this is the newer one: \"$@\"\n", "go.env": "", "pkg/tool/none": "", "lib/none": "", "bin/gofmt": "", "VERSION": "go1.99.0\n"}})...)
	b := newBench(t, p, nil)
	files := goProject(p)
	files["go.mod"] = strings.Replace(files["go.mod"], "go 1.21\n", "go 1.99\n", 1)
	dir := tree(t, files)
	set := b.plan(dir)
	if set.Toolchain() != "go1.99.0" {
		t.Fatalf("toolchain %q", set.Toolchain())
	}
	z := b.zone(gateway.SessionOptions{Allow: set})
	contains(t, z.must(dir, "go", "mod", "download"), "this is the newer one: mod download")
	found := false
	for _, m := range z.Served() {
		found = found || (m.Kind == "toolchain" && m.Pin == evidence.PinSumDB && strings.HasPrefix(m.Sum, "h1:"))
	}
	if !found {
		t.Errorf("no toolchain among %+v", z.Served())
	}
}

func TestGoMakesALockfile(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	files := goProject(p)
	delete(files, "go.sum")
	dir := tree(t, files)
	set := b.plan(dir)
	if u := set.Unpinned(); len(u) != 1 || u[0] != "go.mod" {
		t.Fatalf("unpinned %v", u)
	}
	z := b.zone(gateway.SessionOptions{Allow: set, Beyond: gateway.Reachable})
	z.must(dir, "go", "mod", "tidy")
	if out, err := z.run(dir, "go", "list", "-m", "-versions", "unreachable.example/x"); err == nil {
		t.Errorf("an unreachable name was let through:\n%s", out)
	}
	if n := p.AskedAbout("unreachable"); n != 0 {
		t.Errorf("upstream was asked for an unreachable name")
	}
	made, err := b.gw.PlanMade(t.Context(), dir, sources(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Materials()) < 3 || len(made.Unpinned()) != 0 {
		t.Errorf("made plan: %+v", made.Materials())
	}
	for _, m := range made.Materials() {
		if m.Pin != evidence.PinMade {
			t.Errorf("%s has pin %s", m.PURL, m.Pin)
		}
	}
	z2 := b.zone(gateway.SessionOptions{Allow: made})
	z2.must(dir, "go", "mod", "download")
}

func TestGoSource(t *testing.T) {
	p := upstreamtest.NewGoProxy(t, goModules()...)
	b := newBench(t, p, nil)
	dst := filepath.Join(t.TempDir(), "src")
	m, err := b.gw.Source(t.Context(), "pkg:golang/mod.example/greet@v1.2.0", dst)
	if err != nil {
		t.Fatal(err)
	}
	if m.Pin != evidence.PinSource || !strings.HasPrefix(m.Sum, "h1:") || m.Digest.IsZero() {
		t.Errorf("%+v", m)
	}
	if _, err := os.Stat(filepath.Join(dst, "greet.go")); err != nil {
		t.Error(err)
	}
	for purl, want := range map[string]error{
		"pkg:golang/mod.example/greet":        gateway.ErrPurl,
		"pkg:golang/mod.example/greet@latest": gateway.ErrPurl,
		"pkg:golang/../x@v1.0.0":              gateway.ErrPurl,
		"pkg:pypi/x@1":                        gateway.ErrPurl,
		"pkg:golang/mod.example/none@v1.0.0":  gateway.ErrNotFound,
	} {
		if _, err := b.gw.Source(t.Context(), purl, filepath.Join(t.TempDir(), "x")); !errors.Is(err, want) {
			t.Errorf("%s: %v, wanted %v", purl, err, want)
		}
	}
}

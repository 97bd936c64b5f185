package gateway_test

import (
	"go/version"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// realBench is a gateway with this machine's own upstreams.
func realBench(t testing.TB, dir string) *bench {
	t.Helper()
	up, err := gateway.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, dir: dir}
	gw, err := gateway.New(gateway.Options{Dir: dir, Upstreams: up})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Close() })
	b.gw = gw
	return b
}

func TestRealGoModule(t *testing.T) {
	needNetwork(t)
	b := realBench(t, filepath.Join(t.TempDir(), "gateway"))
	dir := filepath.Join(t.TempDir(), "src")
	m, err := b.gw.Source(t.Context(), "pkg:golang/filippo.io/age@v1.2.1", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	start := time.Now()
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir)})
	z.must(dir, "go", "mod", "download")
	t.Log(time.Since(start), len(z.Served()))
	z.must(dir, "go", "build", "./...")
	for _, d := range z.Denials() {
		t.Errorf("%+v", d)
	}
}

func TestRealNpmPackage(t *testing.T) {
	needNetwork(t)
	b := realBench(t, filepath.Join(t.TempDir(), "gateway"))
	dir := filepath.Join(t.TempDir(), "src")
	m, err := b.gw.Source(t.Context(), "pkg:npm/debug@4.3.4", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	src := pipeline.Gateway{Npm: []pipeline.NpmSource{{Dir: "."}}}
	set, err := b.gw.Plan(t.Context(), dir, src)
	if err != nil {
		t.Fatal(err)
	}
	z := b.zone(gateway.SessionOptions{Allow: set, Beyond: gateway.Reachable})
	start := time.Now()
	z.must(dir, "npm", "install", "--package-lock-only", "--ignore-scripts")
	t.Log("resolve", time.Since(start))
	for _, d := range z.Denials() {
		t.Errorf("%+v", d)
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	t.Logf("%.600s", raw)
	src.Npm[0].Lockfile = "package-lock.json"
	made, err := b.gw.PlanMade(t.Context(), dir, src)
	if err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	z2 := b.zone(gateway.SessionOptions{Allow: made})
	z2.must(dir, "npm", "ci", "--ignore-scripts")
	t.Log("ci", time.Since(start), len(z2.Served()), "of", len(made.Materials()))
	for _, d := range z2.Denials() {
		t.Errorf("%+v", d)
	}
}

func needNetwork(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("not run: needs the configured upstreams")
	}
}

// TestRealToolchain lets the go command fetch a newer release of itself, which
// it insists on checking against the checksum database by itself.
func TestRealToolchain(t *testing.T) {
	needNetwork(t)
	const newer = "go1.27.0"
	if version.Compare(runtime.Version(), newer) >= 0 {
		t.Skip("not run: needs a Go older than " + newer)
	}
	b := realBench(t, filepath.Join(t.TempDir(), "gateway"))
	dir := tree(t, map[string]string{"go.mod": "module app.example/app\n\ngo 1.27\n", "main.go": "package main\n\nfunc main() {}\n"})
	set := b.plan(dir)
	if set.Toolchain() != newer {
		t.Fatalf("toolchain %q", set.Toolchain())
	}
	z := b.zone(gateway.SessionOptions{Allow: set})
	contains(t, z.must(dir, "go", "version"), newer)
	if d := z.Denials(); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	m := z.Served()
	if len(m) != 1 || m[0].Kind != "toolchain" || m[0].Pin != "sumdb" {
		t.Errorf("%+v", m)
	}
}

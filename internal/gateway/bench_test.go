package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goproxy/goproxy"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// BenchmarkWarm compares a warm gateway with what serves the same bytes and
// judges nothing: a static file server, and a Go module proxy of the field.
func BenchmarkWarm(b *testing.B) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	p := upstreamtest.NewGoProxy(b, upstreamtest.Module{Path: "mod.example/big", Version: "v1.0.0", Files: map[string]string{"go.mod": "module mod.example/big\n", "noise": string(noise)}})
	r := upstreamtest.NewRegistry(b, upstreamtest.Package{Name: "small", Version: "1.0.0"})
	bn := newBench(b, p, r)
	wants := map[string]string{"small": "1.0.0"}
	dir := tree(b, map[string]string{
		"go.mod": "module app\n\ngo 1.21\n\nrequire mod.example/big v1.0.0\n", "go.sum": p.GoSum("mod.example/big@v1.0.0"),
		"package.json": manifest(b, wants), "package-lock.json": lock(b, map[string]map[string]any{"node_modules/small": entry(r, "small", "1.0.0", builtin)}, wants),
	})
	z := bn.zone(gateway.SessionOptions{Allow: bn.plan(dir)})
	z.Fetched()
	files := b.TempDir()
	write(b, files, map[string]string{"big.zip": second(get(b, z, "/-/go/mod.example/big/@v/v1.0.0.zip")), "small.tgz": string(r.Bytes("small", "1.0.0"))})
	cacher := goproxy.DirCacher(b.TempDir())
	write(b, string(cacher), map[string]string{"mod.example/big/@v/v1.0.0.zip": second(get(b, z, "/-/go/mod.example/big/@v/v1.0.0.zip"))})
	at := fmt.Sprintf("http://127.0.0.1:%d", z.port)
	static := serveBench(b, http.FileServer(http.Dir(files)))
	peer := serveBench(b, &goproxy.Goproxy{Cacher: cacher})
	for _, c := range []struct{ name, url string }{
		{"zip/gateway", at + "/-/go/mod.example/big/@v/v1.0.0.zip"}, {"zip/static", static + "/big.zip"}, {"zip/goproxy", peer + "/mod.example/big/@v/v1.0.0.zip"},
		{"tgz/gateway", at + "/small/-/small-1.0.0.tgz"}, {"tgz/static", static + "/small.tgz"},
		{"document/gateway", at + "/small"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.Get(c.url)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(resp.Status, err)
				}
				b.SetBytes(n)
			}
		})
	}
}

func serveBench(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	b.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

// BenchmarkRealNpmCi installs the development tree of a real package, about 800
// packages, with a new client cache each time: plainly against the configured
// upstream, and through a warm gateway. Pairs alternate; the medians' ratio is
// reported.
func BenchmarkRealNpmCi(b *testing.B) {
	needNetwork(b)
	bn := realBench(b, filepath.Join(b.TempDir(), "gateway"))
	dir := filepath.Join(b.TempDir(), "src")
	if _, err := bn.gw.Source(b.Context(), "pkg:npm/debug@4.3.4", dir); err != nil {
		b.Fatal(err)
	}
	src := pipeline.Gateway{Npm: []pipeline.NpmSource{{Dir: "."}}}
	set, err := bn.gw.Plan(b.Context(), dir, src)
	if err != nil {
		b.Fatal(err)
	}
	z := bn.zone(gateway.SessionOptions{Allow: set, Beyond: gateway.Reachable})
	z.must(dir, "npm", "install", "--package-lock-only", "--ignore-scripts")
	src.Npm[0].Lockfile = "package-lock.json"
	pairs(b, bn, src, true, dir, []string{"npm", "ci", "--ignore-scripts"}, "node_modules")
}

// BenchmarkRealGoDownload does the same with the modules of a mid-size command.
func BenchmarkRealGoDownload(b *testing.B) {
	needNetwork(b)
	bn := realBench(b, filepath.Join(b.TempDir(), "gateway"))
	dir := filepath.Join(b.TempDir(), "src")
	if _, err := bn.gw.Source(b.Context(), "pkg:golang/github.com/charmbracelet/gum@v0.17.0", dir); err != nil {
		b.Fatal(err)
	}
	src := pipeline.Gateway{Go: []pipeline.GoSource{{Dir: ".", Lockfile: "go.sum"}}}
	pairs(b, bn, src, false, dir, []string{"go", "mod", "download"}, "")
}

func pairs(b *testing.B, bn *bench, src pipeline.Gateway, made bool, dir string, args []string, folder string) {
	b.Helper()
	plan := func() *gateway.AllowSet {
		read := bn.gw.Plan
		if made {
			read = bn.gw.PlanMade
		}
		set, err := read(b.Context(), dir, src)
		if err != nil {
			b.Fatal(err)
		}
		return set
	}
	set := plan()
	warm := bn.gw.Session(gateway.SessionOptions{Allow: set})
	start := time.Now()
	warm.Fetched()
	fill := time.Since(start).Seconds()
	_ = warm.Close()
	var plain, through []float64
	for b.Loop() {
		bn.open2(b) // as a new process: everything is hashed again
		plain = append(plain, timed(b, bn, nil, dir, args, folder))
		through = append(through, timed(b, bn, plan(), dir, args, folder))
	}
	slices.Sort(plain)
	slices.Sort(through)
	mp, mt := plain[len(plain)/2], through[len(through)/2]
	b.ReportMetric(fill, "cold-fill-s")
	b.ReportMetric(mp, "plain-s")
	b.ReportMetric(mt, "gateway-s")
	b.ReportMetric(mt/mp, "ratio")
}

func timed(b *testing.B, bn *bench, set *gateway.AllowSet, dir string, args []string, made string) float64 {
	b.Helper()
	if made != "" {
		if err := os.RemoveAll(filepath.Join(dir, made)); err != nil {
			b.Fatal(err)
		}
	}
	home, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(home)
	if set != nil {
		z := bn.zone(gateway.SessionOptions{Allow: set})
		z.home = home
		start := time.Now()
		z.must(dir, args...)
		return time.Since(start).Seconds()
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-modcacherw", "GOPATH="+filepath.Join(home, "go"), "GOMODCACHE=", "npm_config_cache="+filepath.Join(home, "npm"), "npm_config_audit=false", "npm_config_fund=false")
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(start).Seconds()
}

// open2 opens the directory anew with the machine's own upstreams.
func (b *bench) open2(t testing.TB) {
	t.Helper()
	up, err := gateway.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(gateway.Options{Dir: b.dir, Upstreams: up})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Close() })
	b.gw = gw
}

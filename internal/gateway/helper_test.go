package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/golang"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// bench is a gateway between real clients and upstreams in memory.
type bench struct {
	testing.TB
	go_ *upstreamtest.GoProxy
	npm *upstreamtest.Registry
	dir string
	gw  *gateway.Gateway
}

// The registry that npm is "built with" in these tests.
const builtin = "https://registry.example/"

func newBench(t testing.TB, g *upstreamtest.GoProxy, r *upstreamtest.Registry) *bench {
	t.Helper()
	b := &bench{TB: t, go_: g, npm: r, dir: filepath.Join(t.TempDir(), "gateway")}
	b.open()
	return b
}

// open starts a gateway on the bench's directory, as a new process would.
func (b *bench) open() {
	b.Helper()
	gw, err := gateway.New(gateway.Options{Dir: b.dir, Upstreams: b.upstreams(), Client: upstream.Options{
		Stall: 2 * time.Second, Pause: func(context.Context, int) bool { return true },
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = gw.Close() })
	b.gw = gw
}

func (b *bench) upstreams() gateway.Upstreams {
	return gateway.Upstreams{
		Go: func(context.Context) (golang.Config, error) {
			env := map[string]string{"GOPROXY": "off", "GOSUMDB": "off", "GOVERSION": runtime.Version(), "GOHOSTOS": runtime.GOOS, "GOHOSTARCH": runtime.GOARCH}
			if b.go_ != nil {
				env["GOPROXY"], env["GOSUMDB"] = b.go_.URL, b.go_.Key
			}
			return golang.FromEnv(env, golang.Netrc{})
		},
		Npm: func(context.Context, string) (npm.Config, error) {
			c := npm.Config{Default: site(b, builtin), Registry: site(b, "http://127.0.0.1:1")}
			if b.npm != nil {
				c.Registry = site(b, b.npm.URL)
			}
			return c, nil
		},
	}
}

func site(t testing.TB, raw string) upstream.Site {
	t.Helper()
	s, err := upstream.NewSite(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree writes files below a new directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// sources names what a tree holds, as detection would.
func sources(t testing.TB, dir string) pipeline.Gateway {
	t.Helper()
	has := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	var g pipeline.Gateway
	if has("go.mod") || has("go.work") {
		src := pipeline.GoSource{Dir: "."}
		if has("go.sum") {
			src.Lockfile = "go.sum"
		}
		g.Go = append(g.Go, src)
	}
	if has("package.json") {
		src := pipeline.NpmSource{Dir: "."}
		for _, l := range []string{"npm-shrinkwrap.json", "package-lock.json"} {
			if has(l) {
				src.Lockfile = l
			}
		}
		g.Npm = append(g.Npm, src)
	}
	return g
}

func (b *bench) plan(dir string) *gateway.AllowSet {
	b.Helper()
	set, err := b.gw.Plan(b.Context(), dir, sources(b, dir))
	if err != nil {
		b.Fatalf("plan: %v", err)
	}
	return set
}

// zone is a session that listens on loopback, and a home for clients.
type zone struct {
	*bench
	*gateway.Session
	port int
	home string
}

func (b *bench) zone(o gateway.SessionOptions) *zone {
	b.Helper()
	o.Run, o.Stage, o.Zone = "42", "fetch", boundary.Fetch
	s := b.gw.Session(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		_ = s.Close()
	})
	return &zone{bench: b, Session: s, port: l.Addr().(*net.TCPAddr).Port, home: b.TempDir()}
}

// run runs a client in dir with the environment that a zone has.
func (z *zone) run(dir string, args ...string) (string, error) {
	z.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		z.Skipf("not run: needs %s", args[0])
	}
	ctx, cancel := context.WithTimeout(z.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + z.home, "GOFLAGS=-modcacherw", "GOPATH=" + filepath.Join(z.home, "go"),
		"GOCACHE=" + filepath.Join(os.TempDir(), "sallyport-test-gocache"),
	}, z.Env(z.port)...)
	cmd.Env = append(cmd.Env, "npm_config_cache="+filepath.Join(z.home, "npm"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (z *zone) must(dir string, args ...string) string {
	z.Helper()
	out, err := z.run(dir, args...)
	if err != nil {
		z.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// lock makes a lockfile of packages, all directly wanted, that npm would write.
func lock(t testing.TB, entries map[string]map[string]any, wants map[string]string) string {
	t.Helper()
	all := map[string]any{"": map[string]any{"name": "app", "version": "1.0.0", "dependencies": wants}}
	for k, v := range entries {
		all[k] = v
	}
	b, err := json.MarshalIndent(map[string]any{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": all}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func manifest(t testing.TB, wants map[string]string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"name": "app", "version": "1.0.0", "dependencies": wants})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blobs lists the vault's files.
func blobs(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// flip changes one byte of a file in place.
func flip(t testing.TB, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("no %q in:\n%s", want, text)
	}
}

// get asks a session as a client would, without cleaning the path.
func get(t testing.TB, z *zone, path string) (int, string) {
	t.Helper()
	return do(t, z, "GET", path, "")
}

func do(t testing.TB, z *zone, method, path, body string) (int, string) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d", z.port), r)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(b)
}

type siteType = upstream.Site

// withNpm opens another gateway on the bench's directory.
func withNpm(t testing.TB, b *bench, c npm.Config) *gateway.Gateway {
	t.Helper()
	gw, err := gateway.New(gateway.Options{Dir: b.dir, Upstreams: gateway.Upstreams{
		Go: b.upstreams().Go, Npm: func(context.Context, string) (npm.Config, error) { return c, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Close() })
	return gw
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

package conductor

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/golang"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/store"
)

// builtInit is built once for all tests.
var builtInit = sync.OnceValues(sandboxtest.BuildInit)

// world is everything that a run needs, for real, in one state directory.
type world struct {
	testing.TB
	state   string
	proxy   *upstreamtest.GoProxy
	npm     *upstreamtest.Registry
	c       *Conductor
	release *promotions
	events  []Event
}

// promotions is a Releaser that keeps what it was given.
type promotions struct {
	mu   sync.Mutex
	got  []Release
	fail error
}

func (p *promotions) Release(_ context.Context, r Release) (*Promoted, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, r)
	return &Promoted{Layout: "layout"}, p.fail
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, state: t.TempDir(), release: &promotions{}}
	w.proxy = upstreamtest.NewGoProxy(t, upstreamtest.Module{Path: "mod.example/greet", Version: "v1.0.0", Files: map[string]string{
		"go.mod": "module mod.example/greet\n\ngo 1.20\n", "greet.go": "package greet\n\nfunc Hello() string { return \"hello\" }\n"}})
	w.npm = upstreamtest.NewRegistry(t, upstreamtest.Package{Name: "left", Version: "1.0.0"})
	w.open()
	return w
}

// open makes a conductor on the world's directory, as a new process would.
func (w *world) open() {
	w.Helper()
	code, err := builtInit()
	if err != nil {
		w.Fatalf("build the zone's init: %v", err)
	}
	sb, err := namespaces.New(namespaces.Options{Init: code, StateDir: w.state})
	must(w, err)
	w.Cleanup(func() { sb.Close() })
	uid, gid := sb.HostIDs()
	st, err := store.Open(filepath.Join(w.state, "store"), store.Owner{UID: uid, GID: gid})
	must(w, err)
	w.Cleanup(func() { st.Close() })
	gw, err := gateway.New(gateway.Options{Dir: filepath.Join(w.state, "gateway"), Upstreams: w.upstreams(),
		Client: upstream.Options{Stall: 2 * time.Second, Pause: func(context.Context, int) bool { return true }}})
	must(w, err)
	w.Cleanup(func() { gw.Close() })
	log, err := ledger.Open(filepath.Join(w.state, "ledger"), ledger.Options{Keys: filepath.Join(w.state, "keys")})
	must(w, err)
	w.Cleanup(func() { log.Close() })
	scanner, err := secrets.New(secrets.Options{Key: []byte("test")})
	must(w, err)
	policy, err := gate.LoadPolicy("default")
	must(w, err)
	w.c = &Conductor{Runs: filepath.Join(w.state, "runs"), Cache: filepath.Join(w.state, "cache"), Version: "test",
		Store: st, Sandbox: sb, Gateway: gw, Ledger: log, Scanner: scanner, Policy: policy, Release: w.release}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) upstreams() gateway.Upstreams {
	at := func(raw string) upstream.Site {
		s, err := upstream.NewSite(raw)
		must(w, err)
		return s
	}
	return gateway.Upstreams{
		Go: func(context.Context) (golang.Config, error) {
			return golang.FromEnv(map[string]string{"GOPROXY": w.proxy.URL, "GOSUMDB": w.proxy.Key,
				"GOVERSION": runtime.Version(), "GOHOSTOS": runtime.GOOS, "GOHOSTARCH": runtime.GOARCH}, golang.Netrc{})
		},
		Npm: func(context.Context, string) (npm.Config, error) {
			return npm.Config{Default: at("https://registry.example"), Registry: at(w.npm.URL)}, nil
		},
	}
}

// project makes a directory with files.
func (w *world) project(files map[string]string) string {
	w.Helper()
	dir := w.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := filepath.Join(dir, name)
		must(w, os.MkdirAll(filepath.Dir(p), 0o755))
		must(w, os.WriteFile(p, []byte(files[name]), 0o644))
	}
	return dir
}

// run runs a request at whatever level this host gives.
func (w *world) run(req Request) *Outcome {
	w.Helper()
	w.events = nil
	req.Require = sandbox.LevelReduced
	req.Events = func(e Event) { w.events = append(w.events, e) }
	out, err := w.c.Run(w.Context(), req)
	must(w, err)
	return out
}

// pass is run for a request that has to go through.
func (w *world) pass(req Request) *Outcome {
	w.Helper()
	out := w.run(req)
	if out.Failure != nil {
		w.Fatalf("run: %s %s\n%s", out.Failure.Code, out.Failure.Reason, strings.Join(out.Failure.Tail, "\n"))
	}
	return out
}

func (w *world) log(o *Outcome, stage string) string {
	w.Helper()
	b, err := os.ReadFile(o.LogPath(stage))
	must(w, err)
	return string(b)
}

func stageOf(t testing.TB, o *Outcome, name string) evidence.Stage {
	t.Helper()
	for _, s := range o.Run.Stages {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no stage %s in %+v", name, o.Run.Stages)
	return evidence.Stage{}
}

// goProject is a small Go program with one dependency.
func (w *world) goProject() map[string]string {
	return map[string]string{
		"go.mod":       "module shop.example/app\n\ngo 1.20\n\nrequire mod.example/greet v1.0.0\n",
		"go.sum":       w.proxy.GoSum("mod.example/greet@v1.0.0"),
		"main.go":      "package main\n\nimport \"mod.example/greet\"\n\nfunc main() { println(greet.Hello()) }\n",
		"main_test.go": "package main\n\nimport (\"testing\"; \"mod.example/greet\")\n\nfunc TestHello(t *testing.T) { if greet.Hello() != \"hello\" { t.Fail() } }\n",
		"sallyport.yaml": `version: 1
name: app
gateway:
  go: { lockfile: go.sum }
stages:
  fetch:
    run: [go mod download]
    keep: [$GOMODCACHE]
  build:
    from: [fetch]
    run: [go build -trimpath -o dist/app .]
    out: { app: dist/app }
  test:
    from: [build]
    run: [go test ./...]
  verify:
    from: [build, test]
    check: [{ rebuild: app }, secrets]
  release:
    from: [verify]
`,
	}
}

// shell is a project that builds by shell commands alone.
func shell(stages string) map[string]string {
	return map[string]string{"sallyport.yaml": "version: 1\nname: sh\nstages:\n" + stages}
}

// simple is a build stage that runs one command, and what follows it.
func simple(command string) map[string]string {
	return shell("  build:\n    run:\n      - |\n        " + strings.ReplaceAll(command, "\n", "\n        ") + "\n    out: { a: out }\n  verify: { from: [build], check: [secrets] }\n")
}

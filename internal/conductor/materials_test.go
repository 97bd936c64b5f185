package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// goFetch is a project whose fetch stage alone is Go.
func (w *world) goFetch() map[string]string {
	files := w.goProject()
	files["sallyport.yaml"] = `version: 1
name: app
gateway:
  go: { lockfile: go.sum }
stages:
  fetch:
    run: [go mod download]
    keep: [$GOMODCACHE]
  build:
    from: [fetch]
    run: [cp $GOMODCACHE/mod.example/greet@v1.0.0/greet.go out]
    out: { a: out }
  verify: { from: [build], check: [materials] }
`
	return files
}

func TestLockfileIsMade(t *testing.T) {
	w := newWorld(t)
	files := w.goFetch()
	delete(files, "go.sum")
	files["sallyport.yaml"] = strings.Replace(files["sallyport.yaml"], "{ lockfile: go.sum }", "{ dir: . }", 1)
	req := Request{Source: w.project(files)}
	out := w.pass(req)
	if !slices.Equal(out.Run.Unpinned, []string{"go.sum"}) {
		t.Errorf("unpinned %v", out.Run.Unpinned)
	}
	if !slices.ContainsFunc(out.Run.Planned, func(m evidence.Material) bool { return m.Pin == evidence.PinMade }) {
		t.Errorf("planned %+v", out.Run.Planned)
	}
	if out.Run.Source.Tree != stageOf(t, out, "lock").Inputs[0].Digest {
		t.Error("the source is not what came in")
	}
	again := w.pass(req)
	if !stageOf(t, again, "lock").Cached || !stageOf(t, again, "fetch").Cached {
		t.Error("within a day the lockfile was made again")
	}
	if !slices.EqualFunc(again.Run.Served, out.Run.Served, func(a, b evidence.Material) bool { return a.Digest == b.Digest }) {
		t.Errorf("served %+v, then %+v", out.Run.Served, again.Run.Served)
	}
}

// npmProject needs one package, and has a lockfile.
func (w *world) npmProject() map[string]string {
	lock := map[string]any{"name": "web", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": map[string]any{
		"":                  map[string]any{"name": "web", "version": "1.0.0", "dependencies": map[string]string{"left": "^1.0.0"}},
		"node_modules/left": map[string]any{"version": "1.0.0", "resolved": "https://registry.example/" + strings.TrimPrefix(upstreamtest.TarballPath("left", "1.0.0"), "/"), "integrity": w.npm.Integrity("left", "1.0.0")},
	}}
	b, err := json.Marshal(lock)
	must(w, err)
	return map[string]string{
		"package.json":      `{"name":"web","version":"1.0.0","dependencies":{"left":"^1.0.0"}}`,
		"package-lock.json": string(b),
		"sallyport.yaml": `version: 1
name: web
gateway:
  npm: { lockfile: package-lock.json }
stages:
  fetch: { run: [npm ci --ignore-scripts], keep: [node_modules] }
  build: { from: [fetch], run: ["node -p 'require(\"left\")' >out"], out: { a: out } }
  verify: { from: [build], check: [materials] }
`,
	}
}

func TestRunNpm(t *testing.T) {
	w := newWorld(t)
	out := w.pass(Request{Source: w.project(w.npmProject())})
	if len(out.Run.Served) != 1 || out.Run.Served[0].PURL != "pkg:npm/left@1.0.0" {
		t.Errorf("served %+v", out.Run.Served)
	}
	if got := w.log(out, "fetch"); !strings.Contains(got, "added 1 package") {
		t.Errorf("log %s", got)
	}
}

func TestNpmLockfileIsMade(t *testing.T) {
	w := newWorld(t)
	files := w.npmProject()
	delete(files, "package-lock.json")
	files["sallyport.yaml"] = strings.Replace(files["sallyport.yaml"], "{ lockfile: package-lock.json }", "{ dir: . }", 1)
	out := w.pass(Request{Source: w.project(files)})
	if !slices.Equal(out.Run.Unpinned, []string{"package-lock.json"}) {
		t.Errorf("unpinned %v", out.Run.Unpinned)
	}
}

func TestDetectedProject(t *testing.T) {
	w := newWorld(t)
	dir := w.project(map[string]string{"package.json": `{"name":"lib","version":"1.2.3"}`, "package-lock.json": `{"name":"lib","version":"1.2.3","lockfileVersion":3,"packages":{"":{"name":"lib","version":"1.2.3"}}}`, "index.js": "module.exports = 1\n"})
	out := w.pass(Request{Source: dir})
	if !out.Run.Detected || out.Run.Project == "" || len(out.Run.Artifacts) == 0 {
		t.Errorf("project %q, artifacts %+v", out.Run.Project, out.Run.Artifacts)
	}
	if !slices.ContainsFunc(w.events, func(e Event) bool { return e.Kind == Note }) {
		t.Error("nothing was said about what was found")
	}
}

func TestNoProject(t *testing.T) {
	w := newWorld(t)
	out := w.run(Request{Source: w.project(map[string]string{"README": "x"})})
	if out.Result != Failed || !strings.HasPrefix(string(out.Failure.Code), "E-") || out.Failure.Code == CodeInternal {
		t.Errorf("got %+v", out.Failure)
	}
	w.leftNothing()
}

func TestBadMaterials(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(w *world, files map[string]string)
		code  Code
		retry bool
	}{
		"checksum": {func(w *world, _ map[string]string) {
			w.proxy.Replace("mod.example/greet@v1.0.0", upstreamtest.Zip(t, "mod.example/greet@v1.0.0/", map[string]string{"go.mod": "module mod.example/greet\n", "x.go": "package evil"}))
		}, "E-GW-CHECKSUM", false},
		"upstream down": {func(w *world, _ map[string]string) {
			w.proxy.Tamper(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(502); return true })
		}, "E-GW-UPSTREAM-DOWN", true},
		"lockfile disagrees": {func(_ *world, files map[string]string) {
			files["go.mod"] = strings.Replace(files["go.mod"], "v1.0.0", "v1.0.1", 1)
		}, "E-GW-LOCKFILE", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			files := w.goFetch()
			c.harm(w, files)
			out := w.run(Request{Source: w.project(files)})
			if out.Result != Failed || out.Failure.Code != c.code || out.Failure.Retry != c.retry {
				t.Errorf("got %+v", out.Failure)
			}
			w.leftNothing()
		})
	}
}

func TestDenialsExplainThemselves(t *testing.T) {
	w := newWorld(t)
	files := w.goFetch()
	files["sallyport.yaml"] = strings.Replace(files["sallyport.yaml"], "go mod download]", "go mod download, go mod download evil.example/x@v1.0.0]", 1)
	out := w.run(Request{Source: w.project(files)})
	if len(out.Run.Denials) == 0 {
		t.Fatalf("no denial: %+v", out.Failure)
	}
	d := out.Run.Denials[0]
	if d.ID != "D-"+out.Run.ID+"-1" || d.Class != "package" || !strings.HasPrefix(d.Verdict, "likely the cause") || d.Do == "" {
		t.Errorf("denial %+v", d)
	}
	if w.proxy.AskedAbout("evil.example") > 0 {
		t.Error("an upstream was asked for what no lockfile names")
	}
	if !slices.ContainsFunc(w.entries(), func(e ledger.Entry) bool { return e.Type == ledger.Denial && e.Facts["id"] == d.ID }) {
		t.Error("the ledger does not hold it")
	}
}

func TestBlockedConnectionsAreDenials(t *testing.T) {
	w := newWorld(t)
	out := w.run(Request{Source: w.project(shell(`  build: { run: [echo x >out], out: { a: out } }
  test: { from: [build], run: ["python3 -c 'import socket; socket.create_connection((\"192.0.2.7\", 443), 2)'"] }
  verify: { from: [build, test], check: [tests] }
`))})
	if out.Failure == nil || len(out.Run.Denials) == 0 {
		t.Fatalf("failure %+v, denials %+v", out.Failure, out.Run.Denials)
	}
	d := out.Run.Denials[0]
	if d.Class != "net" || !strings.Contains(d.Target, "192.0.2.7") || d.Rule != boundary.SP3 || !strings.HasPrefix(d.Verdict, "likely") || !strings.Contains(d.Do, "--without test") || !strings.HasPrefix(d.Where, "sallyport.yaml:") {
		t.Errorf("denial %+v", d)
	}
}

func TestPolicyRefuses(t *testing.T) {
	w := newWorld(t)
	var err error
	w.c.Policy, err = gate.LoadPolicy("strict")
	must(t, err)
	out := w.run(Request{Source: w.project(shell(`  build: { run: [hostname >out], out: { a: out } }
  verify: { from: [build], check: [{ rebuild: a }] }
  release: { from: [verify] }
`))})
	if out.Result != Refused || out.Failure.Code != CodePolicy || out.Run.State != evidence.Refused || len(out.Decisions[0].Denied) == 0 || len(w.release.got) > 0 {
		t.Errorf("result %s, %+v, decisions %+v", out.Result, out.Failure, out.Decisions)
	}
}

func TestReleaseConditions(t *testing.T) {
	w := newWorld(t)
	const head = "  build: { run: [echo x >out], out: { a: out } }\n  verify: { from: [build], check: [secrets] }\n"
	for stage, want := range map[string]Result{
		"  release: { from: [verify] }\n":                                                      Released,
		"  release: { from: [verify], when: { tag: \"v*\" } }\n":                               Verified,
		"  release: { from: [verify], approve: { by: [team], count: 2 } }\n":                   Pending,
		"  release: { from: [verify], when: { branch: \"\" } }\n":                              Released,
		"  one: { zone: release, from: [verify] }\n  two: { zone: release, from: [verify] }\n": Released,
	} {
		w.release.got = nil
		out := w.run(Request{Source: w.project(shell(head + stage))})
		if out.Failure != nil && strings.Contains(stage, `branch: ""`) {
			continue // the file itself is refused
		}
		if out.Result != want || (len(w.release.got) > 0) != (want == Released) {
			t.Errorf("%s: %s, %+v", stage, out.Result, out.Failure)
		}
	}
	for _, r := range w.release.got {
		if sum, err := r.Run.Digest(); err != nil || len(r.Verdicts) != 1 || r.Verdicts[0].Evidence() != sum {
			t.Errorf("released with evidence %s, verdicts %v, %v", sum, r.Verdicts, err)
		}
	}
}

func TestReleaserFails(t *testing.T) {
	w := newWorld(t)
	w.release.fail = errors.New("no key")
	out := w.run(Request{Source: w.project(shell("  build: { run: [echo x >out], out: { a: out } }\n  verify: { from: [build], check: [secrets] }\n  release: { from: [verify] }\n"))})
	if out.Result != Failed || !strings.Contains(out.Failure.Reason, "no key") || out.Run.State != evidence.Failed {
		t.Errorf("result %s, %+v, state %s", out.Result, out.Failure, out.Run.State)
	}
}

// mute is a ledger that cannot be written.
type mute struct{}

func (mute) AppendAsync(ledger.Entry) error { return errors.New("no disk") }
func (mute) Flush(context.Context) error    { return nil }

func TestNothingPassesWithoutTheLedger(t *testing.T) {
	w := newWorld(t)
	w.c.Ledger = mute{}
	out := w.run(Request{Source: w.project(simple("echo x >out"))})
	if out.Result != Failed || len(out.Decisions) > 0 || !strings.Contains(out.Failure.Reason, "ledger") {
		t.Errorf("result %s, %+v", out.Result, out.Failure)
	}
}

func TestFailuresHaveCodes(t *testing.T) {
	r := &run{}
	for code, err := range map[Code]error{
		CodeCrossing:    &crossed{[]boundary.Crossing{{Rule: boundary.SP1, Text: "x", Path: []boundary.Step{{Node: "build", Text: "runs code"}}}}},
		CodePolicy:      &denied{[]string{"a"}},
		CodeNotIsolated: &sandbox.NotIsolated{Wanted: "full", Got: "reduced"},
	} {
		if f := r.failure(t.Context(), err); f.Code != code || f.Result != Refused || f.Reason == "" {
			t.Errorf("%s: %+v", code, f)
		}
	}
	if f := r.failure(t.Context(), errors.New("x")); f.Code != CodeInternal || f.Result != Failed {
		t.Errorf("%+v", f)
	}
}

func TestGitSource(t *testing.T) {
	w := newWorld(t)
	out := w.run(Request{Source: w.project(map[string]string{"a": "b"}), Ref: "v1"})
	if out.Failure == nil || out.Failure.Code != "E-SOURCE-NOT-GIT" {
		t.Errorf("%+v", out.Failure)
	}
	if out, err := Load(w.c.Runs, filepath.Base(out.Dir)); err != nil || out.Failure.Code != "E-SOURCE-NOT-GIT" {
		t.Errorf("read back %+v, %v", out, err)
	}
}

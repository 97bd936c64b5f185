package conductor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/store"
)

func TestStagesThatMisbehave(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, command string
		code          Code
		says          string
		limits        sandbox.Limits
	}{
		{name: "fails", command: "echo before; exit 3", code: CodeStage, says: "exited with 3"},
		{name: "hangs", command: "sleep 1000", code: CodeLimit, says: "time", limits: sandbox.Limits{Time: time.Second}},
		{name: "prints without end", command: "yes", code: CodeLimit, says: "output", limits: sandbox.Limits{Output: 1 << 20}},
		{name: "forks without end",
			command: "f() { f | f & }; f; wait; exit 1", code: CodeLimit, says: "pids", limits: sandbox.Limits{PIDs: 64, Time: time.Minute}},
		{name: "leaves a socket", command: "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'", code: CodeOutput, says: "socket"},
		{name: "leaves a pipe", command: "mkfifo out", code: CodeOutput, says: "pipe"},
		{name: "leaves a device", command: "mknod out c 1 3", code: CodeStage, says: "exited"},
		{name: "leaves a link out", command: "mkdir out; ln -s /etc/passwd out/x", code: CodeOutput, says: "link out of the tree"},
		{name: "is a link", command: "echo x >real; ln -s real out", code: CodeOutput, says: "not a link"},
		{name: "leaves 4 GB", command: "truncate -s 3G out", code: CodeOutput, says: "bytes"},
		{name: "leaves a newline in a name", command: "mkdir out; touch \"$(printf 'out/a\\nb')\"", code: CodeOutput, says: "newline"},
		{name: "makes nothing", command: "true", code: CodeNoOutput, says: "did not make out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.TB = t
			out := w.run(Request{Source: w.project(simple(c.command)), Limits: c.limits})
			if out.Result != Failed || out.Failure.Code != c.code || !strings.Contains(out.Failure.Reason, c.says) || out.Failure.Stage != "build" {
				t.Errorf("got %s: %+v", out.Result, out.Failure)
			}
			if s := stageOf(t, out, "build"); s.State != evidence.Failed || s.Receipt == nil {
				t.Errorf("stage: %+v", s)
			}
			if len(out.Decisions) > 0 || len(w.release.got) > 0 {
				t.Error("a failed run came to a verdict")
			}
			w.leftNothing()
		})
	}
}

// leftNothing fails when unfinished work lies in the store.
func (w *world) leftNothing() {
	w.Helper()
	left, err := filepath.Glob(filepath.Join(w.c.Store.Dir(), "work", "*", "[0-9]*"))
	must(w, err)
	if len(left) > 0 {
		w.Errorf("left behind: %v", left)
	}
}

func TestFailedStageIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	req := Request{Source: w.project(simple("exit 1"))}
	w.run(req)
	if out := w.run(req); stageOf(t, out, "build").Cached || out.Result != Failed {
		t.Errorf("second run: %+v", out.Failure)
	}
}

func TestMemoryKnowsItsInputs(t *testing.T) {
	w := newWorld(t)
	files := simple("cat in >out")
	files["in"] = "1"
	dir := w.project(files)
	build := func() evidence.Stage { t.Helper(); return stageOf(t, w.pass(Request{Source: dir}), "build") }
	if build().Cached || !build().Cached {
		t.Fatal("the first run is new, the second is not")
	}
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("2"), 0o644))
	if build().Cached {
		t.Error("another source was not noticed")
	}
	must(t, os.WriteFile(filepath.Join(dir, "sallyport.yaml"), []byte(strings.Replace(files["sallyport.yaml"], "cat in", "cat  in", 1)), 0o644))
	if build().Cached {
		t.Error("another command was not noticed")
	}
	w.c.Version = "other"
	if build().Cached {
		t.Error("another version of the sandbox was not noticed")
	}
}

func TestTamperedStoreIsRefused(t *testing.T) {
	w := newWorld(t)
	req := Request{Source: w.project(shell(`  generate: { run: [mkdir gen, echo hi >gen/x], keep: [gen] }
  build: { from: [generate], run: [cat gen/x >out], out: { a: out } }
  verify: { from: [build], check: [secrets] }
`))}
	out := w.pass(req)
	layer := stageOf(t, out, "generate").Outputs[0].Digest
	must(t, os.WriteFile(filepath.Join(w.c.Store.TreePath(layer), "src/gen/x"), []byte("EVIL"), 0o644))
	w.open() // what one process has checked it does not check again
	out = w.run(req)
	if out.Result != Failed || out.Failure.Code != CodeTampered {
		t.Fatalf("got %+v", out.Failure)
	}
	if !slices.ContainsFunc(w.entries(), func(e ledger.Entry) bool { return e.Type == ledger.Alarm }) {
		t.Error("the ledger holds no alarm")
	}
	if out = w.pass(req); stageOf(t, out, "generate").Cached {
		t.Error("the changed tree is still used")
	}
}

// entries reads the ledger.
func (w *world) entries() []ledger.Entry {
	w.Helper()
	must(w, w.c.Ledger.Flush(w.Context()))
	l := w.c.Ledger.(*ledger.Log)
	must(w, l.Close())
	r, err := ledger.Open(filepath.Join(w.state, "ledger"), ledger.Options{Keys: filepath.Join(w.state, "keys")})
	must(w, err)
	w.Cleanup(func() { r.Close() })
	w.c.Ledger = r
	var out []ledger.Entry
	must(w, readAll(w.Context(), r, &out))
	return out
}

func TestEveryCrossingIsLogged(t *testing.T) {
	w := newWorld(t)
	w.pass(Request{Source: w.project(simple("echo x >out"))})
	begun := map[string]int{}
	types := map[ledger.Type]int{}
	for _, e := range w.entries() {
		types[e.Type]++
		switch e.Type {
		case ledger.IdentityBegun:
			begun[e.Identity]++
		case ledger.IdentityEnded:
			begun[e.Identity]--
		}
	}
	for id, n := range begun {
		if n != 0 || !strings.HasPrefix(id, "spiffe://sallyport.local/sh/") {
			t.Errorf("identity %s: %d more begun than ended", id, n)
		}
	}
	for _, want := range []ledger.Type{ledger.Plan, ledger.IdentityBegun, ledger.IdentityEnded, ledger.Receipt, ledger.Verdict} {
		if types[want] == 0 {
			t.Errorf("no entry of type %s in %v", want, types)
		}
	}
}

func TestNothingOfTheControllersIsInside(t *testing.T) {
	t.Setenv("CI_DEPLOY_TOKEN", "value-of-the-token")
	w := newWorld(t)
	out := w.pass(Request{Source: w.project(simple("env >out; cat out")), NoHoney: true})
	text := w.log(out, "build")
	if strings.Contains(text, "value-of-the-token") || strings.Contains(text, w.state) {
		t.Errorf("the environment holds what is the controller's:\n%s", text)
	}
}

func TestTestStageCannotChangeAnArtifact(t *testing.T) {
	w := newWorld(t)
	out := w.pass(Request{Source: w.project(shell(`  build: { run: [echo good >out], out: { a: out } }
  test:
    from: [build]
    run:
      - echo evil >out
      - mkdir reports
      - echo '<testsuite tests="9"><testcase name="a"/><testcase name="b"/></testsuite>' >reports/r.xml
    reports: { junit: "reports/*.xml" }
  verify: { from: [build, test], check: [secrets] }
`))})
	f, err := w.c.Store.OpenBlob(out.Run.Artifacts[0].Digest)
	must(t, err)
	defer f.Close()
	b := make([]byte, 10)
	if n, _ := f.Read(b); string(b[:n]) != "good\n" {
		t.Errorf("artifact is %q", b[:n])
	}
	if out.Run.Tests.Total != 2 || !out.Run.Tests.Passed {
		t.Errorf("tests %+v", out.Run.Tests)
	}
}

func TestStagesRunAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	// Each waits for what only the other's being there can bring: both have to
	// start before either ends. They share nothing, so the wait is on the clock.
	out := w.pass(Request{Source: w.project(shell(`  one: { zone: build, run: [sleep 1, echo 1 >one], out: { one: one } }
  two: { zone: build, run: [sleep 1, echo 2 >two], out: { two: two } }
  verify: { from: [one, two], check: [secrets] }
`))})
	one, two := stageOf(t, out, "one"), stageOf(t, out, "two")
	if one.Started.After(two.Ended) || two.Started.After(one.Ended) {
		t.Errorf("one %v to %v, two %v to %v", one.Started, one.Ended, two.Started, two.Ended)
	}
}

func TestSecretInAnOutputRefuses(t *testing.T) {
	w := newWorld(t)
	key := "AKIA" + "Z7QK4N2M9XWLVT5R"
	out := w.run(Request{Source: w.project(simple("printf 'aws_access_key_id = AKI%s\\n' AZ7QK4N2M9XWLVT5R >out"))})
	if out.Result != Refused || out.Failure.Code != CodePolicy || len(out.Run.Secrets) == 0 {
		t.Errorf("got %s, %+v, findings %+v", out.Result, out.Failure, out.Run.Secrets)
	}
	for _, name := range []string{"run.json", "outcome.json"} {
		if b, _ := os.ReadFile(filepath.Join(out.Dir, name)); strings.Contains(string(b), key) {
			t.Errorf("%s holds the secret", name)
		}
	}
}

func TestSecretThatTheSourceHasIsKnown(t *testing.T) {
	w := newWorld(t)
	files := simple("cp example out")
	files["example"] = "aws_access_key_id = AKIA" + "Z7QK4N2M9XWLVT5R\n"
	out := w.pass(Request{Source: w.project(files)})
	if len(out.Run.Secrets) != 0 || len(out.Run.SecretsKnown) == 0 {
		t.Errorf("findings %+v, known %+v", out.Run.Secrets, out.Run.SecretsKnown)
	}
}

func TestRebuildNamesWhatDiffers(t *testing.T) {
	w := newWorld(t)
	out := w.pass(Request{Source: w.project(shell(`  build:
    run: [mkdir out, hostname >out/host, echo same >out/same]
    out: { a: out }
  verify: { from: [build], check: [{ rebuild: a }] }
`))})
	b := out.Run.Rebuilds[0]
	if b.Identical || !slices.Equal(b.Differs, []string{"host"}) || b.Error != "" {
		t.Errorf("rebuild %+v", b)
	}
}

func TestWithout(t *testing.T) {
	w := newWorld(t)
	files := shell(`  build: { run: [echo x >out], out: { a: out } }
  test: { from: [build], run: [exit 1] }
  verify: { from: [test], check: [secrets] }
`)
	dir := w.project(files)
	out := w.pass(Request{Source: dir, Without: []string{"test"}})
	if !slices.Equal(out.Run.Without, []string{"test"}) || out.Run.Tests != nil || len(out.Decisions) != 1 {
		t.Errorf("without %v, tests %v, decisions %v", out.Run.Without, out.Run.Tests, out.Decisions)
	}
	for _, bad := range []string{"nope", "verify"} {
		if out := w.run(Request{Source: dir, Without: []string{bad}}); out.Failure == nil || out.Failure.Code != CodeWithout {
			t.Errorf("without %s: %+v", bad, out.Failure)
		}
	}
}

func TestBadSources(t *testing.T) {
	w := newWorld(t)
	for code, req := range map[Code]Request{
		"E-SOURCE-MISSING":       {Source: filepath.Join(w.state, "nowhere")},
		"E-SOURCE-NOT-DIRECTORY": {Source: os.Args[0]},
		"E-SOURCE-NOT-GIT":       {Source: t.TempDir(), Ref: "v1"},
		"E-SOURCE-KIND":          {Source: "https://host.example/x"},
	} {
		if out := w.run(req); out.Result != Failed || out.Failure.Code != code {
			t.Errorf("%+v: %+v", req, out.Failure)
		}
		w.leftNothing()
	}
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := Request{Source: w.project(simple("echo started; sleep 1000")), Require: sandbox.LevelReduced, Events: func(e Event) {
		if e.Kind == StageLine && e.Text == "started" {
			cancel()
		}
	}}
	out, err := w.c.Run(ctx, req)
	must(t, err)
	if out.Result != Failed || out.Failure.Code != CodeInterrupted || out.Run.State != evidence.Failed {
		t.Errorf("got %+v, state %s", out.Failure, out.Run.State)
	}
	if s := stageOf(t, out, "build"); s.State != evidence.Failed {
		t.Errorf("stage %+v", s)
	}
	w.leftNothing()
}

func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	small := filepath.Join(w.state, "small")
	must(t, os.Mkdir(small, 0o700))
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("not run: needs the right to mount: ", err)
	}
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	uid, gid := hostIDs(w)
	st, err := store.Open(filepath.Join(small, "store"), store.Owner{UID: uid, GID: gid})
	must(t, err)
	t.Cleanup(func() { st.Close() })
	w.c.Store = st
	out := w.run(Request{Source: w.project(simple("head -c 8000000 /dev/zero >out"))})
	if out.Result != Failed || out.Failure.Code != CodeDiskFull || !out.Failure.Retry {
		t.Errorf("got %+v", out.Failure)
	}
	w.leftNothing()
}

func TestTooWeakIsRefused(t *testing.T) {
	w := newWorld(t)
	w.c.Sandbox = weak{w.c.Sandbox}
	_, err := w.c.Run(t.Context(), Request{Source: "."})
	if n, ok := errors.AsType[*sandbox.NotIsolated](err); !ok || n.Got != sandbox.LevelReduced {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(w.c.Runs); len(left) > 0 {
		t.Error("a run began")
	}
}

type weak struct{ sandbox.Sandbox }

func (weak) Level(context.Context) sandbox.Level { return sandbox.Level{Name: sandbox.LevelReduced} }

func TestRecordReadsBack(t *testing.T) {
	w := newWorld(t)
	out := w.pass(Request{Source: w.project(simple("echo x >out"))})
	back, err := Load(w.c.Runs, out.Run.ID)
	must(t, err)
	if back.Result != out.Result || len(back.Decisions) != 1 || back.Run.State != evidence.Success {
		t.Errorf("read back %+v", back)
	}
	sealed, err := os.ReadFile(filepath.Join(out.Dir, "evidence.json"))
	must(t, err)
	var run evidence.Run
	must(t, json.Unmarshal(sealed, &run))
	if run.State != evidence.Success || len(run.Artifacts) != 1 {
		t.Errorf("sealed %+v", run)
	}
	all, err := List(w.c.Runs, 1)
	must(t, err)
	if len(all) != 1 || all[0].Run.ID != out.Run.ID {
		t.Errorf("list %v", all)
	}
	if _, err := Load(w.c.Runs, "99"); !errors.Is(err, errNoRecord) {
		t.Errorf("no such run: %v", err)
	}
	if _, err := Load(w.c.Runs, "../1"); !errors.Is(err, errNoRecord) {
		t.Errorf("not a number: %v", err)
	}
}

func hostIDs(w *world) (int, int) {
	return w.c.Sandbox.(interface{ HostIDs() (int, int) }).HostIDs()
}

func readAll(ctx context.Context, l *ledger.Log, out *[]ledger.Entry) error {
	for r, err := range l.Entries(ctx, ledger.Filter{}) {
		if err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
		if r.Entry != nil {
			*out = append(*out, *r.Entry)
		}
	}
	return nil
}

func TestRemovalsAreHandedOn(t *testing.T) {
	w := newWorld(t)
	files := shell(`  fetch: { run: [mkdir -p dep/a dep/b, echo 1 >dep/a/x, echo 1 >dep/b/y, echo 1 >dep/z], keep: [dep] }
  generate: { from: [fetch], run: [rm -r dep/a dep/z, mkdir dep/a, echo 2 >dep/a/new, chmod 555 dep/a], keep: [dep] }
  build: { from: [generate], run: [find dep -type f | sort >out, cat out], out: { a: out, all: dep } }
  verify: { from: [build], check: [{ rebuild: all }] }
`)
	out := w.pass(Request{Source: w.project(files)})
	if got := w.log(out, "build"); !strings.Contains(got, "\ndep/a/new\ndep/b/y\n") || strings.Contains(got, "dep/a/x") || strings.Contains(got, "dep/z") {
		t.Errorf("build sees %s", got)
	}
	if !out.Run.Rebuilds[0].Identical {
		t.Errorf("rebuild %+v", out.Run.Rebuilds)
	}
	again := w.pass(Request{Source: w.project(files), NoCache: true})
	for i, a := range again.Run.Artifacts {
		if a.Digest != out.Run.Artifacts[i].Digest {
			t.Errorf("artifact %s is %s, then %s", a.Name, out.Run.Artifacts[i].Digest, a.Digest)
		}
	}
}

// dirty is a sandbox in whose zones something worked that should not.
type dirty struct{ sandbox.Sandbox }

type dirtyProcess struct{ sandbox.Process }

func (d dirty) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Process, error) {
	p, err := d.Sandbox.Start(ctx, spec)
	return dirtyProcess{p}, err
}

func (d dirtyProcess) Receipt() evidence.Receipt {
	r := d.Process.Receipt()
	r.Probes = append(slices.Clone(r.Probes), evidence.Probe{Name: "net.tcp.public", Wanted: "denied", Got: "connected"})
	return r
}

func TestUncleanReceiptStopsTheRun(t *testing.T) {
	w := newWorld(t)
	w.c.Sandbox = dirty{w.c.Sandbox}
	req := Request{Source: w.project(simple("echo x >out"))}
	for range 2 { // nor is it remembered
		if out := w.run(req); out.Result != Refused || out.Failure.Code != CodeNotIsolated || len(out.Decisions) > 0 {
			t.Errorf("result %s, %+v", out.Result, out.Failure)
		}
	}
}

func TestSourceArtifactIsTheSource(t *testing.T) {
	w := newWorld(t)
	files := shell("  build: { run: [echo evil >in, echo more >new], keep: [new], out: { source: . } }\n  verify: { from: [build], check: [secrets] }\n")
	files["in"] = "good"
	out := w.pass(Request{Source: w.project(files)})
	f, err := w.c.Store.OpenBlob(out.Run.Artifacts[0].Digest)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	if !bytes.Contains(b, []byte("good")) || bytes.Contains(b, []byte("evil\n")) || bytes.Contains(b, []byte("more\n")) {
		t.Error("a stage changed the archive of the source")
	}
}

func TestCanaryIsNeverExcused(t *testing.T) {
	w := newWorld(t)
	const canary = "canary-0123456789-value"
	scanner, err := secrets.New(secrets.Options{Key: []byte("k"), Values: []secrets.Value{{Rule: "canary:env", Secret: []byte(canary)}}})
	must(t, err)
	w.c.Scanner = scanner
	files := simple("cp in out")
	files["in"] = canary
	if out := w.run(Request{Source: w.project(files)}); out.Result != Refused || len(out.Run.Secrets) == 0 {
		t.Errorf("result %s, findings %+v, known %+v", out.Result, out.Run.Secrets, out.Run.SecretsKnown)
	}
}

package conductor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

// childState and childSource make a test process a controller that runs once.
const (
	childState  = "SALLYPORT_TEST_STATE"
	childSource = "SALLYPORT_TEST_SOURCE"
)

// TestMain is a controller when it is told to be one, to be killed.
func TestMain(m *testing.M) {
	if os.Getenv(childState) == "" {
		os.Exit(m.Run())
	}
	os.Exit(child())
}

// stub is the part of testing.TB that a world needs outside a test.
type stub struct {
	testing.TB
	cleanups []func()
}

func (s *stub) Helper()                        {}
func (s *stub) Cleanup(f func())               { s.cleanups = append(s.cleanups, f) }
func (s *stub) Context() context.Context       { return context.Background() }
func (s *stub) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (s *stub) Fatal(a ...any)                 { panic(fmt.Sprint(a...)) }

func child() int {
	s := &stub{}
	w := &world{TB: s, state: os.Getenv(childState), release: &promotions{}}
	w.open()
	out, err := w.c.Run(context.Background(), Request{Source: os.Getenv(childSource), Require: sandbox.LevelReduced})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if out.Result != Released {
		fmt.Fprintln(os.Stderr, out.Failure.Reason)
		return 3
	}
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	return 0
}

// killable has a mark in its environment by which its processes are found.
const killable = `  generate: { run: [sleep 0.1, mkdir gen, "for i in $(seq 300); do echo $i >gen/$i; done"], keep: [gen] }
  build: { from: [generate], run: [sleep 0.1, cat gen/* >out], out: { a: out } }
  test: { from: [build], run: [sleep 0.1, test -s out] }
  verify: { from: [build, test], check: [{ rebuild: a }, secrets] }
  release: { from: [verify] }
`

func TestKilledAtManyMoments(t *testing.T) {
	w := newWorld(t)
	code, err := builtInit()
	must(t, err)
	init := filepath.Join(t.TempDir(), "zoneinit")
	must(t, os.WriteFile(init, code, 0o755))
	state, source := t.TempDir(), w.project(shell(killable))
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childState+"="+state, childSource+"="+source, sandboxtest.InitFile+"="+init)
		cmd.Stderr = os.Stderr
		must(t, cmd.Start())
		return cmd
	}
	for i := range 14 {
		cmd := start()
		time.Sleep(time.Duration(i) * 70 * time.Millisecond) // the moment is what is tried, not a wait for something
		must(t, cmd.Process.Kill())
		cmd.Wait()
		noZones(t, state)
	}
	if err := start().Wait(); err != nil {
		t.Fatalf("after all kills: %v", err)
	}
	all, err := List(filepath.Join(state, "runs"), 0)
	must(t, err)
	for _, o := range all {
		done := o.Result == Released && o.Run.State == evidence.Success
		failed := o.Result == Failed && o.Run.State == evidence.Failed && o.Failure.Code == CodeInterrupted
		if !done && !failed {
			t.Errorf("run %s: result %q, state %q", o.Run.ID, o.Result, o.Run.State)
		}
	}
	if all[0].Result != Released {
		t.Errorf("the last run: %s", all[0].Result)
	}
	left, _ := filepath.Glob(filepath.Join(state, "store/work/[0-9a-f]*"))
	if len(left) > 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// noZones waits until no process of a dead controller's zones is there: the
// kernel ends them with it, which takes it a moment.
func noZones(t *testing.T, state string) {
	t.Helper()
	for range 200 {
		if !zones(state) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a zone outlives its controller")
}

// zones tells whether a process has a mount of the state directory, which only
// its zones have.
func zones(state string) bool {
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, p := range tables {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), filepath.Base(filepath.Dir(state))+"/"+filepath.Base(state)) {
			return true
		}
	}
	return false
}

func TestRecoverLeavesTheLivingAlone(t *testing.T) {
	runs := t.TempDir()
	alive, err := newRecord(runs, time.Now())
	must(t, err)
	judged, err := newRecord(runs, time.Now())
	must(t, err)
	judged.update(func(e *evidence.Run) { e.State = evidence.Success })
	judged.lock.Close()
	dead, err := newRecord(runs, time.Now())
	must(t, err)
	dead.update(func(e *evidence.Run) { e.Stages = []evidence.Stage{{Name: "build", State: evidence.Running}} })
	dead.lock.Close()
	must(t, Recover(runs))
	if o, _ := Load(runs, alive.run.ID); o.Run.State != evidence.Running {
		t.Errorf("the living run: %s", o.Run.State)
	}
	if o, _ := Load(runs, judged.run.ID); o.Run.State != evidence.Failed || o.Result != Failed {
		t.Errorf("the run that died after its verdict: %s, %s", o.Run.State, o.Result)
	}
	o, err := Load(runs, dead.run.ID)
	must(t, err)
	if o.Run.State != evidence.Failed || o.Run.Stages[0].State != evidence.Failed || o.Failure.Code != CodeInterrupted {
		t.Errorf("the dead run: %+v, %+v", o.Run, o.Failure)
	}
}

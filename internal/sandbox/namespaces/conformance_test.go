package namespaces

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// TestConformance runs the suite as whoever runs the tests.
func TestConformance(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) sandbox.Sandbox { return fresh(t, false) })
}

// TestConformancePrepared runs it with zones that are kept prepared.
func TestConformancePrepared(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) sandbox.Sandbox { return fresh(t, true) })
}

// fresh gives a sandbox that the suite closes.
func fresh(t *testing.T, prepare bool) *Sandbox {
	t.Helper()
	s, err := New(Options{Init: testInit(t), StateDir: t.TempDir(), Prepare: prepare})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rootless is the user under whom tests run again when they run as root.
const rootless = 2000

// TestConformanceRootless runs the suite, and this package's own tests, as an
// ordinary user without any privilege.
func TestConformanceRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root to become somebody else; TestConformance is rootless already")
	}
	asOrdinaryUser(t, "^(TestConformance|TestZone.*)$", nil)
}

// TestConformanceDelegated is an ordinary user who was given control groups, as
// systemd gives them: nothing is then missing for the full level.
func TestConformanceDelegated(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root to delegate control groups")
	}
	own := locateCgroups()
	if len(own.v1) == 0 {
		t.Skip("not run: needs control groups of version 1")
	}
	var given []string
	t.Cleanup(func() {
		for _, dir := range given {
			inner, _ := filepath.Glob(dir + "/sallyport-*") // of the controller that was killed
			for _, d := range append(inner, dir) {
				_ = os.Remove(d)
			}
		}
	})
	for _, dir := range mapValues(own.v1) {
		dir = filepath.Join(dir, "delegated-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		given = append(given, dir)
		for _, name := range []string{"", "tasks", "cgroup.procs"} {
			if err := os.Chown(filepath.Join(dir, name), rootless, rootless); err != nil {
				t.Fatal(err)
			}
		}
	}
	asOrdinaryUser(t, "^(TestConformance|TestZoneIsFull)$", given)
}

// TestZoneIsFull holds where a host gives everything.
func TestZoneIsFull(t *testing.T) {
	s := newSandbox(t, nil)
	if level := s.Level(t.Context()); level.Name != sandbox.LevelFull {
		t.Skipf("not run: needs a host that lacks nothing: %v", level.Missing)
	}
	spec := script("exit 0")
	spec.Require = sandbox.LevelFull
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := p.Wait(); err != nil || r.ExitCode != 0 || p.Receipt().Level != sandbox.LevelFull {
		t.Errorf("level %s: %+v %v", p.Receipt().Level, r, err)
	}
}

// asOrdinaryUser runs tests of this binary again under another user, in groups
// that are given.
func asOrdinaryUser(t *testing.T, tests string, groups []string) {
	t.Helper()
	code := filepath.Join(t.TempDir(), "zoneinit")
	if err := os.WriteFile(code, testInit(t), 0o600); err != nil {
		t.Fatal(err)
	}
	sandboxtest.AsOrdinaryUser(t, tests, groups, map[string]string{sandboxtest.InitFile: code})
}

package oci

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// initFile names a built init for a test process that cannot build one.
const initFile = "SALLYPORT_TEST_INIT"

var builtInit = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sallyport-init-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "zoneinit")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", name, "github.com/sallyport/sallyport/cmd/zoneinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return name, cmd.Run()
})

func testInit(t *testing.T) string {
	t.Helper()
	if name := os.Getenv(initFile); name != "" {
		return name
	}
	name, err := builtInit()
	if err != nil {
		t.Fatalf("build the zone's init: %v", err)
	}
	return name
}

// each runs a test with every runtime that is there. Which those are is
// scripts/deps' business.
func each(t *testing.T, test func(t *testing.T, c *namespaces.Container)) {
	for _, r := range Runtimes() {
		t.Run(r.Name, func(t *testing.T) {
			c, err := Find(Name + ":" + runtimePath(r.Name))
			if err != nil {
				t.Skipf("not run: needs %s: %v", r.Name, err)
			}
			test(t, c)
		})
	}
}

// runtimePath is where a runtime is: what the variable says, else what the
// tests' own tools are, else what is on PATH.
func runtimePath(name string) string {
	if path := os.Getenv(variable(name)); path != "" {
		return path
	}
	own, err := filepath.Abs(filepath.Join("..", "..", "..", "tools", "bin", name))
	if err == nil {
		if _, err = os.Stat(own); err == nil {
			return own
		}
	}
	return name
}

func variable(name string) string { return "SALLYPORT_TEST_" + name }

func fresh(t *testing.T, c *namespaces.Container) *namespaces.Sandbox {
	t.Helper()
	return failing(t, c, 0)
}

// failing gives a sandbox in whose zones one step of each process fails.
func failing(t *testing.T, c *namespaces.Container, step int) *namespaces.Sandbox {
	t.Helper()
	code, err := os.ReadFile(testInit(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := namespaces.New(namespaces.Options{Init: code, StateDir: t.TempDir(), Container: c, FailStepUnsafe: step})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestConformance runs the suite with each runtime as whoever runs the tests.
func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, c *namespaces.Container) {
		sandboxtest.Run(t, func(t *testing.T) sandbox.Sandbox { return fresh(t, c) })
	})
}

// TestConformanceRootless runs it as a user without any privilege.
func TestConformanceRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root to become somebody else; TestConformance is rootless already")
	}
	files := map[string]string{initFile: testInit(t)}
	for _, r := range Runtimes() {
		if path, err := exec.LookPath(runtimePath(r.Name)); err == nil {
			files[variable(r.Name)] = path
		}
	}
	// The suite takes a minute and a half in a kernel of one's own. What differs
	// for an ordinary user is the zone around it, as the others show.
	tests := "^TestConformance$/^(crun|runc)$|^TestConformance$/^runsc$/^(receipt|payload|tree|gateway|end)$"
	sandboxtest.AsOrdinaryUser(t, tests, nil, files)
}

// TestFailsClosedAtEachStep lets one step after the other fail, in the zone, in
// the container and in the payload's process, until none is left to fail.
func TestFailsClosedAtEachStep(t *testing.T) {
	each(t, func(t *testing.T, c *namespaces.Container) {
		for step := 1; ; step++ {
			if step > 60 {
				t.Fatal("60 steps, and one still fails")
			}
			var out bytes.Buffer
			s := failing(t, c, step)
			p, err := s.Start(t.Context(), sandbox.Spec{
				Zone: boundary.Build, Identity: "spiffe://sallyport.local/oci/build/build", Require: sandbox.LevelReduced,
				Args: []string{"/bin/echo", "ran"}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: &out,
			})
			if err == nil {
				_, err = p.Wait()
			} else if out.Len() > 0 {
				t.Errorf("step %d failed, and the payload ran: %v", step, err)
			} else if !strings.Contains(err.Error(), "made to fail") && !errors.Is(err, syscall.ECANCELED) {
				t.Errorf("step %d: %v does not say what failed", step, err)
			}
			if cerr := s.Close(); cerr != nil {
				t.Error(cerr)
			}
			if out.String() == "ran\n" && err == nil {
				if step < 20 {
					t.Errorf("%d steps alone failed", step)
				}
				return
			}
		}
	})
}

// TestOverlayAtAnotherPlace is what the second build of a rebuild check asks for.
func TestOverlayAtAnotherPlace(t *testing.T) {
	each(t, func(t *testing.T, c *namespaces.Container) {
		s := fresh(t, c)
		t.Cleanup(func() { _ = s.Close() })
		var out bytes.Buffer
		p, err := s.Start(t.Context(), sandbox.Spec{
			Zone: boundary.Build, Identity: "spiffe://sallyport.local/oci/build/build", Require: sandbox.LevelReduced,
			Args: []string{"/bin/sh", "-c", "mkdir -p /box7/src && cd /box7/src && pwd > f && cat f; touch /box/x || echo no box"}, Env: []string{"PATH=/usr/bin:/bin"},
			Overlay: sandbox.Overlay{At: "/box7"}, Stdout: &out, Stderr: &out,
		})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := p.Wait(); err != nil || r.ExitCode != 0 {
			t.Errorf("%v %v: %s", r, err, &out)
		}
	})
}

package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// builtInit is built once for all tests.
var builtInit = sync.OnceValues(sandboxtest.BuildInit)

func testInit(t *testing.T) []byte {
	t.Helper()
	code, err := builtInit()
	if err != nil {
		t.Fatal(err)
	}
	return code
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
	s, err := namespaces.New(namespaces.Options{Init: testInit(t), StateDir: t.TempDir(), Container: c, FailStepUnsafe: step})
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
	code := filepath.Join(t.TempDir(), "zoneinit")
	if err := os.WriteFile(code, testInit(t), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{sandboxtest.InitFile: code}
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

// TestKernelThatIsTheHosts gives a runtime that shares the host's kernel for one
// that has its own. The zone has to find that out, whatever level would do.
func TestKernelThatIsTheHosts(t *testing.T) {
	c, err := Find(Name + ":crun")
	if err != nil {
		t.Skipf("not run: needs crun: %v", err)
	}
	c.OwnKernel = true
	s := fresh(t, c)
	t.Cleanup(func() { _ = s.Close() })
	var out bytes.Buffer
	p, err := s.Start(t.Context(), sandbox.Spec{
		Zone: boundary.Build, Identity: "spiffe://sallyport.local/oci/build/build", Require: sandbox.LevelReduced,
		Args: []string{"/bin/echo", "ran"}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: &out,
	})
	if err == nil {
		_, _ = p.Wait()
	}
	var not *sandbox.NotIsolated
	if !errors.As(err, &not) || !slices.ContainsFunc(not.Probes, func(p evidence.Probe) bool { return p.Name == "kernel.own" }) || out.Len() > 0 {
		t.Errorf("%v, the payload said %q", err, &out)
	}
}

// TestOurProcessesAreLocked looks from the host at the first process of the zone
// and at that of the container, while a payload runs: neither has a capability,
// both are behind the filter.
func TestOurProcessesAreLocked(t *testing.T) {
	each(t, func(t *testing.T, c *namespaces.Container) {
		s := fresh(t, c)
		t.Cleanup(func() { _ = s.Close() })
		said, say := io.Pipe()
		p, err := s.Start(t.Context(), sandbox.Spec{
			Zone: boundary.Build, Identity: "spiffe://sallyport.local/oci/build/build", Require: sandbox.LevelReduced,
			Args: []string{"/bin/sh", "-c", "echo here; sleep 60"}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: say,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(said, make([]byte, len("here\n"))); err != nil {
			t.Fatal(err)
		}
		ours := map[int]string{p.PID(): "the zone's"}
		if !c.OwnKernel { // the container's own is then a process of that kernel
			ours[containerInit(t, p.PID())] = "the container's"
		}
		for pid, whose := range ours {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
				if !strings.Contains(string(status), want) {
					t.Errorf("%s first process: no %q", whose, want)
				}
			}
		}
		p.Kill()
		_, _ = p.Wait()
	})
}

// containerInit finds the first process of the container below a zone's: that
// of the processes below it which is number 1 in a namespace further in.
func containerInit(t *testing.T, zone int) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	outer := numbers(fmt.Sprintf("/proc/%d/status", zone))
	for _, path := range all {
		n := numbers(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if len(n) == len(outer)+1 && n[len(n)-1] == "1" && below(pid, zone) {
			return pid
		}
	}
	t.Fatal("no first process of a container: the test shows nothing")
	return 0
}

// numbers are a process's numbers, from the outermost namespace to its own.
func numbers(status string) []string {
	b, err := os.ReadFile(status)
	if err != nil {
		return nil // it has ended
	}
	_, rest, _ := strings.Cut(string(b), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}

// below tells whether a process descends from another.
func below(pid, ancestor int) bool {
	for pid > 1 && pid != ancestor {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return false
		}
		_, rest, _ := strings.Cut(string(b), "\nPPid:")
		line, _, _ := strings.Cut(rest, "\n")
		pid, _ = strconv.Atoi(strings.TrimSpace(line))
	}
	return pid == ancestor
}

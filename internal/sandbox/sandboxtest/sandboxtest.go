// Package sandboxtest is the conformance suite of package sandbox: what every
// implementation has to pass before a zone may be called one.
//
// The test binary itself is the payload. It is mounted into the zone read-only
// and tries from inside, by real system calls, every forbidden thing; a row
// passes only when the kernel refused, and an answer that is neither success nor
// a known refusal fails it. So that a row can fail at all, the same attempts run
// once outside (Control), where they have to succeed.
//
// A package that uses the suite calls Main from its TestMain:
//
//	func TestMain(m *testing.M) { sandboxtest.Main(m) }
//
//	func TestConformance(t *testing.T) {
//		sandboxtest.Run(t, func(t *testing.T) sandbox.Sandbox { ... })
//	}
package sandboxtest

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// program is where the payload stands in the zone.
const program = "/sandboxtest/inside"

// word is the first argument of a test binary that is a payload.
const word = "sandboxtest-inside"

// identity is the name under which the suite's zones run.
const identity = "spiffe://sallyport.local/sandboxtest/build/build"

// Main runs the tests of a package, or, where the binary was started as a
// payload or helper, that.
func Main(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == word {
		os.Exit(inside(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// Run makes every test of the suite on the sandboxes that newSandbox gives.
func Run(t *testing.T, newSandbox func(t *testing.T) sandbox.Sandbox) {
	if os.Getenv(controllerEnv) != "" {
		beController(t, newSandbox(t))
		return
	}
	s := &suite{sb: newSandbox(t), fresh: newSandbox}
	s.level = s.sb.Level(t.Context())
	t.Cleanup(func() {
		if err := s.sb.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if s.level.Name == sandbox.LevelNone {
		t.Skipf("not run: needs a host on which a zone can start: %v", s.level.Missing)
	}
	for _, group := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"control", Control},
		{"attempts", s.testAttempts},
		{"receipt", s.testReceipt},
		{"payload", s.testPayload},
		{"tree", s.testTree},
		{"pair", s.testPair},
		{"gateway", s.testGateway},
		{"limits", s.testLimits},
		{"fuzz", s.testFuzz},
		{"end", s.testEnd},
	} {
		t.Run(group.name, group.run)
	}
}

// suite is one run over one sandbox.
type suite struct {
	sb    sandbox.Sandbox
	fresh func(*testing.T) sandbox.Sandbox
	level sandbox.Level
}

// lacks tells whether the host was found to be without a primitive.
func (s *suite) lacks(primitive string) bool {
	for _, l := range s.level.Missing {
		if l.Primitive == primitive {
			return true
		}
	}
	return false
}

// spec is a zone whose payload does one of the things in roles.
func (s *suite) spec(t *testing.T, role string, args ...string) sandbox.Spec {
	t.Helper()
	return sandbox.Spec{
		Zone: boundary.Build, Identity: identity, Require: s.level.Name,
		Args: append([]string{program, word, role}, args...),
		Env:  []string{"PATH=/sandboxtest:/usr/bin:/bin", "HOME=" + sandbox.Home, "TMPDIR=" + sandbox.Temp, atOnce},
		Dir:  sandbox.Temp, Mounts: programMounts(t),
	}
}

// programMounts shows the test binary, and the libraries that it needs when it
// was linked with C.
func programMounts(t *testing.T) []sandbox.Mount {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mounts := []sandbox.Mount{{Host: self, Inside: program, Exec: true}}
	file, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return append(mounts, libraries(t)...)
		}
	}
	return mounts
}

func libraries(t *testing.T) (mounts []sandbox.Mount) {
	t.Helper()
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
		real, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		mounts = append(mounts, sandbox.Mount{Host: real, Inside: dir, Exec: true})
	}
	return mounts
}

// outcome is how a zone ended and what it said.
type outcome struct {
	sandbox.Result
	stdout, stderr string
	err            error
}

// run starts a zone and waits for it.
func (s *suite) run(t *testing.T, spec sandbox.Spec) outcome {
	t.Helper()
	var o outcome
	var stdout, stderr bytes.Buffer
	spec.Stdout, spec.Stderr = &stdout, &stderr
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := s.sb.Start(ctx, spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	for _, l := range p.Listeners() {
		defer l.Close()
	}
	o.Result, o.err = p.Wait()
	o.stdout, o.stderr = stdout.String(), stderr.String()
	return o
}

// say runs a role that has to end well and returns what it printed.
func (s *suite) say(t *testing.T, spec sandbox.Spec) string {
	t.Helper()
	o := s.run(t, spec)
	if o.err != nil || o.ExitCode != 0 || o.Signal != nil {
		t.Fatalf("%v: exit code %d, signal %v, limit %q, error %v\n%s%s", spec.Args[2:], o.ExitCode, o.Signal, o.Limit, o.err, o.stdout, o.stderr)
	}
	return o.stdout
}

// owned makes a directory that belongs to the user whom the zone is on the host.
func (s *suite) owned(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	s.own(t, dir)
	t.Cleanup(func() { opened(t, dir) })
	for _, n := range names {
		path := filepath.Join(dir, n)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		s.own(t, path)
	}
	return dir
}

// opened gives back the modes without which a directory cannot be removed:
// overlayfs leaves its own with none.
func opened(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Type()&os.ModeSymlink == 0 {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil {
		t.Errorf("make %s removable: %v", dir, err)
	}
}

// own gives a path to the zone's user, where that is not the test's.
func (s *suite) own(t *testing.T, path string) {
	t.Helper()
	ids, ok := s.sb.(interface{ HostIDs() (uid, gid int) })
	if !ok {
		return
	}
	if uid, gid := ids.HostIDs(); os.Getuid() == 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}

// write makes a file that belongs to the zone's user.
func (s *suite) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.own(t, path)
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reversed hides a canary from the search for it: the searcher turns it back.
func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func lines(s string) []string {
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

package namespaces

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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
	asOrdinaryUser(t, "^(TestConformance|TestConformancePrepared|TestZone.*)$")
}

// asOrdinaryUser runs tests of this binary again under another user.
func asOrdinaryUser(t *testing.T, tests string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, code := filepath.Join(dir, "test"), filepath.Join(dir, "zoneinit")
	copyFile(t, self, program)
	if err := os.WriteFile(code, testInit(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, program, code} {
		if err := os.Chown(name, rootless, rootless); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-test.run", tests, "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, initFile + "=" + code}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: rootless, Gid: rootless}}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("as user %d: %v", rootless, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

package namespaces

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// builtInit builds the zone's init once for all tests, so that they never run a
// stale one.
var builtInit = sync.OnceValues(func() ([]byte, error) {
	if err := readSources(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sallyport-init-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := filepath.Join(dir, "zoneinit")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", name,
		"github.com/sallyport/sallyport/cmd/zoneinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return nil, err
	}
	return os.ReadFile(name)
})

// readSources reads the init's sources, so that go test knows that a cached
// result depends on them.
func readSources() error {
	for _, dir := range []string{"../../zoneinit", "../../zoneinit/wire", "../../zoneinit/probe", "../../../cmd/zoneinit"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no sources in %s: %w", dir, err)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// initFile names a built init for a test process that cannot build one.
const initFile = "SALLYPORT_TEST_INIT"

func testInit(t testing.TB) []byte {
	t.Helper()
	if name := os.Getenv(initFile); name != "" {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	code, err := builtInit()
	if err != nil {
		t.Fatalf("build the zone's init: %v", err)
	}
	return code
}

func newSandbox(t testing.TB, change func(*Options)) *Sandbox {
	t.Helper()
	o := Options{Init: testInit(t), StateDir: t.TempDir()}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// script is a Spec that runs a shell script, at whatever level this host gives.
func script(text string) sandbox.Spec {
	return sandbox.Spec{
		Zone: boundary.Build, Identity: "spiffe://test/p/build/build", Require: sandbox.LevelReduced,
		Args: []string{"sh", "-c", text}, Env: []string{"PATH=/usr/bin:/bin", "HOME=" + sandbox.Home},
	}
}

// run runs a Spec and gives what it wrote.
func run(t testing.TB, s *Sandbox, spec sandbox.Spec) (string, sandbox.Result) {
	t.Helper()
	var out bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &out
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	r, err := p.Wait()
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return out.String(), r
}

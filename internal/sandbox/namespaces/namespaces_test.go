package namespaces

import (
	"bytes"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

// builtInit is built once for all tests.
var builtInit = sync.OnceValues(sandboxtest.BuildInit)

func testInit(t testing.TB) []byte {
	t.Helper()
	code, err := builtInit()
	if err != nil {
		t.Fatal(err)
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

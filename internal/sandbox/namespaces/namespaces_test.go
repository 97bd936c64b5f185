package namespaces

import (
	"bytes"
	"io/fs"
	"strings"
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

// A namespace whose name cannot be read is one that the probe would not look
// for: there is no sandbox then. One that the kernel does not have is not shared.
func TestOwnNamespacesAreAllNamed(t *testing.T) {
	for _, c := range []struct {
		err   error
		named int
		fails bool
	}{{nil, 7, false}, {fs.ErrNotExist, 6, false}, {fs.ErrPermission, 0, true}} {
		named, err := ownNamespaces(func(name string) (string, error) {
			if strings.HasSuffix(name, "/net") {
				return "net:[1]", c.err
			}
			return "x:[1]", nil
		})
		if len(named) != c.named || (err != nil) != c.fails {
			t.Errorf("%v: %v, %v", c.err, named, err)
		}
	}
}

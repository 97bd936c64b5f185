package toolchain

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func find(t *testing.T, f Finder, n Needs) Set {
	t.Helper()
	s, err := f.Find(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tool(t *testing.T, s Set, name string) (version, path, sum string) {
	t.Helper()
	for _, x := range s.Tools {
		if x.Name == name {
			return x.Version, x.Path, x.Digest.String()
		}
	}
	t.Fatalf("no %s in %+v", name, s.Tools)
	return "", "", ""
}

func TestFindGo(t *testing.T) {
	program, err := exec.LookPath("go")
	if err != nil {
		t.Skip("not run: needs go")
	}
	cache := t.TempDir()
	f := Finder{Cache: cache, Look: func(string) (string, error) { return program, nil }}
	s := find(t, f, Needs{Go: true})
	version, path, sum := tool(t, s, "go")
	if version == "" || !slices.Contains(s.Path, path+"/bin") {
		t.Errorf("go %q at %s, PATH %v", version, path, s.Path)
	}
	kept, _ := os.ReadDir(cache)
	if len(kept) == 0 {
		t.Error("no digest was kept")
	}
	if _, _, again := tool(t, find(t, f, Needs{Go: true}), "go"); again != sum {
		t.Errorf("a second time the digest is %s, not %s", again, sum)
	}
}

// distribution makes a Go distribution outside /usr.
func distribution(t *testing.T) (root string, f Finder) {
	t.Helper()
	root = t.TempDir()
	for name, body := range map[string]string{"VERSION": "go1.99.1\ntime x\n", "bin/go": "x", "pkg/tool/compile": "c", "src/runtime/a.go": "package runtime"} {
		p := filepath.Join(root, name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		if err := os.WriteFile(p, []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root, Finder{Cache: t.TempDir(), Look: func(name string) (string, error) {
		if name == "go" {
			return filepath.Join(root, "bin/go"), nil
		}
		return "", exec.ErrNotFound
	}}
}

func TestGoOutsideUsrIsMounted(t *testing.T) {
	root, f := distribution(t)
	s := find(t, f, Needs{Go: true})
	if want := (Mount{root, "/opt/toolchains/go"}); !slices.Contains(s.Mounts, want) {
		t.Errorf("mounts %v, want %v", s.Mounts, want)
	}
	if s.Path[0] != "/opt/toolchains/go/bin" {
		t.Errorf("PATH %v", s.Path)
	}
	if v, _, _ := tool(t, s, "go"); v != "1.99.1" {
		t.Errorf("version %q", v)
	}
}

func TestDigestSeesTheStandardLibrary(t *testing.T) {
	root, f := distribution(t)
	_, _, before := tool(t, find(t, f, Needs{Go: true}), "go")
	os.WriteFile(filepath.Join(root, "src/runtime/a.go"), []byte("package runtimE"), 0o644)
	if _, _, after := tool(t, find(t, f, Needs{Go: true}), "go"); after == before {
		t.Error("a changed standard library has the same digest")
	}
}

func TestMissing(t *testing.T) {
	f := Finder{Look: func(string) (string, error) { return "", exec.ErrNotFound }}
	for name, n := range map[string]Needs{"go": {Go: true}, "node": {Node: true}} {
		_, err := f.Find(t.Context(), n)
		if m, ok := errors.AsType[*Missing](err); !ok || m.Name != name || m.Mend == "" {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestNodeInAHomeShowsNothingElseOfIt(t *testing.T) {
	home := t.TempDir()
	script := filepath.Join(home, "bin/node")
	for name, body := range map[string]string{"bin/node": "\x7fELF", "lib/node_modules/npm/bin/npm-cli.js": "", "lib/node_modules/npm/package.json": `{"version":"9.9.9"}`, ".ssh/id": "key"} {
		p := filepath.Join(home, name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, []byte(body), 0o755)
	}
	f := Finder{Cache: t.TempDir(), Look: func(name string) (string, error) { return script, nil }}
	key, _ := fingerprint([]string{script})
	f.keep("version", key, "v20.1.0") // the program is not a real one
	s := find(t, f, Needs{Node: true})
	for _, m := range s.Mounts {
		if !strings.Contains(m.Host, "/bin/node") && !strings.Contains(m.Host, "/npm") {
			t.Errorf("%s is seen inside", m.Host)
		}
		if !strings.HasPrefix(m.Inside, Prefix) {
			t.Errorf("seen at %s", m.Inside)
		}
	}
	if v, _, _ := tool(t, s, "npm"); v != "9.9.9" {
		t.Errorf("npm %s", v)
	}
}

func TestFindNode(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("not run: needs node")
	}
	s := find(t, Finder{Cache: t.TempDir()}, Needs{Node: true})
	if v, _, _ := tool(t, s, "node"); v == "" || strings.HasPrefix(v, "v") {
		t.Errorf("node %q", v)
	}
	if v, _, _ := tool(t, s, "npm"); v == "unknown" {
		t.Error("npm has no version")
	}
}

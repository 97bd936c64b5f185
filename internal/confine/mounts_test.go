package confine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestCheckDirRefusesWhatHoldsMoreThanAProject(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, dir := range []string{"/", "/home", "/home/ann", "/etc", "/usr/src", "/proc/1", "/tmp", "relative", "/src/../etc", "/var/lib/x", ""} {
		var e *ErrDir
		if err := CheckDir(dir); !errors.As(err, &e) {
			t.Errorf("%q: err = %v", dir, err)
		}
	}
	for _, dir := range []string{"/home/ann/src/shop", "/src/shop", "/tmp/x", "/builds/group/project", "/home/runner/work/a/a"} {
		if err := CheckDir(dir); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func TestMountsCoverWhatMustNotBeSeen(t *testing.T) {
	root, scratch := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{
		".git/config": "[http]\n\textraheader = secret\n[core]\n\tbare = false\n", ".env": "TOKEN=secret", ".aws/credentials": "secret",
		"web/.npmrc": "fund=false\n//r.example/:_authToken=secret\n", "shown/.env": "A=b",
	})
	g, err := newGuard(root)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Dir: root, Scratch: scratch, Show: []string{"shown/.env"}}
	mounts, err := r.mounts(g)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]sandbox.Mount{}
	for i, m := range mounts {
		by[m.Inside] = m
		if i > 0 && m.Writable {
			t.Errorf("%s is writable", m.Inside)
		}
	}
	if m := by[root]; !m.Writable || m.Host != root || !m.AsOwner {
		t.Errorf("checkout: %+v", m)
	}
	for name, want := range map[string]string{".git/config": "[core]\n\tbare = false\n", ".env": "", "web/.npmrc": "fund=false\n"} {
		m, ok := by[filepath.Join(root, name)]
		if !ok || m.Host == filepath.Join(root, name) {
			t.Errorf("%s: %+v", name, m)
			continue
		}
		if b, err := os.ReadFile(m.Host); err != nil || string(b) != want {
			t.Errorf("%s is seen as %q, %v", name, b, err)
		}
	}
	if m, ok := by[filepath.Join(root, ".aws")]; !ok || m.Host != "" {
		t.Errorf(".aws: %+v", m)
	}
	if _, ok := by[filepath.Join(root, "shown/.env")]; ok {
		t.Error("shown/.env is hidden although it was asked for")
	}
	if m := by[filepath.Join(root, ".git")]; m.Host != filepath.Join(root, ".git") {
		t.Errorf(".git: %+v", m)
	}
}

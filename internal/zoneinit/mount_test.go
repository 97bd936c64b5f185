package zoneinit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// The places that mounts go to are found, and made, without following a link,
// whoever put it there.
func TestPlacesFollowNoLink(t *testing.T) {
	dir, victim := t.TempDir(), t.TempDir()
	for name, target := range map[string]string{
		"absolute": victim, "proc": "/proc/self/cwd", "inner": "real", "up": "../" + filepath.Base(victim),
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "real/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	root := openDir(t, dir)
	for _, name := range []string{"absolute", "absolute/x", "proc", "inner", "inner/sub", "up", "../" + filepath.Base(victim), "real/../../x"} {
		if fd, err := find(root, name); err == nil {
			unix.Close(fd)
			t.Errorf("found %s", name)
		}
	}
	for _, name := range []string{"absolute/made", "up/made", "inner/made", "proc/made"} {
		if err := directory(root, name, 0o755); err == nil {
			t.Errorf("made %s", name)
		}
		if err := file(root, name, "x"); err == nil {
			t.Errorf("wrote %s", name)
		}
	}
	if err := file(root, "absolute", "x"); err == nil {
		t.Error("wrote through a link")
	}
	if left, err := os.ReadDir(victim); err != nil || len(left) > 0 {
		t.Errorf("made outside: %v %v", left, err)
	}
	for _, name := range []string{"", "/", "real", "/real/sub/"} {
		fd, err := find(root, name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		unix.Close(fd)
	}
	if err := directory(root, "/real/sub/deep/er", 0o755); err != nil {
		t.Error(err)
	}
}

func TestPlainPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"a": true, "a/b-c_d": true, "..a/b": true, "/a": false, "../a": false, "a/../b": false, "a/..": false,
		"a:b": false, "a,upperdir=/": false, `a\b`: false,
	} {
		if plain(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}

func TestStepsStopAtTheFirstFailure(t *testing.T) {
	var done []string
	run := func(name string, err error) step {
		return step{name, func() error { done = append(done, name); return err }}
	}
	s := steps{}
	err := s.all([]step{run("a", nil), run("b", unix.EIO), run("c", nil)})
	var e *stepError
	if !errors.As(err, &e) || e.step != "b" || !errors.Is(err, unix.EIO) || len(done) != 2 {
		t.Errorf("%v after %v", err, done)
	}
	done, s = nil, steps{fail: 2}
	if err := s.all([]step{run("a", nil), run("b", nil)}); err == nil || len(done) != 1 {
		t.Errorf("%v after %v", err, done)
	}
}

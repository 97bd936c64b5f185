package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"golang.org/x/mod/sumdb/note"
)

// copyTree copies a directory of regular files.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// restore puts a copy where a directory was, as from a backup.
func restore(t *testing.T, dir, backup string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, p place, run string, n int) {
	t.Helper()
	l := p.open(t)
	fill(t, l, run, n)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// refusedAsFork requires that nobody takes the log for a sound one.
func refusedAsFork(t *testing.T, p place) {
	t.Helper()
	if l, err := Open(p.dir, Options{Keys: p.keys}); !errors.Is(err, ErrForked) {
		if err == nil {
			l.Close()
		}
		t.Errorf("open: %v, want ErrForked", err)
	}
	if _, err := p.reader(t).Verify(t.Context()); !errors.Is(err, ErrForked) && !errors.Is(err, ErrDamaged) {
		t.Errorf("verify: %v, want ErrForked or ErrDamaged", err)
	}
}

func TestRestoredBackupIsRefused(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 5)
	backup := copyTree(t, p.dir)
	closed(t, p, "2", 5)
	restore(t, p.dir, backup)
	refusedAsFork(t, p)
}

func TestOtherHistoryIsRefused(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 5)
	backup := place{copyTree(t, p.dir), copyTree(t, p.keys)}
	for _, path := range []string{backup.keys, backup.dir} {
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	keepModes(t, backup.keys)
	closed(t, p, "2", 5)
	closed(t, backup, "3", 9) // the same key, another continuation, and a longer one
	restore(t, p.dir, backup.dir)
	refusedAsFork(t, p)
}

func keepModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRemovedLogIsRefused(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 5)
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	refusedAsFork(t, p)
}

// TestRestoredWhileOpen is the case that Open cannot see: the store is put back
// while a process has the log open.
func TestRestoredWhileOpen(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 5)
	backup := copyTree(t, p.dir)
	l := p.open(t)
	if _, err := l.Include(t.Context(), [][]byte{[]byte(`{"apiVersion":"1","kind":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	restore(t, p.dir, backup)
	if _, err := l.Append(t.Context(), entry("2", 1)); !errors.Is(err, ErrForked) {
		t.Errorf("append: %v, want ErrForked", err)
	}
}

// TestSignerRefusesFork asks the guarded key directly: it must refuse whatever
// does not continue the last checkpoint, even when nothing else looked.
func TestSignerRefusesFork(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "1", 5)
	cp, err := l.guard.vouch(5)
	if err != nil {
		t.Fatal(err)
	}
	body := func(size, root string) []byte { return []byte(cp.Origin + "\n" + size + "\n" + root + "\n") }
	other := strings.Repeat("A", 43) + "="
	for name, msg := range map[string][]byte{
		"other root, same size":   body("5", other),
		"other root, larger size": body("9", other),
		"not a checkpoint":        []byte("hello\n"),
		"smaller":                 body("4", other),
	} {
		if _, err := l.guard.Sign(msg); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	if _, err := l.guard.Sign(body("5", cp.Root.String())); err != nil {
		t.Errorf("the same tree again: %v", err)
	}
}

func TestDamageIsFound(t *testing.T) {
	sound := newPlace(t)
	closed(t, sound, "1", 300)
	files, err := fs.Glob(os.DirFS(sound.dir), "tile/*/*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := fs.Glob(os.DirFS(sound.dir), "tile/*/*.p/44")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, more...) {
		path := filepath.Join(sound.dir, name)
		if st, err := os.Stat(path); err != nil || st.IsDir() {
			continue
		}
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, b := range map[string][]byte{"a bit": flip(old), "its end": old[:len(old)-1], "all": nil} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := sound.reader(t).Verify(t.Context()); err == nil {
				t.Errorf("%s of %s was changed and not noticed", what, name)
			}
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sound.reader(t).Verify(t.Context()); err != nil {
		t.Errorf("after repair: %v", err)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestCheckpointOfAnotherKey(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 3)
	r := p.reader(t)
	skey, _, err := note.GenerateKey(rand.Reader, r.Origin())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := r.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(cp.Note, "\n\n")
	forged, err := note.Sign(&note.Note{Text: text + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(t.Context(), string(forged)); !errors.Is(err, inclusion.ErrRefused) {
		t.Errorf("known checkpoint of another key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "checkpoint"), forged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.reader(t).Verify(t.Context()); !errors.Is(err, inclusion.ErrRefused) {
		t.Errorf("published checkpoint of another key: %v", err)
	}
}

func TestCopyIsCheckedByKeyAlone(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	closed(t, p, "1", 10)
	closed(t, other, "1", 1)
	r, err := ReadCopy(copyTree(t, p.dir), p.reader(t).VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := r.Verify(t.Context()); err != nil || rep.Size != 10 {
		t.Errorf("report %+v, error %v", rep, err)
	}
	if r, err = ReadCopy(p.dir, other.reader(t).VerifierKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(t.Context()); err == nil {
		t.Error("a copy was verified with another log's key")
	}
	if _, err := ReadCopy(p.dir, "x"); err == nil {
		t.Error("a malformed key was taken")
	}
	if _, err := ReadOnly(p.dir, filepath.Join(p.keys, "absent")); err == nil {
		t.Error("keys that are not there were opened")
	}
}

// TestCrashBetweenSigningAndPublishing: the signed note is known, the published
// checkpoint is the one before.
func TestCrashBetweenSigningAndPublishing(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 3)
	path := filepath.Join(p.dir, "checkpoint")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, p, "1", 3)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if rep, err := p.reader(t).Verify(t.Context()); err != nil || rep.Size != 6 {
		t.Errorf("report %+v, error %v", rep, err)
	}
	closed(t, p, "1", 1)
	if rep, err := p.reader(t).Verify(t.Context(), string(old)); err != nil || rep.Size != 7 {
		t.Errorf("report %+v, error %v", rep, err)
	}
}

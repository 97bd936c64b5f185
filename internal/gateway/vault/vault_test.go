package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

func put(t *testing.T, v *Vault, key, text string) Entry {
	t.Helper()
	d, err := v.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	e, err := d.Commit(Entry{Key: key, Sum: "sum"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func open(t *testing.T, dir string) *Vault {
	t.Helper()
	v, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBytesComeBackOnlyAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir), "a", "hello")
	for name, change := range map[string]func(string) error{
		"flipped in place": func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("j"), 0)
			}
			return errors.Join(err, f.Close())
		},
		"truncated": func(p string) error { return os.Truncate(p, 3) },
		"longer":    func(p string) error { return os.WriteFile(p, []byte("hello again"), 0o600) },
		"replaced":  func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, []byte("jello"), 0o600)) },
		"link":      func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
		"gone":      os.Remove,
		"times kept": func(p string) error {
			at := time.Now().Add(-time.Hour)
			return errors.Join(os.WriteFile(p, []byte("jello"), 0o600), os.Chtimes(p, at, at))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := open(t, dir)
			e := put(t, v, "a", "hello")
			f, err := v.Open(e, nil) // verified once in this process
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			path := v.blob(e.Digest)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if f, err := v.Open(e, nil); err == nil {
				b, _ := io.ReadAll(f)
				t.Fatalf("gave %q", b)
			} else if name != "link" && !errors.Is(err, fault.Tampered) {
				t.Errorf("%v", err)
			}
			if name != "link" {
				if _, ok := v.Find("a"); ok {
					t.Error("the entry is still there")
				}
			}
			_ = os.Remove(path)
		})
	}
}

func TestCheckRunsOnFirstOpenOfAProcess(t *testing.T) {
	dir := t.TempDir()
	e := put(t, open(t, dir), "a", "hello")
	runs := 0
	check := func(f *os.File) error {
		runs++
		b, err := io.ReadAll(f)
		if string(b) != "hello" {
			return fmt.Errorf("check saw %q", b)
		}
		return err
	}
	v := open(t, dir)
	for range 3 {
		f, err := v.Open(e, check)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(f); string(b) != "hello" {
			t.Errorf("file stands at %q", b)
		}
		f.Close()
	}
	if runs != 1 {
		t.Errorf("%d checks", runs)
	}
	if _, err := open(t, dir).Open(e, func(*os.File) error { return errors.New("no") }); !errors.Is(err, fault.Tampered) {
		t.Errorf("a failed check: %v", err)
	}
	if v.Quarantined() != 1 {
		t.Error("nothing in quarantine")
	}
}

func TestDraftThatIsNotCommittedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	d, err := v.Begin()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(d, "half")
	if err := d.Reset(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(d, "whole")
	if d.Size() != 5 {
		t.Errorf("size %d", d.Size())
	}
	d.Abort()
	d.Abort()
	for _, sub := range []string{"tmp", "blobs", "index"} {
		if list, _ := os.ReadDir(filepath.Join(dir, sub)); len(list) != 0 {
			t.Errorf("%s holds %v", sub, list)
		}
	}
}

func TestOldDraftsAreSwept(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	old, young := filepath.Join(dir, "tmp", "old"), filepath.Join(dir, "tmp", "young")
	for _, p := range []string{old, young} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("an old draft is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("a young draft, which another process may own, is gone")
	}
}

func TestDirectoryThatOthersCanWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fault.Store) {
		t.Errorf("%v", err)
	}
}

func TestIndexThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	e := put(t, v, "a", "hello")
	for _, text := range []string{"", "{", `{"key":"b","digest":"` + e.Digest.String() + `"}`, `{"key":"a"}`, strings.Repeat(" ", maxIndex) + "{}"} {
		if err := os.WriteFile(v.index("a"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, ok := open(t, dir).Find("a"); ok {
			t.Errorf("%.40q was read as %+v", text, e)
		}
	}
	if err := v.Note(Entry{Key: strings.Repeat("k", maxIndex)}); !errors.Is(err, fault.Limit) {
		t.Errorf("%v", err)
	}
}

package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestBrokenStateIsRefused breaks one file of a sound log at a time.
func TestBrokenStateIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(p place) error{
		"seen is garbage":       func(p place) error { return os.WriteFile(filepath.Join(p.keys, seenName), []byte("x"), 0o600) },
		"seen is a directory":   func(p place) error { return dirInstead(filepath.Join(p.keys, seenName)) },
		"checkpoint is garbage": func(p place) error { return os.WriteFile(filepath.Join(p.dir, "checkpoint"), []byte("x"), 0o600) },
		"checkpoint is gone":    func(p place) error { return os.Remove(filepath.Join(p.dir, "checkpoint")) },
		"checkpoint is large":   func(p place) error { return os.Truncate(filepath.Join(p.dir, "checkpoint"), 1<<20) },
		"state is garbage": func(p place) error {
			return os.WriteFile(filepath.Join(p.dir, ".state", "treeState"), []byte("x"), 0o600)
		},
		"key is garbage":   func(p place) error { return os.WriteFile(filepath.Join(p.keys, keyName), []byte("x"), 0o600) },
		"ledger is a file": func(p place) error { return errors.Join(os.RemoveAll(p.dir), os.WriteFile(p.dir, nil, 0o600)) },
	} {
		p := newPlace(t)
		closed(t, p, "1", 3)
		if err := spoil(p); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(p.dir, Options{Keys: p.keys}); err == nil {
			l.Close()
			t.Errorf("%s: the log was opened", name)
		}
	}
}

func dirInstead(path string) error {
	return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
}

func TestFlushReportsWhatWasNotWritten(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "1", 3)
	if _, err := l.guard.vouch(3); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.keys, seenName), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.AppendAsync(entry("1", 1)); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err == nil {
		t.Error("no error for an entry that was not written")
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	if err := l.AppendAsync(Entry{Type: "other"}); !errors.Is(err, ErrEntry) {
		t.Errorf("error %v, want ErrEntry", err)
	}
}

func TestEntriesStopWhenTheCallerDoes(t *testing.T) {
	p := newPlace(t)
	closed(t, p, "1", 10)
	n := 0
	for range p.reader(t).Entries(t.Context(), Filter{Stage: "build"}) {
		if n++; n == 3 {
			break
		}
	}
	for range p.reader(t).Entries(t.Context(), Filter{Stage: "other"}) {
		t.Error("an entry of another stage")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.reader(t).Verify(ctx); !errors.Is(err, context.Canceled) || n != 3 {
		t.Errorf("error %v after %d entries", err, n)
	}
}

// TestUnsignedTailIsCounted looks at a log whose last records no checkpoint
// covers: tessera has put them on disk and the process is still there.
func TestUnsignedTailIsCounted(t *testing.T) {
	p := newPlace(t)
	l, err := Open(p.dir, Options{Keys: p.keys, Interval: maxInterval})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, "1", 3)
	if _, err := l.guard.vouch(3); err != nil {
		t.Fatal(err)
	}
	fill(t, l, "1", 2)
	rep, err := p.reader(t).Verify(t.Context())
	if err != nil || rep.Size+rep.Unsigned != 5 {
		t.Errorf("report %+v, error %v", rep, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err = p.reader(t).Verify(t.Context()); err != nil || rep.Size != 5 || rep.Unsigned != 0 {
		t.Errorf("report %+v, error %v", rep, err)
	}
}

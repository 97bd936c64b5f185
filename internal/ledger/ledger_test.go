package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
)

// place is a log's two directories.
type place struct{ dir, keys string }

func newPlace(t testing.TB) place {
	d := t.TempDir()
	return place{filepath.Join(d, "ledger"), filepath.Join(d, "keys")}
}

func (p place) open(t testing.TB) *Log {
	t.Helper()
	l, err := Open(p.dir, Options{Keys: p.keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (p place) reader(t testing.TB) *Reader {
	t.Helper()
	r, err := ReadOnly(p.dir, p.keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func entry(run string, n int) Entry {
	return Entry{
		Type: Denial, Run: run, Stage: "build", Identity: "spiffe://sallyport.local/shop/build/build",
		Subjects: []digest.Digest{digest.OfString(fmt.Sprint(n))},
		Facts:    map[string]string{"n": fmt.Sprint(n), "rule": "SP3"},
	}
}

func fill(t testing.TB, l *Log, run string, n int) {
	t.Helper()
	for i := range n {
		if err := l.AppendAsync(entry(run, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAppendReadProve(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "1", 300) // more than one bundle
	idx, err := l.Append(t.Context(), Entry{Type: Verdict, Run: "2"})
	if err != nil || idx != 300 {
		t.Fatalf("index %d, error %v; want 300", idx, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	r := p.reader(t)
	var of1, order []string
	for rec, err := range r.Entries(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, rec.Entry.Facts["n"])
	}
	for rec, err := range r.Entries(t.Context(), Filter{Run: "2", Kinds: []string{"verdict"}}) {
		if err != nil || rec.Index != 300 {
			t.Fatalf("record %d, error %v", rec.Index, err)
		}
		of1 = append(of1, rec.Kind)
	}
	if len(order) != 301 || order[0] != "0" || order[299] != "299" || !slices.Equal(of1, []string{"verdict"}) {
		t.Errorf("%d records in all, run 2 has %v", len(order), of1)
	}
	rep, err := r.Verify(t.Context())
	if err != nil || rep.Size != 301 || rep.Kinds["denial"] != 300 || rep.Unsigned != 0 {
		t.Errorf("report %+v, error %v", rep, err)
	}
	for _, i := range []uint64{0, 255, 256, 300} {
		checkAsStranger(t, r, i)
	}
	if _, err := r.Prove(t.Context(), 301); err == nil {
		t.Error("a record that is not there was proved")
	}
}

// checkAsStranger takes a proof through its portable form.
func checkAsStranger(t *testing.T, r *Reader, index uint64) {
	t.Helper()
	p, err := r.Prove(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := inclusion.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	v, err := inclusion.Verifier(r.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Check(v); err != nil {
		t.Errorf("proof of record %d: %v", index, err)
	}
}

func TestIncludeSharesOneCheckpoint(t *testing.T) {
	l := newPlace(t).open(t)
	fill(t, l, "1", 3)
	leaves := [][]byte{
		[]byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"n":1}}`),
		[]byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"n":2}}`),
	}
	proofs, err := l.Include(t.Context(), leaves)
	if err != nil {
		t.Fatal(err)
	}
	if proofs[0].Checkpoint != proofs[1].Checkpoint || proofs[0].Index == proofs[1].Index {
		t.Errorf("proofs %+v and %+v", proofs[0], proofs[1])
	}
	for i, p := range proofs {
		if _, err := p.Check(l.v); err != nil || string(p.Leaf) != string(leaves[i]) {
			t.Errorf("proof %d: %v", i, err)
		}
	}
	for _, leaf := range []string{``, `{}`, `7`, `{"kind":"x"}`, `{"kind":"a b","apiVersion":"1"}`} {
		if _, err := l.Include(t.Context(), [][]byte{[]byte(leaf)}); !errors.Is(err, ErrEntry) {
			t.Errorf("%s was taken: %v", leaf, err)
		}
	}
}

func TestTwoLogsOneDirectory(t *testing.T) {
	p := newPlace(t)
	a, b := p.open(t), p.open(t)
	var wg sync.WaitGroup
	for i, l := range []*Log{a, b} {
		for w := range 4 {
			wg.Go(func() {
				for n := range 20 {
					if _, err := l.Append(context.Background(), entry(fmt.Sprint(i*4+w), n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	rep, err := p.reader(t).Verify(t.Context())
	if err != nil || rep.Size != 160 || rep.Kinds["denial"] != 160 {
		t.Errorf("report %+v, error %v", rep, err)
	}
}

func TestClosedLogRefuses(t *testing.T) {
	l := newPlace(t).open(t)
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), entry("1", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	if err := l.AppendAsync(entry("1", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

func TestReopenKeepsOriginAndHistory(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "1", 5)
	origin := l.Origin()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	l = p.open(t)
	fill(t, l, "2", 500)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := p.reader(t).Verify(t.Context(), old.Note)
	if err != nil || l.Origin() != origin || rep.Size != 505 || !slices.Equal(rep.Compared, []uint64{505, 5}) {
		t.Errorf("origin %s then %s, report %+v, error %v", origin, l.Origin(), rep, err)
	}
	if !strings.HasSuffix(origin, ".log.sallyport.local") {
		t.Errorf("origin %s", origin)
	}
}

func TestAppendHonoursItsContext(t *testing.T) {
	l := newPlace(t).open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, entry("1", 1)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for _, err := range l.Entries(ctx, Filter{}) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

func TestEntryTime(t *testing.T) {
	p := newPlace(t)
	at := time.Date(2026, 11, 23, 10, 0, 0, 5000, time.FixedZone("x", 3600))
	l, err := Open(p.dir, Options{Keys: p.keys, Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Entry{Type: Plan}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for rec, err := range l.Entries(t.Context(), Filter{}) {
		if err != nil || !rec.Entry.Time.Equal(at) || !strings.Contains(string(rec.Leaf), "2026-11-23T09:00:00.000005Z") {
			t.Errorf("entry %s, error %v", rec.Leaf, err)
		}
	}
}

func TestNothingOpenToOthers(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(p.keys, keyName), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(p.dir, Options{Keys: p.keys}); err == nil {
		t.Error("a key that its group can read was used")
	}
}

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/drill"
)

// breaks is a peer that fails where nobody trusts the outcome later.
type breaks struct{ drill.Plain }

func (breaks) Name() string { return "breaks" }

func (b breaks) Play(ctx context.Context, w *drill.World, a *drill.Act) error {
	if a.Later == "" {
		return errors.New("the daemon is gone")
	}
	return b.Plain.Play(ctx, w, a)
}

// after is a peer that comes after one that failed.
type after struct{ drill.Plain }

func (after) Name() string { return "after" }

// A case that a peer cannot play is not-run, and the others count all the same.
func TestOneFailureLosesNothing(t *testing.T) {
	cases, err := drill.Choose([]string{"R34", "R22.cache"})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	compare := func(ctx context.Context) (*comparison, error) {
		c := comparison{cases: cases, subjects: []drill.Subject{drill.Plain{}, breaks{}, after{}}, results: make([][][]drill.Result, len(cases)), log: &log}
		return &c, c.run(ctx, drill.Options{Dir: t.TempDir(), Path: os.Getenv("PATH")}, 2)
	}
	c, err := compare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tb := c.table()
	if got, want := tb.rows["R34"], []drill.Outcome{drill.Bounded, drill.NotRun, drill.Bounded}; !slices.Equal(got, want) {
		t.Errorf("R34: %v, want %v", got, want)
	}
	if got, want := tb.rows["R22"], []drill.Outcome{drill.Leaked, drill.Leaked, drill.Leaked}; !slices.Equal(got, want) {
		t.Errorf("R22: %v, want %v", got, want)
	}
	if !strings.Contains(log.String(), "breaks: R34 not run: ") || !strings.Contains(log.String(), "the daemon is gone") {
		t.Errorf("log: %q", log.String())
	}
	// Nor does a case whose own preparation fails.
	cases[0].Prepare = func(context.Context, *drill.World) error { return errors.New("no room") }
	if c, err = compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := c.table().rows
	if first := rows[cases[0].Attacks[0].Technique]; slices.ContainsFunc(first, func(o drill.Outcome) bool { return o != drill.NotRun }) {
		t.Errorf("%s was not prepared: %v", cases[0].Name, first)
	}
	if last := rows[cases[1].Attacks[0].Technique]; last[0] == drill.NotRun {
		t.Errorf("%s: %v", cases[1].Name, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compare(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its user: %v", err)
	}
}

// The table takes the place between the markers, and of the page nothing else.
func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tb := table{rows: map[string][]drill.Outcome{}}
	result := func(id string, o drill.Outcome) drill.Result {
		return drill.Result{ID: id, Technique: id, Title: "title of " + id, Outcome: o}
	}
	tb.add("plain", []drill.Result{result("R01", drill.Leaked), result("G1", drill.NotRun)})
	tb.add("peer", []drill.Result{result("R01", drill.Bounded), result("G1", drill.Stopped)})
	for range 2 { // the second time finds what the first has written
		if err := tb.write(file); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"before", "<!-- made by make drill-compare -->", "",
		"| | attack | plain | peer |", "|---|---|---|---|",
		"| R01 | title of R01 | **leaked** | bounded |",
		"| G1 | title of G1 | not-run | stopped |",
		"| | stopped or bounded | 0 of 2 | 2 of 2 |", "",
		"<!-- end -->", "after", "",
	}
	if got := strings.Split(string(b), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s", b)
	}
	if err := os.WriteFile(file, []byte("no markers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tb.write(file); err == nil {
		t.Error("a page without a place was written")
	}
}

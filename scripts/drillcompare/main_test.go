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

// A case that a peer cannot play is not-run, and the others count all the same.
func TestOneFailureLosesNothing(t *testing.T) {
	cases, err := drill.Choose([]string{"R34", "R22.cache"})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	results, err := all(t.Context(), cases, drill.Options{Dir: t.TempDir(), Path: os.Getenv("PATH")}, breaks{}, &log)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]drill.Outcome{}
	for _, r := range results {
		got[r.ID] = r.Outcome
	}
	if got["R34"] != drill.NotRun || got["R22.cache"] != drill.Leaked {
		t.Errorf("outcomes: %v", got)
	}
	if !strings.Contains(log.String(), "R34 not run") || !strings.Contains(log.String(), "the daemon is gone") {
		t.Errorf("log: %q", log.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all(ctx, cases, drill.Options{Dir: t.TempDir()}, breaks{}, &log); !errors.Is(err, context.Canceled) {
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

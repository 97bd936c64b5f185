// Command drillcompare replays the drill plainly, under the other ways to keep a
// step apart that this machine has, and under Sallyport, and writes the table in
// docs/drill.md.
//
//	go run ./scripts/drillcompare -sallyport bin/sallyport [-sandbox namespaces,oci:crun] [ATTACK...]
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/drill"
)

const (
	page  = "docs/drill.md"
	begin = "<!-- made by make drill-compare -->\n"
	end   = "<!-- end -->\n"
)

// stepTime bounds one command of a world. A whole build of a peer is one, on a
// machine that may have other work.
const stepTime = 3 * time.Minute

func main() {
	binary := flag.String("sallyport", "bin/sallyport", "the program to drill")
	sandboxes := flag.String("sandbox", "namespaces", "sandboxes of Sallyport, with commas")
	peers := flag.String("peers", "", "peers to compare with, with commas; none named: all that are here")
	jobs := flag.Int("jobs", 2*runtime.NumCPU(), "cases at a time")
	inRange := flag.Bool("in-range", false, "this process has a network namespace of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := run(ctx, request{*binary, *peers, strings.Split(*sandboxes, ","), *inRange, *jobs, flag.Args()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "drillcompare:", err)
		code = 1
	}
	os.Exit(code)
}

// request is what the command line asks for.
type request struct {
	binary, peers string
	sandboxes     []string
	inRange       bool
	jobs          int
	cases         []string
}

func run(ctx context.Context, r request) (int, error) {
	if !r.inRange && drill.CanHaveRange() {
		return drill.Range(ctx, append([]string{"--in-range"}, os.Args[1:]...), os.Stdin, os.Stdout, os.Stderr)
	}
	if r.inRange {
		if err := drill.EnterRange(); err != nil {
			return 0, err
		}
	}
	cases, err := drill.Choose(r.cases)
	if err != nil {
		return 0, err
	}
	binary, err := filepath.Abs(r.binary)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "sallyport-drill-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	opts := drill.NewOptions(ctx, dir, binary, "drill", "neighbour")
	opts.Timeout = stepTime
	subjects, end, err := peersHere(ctx, dir, r.peers, opts.Path)
	if err != nil {
		return 0, err
	}
	defer end()
	for _, s := range r.sandboxes {
		subjects = append(subjects, drill.Boundary{Binary: []string{binary}, Sandbox: s, Require: "reduced", State: filepath.Join(dir, "state-"+filepath.Base(s))})
	}
	c := comparison{cases: cases, subjects: subjects, results: make([][][]drill.Result, len(cases)), log: os.Stderr}
	if err := c.run(ctx, opts, r.jobs); err != nil {
		return 0, err
	}
	return 0, c.table().write(page)
}

// peersHere are what is compared with: nothing at all first. The function ends
// what was started.
func peersHere(ctx context.Context, dir, wanted, path string) (subjects []drill.Subject, end func(), err error) {
	want := func(name string) bool { return wanted == "" || slices.Contains(strings.Split(wanted, ","), name) }
	subjects = []drill.Subject{drill.Plain{}}
	for _, p := range drill.Peers() {
		if want(p.Name()) {
			subjects = append(subjects, p)
		}
	}
	if !want("buildkit") || !drill.HasBuildKit() {
		return subjects, func() {}, nil
	}
	b, err := drill.StartBuildKit(ctx, filepath.Join(dir, "buildkit"), path)
	if err != nil {
		if wanted != "" {
			return nil, nil, fmt.Errorf("start buildkit: %w", err)
		}
		fmt.Fprintln(os.Stderr, "drillcompare: no column for buildkit:", err)
		return subjects, func() {}, nil
	}
	return append(subjects, b), func() {
		if err := b.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "drillcompare: end buildkit:", err)
		}
	}, nil
}

// comparison is every case against every subject.
type comparison struct {
	cases    []drill.Case
	subjects []drill.Subject

	mu      sync.Mutex
	results [][][]drill.Result // by case, then by subject
	done    int
	log     io.Writer
}

// run replays the cases, a few at a time. One that cannot be replayed is
// not-run; the log says why.
func (c *comparison) run(ctx context.Context, o drill.Options, jobs int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, jobs))
	for i := range c.cases {
		g.Go(func() error {
			rs, err := drill.Compare(ctx, &c.cases[i], o, c.subjects)
			if err != nil {
				return err
			}
			c.keep(i, rs)
			return nil
		})
	}
	return g.Wait()
}

func (c *comparison) keep(i int, results [][]drill.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results[i] = results
	c.done++
	fmt.Fprintf(c.log, "%d of %d: %s %s\n", c.done, len(c.cases), c.cases[i].Name, c.cases[i].Tongue)
	for j, rs := range results {
		for _, r := range rs {
			if r.Outcome == drill.NotRun {
				fmt.Fprintf(c.log, "  %s: %s not run: %s\n", c.subjects[j].Name(), r.ID, r.Why)
			}
		}
	}
}

// table gathers the results of each subject.
func (c *comparison) table() *table {
	t := table{rows: map[string][]drill.Outcome{}}
	for j, s := range c.subjects {
		var results []drill.Result
		for _, ofCase := range c.results {
			results = append(results, ofCase[j]...)
		}
		t.add(s.Name(), results)
		fmt.Fprintf(c.log, "%-14s %s\n", s.Name(), summary(drill.Summarize(results).Techniques))
	}
	return &t
}

// table is one row for each technique, one column for each subject.
type table struct {
	names  []string
	totals []string
	order  []drill.Technique
	rows   map[string][]drill.Outcome
}

func (t *table) add(name string, results []drill.Result) {
	t.names = append(t.names, name)
	byTechnique := drill.ByTechnique(results)
	t.order = byTechnique
	for _, r := range byTechnique {
		t.rows[r.Name] = append(t.rows[r.Name], r.Outcome)
	}
	s := drill.Summarize(results)
	t.totals = append(t.totals, fmt.Sprintf("%d of %d", s.Techniques.Stopped+s.Techniques.Bounded+s.Gateway.Stopped+s.Incidents.Stopped+s.Incidents.Bounded,
		s.Techniques.All+s.Gateway.All+s.Incidents.All))
}

func summary(c drill.Count) string {
	return fmt.Sprintf("%d techniques: %d stopped, %d bounded, %d effect, %d leaked, %d not-run", c.All, c.Stopped, c.Bounded, c.Effect, c.Leaked, c.NotRun)
}

func (t *table) write(page string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok1 := bytes.Cut(old, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		return errors.New(page + " has no place for the table")
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begin)
	t.print(&b)
	b.WriteString(end)
	b.Write(after)
	return os.WriteFile(page, b.Bytes(), 0o644)
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n| | attack | %s |\n|---|---|%s\n", strings.Join(t.names, " | "), strings.Repeat("---|", len(t.names)))
	for _, r := range t.order {
		fmt.Fprintf(w, "| %s | %s |", r.Name, r.Title)
		for _, o := range t.rows[r.Name] {
			fmt.Fprintf(w, " %s |", word(o))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "| | stopped or bounded | %s |\n\n", strings.Join(t.totals, " | "))
}

// word makes what came through easy to see.
func word(o drill.Outcome) string {
	if o == drill.Leaked || o == drill.Effect {
		return "**" + string(o) + "**"
	}
	return string(o)
}

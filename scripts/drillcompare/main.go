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
	"slices"
	"strings"
	"time"

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
	inRange := flag.Bool("in-range", false, "this process has a network namespace of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := run(ctx, request{*binary, *peers, strings.Split(*sandboxes, ","), *inRange, flag.Args()})
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
	subjects, end, err := peersHere(ctx, dir, r.peers)
	if err != nil {
		return 0, err
	}
	defer end()
	for _, s := range r.sandboxes {
		subjects = append(subjects, drill.Boundary{Binary: []string{binary}, Sandbox: s, Require: "reduced", State: filepath.Join(dir, "state-"+filepath.Base(s))})
	}
	t := table{rows: map[string][]drill.Outcome{}}
	opts := drill.NewOptions(ctx, dir, binary, "drill", "neighbour")
	opts.Timeout = stepTime
	for _, s := range subjects {
		results, err := all(ctx, cases, opts, s, os.Stderr)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.Name(), err)
		}
		t.add(s.Name(), results)
		fmt.Fprintf(os.Stderr, "%-14s %s\n", s.Name(), summary(drill.Summarize(results).Techniques))
		// After each, since all of it takes long: what ends halfway has shown something.
		if err := t.write(page); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// peersHere are what is compared with: nothing at all first. The function ends
// what was started.
func peersHere(ctx context.Context, dir, wanted string) (subjects []drill.Subject, end func(), err error) {
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
	b, err := drill.StartBuildKit(ctx, filepath.Join(dir, "buildkit"))
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

// all replays every case against a subject. One that cannot be replayed is
// not-run, and does not take the others with it; log says why of each.
func all(ctx context.Context, cases []drill.Case, o drill.Options, s drill.Subject, log io.Writer) ([]drill.Result, error) {
	var out []drill.Result
	for i := range cases {
		rs, err := drill.Run(ctx, &cases[i], o, s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			rs = cases[i].NotRun(err.Error())
		}
		for _, r := range rs {
			if r.Outcome == drill.NotRun {
				fmt.Fprintf(log, "%-14s %s not run: %s\n", s.Name(), r.ID, r.Why)
			}
		}
		out = append(out, rs...)
	}
	return out, nil
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

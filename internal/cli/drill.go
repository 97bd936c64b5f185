package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/drill"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// drillResult is sallyport/drill/v1.
type drillResult struct {
	Schema    string         `json:"schema"`
	Sandbox   string         `json:"sandbox"`
	Isolation string         `json:"isolation"`
	Summary   drill.Summary  `json:"summary"`
	Cases     []drill.Result `json:"cases"`
	Seconds   float64        `json:"seconds"`
}

// drillFlags are the flags of drill.
type drillFlags struct {
	plain   bool
	list    bool
	require string
	jobs    int
	inRange bool // this process has a network namespace of its own
}

const drillLong = `Replay what real attacks on builds did, harmlessly, against this machine and this set-up.

Each attack runs twice: plainly, where it has to work, and in a zone. Only canary values
are there to steal, and only this machine's loopback to send them to. What is printed is
what was seen: stopped, bounded (what nothing can stop, and what it is worth), effect,
leaked, or not-run where it cannot be told.

--plain shows what the job that you have today would have lost.

ATTACK chooses by the start of an id or name: R01, R22.tree, G, tanstack.`

func (a *app) drillCommand() *cobra.Command {
	f := &drillFlags{}
	cmd := &cobra.Command{
		Use:     "drill [ATTACK...]",
		Short:   "replay the known attacks against this set-up",
		Long:    drillLong,
		Example: "  sallyport drill\n  sallyport drill --plain\n  sallyport drill R01 R22 tanstack -o json",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.drill(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.plain, "plain", false, "replay without a boundary: what today's job would have lost")
	fs.BoolVar(&f.list, "list", false, "list the attacks and run none")
	fs.IntVar(&f.jobs, "jobs", 2, "how many are replayed at the same time")
	fs.BoolVar(&f.inRange, "in-range", false, "")
	requireFlag(cmd, &f.require, sandbox.LevelReduced)
	_ = fs.MarkHidden("in-range") // the flag is there: it was added above
	cmd.AddCommand(a.neighbourCommand())
	return cmd
}

// neighbourCommand is the process that each replay has beside it.
func (a *app) neighbourCommand() *cobra.Command {
	return &cobra.Command{Use: "neighbour", Hidden: true, Args: cobra.NoArgs, Short: "hold a canary in memory",
		RunE: func(*cobra.Command, []string) error { return drill.Neighbour(a.stdin) }}
}

func (a *app) drill(ctx context.Context, f *drillFlags, args []string) error {
	if err := checkRequire(f.require); err != nil {
		return err
	}
	cases, err := drill.Choose(args)
	if err != nil {
		return usagef("%w: sallyport drill --list shows them", err)
	}
	if f.list {
		return a.drillList(cases)
	}
	if !f.inRange && drill.CanHaveRange() {
		return a.enterRange(ctx)
	}
	if f.inRange {
		if err := drill.EnterRange(); err != nil {
			return fmt.Errorf("make a network for the drill: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "sallyport-drill-")
	if err != nil {
		return fmt.Errorf("make a place for the drill: %w", err)
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	subject, level, err := a.drillSubject(ctx, f, self, dir)
	if err != nil {
		return err
	}
	opts := drill.NewOptions(ctx, dir, self, "drill", "neighbour")
	results, err := a.replay(ctx, f, cases, opts, subject)
	if err != nil {
		return err
	}
	res := drillResult{"sallyport/drill/v1", subject.Name(), level, drill.Summarize(results), results, time.Since(began).Seconds()}
	switch {
	case res.Summary.Broke():
		a.code = exitNo
	case res.Summary.Unknown():
		a.code = exitUnknown
	}
	return a.result(res, func(w io.Writer) { drill.Write(w, res.Sandbox, res.Isolation, results, res.Seconds) })
}

// enterRange starts the same command again in a network namespace of its own,
// where the cloud's metadata address can be the drill's, and no host of anybody
// can be reached.
func (a *app) enterRange(ctx context.Context) error {
	code, err := drill.Range(ctx, append(os.Args[1:], "--in-range"), a.stdin, a.stdout, a.stderr)
	if err != nil {
		return fmt.Errorf("make a network for the drill: %w", err)
	}
	a.code = code
	return nil
}

// drillSubject is what is put to the test, and its isolation level.
func (a *app) drillSubject(ctx context.Context, f *drillFlags, self, dir string) (drill.Subject, string, error) {
	if f.plain {
		return drill.Plain{}, sandbox.LevelNone, nil
	}
	state := filepath.Join(dir, "state")
	sb, err := a.openSandbox(paths{state: state})
	if err != nil {
		return nil, "", err
	}
	defer sb.Close()
	level := sb.Level(ctx)
	if level.Name == sandbox.LevelNone || f.require == sandbox.LevelFull && level.Name != sandbox.LevelFull {
		return nil, "", &sandbox.NotIsolated{Wanted: f.require, Got: level.Name, Missing: level.Missing}
	}
	return drill.Boundary{Binary: []string{self}, Sandbox: a.sandbox, Require: f.require, State: state}, level.Name, nil
}

// replay runs the cases, a few at a time, and keeps their order.
func (a *app) replay(ctx context.Context, f *drillFlags, cases []drill.Case, o drill.Options, s drill.Subject) ([]drill.Result, error) {
	all := make([][]drill.Result, len(cases))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, f.jobs))
	var mu sync.Mutex
	for i := range cases {
		g.Go(func() error {
			rs, err := drill.Run(ctx, &cases[i], o, s)
			mu.Lock()
			defer mu.Unlock()
			all[i] = rs
			for _, r := range rs {
				a.say("  %-9s %-14s %s", r.Outcome, r.ID, r.Title)
			}
			return err
		})
	}
	err := g.Wait()
	var out []drill.Result
	for _, rs := range all {
		out = append(out, rs...)
	}
	return out, err
}

func (a *app) drillList(cases []drill.Case) error {
	list := drill.List(cases)
	return a.result(map[string]any{"schema": "sallyport/drill-list/v1", "attacks": list}, func(w io.Writer) {
		for _, e := range list {
			fmt.Fprintf(w, "%-14s %-8s %s\n", e.ID, e.Tongue, e.Title)
		}
	})
}

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/sandbox"
)

type runFlags struct {
	ref     string
	without []string
	policy  string
	require string
	noCache bool
	noHoney bool
	image   string
	out     string
	learn   bool
	reason  string
	until   string
}

const runLong = `Take a project through fetch, generate, build, test, verify and release, each in a zone
of its own, and leave a result that a stranger can verify offline.

SOURCE is a directory (default .), a git repository (git+https://...@REF, or --ref), or
a package URL (pkg:golang/filippo.io/age@v1.2.1, pkg:npm/left-pad@1.3.0). With no
sallyport.yaml the project is detected.

A second run with nothing changed runs nothing again, and says so. After an interrupt,
or a crash, the same command goes on where it was.`

func (a *app) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:     "run [SOURCE]",
		Short:   "take a project through all zones, to a signed result",
		Long:    runLong,
		Example: "  sallyport run\n  sallyport run --policy strict --out dist .\n  sallyport run pkg:golang/filippo.io/age@v1.2.1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runRun(cmd.Context(), f, first(args, "."))
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.ref, "ref", "", "branch, tag or commit of a git repository")
	fs.StringSliceVar(&f.without, "without", nil, "stages to leave out; it is recorded in the provenance")
	fs.StringVar(&f.policy, "policy", "default", "what must hold before release: default, strict, or a file")
	requireFlag(cmd, &f.require, sandbox.LevelReduced)
	fs.BoolVar(&f.noCache, "no-cache", false, "run every stage, also those with nothing changed")
	honeyFlag(cmd, &f.noHoney)
	learnFlags(cmd, &f.learn, &f.reason, &f.until)
	imageFlag(cmd, &f.image)
	fs.StringVar(&f.out, "out", "", "directory for the artifacts, their bundles and the trusted root")
	return cmd
}

func (a *app) runRun(ctx context.Context, f *runFlags, src string) error {
	if err := checkRequire(f.require); err != nil {
		return err
	}
	if err := checkOut(f.out); err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	lead, err := w.openConductor(ctx, f.policy)
	if err != nil {
		return err
	}
	img, err := w.openImage(ctx, f.image)
	if err != nil {
		return err
	}
	req := conductor.Request{Source: src, Ref: f.ref, Require: f.require, Without: f.without, NoCache: f.noCache, NoHoney: f.noHoney, Image: img}
	if f.learn {
		return w.learnRun(ctx, lead, req, f)
	}
	out, err := w.lead(ctx, lead, req)
	if err != nil {
		return err
	}
	return w.tellOutcome(out, f.out)
}

// lead runs, and shows how it goes.
func (w *workshop) lead(ctx context.Context, c *conductor.Conductor, req conductor.Request) (*conductor.Outcome, error) {
	p := w.newProgress()
	defer p.close()
	req.Events = p.event
	return c.Run(ctx, req)
}

// tellOutcome says what came of a run: what was refused, the result, and the
// primary failure last.
func (w *workshop) tellOutcome(out *conductor.Outcome, dir string) error {
	res := newRunResult(out)
	if dir != "" && out.Release != nil {
		if err := w.release.export(dir, &res); err != nil {
			return err
		}
	}
	if !w.quiet || out.Failure != nil {
		for _, d := range out.Run.Denials {
			w.words().denial(d)
		}
	}
	if err := w.result(res, res.text); err != nil {
		return err
	}
	w.code = res.exit()
	if out.Failure == nil {
		return nil
	}
	return failureProblem(out.Failure)
}

// event turns what the conductor tells into what a user sees.
func (p *progress) event(e conductor.Event) {
	switch e.Kind {
	case conductor.RunStarted:
		p.note(fmt.Sprintf("run %s, isolation %s", e.Run, e.Text))
	case conductor.Note:
		p.note(clean(e.Text))
	case conductor.StageStarted:
		p.start(e.Stage, e.Zone)
	case conductor.StageLine:
		p.step(e.Stage, e.Text)
	case conductor.StageCount:
		p.step(e.Stage, fmt.Sprintf("%d of %d packages", e.Done, e.Total))
	case conductor.StageEnded:
		p.end(e.Stage, e.Record)
	case conductor.Denied:
		p.note(fmt.Sprintf("denied[%s] %s  %s -> %s", e.Denial.Class, e.Denial.ID, clean(e.Denial.Stage), clean(e.Denial.Target)))
	}
}

// failureExits are the exit codes of failures that are not a clear no.
var failureExits = map[conductor.Code]int{
	conductor.CodeNotIsolated: exitNotIsolate,
	conductor.CodeInterrupted: exitUnknown,
	conductor.CodeInternal:    exitUnknown,
	conductor.CodeWithout:     exitUsage,
	conductor.CodeNoTool:      exitUsage,
}

// failureProblem words why a run did not go through.
func failureProblem(f *conductor.Failure) *problem {
	p := &problem{Code: code(f.Code), Exit: exitNo, What: f.Reason, Next: f.Next, Log: f.Log}
	if exit, ok := failureExits[f.Code]; ok {
		p.Exit = exit
	}
	if f.Err != nil {
		var q *problem
		if !errors.As(f.Err, &q) {
			q = explainRooms(f.Err)
		}
		if q != nil {
			p.Code, p.Exit, p.What, p.Where, p.Snippet, p.Also = q.Code, q.Exit, q.What, q.Where, q.Snippet, q.Also
			if p.Next == "" {
				p.Next = q.Next
			}
		}
	}
	if f.Retry {
		p.Exit = exitRetry
	}
	if f.Code == conductor.CodeInterrupted {
		p.Exit = exitUnknown
	}
	p.Also = append(p.Also, f.Path...)
	if f.Stage != "" {
		const most = 12
		for _, line := range f.Tail[max(0, len(f.Tail)-most):] {
			p.Also = append(p.Also, "| "+line)
		}
		if p.Next == "" {
			p.Next = "sallyport logs " + f.Stage
		}
	}
	return p
}

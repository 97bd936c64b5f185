package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/evidence"
)

// runsResult is sallyport/runs/v1.
type runsResult struct {
	Schema string    `json:"schema"`
	Runs   []runLine `json:"runs"`
}

type runLine struct {
	Run       string    `json:"run"`
	Project   string    `json:"project"`
	Source    string    `json:"source"`
	Outcome   string    `json:"outcome"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Isolation string    `json:"isolation"`
	Artifacts int       `json:"artifacts"`
	Reason    string    `json:"reason,omitempty"`
}

func (a *app) runsCommand() *cobra.Command {
	most := 0
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "list the runs, newest first, or show one",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.runsList(most) },
	}
	cmd.Flags().IntVarP(&most, "number", "n", 20, "how many to list; 0 lists all")
	cmd.AddCommand(&cobra.Command{
		Use:   "show RUN",
		Short: "show what came of a run, as run said it",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return a.runsShow(args[0]) },
	})
	return cmd
}

func (a *app) runsList(most int) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if err := recoverRuns(p); err != nil {
		return err
	}
	all, err := conductor.List(p.runs, most)
	if err != nil {
		return err
	}
	res := runsResult{Schema: "sallyport/runs/v1", Runs: []runLine{}}
	for _, o := range all {
		res.Runs = append(res.Runs, newRunLine(o))
	}
	return a.result(res, func(w io.Writer) {
		for _, r := range res.Runs {
			fmt.Fprintf(w, "%6s  %s  %-10s %8s  %-20s %s\n", r.Run, r.Started.Local().Format(time.DateTime), r.Outcome, seconds(secondsOf(r.Seconds)), clean(r.Project), clean(r.Reason))
		}
		if len(res.Runs) == 0 {
			a.say("no runs yet; begin with: sallyport run")
		}
	})
}

// recoverRuns closes the records of runs whose process died.
func recoverRuns(p paths) error {
	if _, err := os.Stat(p.runs); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return conductor.Recover(p.runs)
}

func newRunLine(o *conductor.Outcome) runLine {
	r := o.Run
	line := runLine{
		Run: r.ID, Project: r.Project, Source: r.Source.URI, Outcome: string(o.Result), Started: r.Started,
		Isolation: r.Isolation.Level, Artifacts: len(r.Artifacts), Reason: r.Reason,
	}
	if o.Result == "" {
		line.Outcome = string(r.State)
	}
	if !r.Ended.IsZero() {
		line.Seconds = r.Ended.Sub(r.Started).Seconds()
	}
	return line
}

func (a *app) runsShow(id string) error {
	o, err := a.loadRun(id)
	if err != nil {
		return err
	}
	res := newRunResult(o)
	return a.result(res, func(w io.Writer) {
		res.text(w)
		for _, s := range o.Run.Stages {
			fmt.Fprintf(w, "  stage      %-10s %-8s %s\n", clean(s.Name), s.State, stageWord(s))
		}
		if o.Failure != nil {
			fmt.Fprintf(w, "  failure    %s: %s\n", o.Failure.Code, clean(o.Failure.Reason))
		}
		fmt.Fprintf(w, "  record     %s\n", o.Dir)
	})
}

func stageWord(s evidence.Stage) string {
	switch {
	case s.Cached:
		return "unchanged, not run again"
	case s.Reason != "":
		return clean(s.Reason)
	case s.Ended.IsZero():
		return ""
	}
	return seconds(s.Ended.Sub(s.Started))
}

// loadRun reads the record of a run; "" and "last" are the newest.
func (a *app) loadRun(id string) (*conductor.Outcome, error) {
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	if err := recoverRuns(p); err != nil {
		return nil, err
	}
	if id == "" || id == "last" {
		all, err := conductor.List(p.runs, 1)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, &problem{Code: codeNoRun, Exit: exitUsage, What: "there is no run yet", Next: "sallyport run"}
		}
		return all[0], nil
	}
	o, err := conductor.Load(p.runs, id)
	if err != nil {
		return nil, &problem{Code: codeNoRun, Exit: exitUsage, What: err.Error(), Next: "sallyport runs", cause: err}
	}
	return o, nil
}

package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/framework"
	"github.com/sallyport/sallyport/internal/ledger"
)

// frameworksResult is sallyport/frameworks/v1: what can be reported on.
type frameworksResult struct {
	Schema     string                `json:"schema"`
	Frameworks []framework.Framework `json:"frameworks"`
}

func (a *app) reportCommand() *cobra.Command {
	f := &readingFlags{}
	id, run := "", ""
	cmd := &cobra.Command{
		Use:   "report [PATH]",
		Short: "say, control by control of a published framework, what is shown and by which evidence",
		Long: `Audit the CI files of a repository and say, for each control of a published framework, what is
broken, what is shown, by which evidence, and what neither files nor a run can decide. With --run
the evidence of one of our own runs counts too. Without --framework, list those that there are.
A broken control gives exit code 3.`,
		Example:     "  sallyport report\n  sallyport report --framework nist-csf-2.0\n  sallyport report --framework slsa-1.1-build --run 42 -o html > slsa.html",
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{formsOf: "text json markdown html"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if id == "" {
				return a.listFrameworks()
			}
			return a.report(cmd.Context(), f, id, run, first(args, "."))
		},
	}
	f.on(cmd)
	cmd.Flags().StringVar(&id, "framework", "", "the framework to report on")
	cmd.Flags().StringVar(&run, "run", "", "count the evidence of this run")
	return cmd
}

func (a *app) listFrameworks() error {
	all, err := framework.All()
	if err != nil {
		return err
	}
	if a.format != "text" && a.format != "json" {
		return usagef("--framework is missing: -o %s is for a report", a.format)
	}
	return a.result(frameworksResult{Schema: "sallyport/frameworks/v1", Frameworks: all}, func(w io.Writer) {
		for _, f := range all {
			fmt.Fprintf(w, "%-16s %s, %s: %d controls (%s, checked %s)\n", f.ID, f.Title, f.Version, len(f.Controls), f.Source, f.Date)
		}
	})
}

func (a *app) report(ctx context.Context, f *readingFlags, id, run, target string) error {
	fw, err := framework.Find(id)
	if err != nil {
		return usagef("%w", err)
	}
	facts, err := a.facts(f, target)
	if err != nil {
		return err
	}
	if run != "" {
		if facts.Evidence, err = a.evidenceOf(ctx, run); err != nil {
			return err
		}
	}
	r := framework.Judge(fw, facts)
	if r.Totals[framework.Broken] > 0 {
		a.code = exitNo
	}
	switch a.format {
	case "markdown":
		return framework.Markdown(a.stdout, r)
	case "html":
		return framework.HTML(a.stdout, r)
	case "json":
		return a.result(r, nil)
	}
	return framework.Text(a.stdout, r)
}

// facts are what an audit with every rule found in a repository.
func (a *app) facts(f *readingFlags, target string) (framework.Facts, error) {
	var facts framework.Facts
	in, err := a.openAudit(f, target)
	if err != nil {
		return facts, err
	}
	defer in.close()
	conf, err := in.config()
	if err != nil {
		return facts, err
	}
	reading, err := in.read(conf)
	if err != nil {
		return facts, err
	}
	report := audit.Report(reading.Definitions, reading.Errors, reading.Files, audit.Strict)
	if err := in.suppress(&report, reading.Definitions, conf, ""); err != nil {
		return facts, err
	}
	facts.Gaps = len(report.Gaps) + len(report.Errors)
	if reading.Files == 0 {
		facts.Gaps++ // nothing was read: nothing is shown
	}
	for _, r := range finding.Rules() {
		facts.Examined = append(facts.Examined, string(r.ID))
	}
	for _, x := range report.Findings {
		if x.Suppressed != "" || x.Rule == "SPA-090" {
			continue
		}
		where := fmt.Sprintf("%s:%d", x.File, x.Line)
		facts.Breaches = append(facts.Breaches, framework.Breach{Rule: string(x.Rule), Where: where, Title: x.Title, Severity: x.Severity.String()})
	}
	return facts, nil
}

// evidenceOf says which kinds of evidence a run left, by its record and by the
// log, which is checked while it is read.
func (a *app) evidenceOf(ctx context.Context, run string) ([]string, error) {
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	o, err := conductor.Load(p.runs, run)
	if err != nil {
		return nil, err
	}
	log, err := a.readLog()
	if err != nil {
		return nil, err
	}
	kinds := map[ledger.Type]bool{}
	for rec, err := range log.Entries(ctx, ledger.Filter{Run: run}) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if rec.Entry != nil {
			kinds[rec.Entry.Type] = true
		}
	}
	var out []string
	for _, e := range []struct {
		kind string
		ok   bool
	}{
		{"ledger", len(kinds) > 0}, {"materials", kinds[ledger.Materials]}, {"verdict", kinds[ledger.Verdict]}, {"approvals", kinds[ledger.Approval]},
		{"provenance", kinds[ledger.Signature]}, {"receipt", kinds[ledger.Receipt] && cleanReceipts(o)},
		{"tests", o.Run.Tests != nil && o.Run.Tests.Passed}, {"scan", o.Run.SecretsRun && len(o.Run.Secrets) == 0}, {"rebuild", rebuilt(o)},
	} {
		if e.ok {
			out = append(out, e.kind)
		}
	}
	a.say("evidence of run %s: %s", run, listOr(out, "none"))
	return out, nil
}

// cleanReceipts tells whether each stage that ran code has a receipt in which
// nothing was possible that must not be.
func cleanReceipts(o *conductor.Outcome) bool {
	seen := false
	for _, s := range o.Run.Stages {
		if s.Zone >= boundary.Verify || s.Cached {
			continue
		}
		if s.Receipt == nil || !s.Receipt.Clean() {
			return false
		}
		seen = true
	}
	return seen
}

// rebuilt tells whether each second build gave the same bytes.
func rebuilt(o *conductor.Outcome) bool {
	for _, r := range o.Run.Rebuilds {
		if !r.Identical || r.Error != "" {
			return false
		}
	}
	return len(o.Run.Rebuilds) > 0
}

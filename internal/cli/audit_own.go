package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// auditOwn adds what sallyport.yaml of the repository says, where there is one:
// each crossing is a finding. It tells whether there is one.
func auditOwn(repo fs.FS, r *finding.Report) (bool, error) {
	raw, err := fs.ReadFile(repo, pipeline.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", pipeline.FileName, err)
	}
	r.Files++
	r.Totals.Files++
	p, err := pipeline.Load(pipeline.FileName, raw)
	if err != nil {
		r.Errors = append(r.Errors, finding.Gap{File: pipeline.FileName, What: pipeline.FileName, Why: err.Error()})
		r.Unknown++
		r.Totals.Unknown++
		return true, nil
	}
	for _, c := range boundary.Check(p.Graph(conductor.TrustDomain)) {
		f := ownFinding(c)
		r.Findings = append(r.Findings, f)
		r.Totals.BySeverity[f.Severity.String()]++
	}
	finding.Sort(r.Findings)
	return true, nil
}

// ownFinding words a crossing of our own pipeline as the audit does.
func ownFinding(c boundary.Crossing) finding.Finding {
	id := ruleOf(c)
	rule, _ := finding.Find(id)
	f := finding.Finding{
		Rule: id, Severity: rule.Severity, Confidence: finding.Proven, System: ci.Sallyport, File: pipeline.FileName, Line: c.Where.Line, Domain: c.Node,
		Title: c.Text, Path: []finding.Step{}, Crossing: []boundary.Rule{c.Rule}, Fix: []string{"`sallyport plan` shows the pipeline and the path; `sallyport run` refuses it"},
	}
	if c.Authority != (boundary.Authority{}) {
		f.Credential = &finding.Credential{Line: c.Where.Line, Name: c.Authority.String(), Kind: ci.Secret, Can: []string{string(c.Authority.Verb)}, Enters: "stage " + c.Node}
	}
	for _, s := range c.Path {
		f.Path = append(f.Path, finding.Step{Text: s.Text, File: s.Where.File, Line: s.Where.Line})
	}
	f.Fingerprint = f.Print()
	return f
}

// ruleOf is the rule of the audit that stands for a crossing.
func ruleOf(c boundary.Crossing) finding.ID {
	switch c.Rule {
	case boundary.SP1:
		return map[boundary.Verb]finding.ID{boundary.VerbPublish: "SPA-001", boundary.VerbSign: "SPA-002", boundary.VerbDeploy: "SPA-003", boundary.VerbSecret: "SPA-005"}[c.Authority.Verb]
	case boundary.SP2:
		return "SPA-008"
	case boundary.SP3:
		return "SPA-022"
	case boundary.SP5:
		return "SPA-010"
	case boundary.SP6:
		return "SPA-023"
	case boundary.SP7:
		return "SPA-017"
	case boundary.SP9:
		return "SPA-006"
	}
	if strings.Contains(c.What, string(boundary.KindCache)) {
		return "SPA-014"
	}
	return "SPA-015"
}

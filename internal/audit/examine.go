package audit

import (
	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Examine judges the definitions of one repository. It returns every finding,
// those of the strict profile among them; Report chooses.
func Examine(defs []ci.Definition) []finding.Finding {
	all := domains(defs)
	var out []finding.Finding
	for _, x := range all {
		for _, r := range rules() {
			out = append(out, r(x)...)
		}
	}
	out = append(out, repository(defs, all)...)
	out = append(out, notAnalysed(defs)...)
	for i := range out {
		out[i].Fingerprint = out[i].Print()
		if out[i].Path == nil {
			out[i].Path = []finding.Step{}
		}
	}
	finding.Sort(out)
	return out
}

// notAnalysed is SPA-090.
func notAnalysed(defs []ci.Definition) []finding.Finding {
	var out []finding.Finding
	r, _ := finding.Find("SPA-090")
	for _, d := range defs {
		for _, g := range d.Gaps {
			file := g.Where.File
			if file == "" {
				file = d.File
			}
			out = append(out, finding.Finding{
				Rule: r.ID, Severity: r.Severity, Confidence: finding.Proven, Strict: r.Strict, System: d.System, File: file, Line: g.Where.Line, Domain: g.Job,
				Title: "not analysed: " + clip(g.What, 80) + ": " + g.Why, Path: []finding.Step{step(g.Where, g.Why)},
			})
		}
	}
	return out
}

// Profile chooses what is reported.
type Profile string

// The profiles.
const (
	// Default: proven and likely paths to credentials of high value.
	Default Profile = "default"
	// Strict: everything.
	Strict Profile = "strict"
)

// Report puts findings together with the figures of a reading.
func Report(defs []ci.Definition, errors []finding.Gap, files int, p Profile) finding.Report {
	r := finding.Report{Schema: finding.Schema, Files: files, Findings: []finding.Finding{}, Gaps: []finding.Gap{}, Errors: errors}
	for _, f := range Examine(defs) {
		if p == Strict || !f.Strict {
			r.Findings = append(r.Findings, f)
		}
	}
	for _, d := range defs {
		for _, g := range d.Gaps {
			file := g.Where.File
			if file == "" {
				file = d.File
			}
			r.Gaps = append(r.Gaps, finding.Gap{File: file, Line: g.Where.Line, Job: g.Job, What: g.What, Why: g.Why})
		}
	}
	r.Unknown = len(r.Gaps) + len(errors)
	r.Totals = totals(defs, r)
	return r
}

func totals(defs []ci.Definition, r finding.Report) finding.Totals {
	t := finding.Totals{Files: r.Files, Unknown: r.Unknown, BySeverity: map[string]int{}}
	for _, x := range domains(defs) {
		t.Jobs += len(x.jobs)
		if len(x.high()) > 0 {
			t.Credentialed++
			if x.tainted() {
				t.Crossed++
			}
		}
	}
	for _, f := range r.Findings {
		if f.Suppressed != "" {
			t.Suppressed++
			continue
		}
		t.BySeverity[f.Severity.String()]++
	}
	return t
}

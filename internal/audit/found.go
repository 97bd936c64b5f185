package audit

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// reached is a finding of a path from e to c.
func (x *domain) reached(id finding.ID, e event, c held) finding.Finding {
	f := x.about(id, c)
	f.Line = e.Where.Line
	if e.Where.File != "" {
		f.File = e.Where.File
	}
	f.Untrusted = &finding.Untrusted{File: e.Where.File, Line: e.Where.Line, Text: e.Text, Why: e.Why}
	if !e.after(c) {
		f.Severity = lower(f.Severity)
	}
	f.Path = x.path(e, c)
	f.Fix = fixes(x, id, e, c)
	return f
}

// about is a finding of a credential alone.
func (x *domain) about(id finding.ID, c held) finding.Finding {
	r, _ := finding.Find(id)
	f := finding.Finding{
		Rule: id, Severity: r.Severity, Confidence: finding.Proven, Strict: r.Strict, System: x.def.System,
		File: x.def.File, Line: c.Where.Line, Domain: c.job.ID, JobLine: c.job.Where.Line, Crossing: r.Breaks,
	}
	if c.Where.File != "" {
		f.File = c.Where.File
	}
	if c.Assumed {
		f.Severity, f.Confidence = lower(f.Severity), finding.Likely
	}
	s := shown(c)
	f.Credential = &s
	f.Path = []finding.Step{step(c.Where, fmt.Sprintf("%s enters by the %s", c.Name, c.Enters))}
	f.Fix = fixes(x, id, event{}, c)
	for _, j := range x.jobs {
		for _, m := range j.Mitigations {
			f.Credited = append(f.Credited, m.Text)
		}
	}
	return f
}

func lower(s finding.Severity) finding.Severity { return max(s-1, finding.Note) }

func shown(c held) finding.Credential {
	s := finding.Credential{File: c.Where.File, Line: c.Where.Line, Name: c.Name, Kind: c.Kind, Enters: c.Enters}
	for _, class := range c.Classes {
		s.Can = append(s.Can, string(class))
	}
	return s
}

func step(p ci.Place, text string) finding.Step {
	return finding.Step{Text: text, File: p.File, Line: p.Line}
}

// path tells how code that starts at e gets at c.
func (x *domain) path(e event, c held) []finding.Step {
	code := step(e.Where, fmt.Sprintf("%s: %s", clip(e.Text, 120), e.Why))
	cred := step(c.Where, fmt.Sprintf("%s enters by the %s", c.Name, c.Enters))
	between := step(e.job.Where.Place, x.between(e, c))
	if e.after(c) {
		return []finding.Step{cred, code, between}
	}
	return []finding.Step{code, cred, between}
}

// between says why nothing keeps the two apart.
func (x *domain) between(e event, c held) string {
	if !e.after(c) {
		return "what ran earlier can wait in the background, or change PATH, environment or configuration of what comes"
	}
	if e.job != c.job {
		return fmt.Sprintf("jobs %s and %s run on one machine, one after the other", e.job.ID, c.job.ID)
	}
	switch x.def.System {
	case ci.GitHub:
		return "steps of a job share a machine: each can read the memory and the files of the others"
	case ci.Tekton:
		return "steps of a task share a Pod and its service account"
	case ci.Buildkite:
		return "commands run as the agent, with whatever its machine may do"
	case ci.Woodpecker:
		return "the step's container has the secret while the code runs"
	}
	return "commands of a job share a container: each can read the environment and the files of the others"
}

// clip shortens text for one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-3]) + "..."
}

func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

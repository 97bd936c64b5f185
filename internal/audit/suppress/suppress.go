// Package suppress takes findings out of the count that somebody has looked at:
// by a comment beside them, by the configuration of the repository, or by a
// baseline of what was known before.
//
// Each comment and each entry of the configuration wants a reason; one without
// does not count and is told. One that has run out does not count either. A
// suppressed finding stays in the report.
package suppress

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Comment is one suppression that stands in a CI file:
//
//	# sallyport: ignore[SPA-001] reason=... until=2027-01-01
//
// It is for findings of its own line, of the next line that is no comment, and
// of the job that begins there.
type Comment struct {
	Line   int // where it stands
	For    int // the line that it is about
	Rules  []finding.ID
	Reason string
	Until  time.Time // zero: for ever
	Wrong  string    // why it does not count; empty: it does
}

// maxComments bounds the suppressions of one file.
const maxComments = 1000

// Comments reads the suppressions of one file.
func Comments(text []byte) []Comment {
	var all []Comment
	var open []int // comments whose line is yet to come
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		body, at := commentOf(line)
		if at >= 0 && len(all) < maxComments {
			c := parseComment(body, i+1)
			alone := strings.TrimSpace(line[:at]) == ""
			all = append(all, c)
			if alone {
				open = append(open, len(all)-1)
			}
			continue
		}
		if trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//") {
			continue
		}
		for _, k := range open {
			all[k].For = i + 1
		}
		open = nil
	}
	return all
}

// commentOf finds a suppression in a line, and where its comment begins.
func commentOf(line string) (body string, at int) {
	for _, mark := range []string{"#", "//"} {
		rest := line
		offset := 0
		for {
			i := strings.Index(rest, mark)
			if i < 0 {
				break
			}
			after := strings.TrimSpace(rest[i+len(mark):])
			if b, ok := strings.CutPrefix(after, "sallyport:"); ok {
				return strings.TrimSpace(b), offset + i
			}
			offset, rest = offset+i+len(mark), rest[i+len(mark):]
		}
	}
	return "", -1
}

func parseComment(body string, line int) Comment {
	c := Comment{Line: line, For: line}
	rest, ok := strings.CutPrefix(body, "ignore[")
	list, rest, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		c.Wrong = "it is not: ignore[SPA-nnn] reason=..."
		return c
	}
	for id := range strings.SplitSeq(list, ",") {
		r, known := finding.Find(finding.ID(strings.TrimSpace(id)))
		if !known {
			c.Wrong = fmt.Sprintf("there is no rule %q", strings.TrimSpace(id))
			return c
		}
		c.Rules = append(c.Rules, r.ID)
	}
	c.fields(rest)
	return c
}

// fields reads reason=... and until=...; a reason goes to the end, or to until.
func (c *Comment) fields(text string) {
	before, until, has := strings.Cut(text, "until=")
	if has {
		day, _, _ := strings.Cut(strings.TrimSpace(until), " ")
		t, err := time.Parse(time.DateOnly, day)
		if err != nil {
			c.Wrong = fmt.Sprintf("until=%s is no day: write until=2027-01-31", day)
			return
		}
		c.Until = t
	}
	_, reason, ok := strings.Cut(before, "reason=")
	if c.Reason = strings.TrimSpace(reason); !ok || c.Reason == "" {
		c.Wrong = "it gives no reason: add reason=..."
	}
}

// over tells whether a suppression has run out: it counts on its last day.
func over(until, now time.Time) bool {
	return !until.IsZero() && !now.Before(until.AddDate(0, 0, 1))
}

// Apply marks the findings that do not count, and tells of suppressions that
// cannot be followed. comments are by file.
func Apply(r *finding.Report, c Config, comments map[string][]Comment, known Baseline, now time.Time) {
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Suppressed = reasonFor(*f, c, comments[f.File], known, now)
		if f.Suppressed != "" {
			r.Totals.Suppressed++
			r.Totals.BySeverity[f.Severity.String()]--
		}
	}
	var files []string
	for file := range comments {
		files = append(files, file)
	}
	slices.Sort(files)
	for _, file := range files {
		for _, k := range comments[file] {
			why := k.Wrong
			if why == "" && over(k.Until, now) {
				why = "it ran out on " + k.Until.Format(time.DateOnly)
			}
			if why != "" {
				r.Gaps = append(r.Gaps, finding.Gap{File: file, Line: k.Line, What: "a suppression", Why: "it does not count: " + why})
			}
		}
	}
	for _, g := range c.Ignore {
		if over(g.until, now) {
			r.Gaps = append(r.Gaps, finding.Gap{File: ConfigFile, Line: g.line, What: "a suppression", Why: "it does not count: it ran out on " + g.Until})
		}
	}
}

// reasonFor says why a finding does not count, or "".
func reasonFor(f finding.Finding, c Config, comments []Comment, known Baseline, now time.Time) string {
	for _, k := range comments {
		if k.Wrong == "" && slices.Contains(k.Rules, f.Rule) && about(k, f) && !over(k.Until, now) {
			return k.Reason
		}
	}
	for _, g := range c.Ignore {
		if g.matches(f) && !over(g.until, now) {
			return g.Reason
		}
	}
	if known.has(f.Fingerprint) {
		return "known before: in the baseline"
	}
	return ""
}

// about tells whether a comment is for a finding: for its line, for the line of
// its credential, or for the job that begins there.
func about(k Comment, f finding.Finding) bool {
	lines := []int{f.Line, f.JobLine}
	if f.Untrusted != nil {
		lines = append(lines, f.Untrusted.Line)
	}
	if f.Credential != nil {
		lines = append(lines, f.Credential.Line)
	}
	return slices.Contains(lines, k.For) || slices.Contains(lines, k.Line)
}

// matches tells whether an entry of the configuration is for a finding.
func (g Ignore) matches(f finding.Finding) bool {
	if finding.ID(g.Rule) != f.Rule {
		return false
	}
	if g.Path != "" {
		if ok, err := path.Match(g.Path, f.File); err != nil || !ok {
			return false
		}
	}
	return g.Job == "" || g.Job == f.Domain
}

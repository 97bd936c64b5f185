// Package suppress takes findings out of the count that somebody has looked at:
// by a comment beside them, by the configuration of the repository, or by a
// baseline of what was known before.
//
// Each comment and each entry of the configuration wants a reason; one without
// does not count and is told. One that has run out does not count either. A
// suppressed finding stays in the report. Nothing here reads a file or a clock.
package suppress

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Where a suppression stands, as a finding has it in SuppressedBy.
const (
	ByComment       = "comment"
	ByConfiguration = "configuration"
	ByBaseline      = "baseline"
)

// over tells whether a suppression has run out: it counts on its last day, by
// UTC.
func over(until, now time.Time) bool {
	return !until.IsZero() && !now.Before(until.AddDate(0, 0, 1))
}

// Apply marks the findings that do not count, counts anew, and notes the
// suppressions that cannot be followed. comments are by file.
func Apply(r *finding.Report, c Config, comments map[string][]Comment, known Baseline, now time.Time) {
	a := applied{config: c, comments: comments, known: map[string]bool{}, now: now}
	for _, k := range known.Fingerprints {
		a.known[k.Fingerprint] = true
	}
	r.Totals.Suppressed, r.Totals.BySeverity = 0, map[string]int{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Suppressed == "" {
			f.Suppressed, f.SuppressedBy = a.reason(*f)
		}
		if f.Suppressed != "" {
			r.Totals.Suppressed++
			continue
		}
		r.Totals.BySeverity[f.Severity.String()]++
	}
	r.Notes = append(r.Notes, a.notes()...)
}

// applied is all that suppresses.
type applied struct {
	config   Config
	comments map[string][]Comment
	known    map[string]bool // fingerprints
	now      time.Time
}

// reason says why a finding does not count, and where that is said; or "".
func (a applied) reason(f finding.Finding) (why, by string) {
	for _, s := range spots(f) {
		for _, k := range a.comments[s.file] {
			if k.Wrong == "" && slices.Contains(k.Rules, f.Rule) && (k.Line == s.line || k.For == s.line) && !over(k.Until, a.now) {
				return k.Reason, ByComment
			}
		}
	}
	for _, g := range a.config.Ignore {
		if g.matches(f) && !over(g.Until, a.now) {
			return g.Reason, ByConfiguration
		}
	}
	if a.low(f) {
		return fmt.Sprintf("%s is worth little: low in %s", f.Credential.Name, ConfigFile), ByConfiguration
	}
	if f.Fingerprint != "" && a.known[f.Fingerprint] {
		return "known before: in the baseline", ByBaseline
	}
	return "", ""
}

// spot is a line of a file.
type spot struct {
	file string
	line int
}

// spots are the lines of a finding beside which a comment can stand: its own,
// that of the untrusted step, that of the credential, and where the job begins.
func spots(f finding.Finding) []spot {
	all := []spot{{f.File, f.Line}, {f.File, f.JobLine}}
	if u := f.Untrusted; u != nil {
		all = append(all, spot{cmp.Or(u.File, f.File), u.Line})
	}
	if k := f.Credential; k != nil {
		all = append(all, spot{cmp.Or(k.File, f.File), k.Line})
	}
	return slices.DeleteFunc(all, func(s spot) bool { return s.line < 1 })
}

// matches tells whether an entry of the configuration is for a finding.
func (g Ignore) matches(f finding.Finding) bool {
	return g.Rule == f.Rule && (g.Path == "" || match(g.Path, f.File)) && (g.Job == "" || g.Job == f.Domain)
}

// low tells whether each credential of a finding is one that the configuration
// calls worth little.
func (a applied) low(f finding.Finding) bool {
	if f.Credential == nil {
		return false
	}
	for _, k := range append([]finding.Credential{*f.Credential}, f.Others...) {
		fits := func(pattern string) bool { ok, err := path.Match(pattern, k.Name); return err == nil && ok }
		if !slices.ContainsFunc(a.config.Low, fits) {
			return false
		}
	}
	return true
}

// notes are the suppressions that cannot be followed.
func (a applied) notes() []finding.Gap {
	var all []finding.Gap
	add := func(file string, line int, why string) {
		all = append(all, finding.Gap{File: file, Line: line, What: "a suppression", Why: "it does not count: " + why})
	}
	for _, file := range slices.Sorted(maps.Keys(a.comments)) {
		for _, k := range a.comments[file] {
			switch {
			case k.Wrong != "":
				add(file, k.Line, k.Wrong)
			case over(k.Until, a.now):
				add(file, k.Line, "it ran out on "+k.Until.Format(time.DateOnly))
			}
		}
	}
	for _, g := range a.config.Ignore {
		if over(g.Until, a.now) {
			add(ConfigFile, g.Line, "it ran out on "+g.Until.Format(time.DateOnly))
		}
	}
	return all
}

package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// quality is one entry of GitLab Code Quality, a subset of the Code Climate
// format.
type quality struct {
	Description string          `json:"description"`
	Check       string          `json:"check_name"`
	Fingerprint string          `json:"fingerprint"`
	Severity    string          `json:"severity"`
	Location    qualityLocation `json:"location"`
}

type qualityLocation struct {
	Path  string       `json:"path"`
	Lines qualityLines `json:"lines"`
}

type qualityLines struct {
	Begin int `json:"begin"`
}

// GitLab writes GitLab Code Quality. GitLab shows one entry for each
// fingerprint, so that a second finding of the same one gets one of its own.
func GitLab(w io.Writer, r finding.Report, _ Context) error {
	out := []quality{}
	seen := map[string]int{}
	add := func(print, description, check, severity, file string, line int) {
		if seen[print]++; seen[print] > 1 {
			print = hashed(print, fmt.Sprint(seen[print]))
		}
		out = append(out, quality{description, check, print, severity, qualityLocation{relative(file), qualityLines{max(line, 1)}}})
	}
	all, _ := counted(r)
	for _, f := range all {
		p := primary(f)
		text := short(f.Title)
		if len(f.Fix) > 0 {
			text += ". Fix: " + short(f.Fix[0])
		}
		add(f.Fingerprint, text, string(f.Rule), weight(f.Severity), p.file, p.line)
	}
	for _, m := range remarks(r) {
		check, severity := "SPA-090", "info"
		if m.Kind == "suppression" {
			check, severity = m.Kind, "minor"
		}
		add(hashed(m.Kind, m.File, m.Job, m.What, m.Why), m.Kind+": "+m.text(), check, severity, m.File, m.Line)
	}
	return encode(w, out)
}

// hashed names something that has no fingerprint of its own.
func hashed(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:16])
}

// weight is GitLab's word for a severity.
func weight(s finding.Severity) string {
	switch s {
	case finding.Critical:
		return "blocker"
	case finding.High:
		return "critical"
	case finding.Medium:
		return "major"
	}
	return "info"
}

// relative is a path as GitLab compares it: from the root, without ./
func relative(file string) string { return strings.TrimPrefix(plain(file), "./") }

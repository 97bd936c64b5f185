// Package render writes a report of the audit in the forms that people and
// other programs read.
//
// Every form shows the same findings. Text of CI files is hostile: control
// characters are shown, never sent to a terminal, and each form escapes what
// could be taken for its own syntax.
package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Context is what a form needs beside the report.
type Context struct {
	Version string
	// Source gives the text of a file for carets and snippets; nil, or an answer
	// of nil: there are none.
	Source func(file string) []byte
	Color  bool
	// Taxa are the controls of known frameworks that a rule belongs to; nil: none.
	Taxa func(finding.ID) []Taxon
	// Picture draws the zones of a file as SVG; nil: no pictures.
	Picture func(file string) []byte
}

// Taxon is one control of a framework.
type Taxon struct {
	Taxonomy string // owasp-nhi-2025
	ID       string // NHI5
	Name     string
}

// Format is one form of a report.
type Format struct {
	Name   string
	About  string
	Render func(io.Writer, finding.Report, Context) error
}

// Formats are all forms.
func Formats() []Format {
	return []Format{
		{"text", "for people, with the lines of the files", Text},
		{"json", "the report itself, sallyport/audit/v1", JSON},
		{"sarif", "SARIF 2.1.0, for code scanning", SARIF},
		{"github", "annotations of a GitHub Actions run", GitHub},
		{"gitlab", "GitLab Code Quality", GitLab},
		{"junit", "JUnit XML", JUnit},
		{"markdown", "a step summary", Markdown},
		{"html", "one page, with pictures", HTML},
	}
}

// JSON writes the report itself.
func JSON(w io.Writer, r finding.Report, _ Context) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// plain makes hostile text safe for a terminal and for one line: control
// characters and those that change the direction of writing are shown.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', r == unicode.ReplacementChar:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clip bounds a line.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-3]) + "..."
}

// counted are the findings that count, and suppressed those that do not.
func counted(r finding.Report) (out, suppressed []finding.Finding) {
	for _, f := range r.Findings {
		if f.Suppressed == "" {
			out = append(out, f)
			continue
		}
		suppressed = append(suppressed, f)
	}
	return out, suppressed
}

// page is the path of a rule's page in the repository of Sallyport.
func page(id finding.ID) string { return "docs/rules/" + string(id) + ".md" }

// sources remembers the lines of files.
type sources struct {
	read  func(string) []byte
	lines map[string][]string
}

func newSources(c Context) *sources { return &sources{c.Source, map[string][]string{}} }

// line is the text of a line, counted from 1.
func (s *sources) line(file string, n int) (string, bool) {
	if s.read == nil || n < 1 {
		return "", false
	}
	all, ok := s.lines[file]
	if !ok {
		all = strings.Split(string(s.read(file)), "\n")
		s.lines[file] = all
	}
	if n > len(all) {
		return "", false
	}
	return strings.TrimRight(all[n-1], "\r"), true
}

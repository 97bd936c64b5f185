// Package render writes a report of the audit in the forms that people and
// other programs read.
//
// Every form shows the same findings. Text of CI files is hostile: control
// characters are shown, never sent to a terminal, nothing is left that a CI
// runner which reads the output would obey, and each form escapes what could be
// taken for its own syntax.
package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Context is what a form needs beside the report.
type Context struct {
	Version string
	// Source gives the text of a file for carets and snippets; nil, or an answer
	// of nil: there are none.
	Source func(file string) []byte
	Color  bool
	Width  int // columns of a source line that text shows; 0: 140
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
	r.Findings = slices.Clone(r.Findings)
	if r.Findings == nil {
		r.Findings = []finding.Finding{}
	}
	return encode(w, r)
}

// encode writes JSON as safe as plain text: what could do harm in a terminal or
// in the log of a CI run can stand only inside a string, and is escaped there.
func encode(w io.Writer, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	var last rune
	for _, r := range string(raw) {
		if r != '\n' && unprintable(r) || r == '#' && last == '#' {
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "\\u%04x", u)
			}
		} else {
			b.WriteRune(r)
		}
		last = r
	}
	b.WriteByte('\n')
	_, err = b.WriteTo(w)
	return err
}

// unprintable tells what is shown rather than written: control characters, and
// those that nobody sees or that change the direction of writing.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// plain makes hostile text safe for a terminal, for one line, and for the log
// of a CI run: control characters and those that change the direction of
// writing are shown, and the ## of a runner's command (##vso[, ##[) is broken.
func plain(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case unprintable(r), r == unicode.ReplacementChar:
			fmt.Fprintf(&b, "\\u%04x", r)
		case r == '#' && last == '#':
			b.WriteString(`\#`)
		default:
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

// maxText bounds one text of a report, in runes.
const maxText = 500

// short is plain, and bounded.
func short(s string) string { return clip(plain(s), maxText) }

// clip bounds a line.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
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

// remark is something that a report says beside its findings.
type remark struct {
	Kind string // not read, not analysed, suppression
	finding.Gap
}

// remarks are what was not read or not analysed, and suppressions that could
// not be followed. What SPA-090 reports already is left out.
func remarks(r finding.Report) []remark {
	said := map[[2]string]bool{}
	for _, f := range r.Findings {
		if f.Rule == "SPA-090" {
			said[[2]string{f.File, fmt.Sprint(f.Line)}] = true
		}
	}
	var all []remark
	for _, g := range r.Errors {
		all = append(all, remark{"not read", g})
	}
	for _, g := range r.Gaps {
		if !said[[2]string{g.File, fmt.Sprint(g.Line)}] {
			all = append(all, remark{"not analysed", g})
		}
	}
	for _, g := range r.Notes {
		all = append(all, remark{"suppression", g})
	}
	return all
}

// text says a remark without its place.
func (m remark) text() string {
	if m.What == m.File || m.Kind == "suppression" {
		return short(m.Why)
	}
	return short(m.What) + ": " + short(m.Why)
}

// page is the path of a rule's page in the repository of Sallyport.
func page(id finding.ID) string { return "docs/rules/" + string(id) + ".md" }

// spot is a place in a file, and the text there that it is about.
type spot struct {
	file string
	line int
	text string
}

// primary is where a finding is shown: at the untrusted step, else at the
// credential, else at its line.
func primary(f finding.Finding) spot {
	switch {
	case f.Untrusted != nil:
		return spot{cmp.Or(f.Untrusted.File, f.File), f.Untrusted.Line, f.Untrusted.Text}
	case f.Credential != nil:
		return spot{cmp.Or(f.Credential.File, f.File), f.Credential.Line, f.Credential.Name}
	}
	return spot{f.File, f.Line, ""}
}

// enters says how a credential comes in.
func enters(k finding.Credential) string {
	if k.Enters == "" {
		return k.Name + " is here"
	}
	return k.Name + " enters by the " + k.Enters
}

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

// mark finds what a line is about, in runes: the text, or its first word, else
// all of the line.
func mark(line, what string) (start, width int) {
	what = strings.Join(strings.Fields(what), " ")
	first, _, _ := strings.Cut(what, " ")
	for _, part := range []string{what, first} {
		if i := strings.Index(line, part); part != "" && i >= 0 {
			return len([]rune(line[:i])), len([]rune(part))
		}
	}
	trimmed := strings.TrimLeft(line, " ")
	return len([]rune(line)) - len([]rune(trimmed)), max(1, len([]rune(trimmed)))
}

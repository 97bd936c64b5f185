package render

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// GitHub writes workflow commands, which GitHub shows beside the lines.
func GitHub(w io.Writer, r finding.Report, _ Context) error {
	all, _ := counted(r)
	for _, f := range all {
		kind := map[string]string{"error": "error", "warning": "warning", "note": "notice"}[levelOf(f.Severity)]
		_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,title=%s::%s\n", kind, property(f.File), max(f.Line, 1), property(string(f.Rule)), data(sarifMessage(f)))
		if err != nil {
			return err
		}
	}
	for _, g := range append(r.Errors, r.Gaps...) {
		if _, err := fmt.Fprintf(w, "::notice file=%s,line=%d,title=SPA-090::%s\n", property(g.File), max(g.Line, 1), data("not analysed: "+g.What+": "+g.Why)); err != nil {
			return err
		}
	}
	return nil
}

// data escapes the message of a workflow command, property what stands before.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(plainLines(s))
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(plainLines(s))
}

// plainLines is plain, with the ends of lines left.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// GitLab writes GitLab Code Quality, a subset of the Code Climate format.
func GitLab(w io.Writer, r finding.Report, _ Context) error {
	out := []object{}
	all, _ := counted(r)
	for _, f := range all {
		out = append(out, object{
			"description": sarifMessage(f), "check_name": f.Rule, "fingerprint": f.Fingerprint, "severity": quality(f.Severity),
			"location": object{"path": f.File, "lines": object{"begin": max(f.Line, 1)}},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func quality(s finding.Severity) string {
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

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes a test case for each finding, all of them failures; with none,
// one that passes.
func JUnit(w io.Writer, r finding.Report, _ Context) error {
	all, _ := counted(r)
	s := junitSuite{Name: "sallyport audit", Tests: max(len(all), 1), Failures: len(all)}
	for _, f := range all {
		var b strings.Builder
		textFinding(&b, f, &sources{}, false)
		s.Cases = append(s.Cases, junitCase{Class: plain(f.File), Name: plain(strings.TrimSpace(string(f.Rule) + " " + f.Domain)), Failure: &junitFailure{
			Message: plain(f.Title), Type: string(f.Rule), Text: b.String(),
		}})
	}
	if len(all) == 0 {
		s.Cases = []junitCase{{Class: "sallyport", Name: "audit"}}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Markdown writes a step summary.
func Markdown(w io.Writer, r finding.Report, _ Context) error {
	all, suppressed := counted(r)
	var b strings.Builder
	fmt.Fprintf(&b, "## Sallyport audit\n\n%s.\n", md(summary(r, len(all), len(suppressed))))
	if len(all) > 0 {
		b.WriteString("\n| severity | rule | where | what |\n|---|---|---|---|\n")
	}
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Severity, f.Rule, md(place(f.File, f.Line)), md(f.Title))
	}
	for _, f := range all {
		fmt.Fprintf(&b, "\n<details><summary>%s %s, %s</summary>\n\n", f.Rule, md(cmp.Or(f.Domain, f.File)), md(f.Title))
		for i, s := range f.Path {
			fmt.Fprintf(&b, "%d. %s%s\n", i+1, md(s.Text), at(s))
		}
		for _, s := range f.Fix {
			fmt.Fprintf(&b, "\nFix: %s\n", md(s))
		}
		b.WriteString("\n</details>\n")
	}
	for _, g := range append(r.Errors, r.Gaps...) {
		fmt.Fprintf(&b, "\nNot analysed: %s: %s: %s\n", md(place(g.File, g.Line)), md(g.What), md(g.Why))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// md escapes what Markdown, or the HTML in it, would take for its own.
func md(s string) string {
	return strings.NewReplacer(
		"\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "<", "&lt;", ">", "&gt;", "#", "\\#", "@", "&#64;", "!", "\\!", "&", "&amp;",
	).Replace(plain(s))
}

package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// GitHub writes workflow commands, which GitHub shows beside the lines of the
// files: one for each finding, and one for each remark. The worst come first:
// GitHub shows ten of each kind for a step.
func GitHub(out io.Writer, r finding.Report, _ Context) error {
	w := bufio.NewWriter(out)
	all, _ := counted(r)
	slices.SortStableFunc(all, func(a, b finding.Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	for _, f := range all {
		p := primary(f)
		command(w, annotation(f.Severity), p.file, p.line, string(f.Rule), told(f))
	}
	for _, m := range remarks(r) {
		kind, rule := "notice", "SPA-090"
		if m.Kind == "suppression" {
			kind, rule = "warning", m.Kind
		}
		command(w, kind, m.File, m.Line, rule, m.Kind+": "+m.text())
	}
	return w.Flush()
}

// told is the message of a finding: what, how, and what to do.
func told(f finding.Finding) string {
	lines := []string{short(f.Title)}
	for i, s := range f.Path {
		lines = append(lines, fmt.Sprintf("%d. %s%s", i+1, short(s.Text), at(f.File, s)))
	}
	for _, s := range f.Fix {
		lines = append(lines, "fix: "+short(s))
	}
	return strings.Join(append(lines, page(f.Rule)), "\n")
}

// command writes one workflow command. The message holds ends of lines; nothing
// else of it is a control character.
func command(w io.Writer, kind, file string, line int, title, message string) {
	at := ""
	if line > 0 {
		at = fmt.Sprintf(",line=%d", line)
	}
	fmt.Fprintf(w, "::%s file=%s%s,title=%s::%s\n", kind, property(plain(file)), at, property(title), data(message))
}

// annotation is GitHub's word for a severity.
func annotation(s finding.Severity) string {
	switch s {
	case finding.Critical, finding.High:
		return "error"
	case finding.Medium:
		return "warning"
	}
	return "notice"
}

// data escapes the message of a workflow command, property what stands before.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

const (
	maxLine  = 140 // runes of a source line that are shown
	mostGaps = 12
)

// Text writes the report for people.
func Text(out io.Writer, r finding.Report, c Context) error {
	w := bufio.NewWriter(out)
	src := newSources(c)
	all, suppressed := counted(r)
	for _, f := range all {
		textFinding(w, f, src, c.Color)
	}
	for i, g := range r.Gaps {
		if i == mostGaps {
			fmt.Fprintf(w, "not analysed: %d more, all of them in -o json\n", len(r.Gaps)-i)
			break
		}
		fmt.Fprintf(w, "not analysed: %s: %s: %s\n", place(g.File, g.Line), plain(clip(g.What, 80)), plain(g.Why))
	}
	for _, e := range r.Errors {
		fmt.Fprintf(w, "not read: %s: %s\n", place(e.File, e.Line), plain(e.Why))
	}
	if len(r.Gaps)+len(r.Errors) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, summary(r, len(all), len(suppressed)))
	return w.Flush()
}

// summary is the last line of a report.
func summary(r finding.Report, count, suppressed int) string {
	var parts []string
	for s := finding.Critical; s >= finding.Note; s-- {
		if n := r.Totals.BySeverity[s.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	how := ""
	if len(parts) > 0 {
		how = " (" + strings.Join(parts, ", ") + ")"
	}
	s := fmt.Sprintf("%d findings%s in %d files; %d of %d jobs with a credential run code that nobody here verified", count, how, r.Files, r.Totals.Crossed, r.Totals.Credentialed)
	if r.Unknown > 0 {
		s += fmt.Sprintf("; %d parts not analysed", r.Unknown)
	}
	if suppressed > 0 {
		s += fmt.Sprintf("; %d suppressed", suppressed)
	}
	return s
}

func place(file string, line int) string {
	if line < 1 {
		return plain(file)
	}
	return fmt.Sprintf("%s:%d", plain(file), line)
}

func textFinding(w io.Writer, f finding.Finding, src *sources, color bool) {
	head := fmt.Sprintf("%s[%s]", f.Severity, f.Rule)
	if color {
		head = tint(f.Severity) + head + "\x1b[0m"
	}
	fmt.Fprintf(w, "%s %s\n", head, plain(f.Title))
	job := ""
	if f.Domain != "" {
		job = "  job " + plain(f.Domain)
	}
	fmt.Fprintf(w, "  --> %s%s\n", place(f.File, f.Line), job)
	if u := f.Untrusted; u != nil {
		snippet(w, src, cmp.Or(u.File, f.File), u.Line, u.Text, u.Why)
	}
	if k := f.Credential; k != nil {
		snippet(w, src, cmp.Or(k.File, f.File), k.Line, k.Name, fmt.Sprintf("%s enters by the %s", k.Name, k.Enters))
	}
	for i, o := range f.Others {
		if i == 5 {
			fmt.Fprintf(w, "  also    %d more credentials\n", len(f.Others)-i)
			break
		}
		fmt.Fprintf(w, "  also    %s (%s), line %d\n", plain(o.Name), plain(o.Enters), o.Line)
	}
	for i, s := range f.Path {
		fmt.Fprintf(w, "  path %d  %s%s\n", i+1, plain(s.Text), at(s))
	}
	for _, s := range f.Credited {
		fmt.Fprintf(w, "  seen    %s\n", plain(s))
	}
	if f.Confidence != finding.Proven {
		fmt.Fprintf(w, "  sure    %s: one part is not in the files\n", f.Confidence)
	}
	for i, s := range f.Fix {
		fmt.Fprintf(w, "  %-7s %s\n", []string{"fix", ""}[min(i, 1)], plain(s))
	}
	fmt.Fprintf(w, "  rule    %s\n\n", page(f.Rule))
}

func at(s finding.Step) string {
	if s.Line < 1 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", s.Line)
}

// snippet shows a line of the source, carets under what it is about, and why.
func snippet(w io.Writer, src *sources, file string, n int, what, why string) {
	line, ok := src.line(file, n)
	if !ok {
		return
	}
	line = plain(clip(line, maxLine))
	start, width := mark(line, what)
	fmt.Fprintf(w, "%5d | %s\n", n, line)
	fmt.Fprintf(w, "      | %s%s %s\n", strings.Repeat(" ", start), strings.Repeat("^", width), plain(why))
}

// mark finds what a line is about: the text, or its first word, else all of it.
func mark(line, what string) (start, width int) {
	what = plain(strings.Join(strings.Fields(what), " "))
	for _, part := range []string{what, firstWord(what)} {
		if i := strings.Index(line, part); part != "" && i >= 0 {
			return len([]rune(line[:i])), len([]rune(part))
		}
	}
	trimmed := strings.TrimLeft(line, " ")
	return len([]rune(line)) - len([]rune(trimmed)), max(1, len([]rune(trimmed)))
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

func tint(s finding.Severity) string {
	switch s {
	case finding.Critical, finding.High:
		return "\x1b[1;31m"
	case finding.Medium:
		return "\x1b[1;33m"
	}
	return "\x1b[1;36m"
}

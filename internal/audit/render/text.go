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

const (
	defaultWidth = 140 // columns of a source line that are shown
	leastWidth   = 40
	mostRemarks  = 12
	mostPlaces   = 3
	mostOthers   = 5
)

// Text writes the report for people.
func Text(out io.Writer, r finding.Report, c Context) error {
	w := bufio.NewWriter(out)
	p := painter{w, newSources(c), c.Color, max(cmp.Or(c.Width, defaultWidth), leastWidth)}
	all, suppressed := counted(r)
	for _, f := range all {
		p.finding(f)
	}
	if p.remarks(remarks(r)) {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, summary(r, len(all), len(suppressed)))
	if rows := byRule(r); len(all) > 1 {
		fmt.Fprintln(w)
		for _, x := range rows {
			fmt.Fprintf(w, "  %4d  %-9s %s  %s%s\n", x.Count, x.Severity, x.ID, x.Title, x.known())
		}
	}
	return w.Flush()
}

// summary is the line that says how a report ends.
func summary(r finding.Report, count, suppressed int) string {
	by := map[finding.Severity]int{}
	for _, f := range r.Findings {
		if f.Suppressed == "" {
			by[f.Severity]++
		}
	}
	var parts []string
	for s := finding.Critical; s >= finding.Note; s-- {
		if n := by[s]; n > 0 {
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

// ruleRow is one row of the table of totals.
type ruleRow struct {
	ID         finding.ID
	Title      string
	Severity   finding.Severity // the highest of the findings that count
	Count      int
	Suppressed int
}

func (x ruleRow) known() string {
	if x.Suppressed == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d suppressed)", x.Suppressed)
}

// byRule counts the findings of each rule that has any, the worst rule first.
func byRule(r finding.Report) []ruleRow {
	var rows []ruleRow
	for _, f := range r.Findings {
		i := slices.IndexFunc(rows, func(x ruleRow) bool { return x.ID == f.Rule })
		if i < 0 {
			rule, _ := finding.Find(f.Rule)
			i, rows = len(rows), append(rows, ruleRow{ID: f.Rule, Title: rule.Title})
		}
		if f.Suppressed != "" {
			rows[i].Suppressed++
			continue
		}
		rows[i].Count++
		rows[i].Severity = max(rows[i].Severity, f.Severity)
	}
	slices.SortFunc(rows, func(a, b ruleRow) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.ID, b.ID))
	})
	return rows
}

func place(file string, line int) string {
	if line < 1 {
		return short(file)
	}
	return fmt.Sprintf("%s:%d", short(file), line)
}

// painter writes text with the lines of the files.
type painter struct {
	w     io.Writer
	src   *sources
	color bool
	width int
}

func (p painter) finding(f finding.Finding) {
	p.head(f)
	shown := f.File
	if u := f.Untrusted; u != nil {
		shown = p.snippet(shown, spot{cmp.Or(u.File, f.File), u.Line, u.Text}, f.Severity, u.Why)
	}
	if k := f.Credential; k != nil {
		p.snippet(shown, spot{cmp.Or(k.File, f.File), k.Line, k.Name}, f.Severity, enters(*k))
	}
	for i, o := range f.Others {
		if i == mostOthers {
			fmt.Fprintf(p.w, "  also    %d more credentials\n", len(f.Others)-i)
			break
		}
		fmt.Fprintf(p.w, "  also    %s (%s), %s\n", short(o.Name), short(o.Enters), lineOf(f.File, o.File, o.Line))
	}
	for i, s := range f.Path {
		fmt.Fprintf(p.w, "  path %d  %s%s\n", i+1, short(s.Text), at(f.File, s))
	}
	for _, s := range f.Credited {
		fmt.Fprintf(p.w, "  seen    %s\n", short(s))
	}
	if f.Confidence != finding.Proven {
		fmt.Fprintf(p.w, "  sure    %s: one part is not in the files\n", f.Confidence)
	}
	for i, s := range f.Fix {
		fmt.Fprintf(p.w, "  %-7s %s\n", []string{"fix", ""}[min(i, 1)], beginning(s))
	}
	fmt.Fprintf(p.w, "  rule    %s\n\n", page(f.Rule))
}

// beginning is short text that stands first on a line: a line that begins with
// :: is a command to GitHub's runner.
func beginning(s string) string {
	s = short(s)
	if strings.HasPrefix(strings.TrimSpace(s), "::") {
		return `\` + strings.TrimSpace(s)
	}
	return s
}

func (p painter) head(f finding.Finding) {
	fmt.Fprintf(p.w, "%s %s\n", p.paint(f.Severity, fmt.Sprintf("%s[%s]", f.Severity, f.Rule)), short(f.Title))
	job := ""
	if f.Domain != "" {
		job = "  job " + short(f.Domain)
	}
	fmt.Fprintf(p.w, "  --> %s%s\n", place(f.File, f.Line), job)
}

// lineOf says a line, and the file where it is another than the finding's.
func lineOf(own, file string, line int) string {
	if file == "" || file == own {
		return fmt.Sprintf("line %d", line)
	}
	return place(file, line)
}

func at(own string, s finding.Step) string {
	if s.Line < 1 {
		return ""
	}
	return " (" + lineOf(own, s.File, s.Line) + ")"
}

// snippet shows a line of the source, carets under what it is about, and why. It
// names the file where that changes, and returns the one that was shown last.
func (p painter) snippet(shown string, x spot, s finding.Severity, why string) string {
	line, ok := p.src.line(x.file, x.line)
	if !ok {
		return shown
	}
	if x.file != shown {
		fmt.Fprintf(p.w, "  ::: %s\n", place(x.file, x.line))
	}
	line = plain(line)
	start, width := mark(line, plain(x.text))
	line, start, width = window(line, start, width, p.width)
	fmt.Fprintf(p.w, "%5d | %s\n", x.line, line)
	fmt.Fprintf(p.w, "      | %s%s %s\n", strings.Repeat(" ", start), p.paint(s, strings.Repeat("^", width)), short(why))
	return x.file
}

// window cuts a long line so that what is marked in it is seen.
func window(line string, start, width, most int) (string, int, int) {
	r := []rune(line)
	if len(r) <= most {
		return line, start, width
	}
	from := 0
	if start+width > most-6 {
		from = max(0, min(start-10, len(r)-most+6))
	}
	cut := r[from:min(len(r), from+most-6)]
	width = max(1, min(width, from+len(cut)-start))
	head, tail := "", ""
	if from > 0 {
		head = "..."
	}
	if from+len(cut) < len(r) {
		tail = "..."
	}
	return head + string(cut) + tail, start - from + len(head), width
}

func (p painter) paint(s finding.Severity, text string) string {
	if !p.color {
		return text
	}
	return tint(s) + text + "\x1b[0m"
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

// remarks lists what was not read or not analysed, the same thing in several
// places once, and tells whether there was any.
func (p painter) remarks(all []remark) bool {
	type group struct {
		text   string
		places []string
	}
	var groups []group
	for _, m := range all {
		text := m.Kind + ": " + m.text()
		i := slices.IndexFunc(groups, func(g group) bool { return g.text == text })
		if i < 0 {
			i, groups = len(groups), append(groups, group{text: text})
		}
		groups[i].places = append(groups[i].places, place(m.File, m.Line))
	}
	for i, g := range groups {
		if i == mostRemarks {
			fmt.Fprintf(p.w, "%d more that were not analysed, all of them in -o json\n", len(groups)-i)
			break
		}
		fmt.Fprintf(p.w, "%s (%s)\n", g.text, places(g.places))
	}
	return len(groups) > 0
}

func places(all []string) string {
	if len(all) <= mostPlaces {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more places", strings.Join(all[:mostPlaces], ", "), len(all)-mostPlaces)
}

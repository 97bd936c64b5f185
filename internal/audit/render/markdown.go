package render

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// maxSummary bounds a step summary, in bytes: GitHub refuses one of 1 MiB.
const maxSummary = 900 << 10

// Markdown writes a step summary: totals, a table, and each finding folded.
func Markdown(w io.Writer, r finding.Report, _ Context) error {
	all, suppressed := counted(r)
	var b strings.Builder
	fmt.Fprintf(&b, "## Sallyport audit\n\n%s.\n", summary(r, len(all), len(suppressed)))
	if len(all) > 0 {
		b.WriteString("\n| severity | rule | where | job | what |\n|---|---|---|---|---|\n")
	}
	bounded(&b, len(all), "rows", maxSummary/3, func(i int) string {
		f := all[i]
		return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", f.Severity, f.Rule, md(place(f.File, f.Line)), md(f.Domain), md(f.Title))
	})
	bounded(&b, len(all), "findings", 2*maxSummary/3, func(i int) string { return folded(all[i]) })
	rest := remarks(r)
	bounded(&b, len(rest), "remarks", maxSummary, func(i int) string {
		m := rest[i]
		return fmt.Sprintf("\n%s: %s: %s\n", m.Kind, md(place(m.File, m.Line)), md(m.text()))
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// bounded writes n parts as long as the whole stays within a size, and tells
// how many it left out.
func bounded(b *strings.Builder, n int, what string, size int, part func(int) string) {
	for i := range n {
		s := part(i)
		if b.Len()+len(s) > size {
			fmt.Fprintf(b, "\n%d more %s: all of them are in the output of `sallyport audit -o json`.\n", n-i, what)
			return
		}
		b.WriteString(s)
	}
}

// folded is one finding, as details that open.
func folded(f finding.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s %s, %s</summary>\n\n", f.Rule, inHTML(cmp.Or(f.Domain, f.File)), inHTML(f.Title))
	for i, s := range f.Path {
		fmt.Fprintf(&b, "%d. %s\n", i+1, md(s.Text+at(f.File, s)))
	}
	for _, o := range f.Others {
		fmt.Fprintf(&b, "\nAlso reached: %s, %s\n", md(enters(o)), md(lineOf(f.File, o.File, o.Line)))
	}
	for _, s := range f.Credited {
		fmt.Fprintf(&b, "\nSeen: %s\n", md(s))
	}
	for _, s := range f.Fix {
		fmt.Fprintf(&b, "\nFix: %s\n", md(s))
	}
	fmt.Fprintf(&b, "\nRule: %s\n\n</details>\n", page(f.Rule))
	return b.String()
}

// inHTML escapes text on a line that begins with a tag: Markdown leaves such a
// line alone, so that its own escapes would be seen.
func inHTML(s string) string {
	return strings.ReplaceAll(html.EscapeString(strings.Join(strings.Fields(short(s)), " ")), "@", "@<!-- -->")
}

// md escapes what Markdown, or the HTML in it, would take for its own: marks,
// links that make themselves, names that call somebody, and formulas.
func md(s string) string {
	s = strings.Join(strings.Fields(short(s)), " ")
	s = strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "@", "@<!-- -->", "://", ":<!-- -->//", "www.", "www<!-- -->.", "$", "&#36;",
		`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "!", `\!`, "~", `\~`,
	).Replace(s)
	if s != "" && strings.ContainsRune("-+=", rune(s[0])) {
		return `\` + s
	}
	return s
}

package framework

import (
	"fmt"
	"html"
	"io"
	"strings"
	"unicode"
)

// maxFindings is how many findings of one control the text names.
const maxFindings = 5

// Text writes a report for people.
func Text(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\nsource: %s, checked %s\n\n", r.Title, r.Version, r.Source, r.Date)
	wide := width(r)
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "%-11s %-*s %s\n", a.State, wide, a.Control, a.Title+former(a))
		for _, l := range a.lines() {
			fmt.Fprintf(&b, "%-*s %s\n", 12+wide, "", line(l))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", Sum(r))
	_, err := io.WriteString(w, b.String())
	return err
}

// width is that of the column of ids. A longer one sticks out.
func width(r Report) int {
	wide := 14
	for _, a := range r.Answers {
		if len(a.Control) <= 24 {
			wide = max(wide, len(a.Control))
		}
	}
	return wide
}

// lines are what the text says below a control.
func (a Answer) lines() []string {
	out := []string{a.Why}
	switch {
	case a.State == Broken:
		for i, by := range a.By {
			if i == maxFindings {
				return append(out, fmt.Sprintf("and %d more", len(a.By)-i))
			}
			out = append(out, by)
		}
	case a.State == Shown:
		out = append(out, "by: "+strings.Join(a.By, ", "), "not looked at: "+a.Beyond)
	case len(a.By) > 0:
		out = append(out, "nothing against it in: "+strings.Join(a.By, ", "))
	}
	return out
}

// former says what a control was called before.
func former(a Answer) string {
	if len(a.Former) == 0 {
		return ""
	}
	return " (formerly " + strings.Join(a.Former, ", ") + ")"
}

// Sum is a report in one line.
func Sum(r Report) string {
	return fmt.Sprintf("%d controls: %d broken, %d shown, %d not shown, %d undecidable",
		len(r.Answers), r.Totals[Broken], r.Totals[Shown], r.Totals[NotShown], r.Totals[Undecidable])
}

// Markdown writes a report as a table.
func Markdown(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, %s\n\nSource: %s, checked %s. %s.\n\n", cell(r.Title), cell(r.Version), cell(r.Source), cell(r.Date), Sum(r))
	b.WriteString("| control | title | state | why | by | not looked at |\n|---|---|---|---|---|---|\n")
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			cell(a.Control), cell(a.Title+former(a)), a.State, cell(a.Why), cell(strings.Join(a.By, "; ")), cell(a.Beyond))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// style is the look of the page.
const style = `:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem}` +
	`table{border-collapse:collapse}td,th{border-bottom:1px solid #8884;padding:.4rem .6rem;text-align:left;vertical-align:top}` +
	`small{opacity:.75}.broken{color:#c22}.shown{color:#282}`

// HTML writes a report as one page without anything from elsewhere.
func HTML(w io.Writer, r Report) error {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><meta charset="utf-8">` +
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><style>` + style + `</style>`)
	fmt.Fprintf(&b, "<title>%s</title><h1>%s, %s</h1><p>Source: %s, checked %s. %s.</p>\n<table><tr><th>control<th>what it is about<th>state<th>why, and by what<th>not looked at</tr>\n",
		esc(r.Title), esc(r.Title), esc(r.Version), esc(r.Source), esc(r.Date), esc(Sum(r)))
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "<tr><td>%s<td>%s<br><small>%s</small>", esc(a.Control), esc(a.Title+former(a)), esc(a.Text))
		fmt.Fprintf(&b, "<td class=\"%s\">%s<td>%s", esc(string(a.State)), esc(string(a.State)), esc(a.Why))
		for _, by := range a.By {
			fmt.Fprintf(&b, "<br>%s", esc(by))
		}
		fmt.Fprintf(&b, "<td>%s</tr>\n", esc(a.Beyond))
	}
	b.WriteString("</table></html>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func esc(s string) string { return html.EscapeString(line(s)) }

// cell makes a text safe for one cell of a Markdown table: nothing in it is
// syntax, there or in HTML.
func cell(s string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "`", "&#96;", "[", "&#91;", "*", "&#42;", `\`, "&#92;",
	).Replace(line(s))
}

// line makes text of a CI file safe for a terminal, for one line, and for the
// log of a CI run: control characters and those that change the direction of
// writing are shown, and the ## of a runner's command is broken.
func line(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
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

package framework

import (
	"fmt"
	"html"
	"io"
	"strings"
	"unicode"
)

// Text writes a report for people.
func Text(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\nsource: %s, checked %s\n\n", r.Title, r.Version, r.Source, r.Date)
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "%-11s %-14s %s\n", a.State, a.Control, a.Title)
		fmt.Fprintf(&b, "%-26s %s\n", "", line(a.Why))
		for i, by := range a.By {
			if a.State != Broken {
				break
			}
			if i == 5 {
				fmt.Fprintf(&b, "%-26s and %d more\n", "", len(a.By)-i)
				break
			}
			fmt.Fprintf(&b, "%-26s %s\n", "", line(by))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", Sum(r))
	_, err := io.WriteString(w, b.String())
	return err
}

// Sum is a report in one line.
func Sum(r Report) string {
	return fmt.Sprintf("%d controls: %d broken, %d shown, %d not shown, %d undecidable", len(r.Answers), r.Totals[Broken], r.Totals[Shown], r.Totals[NotShown], r.Totals[Undecidable])
}

// Markdown writes a report as a table.
func Markdown(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, %s\n\nSource: %s, checked %s. %s.\n\n| control | title | state | by |\n|---|---|---|---|\n", r.Title, r.Version, r.Source, r.Date, Sum(r))
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.Control, cell(a.Title), a.State, cell(strings.Join(append([]string{a.Why}, a.By...), "; ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// HTML writes a report as one page without anything from elsewhere.
func HTML(w io.Writer, r Report) error {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">` +
		`<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}td,th{border-bottom:1px solid #8884;padding:.4rem .6rem;text-align:left;vertical-align:top}.broken{color:#c22}.shown{color:#282}</style>`)
	fmt.Fprintf(&b, "<title>%s</title><h1>%s, %s</h1><p>Source: %s, checked %s. %s.</p><table><tr><th>control<th>title<th>state<th>by</tr>\n",
		esc(r.Title), esc(r.Title), esc(r.Version), esc(r.Source), esc(r.Date), esc(Sum(r)))
	for _, a := range r.Answers {
		fmt.Fprintf(&b, "<tr><td>%s<td>%s<td class=%q>%s<td>%s", esc(a.Control), esc(a.Title), string(a.State), a.State, esc(a.Why))
		for _, by := range a.By {
			fmt.Fprintf(&b, "<br>%s", esc(by))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table></html>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func esc(s string) string { return html.EscapeString(line(s)) }

func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "`", "\\`", "[", "\\[").Replace(line(s))
}

// line shows control characters, which text of a CI file can hold.
func line(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

package render

import (
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"io"
	"slices"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

//go:embed page.html
var pageText string

// htmlPage is what the page shows.
type htmlPage struct {
	Summary    string
	Rules      []ruleRow
	Files      []htmlFile
	Suppressed []finding.Finding
	Remarks    []htmlRemark
	Version    string
}

// htmlFile is one file of the page.
type htmlFile struct {
	Name     string
	Picture  template.URL
	Findings []htmlFinding
}

// htmlFinding is a finding with the lines that it is about.
type htmlFinding struct {
	finding.Finding
	Lines []htmlLine
	Path  []htmlStep
}

// htmlLine is a line of a file in three parts: the middle one is marked.
type htmlLine struct {
	Place                     string
	Before, Marked, After, Is string
}

type htmlStep struct{ Text, At string }

type htmlRemark struct{ Kind, Place, Text string }

// HTML writes one page without anything from elsewhere.
func HTML(w io.Writer, r finding.Report, c Context) error {
	t, err := template.New("page").Funcs(template.FuncMap{"plain": short, "page": page}).Parse(pageText)
	if err != nil {
		return err
	}
	all, suppressed := counted(r)
	p := htmlPage{Summary: summary(r, len(all), len(suppressed)), Rules: byRule(r), Suppressed: suppressed, Version: c.Version}
	src := newSources(c)
	for _, f := range all {
		i := slices.IndexFunc(p.Files, func(x htmlFile) bool { return x.Name == f.File })
		if i < 0 {
			i, p.Files = len(p.Files), append(p.Files, htmlFile{Name: f.File, Picture: pictureOf(f.File, c)})
		}
		p.Files[i].Findings = append(p.Files[i].Findings, shownFinding(f, src))
	}
	for _, m := range remarks(r) {
		p.Remarks = append(p.Remarks, htmlRemark{m.Kind, place(m.File, m.Line), m.text()})
	}
	return t.Execute(w, p)
}

func shownFinding(f finding.Finding, src *sources) htmlFinding {
	out := htmlFinding{Finding: f}
	if u := f.Untrusted; u != nil {
		out.show(src, spot{orOwn(u.File, f), u.Line, u.Text}, u.Why)
	}
	if k := f.Credential; k != nil {
		out.show(src, spot{orOwn(k.File, f), k.Line, k.Name}, enters(*k))
	}
	for _, s := range f.Path {
		out.Path = append(out.Path, htmlStep{short(s.Text), at(f.File, s)})
	}
	return out
}

func orOwn(file string, f finding.Finding) string {
	if file == "" {
		return f.File
	}
	return file
}

// show adds a line, as far as the source is at hand.
func (h *htmlFinding) show(src *sources, x spot, is string) {
	line, ok := src.line(x.file, x.line)
	if !ok {
		return
	}
	line = plain(line)
	start, width := mark(line, plain(x.text))
	line, start, width = window(line, start, width, defaultWidth)
	r := []rune(line)
	start = min(start, len(r))
	end := min(start+width, len(r))
	h.Lines = append(h.Lines, htmlLine{place(x.file, x.line), string(r[:start]), string(r[start:end]), string(r[end:]), short(is)})
}

// pictureOf is a file's picture as an image of its own, so that nothing in it
// can be a part of the page.
func pictureOf(file string, c Context) template.URL {
	if c.Picture == nil {
		return ""
	}
	return dataURL(c.Picture(file))
}

// dataURL embeds an SVG. Its text is base64, so that no character of it is the
// page's.
func dataURL(svg []byte) template.URL {
	if len(svg) == 0 {
		return ""
	}
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg)) // #nosec G203 -- base64 alone
}

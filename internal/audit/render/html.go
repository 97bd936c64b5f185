package render

import (
	"cmp"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"io"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

//go:embed page.html
var pageText string

// htmlFile is one file of the page.
type htmlFile struct {
	Name     string
	Picture  template.URL
	Findings []finding.Finding
}

// HTML writes one page without anything from elsewhere.
func HTML(w io.Writer, r finding.Report, c Context) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"plain": plain, "page": page, "or": cmp.Or[string],
	}).Parse(pageText)
	if err != nil {
		return err
	}
	all, suppressed := counted(r)
	var files []htmlFile
	for _, f := range all {
		if len(files) == 0 || files[len(files)-1].Name != f.File {
			files = append(files, htmlFile{Name: f.File, Picture: pictureOf(f.File, c)})
		}
		last := &files[len(files)-1]
		last.Findings = append(last.Findings, f)
	}
	return t.Execute(w, struct {
		Summary string
		Files   []htmlFile
		Gaps    []finding.Gap
		Version string
	}{summary(r, len(all), len(suppressed)), files, append(r.Errors, r.Gaps...), c.Version})
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

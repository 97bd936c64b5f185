package cli

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/picture"
)

func checkGraph(form string) error {
	switch form {
	case "", "svg", "mermaid", "dot":
		return nil
	}
	return usagef("no picture %q: there is svg, mermaid and dot", form)
}

// drawGraph writes the zones, and what crosses between them, as a picture.
func (a *app) drawGraph(form, title string, g boundary.Graph, crossings []boundary.Crossing) error {
	o := picture.Options{Title: title}
	var out []byte
	switch form {
	case "svg":
		out = picture.SVG(g, crossings, o)
	case "mermaid":
		out = []byte(picture.Mermaid(g, crossings, o))
	default:
		out = []byte(picture.DOT(g, crossings, o))
	}
	if _, err := a.stdout.Write(out); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	return nil
}

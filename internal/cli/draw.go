package cli

import (
	"fmt"
	"io"

	"github.com/sallyport/sallyport/internal/boundary"
)

func checkGraph(form string) error {
	switch form {
	case "", "svg", "mermaid", "dot":
		return nil
	}
	return usagef("no picture %q: there is svg, mermaid and dot", form)
}

func (a *app) drawGraph(form string, g boundary.Graph, crossings []boundary.Crossing) error {
	_, err := io.WriteString(a.stdout, fmt.Sprint(form, g, crossings))
	return err
}

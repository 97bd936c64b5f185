package picture

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// DOT draws g in the language of Graphviz.
func DOT(g boundary.Graph, crossings []boundary.Crossing, o Options) string {
	s := newScene(g, crossings, o)
	names := s.names()
	var b strings.Builder
	b.WriteString("digraph boundary {\n  rankdir=LR; compound=true; fontname=\"sans-serif\"; labelloc=t;\n")
	fmt.Fprintf(&b, "  label=%s;\n", dotText(strings.TrimPrefix(s.title+": the boundary", ": ")))
	b.WriteString("  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9];\n")
	for i, z := range s.zones {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s; style=filled; color=\"#f5f7fa\";\n", i, dotText(z.name+"\n"+z.note))
		for _, x := range z.boxes {
			fmt.Fprintf(&b, "    %s [label=%s, %s];\n", names[x], dotText(dotBox(x)), dotStyle(x))
		}
		b.WriteString("  }\n")
	}
	s.dotWires(&b, names)
	b.WriteString("}\n")
	return b.String()
}

func dotBox(b *box) string {
	parts := []string{strings.TrimSpace(b.title + " " + strings.Join(b.broken, " "))}
	for _, l := range b.lines {
		parts = append(parts, strings.TrimSpace(l.mark+" "+l.text))
	}
	return strings.Join(parts, "\n")
}

func dotStyle(b *box) string {
	switch b.class() {
	case "broken":
		return `fillcolor="#fff1f0", color="#c81e1e", penwidth=3`
	case "taint":
		return `fillcolor="#fff7e8", color="#b45309", style="filled,rounded,dashed"`
	}
	return `fillcolor="#effaf7", color="#0f766e"`
}

func (s *scene) dotWires(b *strings.Builder, names map[*box]string) {
	gates := 0
	link := func(from, to, label, color string, w *wire, broken []string) {
		style, width := "solid", "1"
		if !w.byDigest {
			style = "dashed"
		}
		if len(broken) > 0 {
			label, color, width = strings.Join(broken, " ")+": "+label, "#c81e1e", "3"
		}
		fmt.Fprintf(b, "  %s -> %s [label=%s, color=\"%s\", style=%s, penwidth=%s];\n", from, to, dotText(label), color, style, width)
	}
	for _, w := range s.wires {
		color := "#0f766e"
		if w.tainted {
			color = "#b45309"
		}
		for _, e := range w.ends {
			if !e.lifted {
				link(names[w.from], names[e.to], w.label(), color, w, e.broken)
				continue
			}
			gate := fmt.Sprintf("g%d", gates)
			gates++
			fmt.Fprintf(b, "  %s [shape=hexagon, label=%s, fillcolor=\"#ffffff\"];\n", gate, dotText("gate\n"+s.demandFor(w)))
			link(names[w.from], gate, w.label(), color, w, nil)
			link(gate, names[e.to], "cleared", "#0f766e", w, e.broken)
		}
	}
}

// dotText is a quoted string of DOT, in which line breaks stay line breaks.
func dotText(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
	return `"` + s + `"`
}

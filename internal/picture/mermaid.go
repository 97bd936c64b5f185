package picture

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Mermaid draws g as a Mermaid flowchart, for Markdown pages.
func Mermaid(g boundary.Graph, crossings []boundary.Crossing, o Options) string {
	s := newScene(g, crossings, o)
	names := s.names()
	var b strings.Builder
	if s.title != "" {
		fmt.Fprintf(&b, "---\ntitle: \"%s\"\n---\n", mermaidText(s.title+": the boundary"))
	}
	b.WriteString("flowchart LR\n")
	for i, z := range s.zones {
		fmt.Fprintf(&b, "  subgraph z%d[\"%s (%s)\"]\n", i, mermaidText(z.name), mermaidText(z.note))
		for _, x := range z.boxes {
			fmt.Fprintf(&b, "    %s[\"%s\"]:::%s\n", names[x], mermaidBox(x), x.class())
		}
		b.WriteString("  end\n")
	}
	s.mermaidWires(&b, names)
	b.WriteString("  classDef taint fill:#fff7e8,stroke:#b45309,color:#1c2430,stroke-dasharray:6 3\n")
	b.WriteString("  classDef clean fill:#effaf7,stroke:#0f766e,color:#1c2430\n")
	b.WriteString("  classDef broken fill:#fff1f0,stroke:#c81e1e,color:#1c2430,stroke-width:3px\n")
	return b.String()
}

// names are short ids that no text of the graph can disturb.
func (s *scene) names() map[*box]string {
	names := make(map[*box]string, len(s.boxes))
	for _, z := range s.zones {
		for _, b := range z.boxes {
			names[b] = fmt.Sprintf("n%d", len(names))
		}
	}
	return names
}

func (b *box) class() string {
	switch {
	case len(b.broken) > 0:
		return "broken"
	case b.tainted:
		return "taint"
	}
	return "clean"
}

func mermaidBox(b *box) string {
	parts := []string{"<b>" + mermaidText(b.title) + "</b>"}
	if len(b.broken) > 0 {
		parts[0] += " " + mermaidText(strings.Join(b.broken, " "))
	}
	for _, l := range b.lines {
		parts = append(parts, mermaidText(strings.TrimSpace(l.mark+" "+l.text)))
	}
	return strings.Join(parts, "<br/>")
}

func (s *scene) mermaidWires(b *strings.Builder, names map[*box]string) {
	gates, n := 0, 0
	var bad []string
	link := func(from, arrow, label, to string, broken []string) {
		if len(broken) > 0 {
			label = strings.Join(broken, " ") + ": " + label
			bad = append(bad, fmt.Sprint(n))
		}
		fmt.Fprintf(b, "  %s %s|\"%s\"| %s\n", from, arrow, mermaidText(label), to)
		n++
	}
	for _, w := range s.wires {
		arrow := "-->"
		if !w.byDigest {
			arrow = "-.->"
		}
		for _, e := range w.ends {
			if !e.lifted {
				link(names[w.from], arrow, w.label(), names[e.to], e.broken)
				continue
			}
			gate := fmt.Sprintf("g%d", gates)
			gates++
			fmt.Fprintf(b, "  %s{{\"gate: %s\"}}:::clean\n", gate, mermaidText(s.demandFor(w)))
			link(names[w.from], arrow, w.label(), gate, nil)
			link(gate, "==>", "cleared", names[e.to], e.broken)
		}
	}
	if len(bad) > 0 {
		fmt.Fprintf(b, "  linkStyle %s stroke:#c81e1e,stroke-width:3px\n", strings.Join(bad, ","))
	}
}

// demandFor words the gate of a wire that passes one.
func (s *scene) demandFor(w *wire) string {
	for _, g := range s.gates {
		if w.digest == g.Subject {
			return demand(g)
		}
	}
	return "verdict"
}

// mermaidText writes every character that Mermaid or HTML could take for its
// own by its number.
func mermaidText(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune(" .,:/@_+-=*()", c), c >= 0xa0:
			b.WriteRune(c)
		default:
			fmt.Fprintf(&b, "#%d;", c)
		}
	}
	return b.String()
}

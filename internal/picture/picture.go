// Package picture draws a boundary.Graph, with its crossings, as SVG, Mermaid
// or DOT: zones in their order, stages with what they hold and reach, what
// crosses between them, and the gate.
//
// All three show the same facts. Text of the graph is foreign: it is cut to
// size, cleaned of characters that do not show as themselves, and escaped. The
// same graph gives the same bytes.
package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Options say what stands around the picture.
type Options struct {
	Title string // such as the project's name
}

// scene is a graph as it is drawn, whatever the format.
type scene struct {
	title string
	zones []zone
	boxes map[string]*box
	wires []*wire
	gates []boundary.Gate
	cross []boundary.Crossing
}

// zone is one column.
type zone struct {
	zone  boundary.Zone
	name  string
	note  string // its network, in a few words
	boxes []*box
}

// box is one node.
type box struct {
	id, title string
	domain    string
	zone      boundary.Zone
	tainted   bool
	broken    []string // ids of rules that are broken here
	lines     []line
	column    int
}

// line is one fact about a node.
type line struct {
	mark string // runs, holds, reaches, in
	text string
}

// wire is one thing that a node hands on, and to whom.
type wire struct {
	from     *box
	kind     boundary.Kind
	name     string
	digest   boundary.Ref
	byDigest bool
	tainted  bool // as it leaves
	broken   []string
	ends     []end
}

type end struct {
	to     *box
	lifted bool // a gate cleared it on the way
	broken []string
}

func newScene(g boundary.Graph, crossings []boundary.Crossing, o Options) *scene {
	s := &scene{title: show(o.Title, 60), boxes: map[string]*box{}, gates: g.Gates, cross: crossings}
	reach := boundary.Spread(g)
	for _, n := range sortedNodes(g) {
		b := &box{id: n.ID, title: show(n.Label(), 24), domain: n.Domain, zone: n.Zone, tainted: reach.Runs(n.ID), lines: facts(n)}
		for _, c := range crossings {
			if c.Node == n.ID || c.Node == "" && slices.Contains(c.Nodes, n.ID) {
				b.broken = add(b.broken, string(c.Rule))
			}
		}
		s.boxes[n.ID] = b
	}
	s.columns(g)
	s.wire(g, reach, crossings)
	return s
}

func sortedNodes(g boundary.Graph) []boundary.Node {
	nodes := slices.Clone(g.Nodes)
	slices.SortStableFunc(nodes, func(a, b boundary.Node) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Domain, b.Domain))
	})
	return nodes
}

func add(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// How many characters of a fact fit into a box, beside its mark.
const (
	fitRuns    = 27
	fitHolds   = 26
	fitReaches = 24
	fitPlain   = 31
)

// facts are what a node runs, holds and reaches; of one outside all zones, why
// it is not trusted.
func facts(n boundary.Node) []line {
	var out []line
	if n.Domain != "" {
		out = append(out, line{"in", show(n.Domain, fitPlain-3)})
	}
	for i, t := range n.Taints {
		if n.Zone == 0 {
			out = append(out, wrap(t.Why)...)
			break
		}
		if i == 3 {
			out = append(out, line{"", fmt.Sprintf("and %d more", len(n.Taints)-i)})
			break
		}
		out = append(out, line{"runs", show(strings.TrimPrefix(t.Why, "runs "), fitRuns)})
	}
	for _, c := range n.Code {
		pin := ""
		if !c.Pinned {
			pin = " (not pinned)"
		}
		out = append(out, line{"runs", show(c.Name, fitRuns-len(pin)) + pin})
	}
	for _, h := range n.Holds {
		if h.Authority != boundary.ProjectCode() {
			out = append(out, line{"holds", show(h.Authority.String(), fitHolds)})
		}
	}
	for _, r := range n.Routes {
		to := r.Host
		if to == "*" {
			to = "any host"
		}
		out = append(out, line{"reaches", show(to, fitReaches)})
	}
	return out
}

// wrap breaks a sentence into at most three lines.
func wrap(s string) []line {
	var out []line
	row := ""
	for word := range strings.FieldsSeq(show(s, 200)) {
		if row != "" && len([]rune(row))+1+len([]rune(word)) > fitPlain {
			out = append(out, line{"", row})
			row = ""
		}
		row = strings.TrimSpace(row + " " + show(word, fitPlain))
	}
	if out = append(out, line{"", row}); len(out) > 3 {
		out = append(out[:2], line{"", show(out[2].text+"…", fitPlain)})
	}
	return out
}

// columns puts the boxes into their zones. Zones that nothing is in are left
// out.
func (s *scene) columns(g boundary.Graph) {
	for _, z := range append([]boundary.Zone{0}, boundary.Zones()...) {
		c := zone{zone: z, name: zoneName(z), note: zoneNote(z)}
		for _, n := range sortedNodes(g) {
			if n.Zone == z {
				b := s.boxes[n.ID]
				b.column = len(s.zones)
				c.boxes = append(c.boxes, b)
				if z != 0 && !z.Privileged() && slices.ContainsFunc(n.Routes, func(r boundary.Route) bool { return !r.Gateway }) {
					c.note = "reaches the network"
				}
			}
		}
		if len(c.boxes) > 0 {
			s.zones = append(s.zones, c)
		}
	}
}

func zoneName(z boundary.Zone) string {
	if z == 0 {
		return "outside"
	}
	return z.String()
}

func zoneNote(z boundary.Zone) string {
	switch z {
	case 0:
		return "nobody here verified it"
	case boundary.Fetch:
		return "the gateway only"
	case boundary.Test:
		return "loopback only"
	case boundary.Release:
		return "the declared registry"
	case boundary.Deploy:
		return "the declared target"
	}
	return "no network"
}

// wire joins flows of the same thing from the same node.
func (s *scene) wire(g boundary.Graph, reach boundary.Reach, crossings []boundary.Crossing) {
	byKey := map[string]*wire{}
	for _, f := range g.Flows {
		from, to := s.boxes[f.From], s.boxes[f.To]
		if from == nil || to == nil {
			continue
		}
		key := fmt.Sprintf("%s|%s|%s|%s", f.From, f.Kind, f.Name, f.Digest)
		w := byKey[key]
		if w == nil {
			w = &wire{from: from, kind: boundary.Kind(show(string(f.Kind), 12)), name: show(f.Name, 24), digest: f.Digest, byDigest: f.ByDigest(), tainted: reach.Carries(f.From)}
			byKey[key] = w
			s.wires = append(s.wires, w)
		}
		e := end{to: to, lifted: reach.Lifted(f)}
		for _, c := range crossings {
			if c.What == boundary.FlowID(f) {
				e.broken = add(e.broken, string(c.Rule))
				w.broken = add(w.broken, string(c.Rule))
			}
		}
		w.ends = append(w.ends, e)
	}
	slices.SortStableFunc(s.wires, func(a, b *wire) int {
		return cmp.Or(cmp.Compare(a.from.column, b.from.column), cmp.Compare(a.far(), b.far()))
	})
}

// far is the column of a wire's farthest end.
func (w *wire) far() int {
	far := w.from.column
	for _, e := range w.ends {
		far = max(far, e.to.column)
	}
	return far
}

// label is what stands on a wire.
func (w *wire) label() string {
	how := "by name"
	if w.byDigest {
		how = "by digest"
	}
	return w.what() + ", " + how
}

func (w *wire) what() string {
	switch {
	case w.name == "" || w.name == string(w.kind):
		return string(w.kind)
	case w.kind == boundary.KindSource && w.name == "tree":
		return "source"
	case w.kind == boundary.KindPackage:
		return w.name + " packages"
	case w.kind == boundary.KindTree && w.name == ".":
		return "all changes"
	case w.kind == boundary.KindTree, w.kind == boundary.KindResult:
		return w.name
	}
	return string(w.kind) + " " + w.name
}

// demand words what a gate wants.
func demand(g boundary.Gate) string {
	var parts []string
	if g.Verdict {
		parts = append(parts, "verdict")
	}
	switch n := g.Approvals.Count; {
	case n == 1:
		parts = append(parts, "1 approval")
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d approvals", n))
	}
	if g.Approvals.Count > 0 && !g.Approvals.ByDigest {
		parts = append(parts, "not for this digest")
	}
	if len(parts) == 0 {
		return "nothing demanded"
	}
	return strings.Join(parts, " + ")
}

// show cleans a foreign text and cuts it to at most n characters.
func show(s string, n int) string {
	out := make([]rune, 0, n)
	for _, c := range s {
		if hidden(c) {
			c = '\ufffd'
		}
		if len(out) == n {
			out[n-1] = '…'
			break
		}
		out = append(out, c)
	}
	return string(out)
}

// hidden tells whether c does not show as itself.
func hidden(c rune) bool {
	switch {
	case c < ' ', c >= 0x7f && c <= 0x9f, c == 0xad, c == 0x61c, c == 0x180e, c == 0xfffe, c == 0xffff,
		c >= 0x200b && c <= 0x200f, c >= 0x2028 && c <= 0x202e, c >= 0x2060 && c <= 0x206f,
		c >= 0xd800 && c <= 0xf8ff, c == 0xfeff, c >= 0xfff0 && c <= 0xfffb, c >= 0xe0000:
		return true
	}
	return false
}

package boundary

import (
	"fmt"
	"slices"
)

// spot is a node and how taint is there.
type spot struct {
	node int
	runs bool // unverified code runs there; else only what it made lies there
}

// edge is how taint came to a spot.
type edge struct {
	from spot
	flow *Flow // nil: the two share a domain, or it starts here
}

// reached is where taint comes, each spot with the edge by which it came
// first. A spot where taint starts points to itself.
type reached map[spot]edge

func (r reached) tainted(i int) bool {
	_, ok := r[spot{i, true}]
	return ok
}

// carries tells whether what node i hands on may be of a tainted stage.
func (r reached) carries(i int) bool {
	_, ok := r[spot{i, false}]
	return ok || r.tainted(i)
}

// spread follows taint breadth first, from nodes and over flows in a fixed
// order, so that each spot is reached by a shortest path and always the same.
func (x *index) spread() reached {
	r := reached{}
	var queue []spot
	visit := func(to, from spot, f *Flow) {
		if _, ok := r[to]; !ok {
			r[to] = edge{from, f}
			queue = append(queue, to)
		}
	}
	for i, n := range x.nodes {
		if len(n.Taints) > 0 {
			s := spot{i, true}
			visit(s, s, nil)
		}
	}
	out := x.outgoing()
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for _, m := range x.mates(s.node) {
			visit(spot{m, s.runs}, s, nil)
		}
		for _, f := range out[s.node] {
			if !x.lifted(*f) {
				visit(spot{x.at[f.To], f.Runs()}, s, f)
			}
		}
	}
	return r
}

func (x *index) outgoing() [][]*Flow {
	out := make([][]*Flow, len(x.nodes))
	for k := range x.flows {
		from := x.at[x.flows[k].From]
		out[from] = append(out[from], &x.flows[k])
	}
	return out
}

// path tells step by step how taint came to node i: where code runs, if it
// does there, else where its products lie.
func (x *index) path(i int) []Step {
	s := spot{i, true}
	if !x.tainted(i) {
		s.runs = false
	}
	var steps []Step
	for {
		e := x.reached[s]
		if e.from == s {
			break
		}
		steps = append(steps, x.moved(e, s))
		s = e.from
	}
	start := x.nodes[s.node]
	steps = append(steps, Step{start.ID, start.Label() + ": " + start.Taints[0].Why, orElse(start.Taints[0].Where, start.Where)})
	slices.Reverse(steps)
	return steps
}

// moved words one edge.
func (x *index) moved(e edge, to spot) Step {
	n := x.nodes[to.node]
	if e.flow == nil {
		return Step{n.ID, fmt.Sprintf("%s shares %s with %s: nothing keeps them apart", n.Label(), domainName(n), x.nodes[e.from.node].Label()), n.Where}
	}
	return x.handed(*e.flow)
}

// handed words one flow.
func (x *index) handed(f Flow) Step {
	to := x.node(f.To)
	verb := "takes"
	if f.Runs() {
		verb = "takes and runs"
		if f.Kind == KindEnv || f.Kind == KindConfig {
			verb = "is steered by"
		}
	}
	how := "by name"
	if f.ByDigest() {
		how = "by digest"
	}
	text := fmt.Sprintf("%s %s %s %s from %s, %s", to.Label(), verb, f.Kind, f.Name, x.node(f.From).Label(), how)
	return Step{to.ID, text, orElse(f.Where, to.Where)}
}

func domainName(n Node) string {
	if n.Domain == "" {
		return "a domain"
	}
	return n.Domain
}

func orElse(p, q Place) Place {
	if p == (Place{}) {
		return q
	}
	return p
}

package boundary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Crossing is one broken rule: where, and by which path.
type Crossing struct {
	Rule Rule `json:"rule"`
	// Node is where the rule is broken; empty for SP2 and SP9, which are about
	// an identity.
	Node      string    `json:"node,omitempty"`
	Authority Authority `json:"authority,omitzero"`
	Identity  string    `json:"identity,omitempty"`
	What      string    `json:"what,omitempty"` // the flow, program or taint that it is about
	Nodes     []string  `json:"nodes"`          // those of Path, each once, in its order
	Path      []Step    `json:"path"`           // from where untrusted code starts to the authority
	Text      string    `json:"text"`
	Where     Place     `json:"where,omitzero"`
}

// Step is one step of a crossing's path.
type Step struct {
	Node  string `json:"node"`
	Text  string `json:"text"`
	Where Place  `json:"where,omitzero"`
}

// Key names a crossing by what is broken, not by the path that shows it. Two
// crossings of one graph have different keys.
func (c Crossing) Key() string {
	return strings.Join([]string{string(c.Rule), c.Node, c.Authority.String(), c.Identity, c.What}, "|")
}

// Check returns every crossing of g in a fixed order, whatever the order in
// which g lists its nodes and flows. A graph that cannot be judged (see
// Graph.Validate) has one crossing, which names no rule: an answer of none is
// a yes, and a check that cannot tell never says yes.
func Check(g Graph) []Crossing {
	if err := g.Validate(); err != nil {
		return []Crossing{{Text: "the graph cannot be judged: " + err.Error(), Nodes: []string{}, Path: []Step{}}}
	}
	x := newIndex(g)
	var all []Crossing
	for _, rule := range []func(*index) []Crossing{
		taintedAuthority, // SP1
		spanningIdentity, // SP2
		taintedRoute,     // SP3
		crossByName,      // SP4
		unpinnedCode,     // SP5
		lastingHold,      // SP6
		ungatedRelease,   // SP7
		trustedTaint,     // SP8
		oneForAll,        // SP9
	} {
		all = append(all, rule(x)...)
	}
	return tidy(all)
}

// tidy gives the crossings their nodes and their order.
func tidy(all []Crossing) []Crossing {
	for i := range all {
		all[i].Nodes = []string{}
		for _, s := range all[i].Path {
			if s.Node != "" && !slices.Contains(all[i].Nodes, s.Node) {
				all[i].Nodes = append(all[i].Nodes, s.Node)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Crossing) int { return cmp.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(all, func(a, b Crossing) bool { return a.Key() == b.Key() })
}

// index is a graph made ready for the rules.
type index struct {
	nodes   []Node // by ID
	flows   []Flow
	at      map[string]int   // node ID -> place in nodes
	domains map[string][]int // domain -> places in nodes
	creds   map[string]Identity
	gated   map[Ref]bool // digests that a gate lifts the taint of
	reached              // what taint reaches, by the gates that hold
}

func newIndex(g Graph) *index {
	x := &index{
		nodes:   slices.Clone(g.Nodes),
		flows:   slices.Clone(g.Flows),
		at:      make(map[string]int, len(g.Nodes)),
		domains: make(map[string][]int, len(g.Nodes)),
		creds:   make(map[string]Identity, len(g.Identities)),
	}
	slices.SortFunc(x.nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(x.flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.id(), b.id()), cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(fmt.Sprint(a.Exec), fmt.Sprint(b.Exec)), cmp.Compare(a.Where.String(), b.Where.String()))
	})
	for i, n := range x.nodes {
		x.at[n.ID] = i
		x.domains[x.domain(i)] = append(x.domains[x.domain(i)], i)
	}
	for _, id := range g.Identities {
		x.creds[id.ID] = id
	}
	// Which gates hold is decided on taint that no gate lifted: a judge cannot
	// be cleared by its own verdict.
	x.reached = x.spread()
	x.gated = x.holdingGates(g.Gates)
	x.reached = x.spread()
	return x
}

// domain returns the name of a node's domain. A node without one is alone; the
// space keeps its name apart from every domain's.
func (x *index) domain(i int) string {
	if d := x.nodes[i].Domain; d != "" {
		return "domain " + d
	}
	return "alone " + x.nodes[i].ID
}

// mates are all nodes of a node's domain, itself among them.
func (x *index) mates(i int) []int { return x.domains[x.domain(i)] }

func (x *index) node(id string) Node { return x.nodes[x.at[id]] }

// releases tells whether anything in a node's domain holds release authority
// or a secret, or whether its zone is made for that.
func (x *index) releases(i int) bool {
	for _, m := range x.mates(i) {
		if x.nodes[m].Zone.Privileged() {
			return true
		}
		if slices.ContainsFunc(x.nodes[m].Holds, func(h Holding) bool { return h.Authority.Release() }) {
			return true
		}
	}
	return false
}

// guarded tells whether what a node does is trusted afterwards: it gives
// verdicts, or holds release authority.
func (x *index) guarded(i int) bool {
	return x.nodes[i].Zone >= Verify || x.releases(i)
}

// inside tells whether a flow stays within one domain, where no boundary is.
func (x *index) inside(f Flow) bool {
	return x.domain(x.at[f.From]) == x.domain(x.at[f.To])
}

// holdingGates returns the digests whose taint is lifted: the verdict is bound
// to the digest, approvals too, and the judge is in verify or later, untainted,
// and was given that very digest.
func (x *index) holdingGates(gates []Gate) map[Ref]bool {
	held := make(map[Ref]bool, len(gates))
	for _, g := range gates {
		judge := x.at[g.Judge]
		approved := g.Approvals.Count == 0 || g.Approvals.ByDigest
		if g.Subject != "" && g.Verdict && approved &&
			x.nodes[judge].Zone >= Verify && !x.tainted(judge) && x.receives(judge, g.Subject) {
			held[g.Subject] = true
		}
	}
	return held
}

func (x *index) receives(judge int, subject Ref) bool {
	return slices.ContainsFunc(x.flows, func(f Flow) bool {
		return f.Digest == subject && x.domain(x.at[f.To]) == x.domain(judge)
	})
}

// lifted tells whether a gate has cleared what f brings. Only on the way into a
// privileged zone: a verdict says nothing about what happened before it.
func (x *index) lifted(f Flow) bool {
	return f.Digest != "" && x.gated[f.Digest] && x.node(f.To).Zone.Privileged()
}

package boundary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// taintedAuthority is SP1: no stage is tainted and holds release authority or
// a secret. The stage is the whole domain, since nothing in it is kept apart.
func taintedAuthority(x *index) []Crossing {
	var out []Crossing
	for i, n := range x.nodes {
		if !x.tainted(i) {
			continue
		}
		for _, h := range n.Holds {
			if !h.Authority.Release() {
				continue
			}
			where := orElse(h.Where, n.Where)
			out = append(out, Crossing{
				Rule: SP1, Node: n.ID, Authority: h.Authority, Where: where,
				Path: append(x.path(i), Step{n.ID, holds(n, h), where}),
				Text: fmt.Sprintf("unverified code reaches %s in %s", h.Authority, n.Label()),
			})
		}
	}
	return out
}

func holds(n Node, h Holding) string {
	s := fmt.Sprintf("%s holds %s", n.Label(), h.Authority)
	if h.Enters != "" {
		s += " (" + h.Enters + ")"
	}
	return s
}

// spanningIdentity is SP2: no identity spans zones. An identity is at every
// node of each domain in which it is used.
func spanningIdentity(x *index) []Crossing {
	var out []Crossing
	for _, u := range x.uses() {
		zones := map[Zone]bool{}
		for _, i := range u.nodes {
			if z := x.nodes[i].Zone; z != 0 {
				zones[z] = true
			}
		}
		if len(zones) < 2 {
			continue
		}
		names := zoneList(zones)
		c := Crossing{
			Rule: SP2, Identity: u.id, Where: x.creds[u.id].Where,
			Text: fmt.Sprintf("identity %s spans the zones %s", u.id, names),
		}
		for _, i := range u.nodes {
			n := x.nodes[i]
			c.Path = append(c.Path, Step{n.ID, fmt.Sprintf("%s, zone %s, acts as %s", n.Label(), zoneName(n.Zone), u.id), n.Where})
		}
		out = append(out, c)
	}
	return out
}

func zoneList(zones map[Zone]bool) string {
	var names []string
	for _, z := range Zones() {
		if zones[z] {
			names = append(names, z.String())
		}
	}
	return strings.Join(names, ", ")
}

func zoneName(z Zone) string {
	if z == 0 {
		return "outside"
	}
	return z.String()
}

// use is where one identity is used and what it may do there.
type use struct {
	id    string
	nodes []int // in order, each once
	holds []held
}

type held struct {
	node int
	Holding
}

// uses lists identities, by name. A domain none of whose nodes names an
// identity has one of its own: what shares a domain acts as one.
func (x *index) uses() []use {
	by := map[string]*use{}
	get := func(id string) *use {
		if by[id] == nil {
			by[id] = &use{id: id}
		}
		return by[id]
	}
	for i, n := range x.nodes {
		for _, id := range x.workloads(i) {
			u := get(id)
			u.nodes = append(u.nodes, i)
			for _, h := range n.Holds {
				u.holds = append(u.holds, held{i, h})
			}
		}
		for _, h := range n.Holds {
			if h.Identity != "" && !slices.Contains(x.workloads(i), h.Identity) {
				u := get(h.Identity)
				u.nodes = append(u.nodes, i)
				u.holds = append(u.holds, held{i, h})
			}
		}
	}
	out := make([]use, 0, len(by))
	for _, u := range by {
		slices.Sort(u.nodes)
		u.nodes = slices.Compact(u.nodes)
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b use) int { return cmp.Compare(a.id, b.id) })
	return out
}

// workloads are the identities that code in node i can act as.
func (x *index) workloads(i int) []string {
	var ids []string
	for _, m := range x.mates(i) {
		if id := x.nodes[m].Identity; id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return []string{"(" + x.domain(i) + ")"}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// taintedRoute is SP3: a tainted zone has no route but the gateway.
func taintedRoute(x *index) []Crossing {
	var out []Crossing
	for i, n := range x.nodes {
		if !x.tainted(i) || n.Zone == 0 && x.alone(i) {
			continue
		}
		for _, r := range routes(n) {
			where := orElse(r.Where, n.Where)
			out = append(out, Crossing{
				Rule: SP3, Node: n.ID, Authority: Authority{VerbReach, r.Host}, Where: where,
				Path: append(x.path(i), Step{n.ID, fmt.Sprintf("%s has a route to %s", n.Label(), host(r.Host)), where}),
				Text: fmt.Sprintf("unverified code in %s can reach %s", n.Label(), host(r.Host)),
			})
		}
	}
	return out
}

// alone tells of a node outside all zones that it is no part of a domain: a
// repository or a registry, whose network is not ours to judge.
func (x *index) alone(i int) bool { return x.nodes[i].Domain == "" }

// routes are the ways to the network that are not the gateway.
func routes(n Node) []Route {
	var out []Route
	for _, r := range n.Routes {
		if !r.Gateway {
			out = append(out, r)
		}
	}
	for _, h := range n.Holds {
		if h.Authority.Verb == VerbReach {
			out = append(out, Route{Host: h.Authority.Object, Where: h.Where})
		}
	}
	return out
}

func host(h string) string {
	if h == "*" {
		return "any host"
	}
	return h
}

// crossByName is SP4: nothing crosses into verify, release or deploy but by
// digest.
func crossByName(x *index) []Crossing {
	var out []Crossing
	for _, f := range x.flows {
		from, to := x.node(f.From), x.node(f.To)
		if to.Zone < Verify || from.Zone == to.Zone || x.inside(f) || f.ByDigest() {
			continue
		}
		out = append(out, Crossing{
			Rule: SP4, Node: to.ID, What: f.id(), Where: orElse(f.Where, to.Where),
			Path: append(x.origin(f), x.handed(f)),
			Text: fmt.Sprintf("%s %s crosses into %s by name", f.Kind, f.Name, to.Zone),
		})
	}
	return out
}

// origin is the path to where a flow starts: from where taint came, if it did.
// Where the flow's node only passes on bytes of one digest, those are followed.
func (x *index) origin(f Flow) []Step {
	var passed []Step
	for range x.nodes {
		i := x.at[f.From]
		if x.tainted(i) || !x.carries(i) || f.Digest == "" {
			break
		}
		k := slices.IndexFunc(x.flows, func(in Flow) bool {
			return in.Digest == f.Digest && in.To == f.From && !x.inside(in) && x.carries(x.at[in.From])
		})
		if k < 0 {
			break
		}
		f = x.flows[k]
		passed = append(passed, x.handed(f))
	}
	slices.Reverse(passed)
	i := x.at[f.From]
	if x.carries(i) {
		return append(x.path(i), passed...)
	}
	return []Step{{f.From, x.nodes[i].Label() + " has it", x.nodes[i].Where}}
}

// unpinnedCode is SP5: a privileged zone runs only code pinned by digest, never
// code or configuration that a tainted stage can change. It holds for verify
// too, and for whatever holds release authority in another zone.
func unpinnedCode(x *index) []Crossing {
	var out []Crossing
	for i, n := range x.nodes {
		if !x.guarded(i) {
			continue
		}
		for _, t := range n.Taints {
			out = append(out, Crossing{
				Rule: SP5, Node: n.ID, What: t.Why, Where: orElse(t.Where, n.Where),
				Path: []Step{{n.ID, n.Label() + ": " + t.Why, orElse(t.Where, n.Where)}},
				Text: fmt.Sprintf("%s runs code that nobody here verified: %s", n.Label(), t.Why),
			})
		}
		for _, c := range n.Code {
			if c.Pinned {
				continue
			}
			out = append(out, Crossing{
				Rule: SP5, Node: n.ID, What: c.Name, Where: orElse(c.Where, n.Where),
				Path: []Step{{n.ID, fmt.Sprintf("%s runs %s, which is not named by digest", n.Label(), c.Name), orElse(c.Where, n.Where)}},
				Text: fmt.Sprintf("%s runs %s, which others can change", n.Label(), c.Name),
			})
		}
	}
	return append(out, steeringFlows(x)...)
}

// steeringFlows are the flows by which a tainted stage changes what a guarded
// one runs.
func steeringFlows(x *index) []Crossing {
	var out []Crossing
	for _, f := range x.flows {
		from, to := x.at[f.From], x.at[f.To]
		if !f.Runs() || !x.guarded(to) || x.inside(f) || x.lifted(f) || !x.carries(from) {
			continue
		}
		n := x.nodes[to]
		out = append(out, Crossing{
			Rule: SP5, Node: n.ID, What: f.id(), Where: orElse(f.Where, n.Where),
			Path: append(x.origin(f), x.handed(f)),
			Text: fmt.Sprintf("what %s runs can be changed by a tainted stage: %s %s", n.Label(), f.Kind, f.Name),
		})
	}
	return out
}

// lastingHold is SP6: a credential does not outlive its stage.
func lastingHold(x *index) []Crossing {
	var out []Crossing
	for _, n := range x.nodes {
		for _, h := range n.Holds {
			id := cmp.Or(h.Identity, n.Identity)
			if !h.Authority.Release() || !x.creds[id].outlives() {
				continue
			}
			where := orElse(h.Where, n.Where)
			out = append(out, Crossing{
				Rule: SP6, Node: n.ID, Authority: h.Authority, Identity: id, Where: where,
				Path: []Step{{n.ID, holds(n, h), where}, {n.ID, lasting(id, x.creds[id]), orElse(x.creds[id].Where, where)}},
				Text: fmt.Sprintf("%s, held by %s, outlives the stage", h.Authority, n.Label()),
			})
		}
	}
	return out
}

func lasting(id string, i Identity) string {
	switch {
	case id == "":
		return "it belongs to no identity, so nothing ends it"
	case i.TTL > 0:
		return fmt.Sprintf("%s lives %s and is not revoked at the stage's end", id, i.TTL)
	}
	return id + " has no end that is known"
}

// ungatedRelease is SP7: signing, publishing and deploying need a verdict and
// approvals for that very digest.
func ungatedRelease(x *index) []Crossing {
	var out []Crossing
	for i, n := range x.nodes {
		for _, h := range n.Holds {
			if h.Authority.Release() && h.Authority.Verb != VerbSecret {
				out = append(out, x.ungated(i, h)...)
			}
		}
	}
	return out
}

func (x *index) ungated(i int, h Holding) []Crossing {
	n := x.nodes[i]
	where := orElse(h.Where, n.Where)
	last := Step{n.ID, holds(n, h), where}
	var out []Crossing
	given := false
	for _, f := range x.flows {
		if f.Kind != KindArtifact || x.domain(x.at[f.To]) != x.domain(i) || x.inside(f) {
			continue
		}
		given = true
		if !x.lifted(f) {
			out = append(out, Crossing{
				Rule: SP7, Node: n.ID, Authority: h.Authority, What: f.id(), Where: where,
				Path: append(x.origin(f), x.handed(f), last),
				Text: fmt.Sprintf("%s is used in %s on %s, for which no verdict with its approvals is demanded", h.Authority, n.Label(), f.Name),
			})
		}
	}
	if !given {
		out = append(out, Crossing{
			Rule: SP7, Node: n.ID, Authority: h.Authority, Where: where, Path: []Step{last},
			Text: fmt.Sprintf("%s is used in %s on what it finds there, for which no verdict is demanded", h.Authority, n.Label()),
		})
	}
	return out
}

// trustedTaint is SP8: what a tainted run can write is not trusted by a later
// privileged one.
func trustedTaint(x *index) []Crossing {
	var out []Crossing
	for _, f := range x.flows {
		from, to := x.at[f.From], x.at[f.To]
		if !x.releases(to) || x.inside(f) || x.lifted(f) || !x.carries(from) {
			continue
		}
		n := x.nodes[to]
		out = append(out, Crossing{
			Rule: SP8, Node: n.ID, What: f.id(), Where: orElse(f.Where, n.Where),
			Path: append(x.origin(f), x.handed(f)),
			Text: fmt.Sprintf("%s trusts %s %s, which a tainted run can write", n.Label(), f.Kind, f.Name),
		})
	}
	return out
}

// oneForAll is SP9: no single identity can fetch, sign and deploy. Publishing
// is one of the ways to let something out, so that any two of sign, publish
// and deploy beside fetch are a crossing.
func oneForAll(x *index) []Crossing {
	var out []Crossing
	for _, u := range x.uses() {
		first := map[Verb]held{}
		for _, h := range u.holds {
			if _, ok := first[h.Authority.Verb]; !ok {
				first[h.Authority.Verb] = h
			}
		}
		c := Crossing{Rule: SP9, Identity: u.id, Where: x.creds[u.id].Where}
		var can []string
		for _, v := range []Verb{VerbFetch, VerbSign, VerbPublish, VerbDeploy} {
			if h, ok := first[v]; ok {
				n := x.nodes[h.node]
				can = append(can, string(v))
				c.Path = append(c.Path, Step{n.ID, holds(n, h.Holding), orElse(h.Where, n.Where)})
			}
		}
		if len(can) < 3 || can[0] != string(VerbFetch) {
			continue
		}
		c.Text = fmt.Sprintf("identity %s can %s", u.id, strings.Join(can, ", "))
		out = append(out, c)
	}
	return out
}

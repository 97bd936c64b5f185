package boundary

import (
	"fmt"
	"slices"
	"strings"
)

// The oracle finds crossings by listing every simple path of a graph, one after
// the other, straight from the words of the rules. It shares no code with
// Check but the graph's own types.

type walk struct {
	g      Graph
	lifted func(Flow) bool
}

func (w walk) node(id string) Node {
	for _, n := range w.g.Nodes {
		if n.ID == id {
			return n
		}
	}
	panic("no node " + id)
}

func (w walk) together(a, b string) bool {
	d, e := w.node(a).Domain, w.node(b).Domain
	return a == b || d != "" && d == e
}

// ends calls yield with every (node, does its code run) at the end of every
// simple path of taint that starts at from.
func (w walk) ends(at string, runs bool, seen []string, yield func(string, bool)) {
	mark := fmt.Sprint(at, runs)
	if slices.Contains(seen, mark) {
		return
	}
	yield(at, runs)
	seen = append(slices.Clone(seen), mark)
	for _, n := range w.g.Nodes {
		if n.ID != at && w.together(at, n.ID) {
			w.ends(n.ID, runs, seen, yield)
		}
	}
	for _, f := range w.g.Flows {
		if f.From != at || w.lifted(f) {
			continue
		}
		exec := f.Exec || strings.Contains("source tree env config tool cache runner", string(f.Kind))
		w.ends(f.To, exec, seen, yield)
	}
}

func (w walk) taint() (runs, lies map[string]bool) {
	runs, lies = map[string]bool{}, map[string]bool{}
	for _, n := range w.g.Nodes {
		if len(n.Taints) > 0 {
			w.ends(n.ID, true, nil, func(id string, r bool) {
				lies[id] = true
				if r {
					runs[id] = true
				}
			})
		}
	}
	return runs, lies
}

// oracle returns the keys of all crossings of g.
func oracle(g Graph) []string {
	w := walk{g, func(Flow) bool { return false }}
	before, _ := w.taint()
	w.lifted = func(f Flow) bool {
		to := w.node(f.To)
		if f.Digest == "" || to.Zone != Release && to.Zone != Deploy {
			return false
		}
		for _, t := range g.Gates {
			if t.Subject != f.Digest || !t.Verdict || t.Approvals.Count > 0 && !t.Approvals.ByDigest {
				continue
			}
			if w.node(t.Judge).Zone < Verify || before[t.Judge] {
				continue
			}
			for _, in := range g.Flows {
				if in.Digest == t.Subject && w.together(in.To, t.Judge) {
					return true
				}
			}
		}
		return false
	}
	runs, lies := w.taint()
	keys := map[string]bool{}
	add := func(r Rule, node, authority, identity, what string) {
		keys[strings.Join([]string{string(r), node, authority, identity, what}, "|")] = true
	}
	w.nodeRules(runs, add)
	w.flowRules(lies, add)
	w.identityRules(add)
	out := []string{}
	for k := range keys {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

type adder func(r Rule, node, authority, identity, what string)

func outward(a Authority) bool {
	return a.Verb == "sign" || a.Verb == "publish" || a.Verb == "deploy"
}

func (w walk) armed(id string) bool {
	for _, n := range w.g.Nodes {
		if !w.together(id, n.ID) {
			continue
		}
		if n.Zone == Release || n.Zone == Deploy {
			return true
		}
		for _, h := range n.Holds {
			if outward(h.Authority) || h.Authority.Verb == "secret" {
				return true
			}
		}
	}
	return false
}

func (w walk) nodeRules(runs map[string]bool, add adder) {
	for _, n := range w.g.Nodes {
		for _, h := range n.Holds {
			heavy := outward(h.Authority) || h.Authority.Verb == "secret"
			if heavy && runs[n.ID] {
				add("SP1", n.ID, h.Authority.String(), "", "")
			}
			if h.Authority.Verb == "reach" && runs[n.ID] && (n.Zone != 0 || n.Domain != "") {
				add("SP3", n.ID, h.Authority.String(), "", "")
			}
			id := h.Identity
			if id == "" {
				id = n.Identity
			}
			if heavy && !w.ends6(id) {
				add("SP6", n.ID, h.Authority.String(), id, "")
			}
		}
		for _, r := range n.Routes {
			if !r.Gateway && runs[n.ID] && (n.Zone != 0 || n.Domain != "") {
				add("SP3", n.ID, "reach:"+r.Host, "", "")
			}
		}
		if n.Zone == Verify || w.armed(n.ID) {
			for _, t := range n.Taints {
				add("SP5", n.ID, "", "", t.Why)
			}
			for _, c := range n.Code {
				if !c.Pinned {
					add("SP5", n.ID, "", "", c.Name)
				}
			}
		}
	}
}

func (w walk) ends6(id string) bool {
	for _, i := range w.g.Identities {
		if i.ID == id {
			return i.Revoked || i.TTL > 0 && i.TTL <= Grace
		}
	}
	return false
}

func (w walk) flowRules(lies map[string]bool, add adder) {
	name := func(f Flow) string { return f.From + " -> " + f.To + " " + string(f.Kind) + " " + f.Name }
	for _, f := range w.g.Flows {
		if w.together(f.From, f.To) {
			continue
		}
		to := w.node(f.To)
		if (to.Zone == Verify || to.Zone == Release || to.Zone == Deploy) && to.Zone != w.node(f.From).Zone && f.Digest == "" {
			add("SP4", f.To, "", "", name(f))
		}
		if !lies[f.From] || w.lifted(f) {
			continue
		}
		exec := f.Exec || strings.Contains("source tree env config tool cache runner", string(f.Kind))
		if exec && (to.Zone == Verify || w.armed(f.To)) {
			add("SP5", f.To, "", "", name(f))
		}
		if w.armed(f.To) {
			add("SP8", f.To, "", "", name(f))
		}
	}
	for _, n := range w.g.Nodes {
		for _, h := range n.Holds {
			if !outward(h.Authority) {
				continue
			}
			none := true
			for _, f := range w.g.Flows {
				if f.Kind == "artifact" && w.together(f.To, n.ID) && !w.together(f.From, n.ID) {
					none = false
					if !w.lifted(f) {
						add("SP7", n.ID, h.Authority.String(), "", name(f))
					}
				}
			}
			if none {
				add("SP7", n.ID, h.Authority.String(), "", "")
			}
		}
	}
}

func (w walk) identityRules(add adder) {
	names := map[string]bool{}
	for _, n := range w.g.Nodes {
		for _, id := range w.acts(n.ID) {
			names[id] = true
		}
		for _, h := range n.Holds {
			if h.Identity != "" {
				names[h.Identity] = true
			}
		}
	}
	for id := range names {
		zones, verbs := map[Zone]bool{}, map[Verb]bool{}
		for _, n := range w.g.Nodes {
			workload := slices.Contains(w.acts(n.ID), id)
			for _, h := range n.Holds {
				if workload || h.Identity == id {
					verbs[h.Authority.Verb] = true
					zones[n.Zone] = true
				}
			}
			if workload {
				zones[n.Zone] = true
			}
		}
		delete(zones, 0)
		if len(zones) > 1 {
			add("SP2", "", "", id, "")
		}
		out := 0
		for _, v := range []Verb{"sign", "publish", "deploy"} {
			if verbs[v] {
				out++
			}
		}
		if verbs["fetch"] && out >= 2 {
			add("SP9", "", "", id, "")
		}
	}
}

// acts lists the names that code in a node can act under.
func (w walk) acts(id string) []string {
	var all []string
	for _, n := range w.g.Nodes {
		if w.together(id, n.ID) && n.Identity != "" {
			all = append(all, n.Identity)
		}
	}
	if all == nil {
		if d := w.node(id).Domain; d != "" {
			return []string{"(domain " + d + ")"}
		}
		return []string{"(alone " + id + ")"}
	}
	return all
}

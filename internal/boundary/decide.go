package boundary

import (
	"fmt"
	"slices"
	"strings"
)

// Who is asked about: one stage by its node's ID, or every stage of a zone.
type Who struct {
	Stage string
	Zone  Zone
}

func (w Who) String() string {
	if w.Stage != "" {
		return w.Stage
	}
	return w.Zone.String()
}

// Decision is the answer to: may this stage do that, and why.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Granted tells that the graph gives the authority. Granted and not Allowed
	// is a crossing.
	Granted   bool      `json:"granted"`
	Node      string    `json:"node,omitempty"`     // the one that may, or that the rule is about
	Authority Authority `json:"authority,omitzero"` // the one that matched
	Rule      Rule      `json:"rule,omitempty"`     // which rule says no; empty: it was only not asked for
	Why       string    `json:"why"`
	Where     Place     `json:"where,omitzero"`
}

// Can tells whether who may do what p names. It is the one answer behind plan,
// why and the expectations of sallyport.yaml: an authority is allowed when the
// graph grants it to a node and no rule is broken by that node holding it.
// For a zone or a pattern, one that may is enough for a yes.
func Can(g Graph, who Who, p Pattern) Decision {
	if err := g.Validate(); err != nil {
		return Decision{Why: "the graph cannot be judged: " + err.Error()}
	}
	x := newIndex(g)
	crossings := Check(g)
	var refused *Decision
	found := false
	for i, n := range x.nodes {
		if who.Stage != "" && n.ID != who.Stage || who.Stage == "" && n.Zone != who.Zone {
			continue
		}
		found = true
		for _, h := range x.grants(i) {
			if !p.Matches(h.Authority) {
				continue
			}
			d := judge(n, h, crossings)
			if d.Allowed {
				return d
			}
			if refused == nil {
				refused = &d
			}
		}
	}
	switch {
	case refused != nil:
		return *refused
	case !found && who.Stage != "":
		return Decision{Why: fmt.Sprintf("there is no stage %s", who.Stage)}
	}
	return x.notGranted(who, p)
}

// grants is everything that the graph lets node i do.
func (x *index) grants(i int) []Holding {
	n := x.nodes[i]
	all := slices.Clone(n.Holds)
	for _, r := range n.Routes {
		if !r.Gateway {
			all = append(all, Holding{Authority: Authority{VerbReach, r.Host}, Where: r.Where})
		}
	}
	if x.tainted(i) {
		all = append(all, Holding{Authority: ProjectCode()})
	}
	return all
}

// judge says whether a grant stands, by the crossings that it is part of.
func judge(n Node, h Holding, crossings []Crossing) Decision {
	d := Decision{Granted: true, Node: n.ID, Authority: h.Authority, Where: orElse(h.Where, n.Where)}
	for _, c := range crossings {
		if c.Node != n.ID {
			continue
		}
		about := c.Authority == h.Authority ||
			h.Authority == ProjectCode() && c.Rule == SP5
		if about {
			d.Rule, d.Why = c.Rule, c.Text
			return d
		}
	}
	if h.Authority == ProjectCode() && n.Zone >= Verify {
		d.Rule, d.Why = SP5, fmt.Sprintf("%s is in %s, where no project code runs", n.Label(), n.Zone)
		return d
	}
	d.Allowed = true
	d.Why = holds(n, h)
	return d
}

// notGranted words why an authority that nobody gave is not there.
func (x *index) notGranted(who Who, p Pattern) Decision {
	z := who.Zone
	if who.Stage != "" {
		z = x.node(who.Stage).Zone
	}
	rule, why := zoneRefusal(z, p.verb)
	d := Decision{Rule: rule, Why: fmt.Sprintf("%s %s", who, why)}
	if has := x.has(who); has != "" {
		d.Why += "; it holds " + has
	}
	return d
}

// zoneRefusal says by which rule a zone goes without a verb, in words that
// follow the zone's or the stage's name.
func zoneRefusal(z Zone, v Verb) (Rule, string) {
	switch v {
	case VerbReach:
		if z == Fetch {
			return SP3, "has no route but the gateway"
		}
		if z.Privileged() {
			return SP3, "reaches only the target that it declares"
		}
		return SP3, "has no network"
	case VerbFetch:
		if z == Fetch {
			return SP3, "gets no such packages: its gateway has no entry for them"
		}
		return SP3, "has no gateway: packages come in through fetch alone"
	case VerbRun:
		if z >= Verify {
			return SP5, "runs no project code"
		}
		return "", "has nothing to run"
	case VerbSecret:
		return SP1, "was given no secret"
	}
	if z.Privileged() {
		return SP7, fmt.Sprintf("was not given it: what it may %s is declared and bound to a verdict", v)
	}
	return SP1, fmt.Sprintf("cannot %s: only release and deploy hold such authority", v)
}

// has lists what who holds.
func (x *index) has(who Who) string {
	var all []string
	for i, n := range x.nodes {
		if who.Stage != "" && n.ID != who.Stage || who.Stage == "" && n.Zone != who.Zone {
			continue
		}
		for _, h := range x.grants(i) {
			all = append(all, h.Authority.String())
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

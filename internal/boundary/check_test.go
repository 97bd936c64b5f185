package boundary

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func keys(g Graph) []string {
	out := []string{}
	for _, c := range Check(g) {
		out = append(out, c.Key())
	}
	return out
}

func auth(s string) Authority {
	a, err := ParseAuthority(s)
	if err != nil {
		panic(err)
	}
	return a
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomGraph draws graphs dense enough that most have crossings and some gates hold.
func randomGraph(r *rand.Rand) Graph {
	var g Graph
	n := 1 + r.IntN(5)
	authorities := []string{"sign:k", "publish:p", "deploy:d", "secret:s", "fetch:npm", "reach:h", "run:project-code"}
	for i := range n {
		node := Node{ID: fmt.Sprint("n", i), Zone: Zone(r.IntN(8)), Domain: pick(r, "", "", "A", "B"), Identity: pick(r, "", "w1", "w2", fmt.Sprint("own", i))}
		for range r.IntN(3) {
			node.Holds = append(node.Holds, Holding{Authority: auth(pick(r, authorities...)), Identity: pick(r, "", "", "c1", "c2")})
		}
		if r.IntN(4) == 0 {
			node.Taints = []Taint{{Why: fmt.Sprint("taint", i)}}
		}
		if r.IntN(3) == 0 {
			node.Routes = []Route{{Host: pick(r, "h", "*"), Gateway: r.IntN(2) == 0}}
		}
		if r.IntN(4) == 0 {
			node.Code = []Code{{Name: "tool", Pinned: r.IntN(2) == 0}}
		}
		g.Nodes = append(g.Nodes, node)
	}
	kinds := []Kind{KindArtifact, KindArtifact, KindTree, KindLog, KindCache, KindConfig, KindPackage, KindResult, KindTag, KindRunner, KindEnv, KindTool, KindSource}
	for range r.IntN(8) {
		g.Flows = append(g.Flows, Flow{
			From: fmt.Sprint("n", r.IntN(n)), To: fmt.Sprint("n", r.IntN(n)), Kind: pick(r, kinds...),
			Name: pick(r, "x", "y"), Digest: pick(r, Ref(""), "d1", "d2"), Exec: r.IntN(6) == 0,
		})
	}
	for range r.IntN(3) {
		g.Gates = append(g.Gates, Gate{
			Judge: fmt.Sprint("n", r.IntN(n)), Subject: pick(r, Ref(""), "d1", "d2"), Verdict: r.IntN(5) > 0,
			Approvals: Approvals{Count: r.IntN(2), ByDigest: r.IntN(2) == 0},
		})
	}
	g.Identities = []Identity{{ID: "c1", Revoked: true}, {ID: "c2", TTL: time.Hour}, {ID: "w1", TTL: Grace}}
	return g
}

func rounds(t *testing.T, n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func TestCheckAgreesWithOracleOnRandomGraphs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rules := map[Rule]int{}
	for i := range rounds(t, 10000) {
		g := randomGraph(r)
		if got, want := keys(g), oracle(g); !slices.Equal(got, want) {
			t.Fatalf("graph %d: %+v\ncheck:  %q\noracle: %q", i, g, got, want)
		}
		for _, c := range Check(g) {
			rules[c.Rule]++
		}
	}
	for i := range 9 {
		if id := Rule(fmt.Sprint("SP", i+1)); rules[id] == 0 {
			t.Errorf("no random graph broke %s: the test shows nothing about it", id)
		}
	}
}

// smallGraphs yields every graph of two nodes over a choice of zones, taints,
// authorities, routes, flows and gates, and every one of three nodes over a
// smaller choice.
func smallGraphs(yield func(Graph)) {
	pairs(yield)
	triples(yield)
}

func nodeChoices(id string) []Node {
	var out []Node
	for _, z := range []Zone{0, Build, Verify, Release} {
		for _, tainted := range []bool{false, true} {
			for _, hold := range []string{"", "sign:k", "secret:s", "fetch:npm"} {
				n := Node{ID: id, Zone: z}
				if tainted {
					n.Taints = []Taint{{Why: "foreign code"}}
				}
				if hold != "" {
					n.Holds = []Holding{{Authority: auth(hold), Identity: "short"}}
				}
				bare, routed := n, n
				bare.Code = []Code{{Name: "tool"}}
				routed.Routes = []Route{{Host: "h"}}
				out = append(out, bare, routed)
			}
		}
	}
	return out
}

func pairs(yield func(Graph)) {
	flows := [][]Flow{
		nil,
		{{From: "a", To: "b", Kind: KindArtifact, Name: "x"}},
		{{From: "a", To: "b", Kind: KindArtifact, Name: "x", Digest: "d"}},
		{{From: "a", To: "b", Kind: KindCache, Name: "x"}},
		{{From: "a", To: "b", Kind: KindTree, Name: "x", Digest: "d"}},
		{{From: "a", To: "b", Kind: KindLog, Name: "x"}, {From: "b", To: "a", Kind: KindArtifact, Name: "x", Digest: "d"}},
	}
	gates := [][]Gate{
		nil,
		{{Judge: "a", Subject: "d", Verdict: true}},
		{{Judge: "b", Subject: "d", Verdict: true, Approvals: Approvals{Count: 1}}},
		{{Judge: "b", Subject: "d", Verdict: true, Approvals: Approvals{Count: 1, ByDigest: true}}},
	}
	for _, a := range nodeChoices("a") {
		for _, b := range nodeChoices("b") {
			for _, fs := range flows {
				for _, gs := range gates {
					for _, d := range []string{"", "job"} {
						a.Domain, b.Domain = d, d
						yield(Graph{Nodes: []Node{a, b}, Flows: fs, Gates: gs, Identities: []Identity{{ID: "short", Revoked: true}}})
					}
				}
			}
		}
	}
}

func triples(yield func(Graph)) {
	ids := []string{"a", "b", "c"}
	links := [][2]string{{"a", "b"}, {"b", "c"}, {"a", "c"}, {"c", "b"}}
	for mask := range 8 * 8 * 27 { // tainted x signs x zones
		var g Graph
		zones := mask / 64
		for i, id := range ids {
			n := Node{ID: id, Zone: []Zone{Build, Verify, Release}[zones%3]}
			zones /= 3
			if mask>>i&1 == 1 {
				n.Taints = []Taint{{Why: "foreign code"}}
			}
			if mask>>(3+i)&1 == 1 {
				n.Holds = []Holding{{Authority: auth("sign:k")}}
			}
			g.Nodes = append(g.Nodes, n)
		}
		for shape := range 81 {
			g.Flows = nil
			for _, l := range links {
				switch shape % 3 {
				case 1:
					g.Flows = append(g.Flows, Flow{From: l[0], To: l[1], Kind: KindArtifact, Name: "x", Digest: "d"})
				case 2:
					g.Flows = append(g.Flows, Flow{From: l[0], To: l[1], Kind: KindTree, Name: "t", Digest: "d"})
				}
				shape /= 3
			}
			g.Gates = []Gate{{Judge: "b", Subject: "d", Verdict: true}}
			yield(g)
		}
	}
}

func TestCheckAgreesWithOracleOnAllSmallGraphs(t *testing.T) {
	n, every := 0, 1
	if testing.Short() {
		every = 37
	}
	smallGraphs(func(g Graph) {
		n++
		if n%every != 0 {
			return
		}
		if got, want := keys(g), oracle(g); !slices.Equal(got, want) {
			t.Fatalf("graph %d: %+v\ncheck:  %q\noracle: %q", n, g, got, want)
		}
	})
	t.Logf("%d graphs", n/every)
}

// clone copies g deeply enough to change nodes' lists.
func clone(g Graph) Graph {
	g.Nodes = slices.Clone(g.Nodes)
	for i := range g.Nodes {
		g.Nodes[i].Holds = slices.Clone(g.Nodes[i].Holds)
		g.Nodes[i].Taints = slices.Clone(g.Nodes[i].Taints)
	}
	return g
}

func TestAddingAuthorityOrTaintNeverRemovesACrossing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range rounds(t, 10000) {
		g := randomGraph(r)
		more := clone(g)
		n := &more.Nodes[r.IntN(len(more.Nodes))]
		if r.IntN(2) == 0 {
			n.Taints = append(n.Taints, Taint{Why: "one more"})
		} else {
			n.Holds = append(n.Holds, Holding{Authority: auth(pick(r, "sign:z", "secret:z", "publish:z", "deploy:z", "reach:z", "fetch:go")), Identity: pick(r, "", "c1")})
		}
		after := keys(more)
		for _, k := range keys(g) {
			if !slices.Contains(after, k) {
				t.Fatalf("%q is gone after adding to %s\nbefore %+v\nafter  %+v", k, n.ID, g, more)
			}
		}
	}
}

func TestGateLiftsTaintOnlyForItsDigest(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	lifted := 0
	for range 10000 {
		g := randomGraph(r)
		g.Gates = nil
		before := keys(g)
		with := g
		with.Gates = []Gate{{Judge: pick(r, g.Nodes...).ID, Subject: "d1", Verdict: true, Approvals: Approvals{Count: 2, ByDigest: true}}}
		after := keys(with)
		for _, k := range after {
			if !slices.Contains(before, k) {
				t.Fatalf("a gate made crossing %q\n%+v", k, with)
			}
		}
		if len(after) < len(before) {
			lifted++
		}
		for _, c := range Check(g) {
			if aboutOtherDigest(g, c, "d1") && !slices.Contains(after, c.Key()) {
				t.Fatalf("a gate for d1 lifted %q\n%+v", c.Key(), with)
			}
		}
		// The same graph in which no flow brings that digest: the gate changes nothing.
		other := with
		other.Flows = slices.Clone(g.Flows)
		for i := range other.Flows {
			if other.Flows[i].Digest == "d1" {
				other.Flows[i].Digest = "d3"
			}
		}
		none := other
		none.Gates = nil
		if a, b := keys(other), keys(none); !slices.Equal(a, b) {
			t.Fatalf("a gate for d1 changed a graph without d1\nwith    %q\nwithout %q", a, b)
		}
	}
	if lifted == 0 {
		t.Error("no gate lifted anything: the test shows nothing")
	}
}

// aboutOtherDigest tells of a crossing that it is about a flow of another digest
// than d, from a node that is tainted by itself: no gate for d can mend that.
func aboutOtherDigest(g Graph, c Crossing, d Ref) bool {
	found := false
	for _, f := range g.Flows {
		if f.id() != c.What {
			continue
		}
		from := g.Nodes[slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID == f.From })]
		if f.Digest == d || len(from.Taints) == 0 {
			return false
		}
		found = true
	}
	return found
}

func TestCheckDoesNotDependOnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range rounds(t, 3000) {
		g := randomGraph(r)
		want := Check(g)
		mixed := clone(g)
		r.Shuffle(len(mixed.Nodes), func(i, j int) { mixed.Nodes[i], mixed.Nodes[j] = mixed.Nodes[j], mixed.Nodes[i] })
		mixed.Flows = slices.Clone(mixed.Flows)
		slices.Reverse(mixed.Flows)
		if got := Check(mixed); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestPathsLeadFromTaintToTheNode(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range rounds(t, 3000) {
		g := randomGraph(r)
		tainted := map[string]bool{}
		for _, n := range g.Nodes {
			tainted[n.ID] = len(n.Taints) > 0
		}
		for _, c := range Check(g) {
			if len(c.Path) == 0 || c.Text == "" {
				t.Fatalf("no path or words: %+v", c)
			}
			if c.Node != "" && c.Path[len(c.Path)-1].Node != c.Node && c.Rule != SP7 {
				t.Fatalf("path does not end at %s: %+v", c.Node, c)
			}
			if (c.Rule == SP1 || c.Rule == SP3 || c.Rule == SP8) && !tainted[c.Path[0].Node] {
				t.Fatalf("path does not start where untrusted code starts: %+v", c)
			}
		}
	}
}

func TestCanAllowsNothingThatCheckRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range rounds(t, 3000) {
		g := randomGraph(r)
		crossings := Check(g)
		for _, n := range g.Nodes {
			for _, h := range n.Holds {
				d := Can(g, Who{Stage: n.ID}, Exactly(h.Authority))
				broken := slices.ContainsFunc(crossings, func(c Crossing) bool { return c.Node == n.ID && c.Authority == h.Authority })
				if d.Allowed && broken || d.Why == "" || !d.Allowed && !broken && h.Authority.Verb != VerbRun {
					t.Fatalf("%s %s: %+v, crossing %v\n%+v", n.ID, h.Authority, d, broken, g)
				}
			}
		}
	}
}

func TestCheckOfAGraphThatCannotBeJudged(t *testing.T) {
	for name, g := range map[string]Graph{
		"no id":            {Nodes: []Node{{}}},
		"same id":          {Nodes: []Node{{ID: "a"}, {ID: "a"}}},
		"no such zone":     {Nodes: []Node{{ID: "a", Zone: 8}}},
		"flow to nowhere":  {Nodes: []Node{{ID: "a"}}, Flows: []Flow{{From: "a", To: "b"}}},
		"judge is nowhere": {Nodes: []Node{{ID: "a"}}, Gates: []Gate{{Judge: "b"}}},
		"identity twice":   {Identities: []Identity{{ID: "a"}, {ID: "a"}}},
	} {
		if cs := Check(g); len(cs) != 1 || cs[0].Rule != "" {
			t.Errorf("%s: %+v", name, cs)
		}
		if d := Can(g, Who{Stage: "a"}, Exactly(auth("sign:k"))); d.Allowed || d.Granted {
			t.Errorf("%s: allowed %+v", name, d)
		}
	}
	if cs := Check(Graph{}); len(cs) != 0 {
		t.Errorf("an empty graph crosses nothing: %+v", cs)
	}
}

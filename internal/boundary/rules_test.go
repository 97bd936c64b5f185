package boundary

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// sound is a small pipeline that breaks no rule; each case below spoils one thing.
func sound() Graph {
	hold := func(a string, id string) []Holding { return []Holding{{Authority: auth(a), Identity: id}} }
	return Graph{
		Nodes: []Node{
			{ID: "source", Taints: []Taint{{Why: "nobody here verified it"}}},
			{ID: "fetch", Zone: Fetch, Identity: "i/fetch", Holds: hold("fetch:npm", ""), Routes: []Route{{Host: "gateway", Gateway: true}}},
			{ID: "build", Zone: Build, Identity: "i/build"},
			{ID: "verify", Zone: Verify, Identity: "i/verify", Code: []Code{{Name: "sallyport", Pinned: true}}},
			{ID: "release", Zone: Release, Identity: "i/release", Holds: hold("sign:release", "key"), Routes: []Route{{Host: "registry.example"}}},
			{ID: "deploy", Zone: Deploy, Identity: "i/deploy", Holds: hold("deploy:prod", "role")},
		},
		Flows: []Flow{
			{From: "source", To: "build", Kind: KindSource, Name: "tree", Digest: "src"},
			{From: "fetch", To: "build", Kind: KindTree, Name: "node_modules", Digest: "fetch:node_modules"},
			{From: "build", To: "verify", Kind: KindArtifact, Name: "server", Digest: "build:server"},
			{From: "verify", To: "release", Kind: KindArtifact, Name: "server", Digest: "build:server"},
			{From: "release", To: "deploy", Kind: KindArtifact, Name: "server", Digest: "build:server"},
		},
		Gates:      []Gate{{Judge: "verify", Subject: "build:server", Verdict: true, Approvals: Approvals{Count: 2, ByDigest: true}}},
		Identities: []Identity{{ID: "key", Revoked: true}, {ID: "role", TTL: 10 * time.Minute}},
	}
}

func TestRulesOneByOne(t *testing.T) {
	at := func(g *Graph, id string) *Node {
		return &g.Nodes[slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID == id })]
	}
	give := func(id, authority, cred string) func(*Graph) {
		return func(g *Graph) {
			at(g, id).Holds = append(at(g, id).Holds, Holding{Authority: auth(authority), Identity: cred})
		}
	}
	for name, c := range map[string]struct {
		spoil func(*Graph)
		want  string
	}{
		"nothing":                   {func(*Graph) {}, ""},
		"secret in build":           {give("build", "secret:NPM_TOKEN", "key"), "SP1 SP2 SP5 SP8"},
		"one identity in two zones": {func(g *Graph) { at(g, "verify").Identity = "i/release" }, "SP2"},
		"one domain, two zones":     {func(g *Graph) { at(g, "build").Domain, at(g, "fetch").Domain = "job", "job" }, "SP2"},
		"build has a route":         {func(g *Graph) { at(g, "build").Routes = []Route{{Host: "*"}} }, "SP3"},
		"build may reach a host":    {give("build", "reach:cdn.example", ""), "SP3"},
		"artifact by name":          {func(g *Graph) { g.Flows[2].Digest = "" }, "SP4 SP7 SP8"},
		"log into release": {func(g *Graph) {
			g.Flows = append(g.Flows, Flow{From: "build", To: "release", Kind: KindLog, Name: "log", Digest: "l"})
		}, "SP8"},
		"config from build": {func(g *Graph) {
			g.Flows = append(g.Flows, Flow{From: "build", To: "verify", Kind: KindConfig, Name: "policy", Digest: "p"})
		}, "SP5 SP7 SP8"},
		"mutable action in release": {func(g *Graph) { at(g, "release").Code = []Code{{Name: "login@v3"}} }, "SP5"},
		"project command in deploy": {func(g *Graph) { at(g, "deploy").Taints = []Taint{{Why: "make deploy"}} }, "SP1 SP5"},
		"key nobody revokes":        {func(g *Graph) { g.Identities[0].Revoked = false }, "SP6"},
		"hour-long role":            {func(g *Graph) { g.Identities[1].TTL = time.Hour }, "SP6"},
		"no gate":                   {func(g *Graph) { g.Gates = nil }, "SP7 SP8"},
		"approvals of a branch":     {func(g *Graph) { g.Gates[0].Approvals.ByDigest = false }, "SP7 SP8"},
		"gate for another digest":   {func(g *Graph) { g.Gates[0].Subject = "build:web" }, "SP7 SP8"},
		"no verdict":                {func(g *Graph) { g.Gates[0].Verdict = false }, "SP7 SP8"},
		"judge never saw it":        {func(g *Graph) { g.Gates[0].Judge = "deploy"; g.Flows = g.Flows[:4] }, "SP7 SP8"},
		"judge in build":            {func(g *Graph) { g.Gates[0].Judge = "build" }, "SP7 SP8"},
		"judge runs the project":    {func(g *Graph) { at(g, "verify").Taints = []Taint{{Why: "npm test"}} }, "SP5 SP7 SP8"},
		"cache from build": {func(g *Graph) {
			g.Flows = append(g.Flows, Flow{From: "build", To: "release", Kind: KindCache, Name: "pnpm"})
		}, "SP1 SP3 SP4 SP5 SP8"},
		"one identity does everything": {func(g *Graph) { give("release", "fetch:npm", "key")(g); give("release", "deploy:prod", "key")(g) }, "SP9"},
		"untainted things by name":     {func(g *Graph) { at(g, "source").Taints = nil; g.Flows[2].Digest = "" }, "SP4 SP7"},
	} {
		g := sound()
		c.spoil(&g)
		if got := ruleIDs(Check(g)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func ruleIDs(cs []Crossing) string {
	var ids []string
	for _, c := range cs {
		ids = append(ids, string(c.Rule))
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " ")
}

func TestPathInWords(t *testing.T) {
	g := sound()
	g.Nodes[2].Holds = []Holding{{Authority: auth("publish:npm"), Identity: "key", Enters: "job environment", Where: Place{"ci.yml", 12, 7}}}
	cs := Check(g)
	i := slices.IndexFunc(cs, func(c Crossing) bool { return c.Rule == SP1 })
	if i < 0 {
		t.Fatalf("no SP1 in %+v", cs)
	}
	var lines []string
	for _, s := range cs[i].Path {
		lines = append(lines, s.Text)
	}
	want := []string{
		"source: nobody here verified it",
		"build takes and runs source tree from source, by digest",
		"build holds publish:npm (job environment)",
	}
	if !slices.Equal(lines, want) || cs[i].Where.String() != "ci.yml:12:7" || !slices.Equal(cs[i].Nodes, []string{"source", "build"}) {
		t.Errorf("got %q at %s over %q", lines, cs[i].Where, cs[i].Nodes)
	}
}

// A CI job is several steps in one domain; its credentials reach all of them,
// in whatever order they come.
func TestCIJobAsOneDomain(t *testing.T) {
	job := Graph{
		Nodes: []Node{
			{ID: "release/1", Title: "npm ci", Zone: Release, Domain: "job release", Identity: "repo:acme/shop", Taints: []Taint{{Why: "npm ci runs install scripts", Where: Place{File: "release.yml", Line: 9}}}},
			{ID: "release/2", Title: "npm publish", Zone: Release, Domain: "job release", Identity: "repo:acme/shop", Holds: []Holding{{Authority: auth("publish:npm"), Identity: "NPM_TOKEN", Enters: "step environment"}}},
		},
		Identities: []Identity{{ID: "NPM_TOKEN"}},
	}
	if got := ruleIDs(Check(job)); got != "SP1 SP5 SP6 SP7" {
		t.Errorf("got %q", got)
	}
	cs := Check(job)
	if want := "npm publish shares job release with npm ci: nothing keeps them apart"; cs[0].Path[1].Text != want {
		t.Errorf("got %q, want %q", cs[0].Path[1].Text, want)
	}
	job.Nodes[0].Domain = "job test"
	if got := ruleIDs(Check(job)); strings.Contains(got, "SP1") {
		t.Errorf("split jobs still meet: %q", got)
	}
}

func TestCan(t *testing.T) {
	g := sound()
	g.Nodes[2].Routes = []Route{{Host: "cdn.example"}}
	for _, c := range []struct {
		who     Who
		pattern string
		allowed bool
		rule    Rule
		why     string
	}{
		{Who{Zone: Build}, "run:project-code", true, "", "build holds run:project-code"},
		{Who{Zone: Release}, "run:project-code", false, SP5, "release runs no project code; it holds reach:registry.example, sign:release"},
		{Who{Zone: Build}, "reach:*", false, SP3, "unverified code in build can reach cdn.example"},
		{Who{Zone: Test}, "reach:*", false, SP3, "test has no network"},
		{Who{Zone: Fetch}, "reach:*", false, SP3, "fetch has no route but the gateway; it holds fetch:npm"},
		{Who{Zone: Fetch}, "fetch:npm", true, "", "fetch holds fetch:npm"},
		{Who{Zone: Fetch}, "fetch:pypi", false, SP3, "fetch gets no such packages: its gateway has no entry for them; it holds fetch:npm"},
		{Who{Zone: Generate}, "fetch:npm", false, SP3, "generate has no gateway: packages come in through fetch alone"},
		{Who{Zone: Release}, "sign:*", true, "", "release holds sign:release"},
		{Who{Stage: "release"}, "reach:registry.example", true, "", "release holds reach:registry.example"},
		{Who{Stage: "release"}, "reach:registry.example.evil", false, SP3, "release reaches only the target that it declares; it holds reach:registry.example, sign:release"},
		{Who{Stage: "release"}, "publish:x", false, SP7, "release was not given it: what it may publish is declared and bound to a verdict; it holds reach:registry.example, sign:release"},
		{Who{Zone: Test}, "sign:*", false, SP1, "test cannot sign: only release and deploy hold such authority"},
		{Who{Zone: Test}, "secret:A", false, SP1, "test was given no secret"},
		{Who{Zone: Test}, "run:*", false, "", "test has nothing to run"},
		{Who{Stage: "nobody"}, "run:*", false, "", "there is no stage nobody"},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		d := Can(g, c.who, p)
		if d.Allowed != c.allowed || d.Rule != c.rule || d.Why != c.why {
			t.Errorf("%s %s: got %v %s %q", c.who, c.pattern, d.Allowed, d.Rule, d.Why)
		}
	}
}

func TestSpread(t *testing.T) {
	g := sound()
	r := Spread(g)
	for id, want := range map[string][2]bool{
		"source": {true, true}, "fetch": {false, false}, "build": {true, true}, "verify": {false, true}, "release": {false, false}, "nobody": {true, true},
	} {
		if r.Runs(id) != want[0] || r.Carries(id) != want[1] {
			t.Errorf("%s: runs %v, carries %v", id, r.Runs(id), r.Carries(id))
		}
	}
	if r.Lifted(g.Flows[2]) || !r.Lifted(g.Flows[3]) || r.Lifted(Flow{From: "nobody", To: "release", Digest: "build:server"}) {
		t.Error("wants: lifted on the way into release, not into verify")
	}
	if FlowID(g.Flows[2]) != "build -> verify artifact server" {
		t.Errorf("got %q", FlowID(g.Flows[2]))
	}
	g.Nodes = append(g.Nodes, Node{})
	if none := Spread(g); !none.Runs("verify") || none.Lifted(g.Flows[3]) {
		t.Error("a graph that cannot be judged is trusted")
	}
}

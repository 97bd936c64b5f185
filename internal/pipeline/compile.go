package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
)

// Names of the two nodes of a Graph that are outside every zone.
const (
	NodeSource   = "source"   // the project's files
	NodePackages = "packages" // what the gateway gives out
)

// LayoutTarget is what a release stage without publish, or with a folder, is
// given as publish authority: the local OCI image layout.
const LayoutTarget = "layout"

// ReleaseKey is the name of the key that the release zone signs with.
const ReleaseKey = "release"

// Graph compiles the pipeline: each stage is a node alone in its domain, with
// an identity of its own; what is handed on goes by digest; the gate stands
// between verify and release. In a trust domain that SPIFFE does not allow the
// stages get no identity, and boundary.Check refuses the release.
func (p *Pipeline) Graph(trustDomain string) boundary.Graph {
	c := compiler{p: p, trustDomain: trustDomain}
	c.outside()
	for _, s := range p.Stages {
		c.stage(s)
	}
	return c.g
}

type compiler struct {
	p           *Pipeline
	trustDomain string
	g           boundary.Graph
}

func (c *compiler) flow(from, to string, kind boundary.Kind, name string, ref boundary.Ref) {
	c.g.Flows = append(c.g.Flows, boundary.Flow{From: from, To: to, Kind: kind, Name: name, Digest: ref})
}

// outside adds what nobody here verified: the source, and the packages.
func (c *compiler) outside() {
	c.g.Nodes = append(c.g.Nodes, boundary.Node{
		ID: NodeSource, Taints: []boundary.Taint{{Why: "the project's own code: nobody here verified it"}},
	})
	if names := c.lockfiles(); len(names) > 0 {
		c.g.Nodes = append(c.g.Nodes, boundary.Node{
			ID: NodePackages, Taints: []boundary.Taint{{Why: "other people's code, as " + strings.Join(names, ", ") + " names it"}},
		})
	}
}

func (c *compiler) lockfiles() []string {
	var names []string
	for _, s := range c.p.Gateway.Npm {
		names = append(names, cmp.Or(s.Lockfile, path.Join(s.Dir, "package.json")))
	}
	for _, s := range c.p.Gateway.Go {
		names = append(names, cmp.Or(s.Lockfile, path.Join(s.Dir, "go.mod")))
	}
	return names
}

// identity gives a stage its SPIFFE ID, which ends with it.
func (c *compiler) identity(z boundary.Zone, stage string) string {
	id, err := boundary.SPIFFE(c.trustDomain, c.p.Name, z, stage)
	if err != nil {
		return ""
	}
	c.g.Identities = append(c.g.Identities, boundary.Identity{ID: id, Revoked: true})
	return id
}

func (c *compiler) stage(s Stage) {
	n := boundary.Node{ID: s.Name, Zone: s.Zone, Identity: c.identity(s.Zone, s.Name), Where: c.where(s.Line)}
	switch s.Zone {
	case boundary.Verify:
		n.Code = []boundary.Code{{Name: "sallyport", Pinned: true}}
		c.verify(s)
	case boundary.Release:
		n.Code = []boundary.Code{{Name: "sallyport", Pinned: true}}
		c.release(s, &n)
	default:
		c.commands(s, &n)
	}
	c.g.Nodes = append(c.g.Nodes, n)
}

func (c *compiler) where(line int) boundary.Place {
	if line == 0 {
		return boundary.Place{}
	}
	return boundary.Place{File: FileName, Line: line}
}

// commands is a stage that runs the project's commands: tainted, and holding
// nothing but that. Only fetch has a route, to the gateway.
func (c *compiler) commands(s Stage, n *boundary.Node) {
	n.Holds = append(n.Holds, boundary.Holding{Authority: boundary.ProjectCode()})
	for _, run := range s.Run {
		n.Taints = append(n.Taints, boundary.Taint{Why: "runs " + clip(run), Where: n.Where})
	}
	if s.Zone == boundary.Fetch {
		n.Routes = []boundary.Route{{Host: "gateway", Gateway: true}}
		for _, eco := range c.ecosystems() {
			n.Holds = append(n.Holds, boundary.Holding{Authority: boundary.Authority{Verb: boundary.VerbFetch, Object: eco}, Enters: "gateway"})
			c.flow(NodePackages, s.Name, boundary.KindPackage, eco, "materials:"+boundary.Ref(eco))
		}
	}
	c.inputs(s, s.Name)
}

func (c *compiler) ecosystems() []string {
	var out []string
	if len(c.p.Gateway.Npm) > 0 {
		out = append(out, "npm")
	}
	if len(c.p.Gateway.Go) > 0 {
		out = append(out, "go")
	}
	return out
}

// inputs adds the flows of what a stage that runs commands finds in its
// workspace. What a later stage hides is not handed on.
func (c *compiler) inputs(s Stage, to string) {
	c.flow(NodeSource, to, boundary.KindSource, "tree", "source:tree")
	seen := map[string]bool{}
	for _, in := range c.p.Inputs(s.Name) {
		if seen[in.Path] {
			continue
		}
		seen[in.Path] = true
		if in.Artifact != "" {
			c.g.Flows = append(c.g.Flows, boundary.Flow{From: in.Stage, To: to, Kind: boundary.KindArtifact, Name: in.Artifact, Digest: artifactRef(in), Exec: true})
			continue
		}
		c.flow(in.Stage, to, boundary.KindTree, in.Path, boundary.Ref(in.Stage+":"+in.Path))
	}
}

func artifactRef(in Input) boundary.Ref { return boundary.Ref(in.Stage + ":" + in.Artifact) }

// artifacts are the artifacts that come to a stage, with who made them.
func (c *compiler) artifacts(stage string) []Input {
	return slices.DeleteFunc(c.p.Inputs(stage), func(in Input) bool { return in.Artifact == "" })
}

// verify takes artifacts and results as data, and the outcome of a second
// build, which runs in a zone of its own.
func (c *compiler) verify(s Stage) {
	for _, a := range c.artifacts(s.Name) {
		c.flow(a.Stage, s.Name, boundary.KindArtifact, a.Artifact, artifactRef(a))
	}
	for _, f := range s.From {
		if t, _ := c.p.Stage(f); t.Zone == boundary.Test {
			c.flow(f, s.Name, boundary.KindResult, "results", boundary.Ref(f+":results"))
		}
	}
	for _, build := range c.rebuilt(s) {
		c.second(build, s.Name)
	}
}

// rebuilt are the build stages that a verify stage has built a second time.
func (c *compiler) rebuilt(s Stage) []string {
	stages := map[string]bool{}
	for _, check := range s.Check {
		if check.Name != "rebuild" {
			continue
		}
		for _, a := range c.artifacts(s.Name) {
			if check.Arg == "" || check.Arg == a.Artifact {
				stages[a.Stage] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(stages))
}

func (c *compiler) second(build, verify string) {
	s, _ := c.p.Stage(build)
	id := build + ".rebuild"
	if !slices.ContainsFunc(c.g.Nodes, func(n boundary.Node) bool { return n.ID == id }) {
		n := boundary.Node{
			ID: id, Title: "second " + build, Zone: s.Zone, Identity: c.identity(s.Zone, id), Where: c.where(s.Line),
			Holds: []boundary.Holding{{Authority: boundary.ProjectCode()}},
		}
		for _, run := range s.Run {
			n.Taints = append(n.Taints, boundary.Taint{Why: "runs " + clip(run), Where: n.Where})
		}
		c.inputs(s, id)
		c.g.Nodes = append(c.g.Nodes, n)
	}
	c.flow(id, verify, boundary.KindResult, "second build", boundary.Ref(id+":results"))
}

// release holds the release key and what it publishes with; each artifact comes
// through a gate for its digest.
func (c *compiler) release(s Stage, n *boundary.Node) {
	sign := boundary.Authority{Verb: boundary.VerbSign, Object: ReleaseKey}
	n.Holds = append(n.Holds, boundary.Holding{Authority: sign, Enters: "after the verdict"})
	c.gates(s)
	if len(s.Publish) == 0 {
		n.Holds = append(n.Holds, boundary.Holding{Authority: boundary.Authority{Verb: boundary.VerbPublish, Object: LayoutTarget}})
	}
	for _, p := range s.Publish {
		c.publish(p, n)
	}
}

func (c *compiler) gates(s Stage) {
	approvals := boundary.Approvals{ByDigest: true}
	if s.Approve != nil {
		approvals.Count = s.Approve.Count
	}
	for _, f := range s.From {
		for _, a := range c.artifacts(f) {
			c.flow(f, s.Name, boundary.KindArtifact, a.Artifact, artifactRef(a))
			c.g.Gates = append(c.g.Gates, boundary.Gate{Judge: f, Subject: artifactRef(a), Verdict: true, Approvals: approvals, Where: c.where(s.Line)})
		}
	}
}

func (c *compiler) publish(p Publish, n *boundary.Node) {
	where := c.where(p.Line)
	target := p.OCI
	if strings.HasPrefix(target, "./") {
		target = LayoutTarget
	} else {
		host, _, _ := strings.Cut(target, "/")
		if r := (boundary.Route{Host: host, Where: where}); !slices.Contains(n.Routes, r) {
			n.Routes = append(n.Routes, r)
		}
	}
	h := boundary.Holding{Authority: boundary.Authority{Verb: boundary.VerbPublish, Object: target}, Identity: p.As, Where: where}
	if !slices.Contains(n.Holds, h) {
		n.Holds = append(n.Holds, h)
	}
	id, ok := c.p.Identities[p.As]
	if ok && !slices.ContainsFunc(c.g.Identities, func(i boundary.Identity) bool { return i.ID == p.As }) {
		c.g.Identities = append(c.g.Identities, boundary.Identity{ID: p.As, Revoked: true, TTL: id.TTL, Audience: id.Audience, Where: c.where(id.Line)})
	}
}

// Unmet is an expectation of the file that does not hold.
type Unmet struct {
	Expect   Expect            `json:"expect"`
	Decision boundary.Decision `json:"decision"`
}

// String says what was expected and what is so.
func (u Unmet) String() string {
	said := "cannot " + u.Expect.Cannot
	if u.Expect.Can != "" {
		said = "can " + u.Expect.Can
	}
	return fmt.Sprintf("expected: %s %s; but %s", u.Expect.Zone, said, u.Decision.Why)
}

// Unmet returns the expectations that do not hold in g. One that cannot be read
// does not hold.
func (p *Pipeline) Unmet(g boundary.Graph) []Unmet {
	var out []Unmet
	for _, e := range p.Expect {
		pattern, err := boundary.ParsePattern(cmp.Or(e.Cannot, e.Can))
		if err != nil {
			out = append(out, Unmet{e, boundary.Decision{Why: err.Error()}})
			continue
		}
		d := boundary.Can(g, boundary.Who{Zone: e.Zone}, pattern)
		// What a rule refuses is still granted: the boundary stands, but the file
		// says otherwise than the pipeline.
		if e.Cannot != "" && d.Granted || e.Can != "" && !d.Allowed {
			out = append(out, Unmet{e, d})
		}
	}
	return out
}

// Canonical returns the pipeline as JSON in which the same pipeline always has
// the same bytes: without lines and findings, keys sorted, no spaces.
func (p *Pipeline) Canonical() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p.bare()); err != nil {
		panic("pipeline is not JSON: " + err.Error()) // it is numbers, texts, lists and maps
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Digest names the pipeline: what it does, not where it was written.
func (p *Pipeline) Digest() digest.Digest { return digest.Of(p.Canonical()) }

// bare is a copy without what does not change the meaning.
func (p *Pipeline) bare() Pipeline {
	out := *p
	out.Findings = nil
	out.Gateway.Go = slices.Clone(p.Gateway.Go)
	for i := range out.Gateway.Go {
		out.Gateway.Go[i].Line = 0
	}
	out.Gateway.Npm = slices.Clone(p.Gateway.Npm)
	for i := range out.Gateway.Npm {
		out.Gateway.Npm[i].Line = 0
	}
	out.Identities = maps.Clone(p.Identities)
	for name, id := range out.Identities {
		id.Line = 0
		out.Identities[name] = id
	}
	out.Expect = slices.Clone(p.Expect)
	for i := range out.Expect {
		out.Expect[i].Line = 0
	}
	out.Stages = slices.Clone(p.Stages)
	for i := range out.Stages {
		s := &out.Stages[i]
		s.Line = 0
		s.Check, s.Publish = slices.Clone(s.Check), slices.Clone(s.Publish)
		for k := range s.Check {
			s.Check[k].Line = 0
		}
		for k := range s.Publish {
			s.Publish[k].Line = 0
		}
	}
	return out
}

package boundary

import (
	"fmt"
	"time"
)

// Graph is who runs what, where, with which authority, and what is handed on.
// A native pipeline and a foreign CI file compile to the same Graph.
//
// For a CI job, each step is a Node and all steps of the job share a Domain;
// a credential of the job is held by a node of its own that stands for the job,
// or by each step that receives it.
type Graph struct {
	Nodes      []Node     `json:"nodes"`
	Flows      []Flow     `json:"flows,omitempty"`
	Gates      []Gate     `json:"gates,omitempty"`
	Identities []Identity `json:"identities,omitempty"`
}

// Node is a stage of a pipeline or a step of a CI job.
type Node struct {
	ID    string `json:"id"`
	Title string `json:"title,omitempty"` // for people; empty: the ID
	// Zone is the node's level of trust. 0 is outside: a repository, a registry.
	Zone Zone `json:"zone,omitempty"`
	// Domain names what is not isolated from this node: whatever runs in one
	// node of a domain reaches what any node of it holds. Empty: alone.
	Domain   string    `json:"domain,omitempty"`
	Identity string    `json:"identity,omitempty"` // the workload's own, by Identity.ID
	Taints   []Taint   `json:"taints,omitempty"`
	Holds    []Holding `json:"holds,omitempty"`
	Routes   []Route   `json:"routes,omitempty"`
	Code     []Code    `json:"code,omitempty"` // what runs here, beyond Taints
	Where    Place     `json:"where,omitzero"`
}

// Taint is one reason why code that nobody here verified runs in a node.
type Taint struct {
	Why   string `json:"why"` // such as: npm rebuild runs install scripts
	Where Place  `json:"where,omitzero"`
}

// Holding is one authority of a node.
type Holding struct {
	Authority Authority `json:"authority"`
	// Identity is the credential's own name in Graph.Identities, where it is
	// not the node's workload identity.
	Identity string `json:"identity,omitempty"`
	Enters   string `json:"enters,omitempty"` // how: job environment, step input, token file, ...
	Where    Place  `json:"where,omitzero"`
}

// Route is a way to the network. Loopback is none.
type Route struct {
	Host    string `json:"host"` // name, name:port, or * for anywhere
	Gateway bool   `json:"gateway,omitempty"`
	Where   Place  `json:"where,omitzero"`
}

// Code is one program that a node runs by its own pipeline's choice.
type Code struct {
	Name   string `json:"name"`   // such as actions/checkout@v4
	Pinned bool   `json:"pinned"` // named by digest, so that nobody can change it
	Where  Place  `json:"where,omitzero"`
}

// Kind is what a flow hands on.
type Kind string

// The kinds of flow. Of KindSource, KindTree, KindEnv, KindConfig, KindTool,
// KindCache and KindRunner it is taken that the receiver runs them or is
// steered by them; of the others only when Flow.Exec says so.
const (
	KindSource   Kind = "source"   // the project's files
	KindPackage  Kind = "package"  // dependencies, stored and not yet run
	KindTree     Kind = "tree"     // kept files: installed dependencies, generated code
	KindArtifact Kind = "artifact" // a candidate for release
	KindResult   Kind = "result"   // outcomes and reports
	KindLog      Kind = "log"      // text for people
	KindCache    Kind = "cache"
	KindEnv      Kind = "env"
	KindConfig   Kind = "config"
	KindTool     Kind = "tool"
	KindTag      Kind = "tag"    // a movable name
	KindRunner   Kind = "runner" // a machine that outlives a job
)

// Flow is something that one node hands to another.
type Flow struct {
	From string `json:"from"`
	To   string `json:"to"`
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // such as web/node_modules
	// Digest names the very bytes; empty: by name only, so that whoever can
	// write the name decides what arrives.
	Digest Ref   `json:"digest,omitempty"`
	Exec   bool  `json:"exec,omitempty"` // the receiver runs it, whatever its kind
	Where  Place `json:"where,omitzero"`
}

// Ref names one digest: its text form where it is known, else a name that
// stands for the digest which some output will have, such as build:server.
// Flows and gates with the same Ref are about the same bytes.
type Ref string

// Gate lifts a taint for one digest, on its way into a privileged zone.
type Gate struct {
	Judge     string    `json:"judge"`   // the node that gives the verdict
	Subject   Ref       `json:"subject"` // the digest that it is about
	Verdict   bool      `json:"verdict"` // the verdict is demanded and bound to Subject
	Approvals Approvals `json:"approvals,omitzero"`
	Where     Place     `json:"where,omitzero"`
}

// Approvals is how many people have to say yes, and to what.
type Approvals struct {
	Count    int  `json:"count"`     // 0: the policy demands none
	ByDigest bool `json:"by_digest"` // each is for the gate's subject, not for a run or a branch
}

// Place is where in a file something stands. The zero Place is nowhere.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns file:line:column as far as known.
func (p Place) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Grace is how long a credential that nobody revokes may live after it was
// given out and still count as not outliving its stage (SP6).
const Grace = 15 * time.Minute

// Label returns what to call the node before people.
func (n Node) Label() string {
	if n.Title != "" {
		return n.Title
	}
	return n.ID
}

// Runs tells whether the receiver runs what arrives, or is steered by it.
func (f Flow) Runs() bool {
	switch f.Kind {
	case KindSource, KindTree, KindEnv, KindConfig, KindTool, KindCache, KindRunner:
		return true
	}
	return f.Exec
}

// ByDigest tells whether the flow names its bytes.
func (f Flow) ByDigest() bool { return f.Digest != "" }

// id names a flow within its graph.
func (f Flow) id() string {
	return fmt.Sprintf("%s -> %s %s %s", f.From, f.To, f.Kind, f.Name)
}

// Validate tells whether g can be judged: ids are present and not used twice,
// zones exist, and flows and gates name nodes of g.
func (g Graph) Validate() error {
	seen := make(map[string]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		switch {
		case n.ID == "":
			return fmt.Errorf("a node has no id")
		case seen[n.ID]:
			return fmt.Errorf("two nodes are called %q", n.ID)
		case n.Zone > Deploy:
			return fmt.Errorf("node %q is in no zone there is: %s", n.ID, n.Zone)
		}
		seen[n.ID] = true
	}
	for _, f := range g.Flows {
		if !seen[f.From] || !seen[f.To] {
			return fmt.Errorf("flow %q names a node that is not there", f.id())
		}
	}
	for _, t := range g.Gates {
		if !seen[t.Judge] {
			return fmt.Errorf("gate for %q is judged by %q, which is not there", t.Subject, t.Judge)
		}
	}
	ids := make(map[string]bool, len(g.Identities))
	for _, i := range g.Identities {
		if i.ID == "" || ids[i.ID] {
			return fmt.Errorf("identity %q is nameless or given twice", i.ID)
		}
		ids[i.ID] = true
	}
	return nil
}

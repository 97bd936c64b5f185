package audit

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/boundary"
)

// Compile draws the graph of all definitions of one repository: the same graph
// that a native pipeline compiles to, so that boundary.Check can judge it.
//
// A job is a domain. A node of its own stands for the job and holds what the
// whole job holds; each step is a node, tainted where code starts in it that
// nobody here verified. A step that runs in a container of its own is a domain
// of its own. No node is in a zone: a CI job is none of ours.
func Compile(defs []ci.Definition) boundary.Graph {
	var g boundary.Graph
	for _, d := range defs {
		for _, j := range d.Jobs {
			compileJob(&g, d, j)
		}
	}
	for _, l := range links(defs) {
		g.Flows = append(g.Flows, boundary.Flow{
			From: l.from.node(), To: l.to.node(), Kind: l.store().Kind, Name: l.name(), Exec: l.store().Executed, Where: l.store().Where,
		})
	}
	return g
}

// jobNode is the id of the node that stands for a job.
func jobNode(d ci.Definition, j ci.Job) string { return d.File + "#" + j.ID }

func stepNode(d ci.Definition, j ci.Job, i int) string {
	return fmt.Sprintf("%s#%s/%d", d.File, j.ID, i+1)
}

// domainOf is the domain of a job, or of a step that is alone in its container.
func domainOf(d ci.Definition, j ci.Job) string {
	if j.Domain != "" {
		return d.File + "#" + j.Domain
	}
	return jobNode(d, j)
}

func compileJob(g *boundary.Graph, d ci.Definition, j ci.Job) {
	own := boundary.Node{ID: jobNode(d, j), Title: jobTitle(j), Domain: domainOf(d, j), Where: j.Where.Place}
	nodes := make([]boundary.Node, len(j.Steps))
	for i, s := range j.Steps {
		nodes[i] = boundary.Node{ID: stepNode(d, j, i), Title: stepTitle(s, i), Domain: domainOf(d, j), Where: s.Where.Place}
		if s.Alone {
			nodes[i].Domain = nodes[i].ID
		}
		for _, e := range s.Events {
			taint(&nodes[i], e)
		}
	}
	for _, c := range j.Credentials {
		if c.Step >= 0 && c.Step < len(nodes) {
			nodes[c.Step].Holds = append(nodes[c.Step].Holds, holdings(c)...)
			continue
		}
		own.Holds = append(own.Holds, holdings(c)...)
		for i, s := range j.Steps {
			if s.Alone { // what the whole job holds is in each container
				nodes[i].Holds = append(nodes[i].Holds, holdings(c)...)
			}
		}
	}
	g.Nodes = append(append(g.Nodes, own), nodes...)
}

// taint adds to a node what an event brings to it.
func taint(n *boundary.Node, e ci.Event) {
	switch {
	case e.Tier == ci.Executes && !e.Own, e.Tier == ci.Steered:
		n.Taints = append(n.Taints, boundary.Taint{Why: e.Text + ": " + e.Why, Where: e.Where})
	case e.Tier == ci.ThirdParty:
		n.Code = append(n.Code, boundary.Code{Name: e.Text, Pinned: e.Pinned || e.Own, Where: e.Where})
	}
	if e.Tier == ci.Executes || e.Tier == ci.Compiles {
		n.Holds = append(n.Holds, boundary.Holding{
			Authority: boundary.Authority{Verb: boundary.VerbFetch, Object: object(e.Ecosystem)}, Enters: "the network of the job", Where: e.Where,
		})
	}
}

// holdings are the authorities of one credential: one for each class.
func holdings(c ci.Credential) []boundary.Holding {
	all := make([]boundary.Holding, 0, len(c.Classes))
	for _, class := range c.Classes {
		all = append(all, boundary.Holding{
			Authority: boundary.Authority{Verb: verbOf(class), Object: object(c.Name)}, Enters: c.Enters, Where: c.Where,
		})
	}
	return all
}

func verbOf(c ci.Class) boundary.Verb {
	switch c {
	case ci.Publish:
		return boundary.VerbPublish
	case ci.Sign:
		return boundary.VerbSign
	case ci.Deploy:
		return boundary.VerbDeploy
	}
	return boundary.VerbSecret
}

// object makes a name one that an authority can have.
func object(name string) string {
	if name == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'`\\<>{}*", r) {
			return '_'
		}
		return r
	}, name[:min(len(name), 200)])
}

func jobTitle(j ci.Job) string {
	if j.Name != "" {
		return "job " + j.Name
	}
	return "job " + j.ID
}

func stepTitle(s ci.Step, i int) string {
	if s.Name != "" {
		return "step " + s.Name
	}
	return fmt.Sprintf("step %d", i+1)
}

// end is one step of one job of a repository.
type end struct {
	def  *ci.Definition
	job  *ci.Job
	step int
	at   int // index of the store in the step
}

func (e end) node() string     { return stepNode(*e.def, *e.job, e.step) }
func (e end) domain() string   { return domainOf(*e.def, *e.job) }
func (e end) entry() *ci.Store { return &e.job.Steps[e.step].Stores[e.at] }

// link is one thing that a step wrote and another may take.
type link struct{ from, to end }

// store is what the reader says of it.
func (l link) store() *ci.Store { return l.to.entry() }

func (l link) name() string { return l.to.entry().Name }

// links pairs writers with readers: caches over the whole repository, the rest
// within one definition, or with the definition that the reader names.
func links(defs []ci.Definition) []link {
	var writers, readers []end
	for d := range defs {
		for j := range defs[d].Jobs {
			for s := range defs[d].Jobs[j].Steps {
				for k, st := range defs[d].Jobs[j].Steps[s].Stores {
					e := end{&defs[d], &defs[d].Jobs[j], s, k}
					if st.Writes {
						writers = append(writers, e)
					}
					if st.Reads {
						readers = append(readers, e)
					}
				}
			}
		}
	}
	var all []link
	for _, r := range readers {
		for _, w := range writers {
			if w.domain() != r.domain() && meets(w, r) {
				all = append(all, link{w, r})
			}
		}
	}
	return all
}

// meets tells whether what w writes can be what r takes.
func meets(w, r end) bool {
	ws, rs := w.entry(), r.entry()
	if ws.Kind != rs.Kind || w.def.System != r.def.System || !namesMeet(ws, rs) {
		return false
	}
	if ws.Kind == boundary.KindCache {
		return cacheReaches(w, r)
	}
	if w.def.File == r.def.File {
		if w.def.System == ci.Woodpecker && w.job.Where.Line > r.job.Where.Line {
			return false // steps of one workspace run in their order
		}
		return rs.From == "" || rs.From == w.def.Name
	}
	return rs.From != "" && (rs.From == w.def.Name || rs.From == "*" && follows(r, w.def.Name))
}

// follows tells whether a reader's definition starts after runs of one named.
func follows(r end, name string) bool {
	for _, t := range r.def.Triggers {
		for _, f := range t.Follows {
			if f == name {
				return true
			}
		}
	}
	return false
}

// cacheReaches tells whether a cache that w saves is in the scope that r reads.
// GitHub keeps what a pull request saves to that pull request.
func cacheReaches(w, r end) bool {
	if w.def.System != ci.GitHub {
		return true
	}
	return trustOf(*w.def, *w.job).maintained
}

// namesMeet tells whether one of the names can be the other. A name that holds
// an expression is known as a beginning.
func namesMeet(w, r *ci.Store) bool {
	if r.Kind == boundary.KindArtifact && r.Name == "" {
		return true // all artifacts of the run
	}
	for _, name := range append([]string{r.Name}, r.Also...) {
		if name == "" && (r.Prefix || len(r.Also) > 0) {
			continue // nothing of it is known: no match that can be shown
		}
		if w.Name == name {
			return true
		}
		readsPrefix := r.Prefix || name != r.Name
		if readsPrefix && name != "" && strings.HasPrefix(w.Name, name) || w.Prefix && w.Name != "" && strings.HasPrefix(name, w.Name) {
			return true
		}
	}
	return false
}

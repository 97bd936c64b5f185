// Package bitbucket reads pipelines of Bitbucket.
//
// The isolation domain is the step: one container, in whose environment all
// secured variables of the workspace, the repository and the step's deployment
// are.
package bitbucket

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// Owns tells whether a file of this path is a pipeline.
func Owns(p string) bool { return p == "bitbucket-pipelines.yml" }

// Read reads the pipelines of one file.
func Read(repo fs.FS, file string) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	if !root.Get("pipelines").IsMap() {
		return ci.Definition{}, fmt.Errorf("%s has no pipelines", file)
	}
	r := &reader{repo: repo, root: root, def: &ci.Definition{System: ci.Bitbucket, File: file, Name: file}, ids: map[string]int{}}
	at := ci.Place{File: file, Line: 1, Column: 1}
	r.push, r.pr = ci.Trigger{Event: "push", Where: at}, ci.Trigger{Event: "pullrequest", Trust: ci.Contributor, Where: at}
	r.def.Triggers = []ci.Trigger{r.push, r.pr}
	for _, p := range root.Get("pipelines").Pairs() {
		switch p.Key.Text() {
		case "default":
			r.steps(p.Value, "default", []ci.Trigger{r.push})
		case "pull-requests":
			for _, q := range p.Value.Pairs() {
				r.steps(q.Value, q.Key.Text(), []ci.Trigger{r.pr})
			}
		default:
			for _, q := range p.Value.Pairs() {
				r.steps(q.Value, q.Key.Text(), []ci.Trigger{r.push})
			}
		}
	}
	if root.Over() {
		r.gap("", file, "the file is larger than what is looked at", root.Place())
	}
	return *r.def, nil
}

type reader struct {
	repo     fs.FS
	root     tree.Node
	def      *ci.Definition
	ids      map[string]int
	push, pr ci.Trigger
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

func (r *reader) steps(n tree.Node, pipeline string, triggers []ci.Trigger) {
	if i := n.Get("import"); i.Exists() {
		r.gap("", i.Text(), "a pipeline of another repository", i.Place())
	}
	for _, item := range n.Items() {
		switch {
		case item.Get("step").Exists():
			r.step(item.Get("step"), pipeline, triggers)
		case item.Get("parallel").Exists():
			par := item.Get("parallel")
			if par.IsMap() {
				par = par.Get("steps")
			}
			r.steps(par, pipeline, triggers)
		case item.Get("stage").Exists():
			r.steps(item.Get("stage", "steps"), pipeline, triggers)
		case item.Get("variables").Exists():
			// asked of whoever starts a custom pipeline
		default:
			r.gap("", strings.TrimSpace(item.Line(item.Place().Line)), "a part of no kind that is known", item.Place())
		}
	}
}

// step reads one step: a job.
func (r *reader) step(n tree.Node, pipeline string, triggers []ci.Trigger) {
	name := n.Get("name").Text()
	if name == "" {
		name = "step"
	}
	id := pipeline + "/" + name
	if r.ids[id]++; r.ids[id] > 1 {
		id = fmt.Sprintf("%s (%d)", id, r.ids[id])
	}
	j := ci.Job{ID: id, Where: n.Span(), Triggers: triggers, Runner: ci.Runner{Labels: n.Get("runs-on").Texts(), Where: n.Get("runs-on").Place()}}
	for _, l := range j.Runner.Labels {
		j.Runner.Persistent = j.Runner.Persistent || strings.HasPrefix(l, "self.hosted")
	}
	if d := n.Get("deployment"); d.IsText() {
		j.Environment = ci.Environment{Name: d.Text(), Where: d.Place()}
	} else if e := d.Get("name"); e.IsText() {
		j.Environment = ci.Environment{Name: e.Text(), Where: e.Place()}
	}
	if o := n.Get("oidc"); o.True() {
		j.Credentials = append(j.Credentials, ci.Credential{
			Name: "oidc", Kind: ci.OIDC, Classes: []ci.Class{ci.Deploy, ci.Publish}, Scope: ci.PerJob, Step: -1, Enters: "oidc of the step", Where: o.Place(),
		})
	}
	scripts := &script.Reader{Repo: r.repo}
	seen := map[string]bool{}
	for _, key := range []string{"script", "after-script"} {
		for _, line := range n.Get(key).Items() {
			r.line(&j, scripts, seen, line)
		}
	}
	r.stores(&j, n)
	r.def.Jobs = append(r.def.Jobs, j)
}

func (r *reader) line(j *ci.Job, scripts *script.Reader, seen map[string]bool, n tree.Node) {
	i := len(j.Steps)
	if p := n.Get("pipe"); p.Exists() {
		r.pipe(j, n, p, seen)
		return
	}
	src := script.Source{Text: n.Text(), Place: n.TextPlace(), Flat: n.Folded(), Continues: i > 0}
	for _, v := range script.Variables(src) {
		variable(j, seen, v, i, n.Place())
	}
	f := scripts.Read(src)
	for _, c := range f.Credentials {
		c.Step = i
		j.Credentials = append(j.Credentials, c)
	}
	for _, g := range f.Gaps {
		r.gap(j.ID, g.What, g.Why, g.Where)
	}
	j.Steps = append(j.Steps, ci.Step{Where: n.Span(), Events: f.Events, Acts: f.Acts, Stores: f.Stores})
}

func variable(j *ci.Job, seen map[string]bool, name string, step int, at ci.Place) {
	if seen[name] || strings.HasPrefix(name, "BITBUCKET_") || !credential.Sensitive(name) {
		return
	}
	seen[name] = true
	j.Credentials = append(j.Credentials, ci.Credential{
		Name: name, Kind: ci.Secret, Classes: credential.Named(name), Scope: ci.PerJob, Step: step, Enters: "environment of the step: a variable of the repository", Where: at, LongLived: true,
	})
}

// pipe is a container image that is given variables.
func (r *reader) pipe(j *ci.Job, n, p tree.Node, seen map[string]bool) {
	ref := p.Text()
	pinned := strings.Contains(ref, "@sha256:")
	s := ci.Step{Name: ref, Where: n.Span(), Events: []ci.Event{{
		Tier: ci.ThirdParty, Text: ref, Why: "the pipe is a container image", Ecosystem: "oci", Pinned: pinned, Own: strings.HasPrefix(ref, "atlassian/"), Where: p.Place(),
	}}}
	for _, v := range n.Get("variables").Pairs() {
		for _, name := range script.Variables(script.Source{Text: v.Value.Text()}) {
			variable(j, seen, name, len(j.Steps), v.Value.Place())
		}
	}
	class := ci.Class("")
	switch {
	case strings.Contains(ref, "deploy"), strings.Contains(ref, "aws-"), strings.Contains(ref, "azure-"), strings.Contains(ref, "google-"), strings.Contains(ref, "ssh"), strings.Contains(ref, "scp"), strings.Contains(ref, "rsync"), strings.Contains(ref, "ftp"):
		class = ci.Deploy
	case strings.Contains(ref, "publish"), strings.Contains(ref, "push"), strings.Contains(ref, "upload"):
		class = ci.Publish
	}
	if class != "" {
		s.Acts = []ci.Act{{Class: class, Text: ref, Tool: "pipe", Where: p.Place()}}
	}
	j.Steps = append(j.Steps, s)
}

// stores are artifacts, which all later steps get, and caches.
func (r *reader) stores(j *ci.Job, n tree.Node) {
	s := ci.Step{Name: "artifacts and caches", Where: j.Where}
	if a := n.Get("artifacts"); a.Exists() {
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: "artifacts", Writes: true, Where: a.Place()})
	}
	for _, c := range n.Get("caches").List() {
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindCache, Name: c.Text(), Reads: true, Writes: true, Executed: true, Where: c.Place()})
	}
	if len(s.Stores) > 0 {
		j.Steps = append(j.Steps, s)
	}
}

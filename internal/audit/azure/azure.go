// Package azure reads pipelines of Azure Pipelines.
//
// The isolation domain is the job: one agent, on which the steps share disk and
// processes. A secret variable is only in the environment of the steps that map
// it, and a service connection is given to a task, so that what runs earlier has
// to wait for them.
package azure

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// Owns tells whether a file of this path is a pipeline.
func Owns(p string) bool {
	ext := path.Ext(p)
	if ext != ".yml" && ext != ".yaml" {
		return false
	}
	base := path.Base(p)
	return path.Dir(p) == "." && (strings.HasPrefix(base, "azure-pipelines") || strings.HasPrefix(base, ".azure-pipelines")) ||
		strings.HasPrefix(p, ".azure-pipelines/") || strings.HasPrefix(p, ".azuredevops/")
}

// maxDepth bounds templates that use each other.
const maxDepth = 6

// Read reads one pipeline; a template alone is none.
func Read(repo fs.FS, file string) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	r := &reader{repo: repo, def: &ci.Definition{System: ci.Azure, File: file, Name: file}, ids: map[string]int{}}
	if !root.IsMap() || !slices.ContainsFunc([]string{"stages", "jobs", "steps", "extends"}, func(k string) bool { return root.Get(k).Exists() }) {
		return ci.Definition{}, fmt.Errorf("%s has no stages, jobs or steps", file)
	}
	r.triggers(root)
	if e := root.Get("extends"); e.Exists() {
		r.template(e, scope{root: root, dir: path.Dir(file)})
	}
	r.body(root, scope{root: root, dir: path.Dir(file), pool: root.Get("pool"), variables: []tree.Node{root.Get("variables")}})
	if root.Over() {
		r.gap("", file, "the file is larger than what is looked at", root.Place())
	}
	return *r.def, nil
}

type reader struct {
	repo fs.FS
	def  *ci.Definition
	ids  map[string]int
}

// scope is what a job takes over from where it stands.
type scope struct {
	root      tree.Node
	dir       string // of the file, for templates
	pool      tree.Node
	variables []tree.Node // the outermost first
	params    map[string]string
	stage     string
	depth     int
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// triggers: without a pr section builds of pull requests are a setting of the
// service, where the repository is elsewhere they are on by default.
func (r *reader) triggers(root tree.Node) {
	at := root.Get("trigger").Place()
	if at.Line == 0 {
		at = ci.Place{File: r.def.File, Line: 1, Column: 1}
	}
	r.def.Triggers = []ci.Trigger{{Event: "push", Where: at}}
	pr := root.Get("pr")
	if pr.Text() == "none" {
		return
	}
	if pr.Exists() {
		at = pr.Place()
	}
	r.def.Triggers = append(r.def.Triggers, ci.Trigger{Event: "pr", Trust: ci.Contributor, Where: at})
}

// body reads stages, jobs or steps, at whatever level they stand.
func (r *reader) body(n tree.Node, s scope) {
	for _, st := range n.Get("stages").Items() {
		r.stage(st, s)
	}
	for _, j := range n.Get("jobs").Items() {
		r.jobItem(j, s)
	}
	if steps := n.Get("steps"); steps.IsList() {
		r.job("job", n, n, s)
	}
}

func (r *reader) stage(n tree.Node, s scope) {
	if conditional(n) {
		for _, p := range n.Pairs() {
			for _, i := range p.Value.Items() {
				r.stage(i, s)
			}
		}
		return
	}
	if n.Get("template").Exists() {
		r.template(n, s)
		return
	}
	s.stage = n.Get("stage").Text()
	if p := n.Get("pool"); p.Exists() {
		s.pool = p
	}
	if v := n.Get("variables"); v.Exists() {
		s.variables = append(slices.Clone(s.variables), v)
	}
	r.body(n, s)
}

// conditional tells of ${{ if }} and ${{ each }}, whose body is read whatever the
// condition.
func conditional(n tree.Node) bool {
	pairs := n.Pairs()
	return len(pairs) > 0 && strings.HasPrefix(pairs[0].Key.Text(), "${{")
}

func (r *reader) jobItem(n tree.Node, s scope) {
	switch {
	case conditional(n):
		for _, p := range n.Pairs() {
			for _, i := range p.Value.Items() {
				r.jobItem(i, s)
			}
		}
	case n.Get("template").Exists():
		r.template(n, s)
	case n.Get("job").Exists():
		r.job(n.Get("job").Text(), n, n, s)
	case n.Get("deployment").Exists():
		r.deployment(n, s)
	default:
		r.gap("", strings.TrimSpace(n.Line(n.Place().Line)), "a job of no kind that is known", n.Place())
	}
}

// deployment reads the steps of each part of a strategy as one job.
func (r *reader) deployment(n tree.Node, s scope) {
	for _, strategy := range n.Get("strategy").Pairs() {
		for _, hook := range strategy.Value.Pairs() {
			if steps := hook.Value.Get("steps"); steps.IsList() {
				r.job(n.Get("deployment").Text(), n, hook.Value, s)
			}
			for _, on := range hook.Value.Pairs() {
				if on.Value.Get("steps").IsList() {
					r.job(n.Get("deployment").Text(), n, on.Value, s)
				}
			}
		}
	}
}

// template puts a file of the repository in its place.
func (r *reader) template(n tree.Node, s scope) {
	ref := n.Get("template").Text()
	name, elsewhere, _ := strings.Cut(ref, "@")
	if elsewhere != "" && elsewhere != "self" || strings.Contains(ref, "${{") || s.depth >= maxDepth {
		r.gap(s.stage, ref, "a template of another repository, or one that is computed", n.Get("template").Place())
		return
	}
	file := path.Join(s.dir, name)
	if strings.HasPrefix(name, "/") {
		file = strings.TrimPrefix(path.Clean(name), "/")
	}
	root, err := tree.Load(r.repo, file)
	if err != nil {
		r.gap(s.stage, ref, "the template cannot be read: "+err.Error(), n.Get("template").Place())
		return
	}
	s.dir, s.depth, s.params = path.Dir(file), s.depth+1, parameters(root, n.Get("parameters"), s.params)
	r.body(root, s)
}

// parameters are the plain ones of a template, its defaults among them.
func parameters(root, given tree.Node, outer map[string]string) map[string]string {
	out := map[string]string{}
	for _, p := range root.Get("parameters").Items() {
		if d := p.Get("default"); d.IsText() {
			out[p.Get("name").Text()] = d.Text()
		}
	}
	for _, p := range root.Get("parameters").Pairs() {
		if p.Value.IsText() {
			out[p.Key.Text()] = p.Value.Text()
		}
	}
	for _, p := range given.Pairs() {
		if p.Value.IsText() {
			out[p.Key.Text()] = substitute(p.Value.Text(), outer)
		}
	}
	return out
}

// substitute puts parameters in.
func substitute(text string, params map[string]string) string {
	if !strings.Contains(text, "${{") {
		return text
	}
	for k, v := range params {
		for _, form := range []string{"${{ parameters." + k + " }}", "${{parameters." + k + "}}", "${{ parameters['" + k + "'] }}"} {
			text = strings.ReplaceAll(text, form, v)
		}
	}
	return text
}

// jobReader fills one job.
type jobReader struct {
	*reader
	s       scope
	job     ci.Job
	scripts *script.Reader
	plain   map[string]bool // variables with a value in the file
	seen    map[string]bool
}

func (r *reader) job(name string, n, body tree.Node, s scope) {
	j := &jobReader{reader: r, s: s, plain: map[string]bool{}, seen: map[string]bool{}}
	id := strings.Trim(s.stage+"/"+substitute(name, s.params), "/")
	if r.ids[id]++; r.ids[id] > 1 {
		id = fmt.Sprintf("%s (%d)", id, r.ids[id])
	}
	j.job = ci.Job{ID: id, Name: n.Get("displayName").Text(), Where: n.Span(), Needs: n.Get("dependsOn").Texts(), If: n.Get("condition").Text()}
	j.pool(n)
	j.environment(n.Get("environment"))
	env := map[string]string{}
	for _, v := range append(slices.Clone(s.variables), n.Get("variables")) {
		j.variables(v, env)
	}
	if n.Get("variables").Place() == s.root.Get("variables").Place() {
		j.dedupe()
	}
	j.scripts = &script.Reader{Repo: r.repo, Env: env}
	j.steps(body.Get("steps"), 0)
	r.def.Jobs = append(r.def.Jobs, j.job)
}

// dedupe drops what was read twice, where a pipeline of steps alone is its job.
func (j *jobReader) dedupe() {
	seen := map[string]bool{}
	j.job.Credentials = slices.DeleteFunc(j.job.Credentials, func(c ci.Credential) bool {
		key := c.Name + c.Where.String()
		twice := seen[key]
		seen[key] = true
		return twice
	})
}

// pool: a named one is a queue of agents that stay; a vmImage is made for the job.
func (j *jobReader) pool(n tree.Node) {
	p := n.Get("pool")
	if !p.Exists() {
		p = j.s.pool
	}
	name := p.Text()
	if p.IsMap() {
		name = p.Get("name").Text()
	}
	switch image := p.Get("vmImage").Text(); {
	case image != "":
		j.job.Runner.Labels = []string{substitute(image, j.s.params)}
	case name != "":
		j.job.Runner.Labels = []string{substitute(name, j.s.params)}
		j.job.Runner.Persistent = name != "Azure Pipelines"
	}
	j.job.Runner.Where = p.Place()
}

func (j *jobReader) environment(n tree.Node) {
	name := n
	if n.IsMap() {
		name = n.Get("name")
	}
	if name.IsText() {
		j.job.Environment = ci.Environment{Name: name.Text(), Where: name.Place()}
	}
}

// variables are plain values, and groups, which can hold secrets.
func (j *jobReader) variables(n tree.Node, env map[string]string) {
	for _, p := range n.Pairs() {
		if p.Value.IsText() {
			j.plain[p.Key.Text()] = true
			env[p.Key.Text()] = p.Value.Text()
		}
	}
	for _, v := range n.Items() {
		switch {
		case v.Get("name").Exists():
			j.plain[v.Get("name").Text()] = true
			env[v.Get("name").Text()] = v.Get("value").Text()
		case v.Get("group").Exists():
			g := v.Get("group")
			j.job.Credentials = append(j.job.Credentials, ci.Credential{
				Name: "group " + g.Text(), Kind: ci.Context, Classes: credential.Named(g.Text()), Scope: ci.Global, Step: -1,
				Enters: "variable group of the pipeline", Where: g.Place(), LongLived: true, Assumed: true, // only what a step maps is in an environment
			})
		case v.Get("template").Exists():
			j.gap(j.job.ID, v.Get("template").Text(), "a template of variables", v.Place())
		}
	}
}

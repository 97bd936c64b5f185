package github

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// jobReader fills one job.
type jobReader struct {
	*reader
	c       call
	node    tree.Node
	job     ci.Job
	p       permissions
	scripts *script.Reader
	known   names // inputs, and values of the matrix of which there is one
	vars    variables
	seen    map[string]bool // secrets that are in job.Credentials, by name and step
	windows bool
	shell   string // defaults.run
	dir     string
	folders []folder
	heads   []string // folders where a stranger's code was checked out to
	// never: no way to start the workflow starts the job, as far as its
	// condition is understood.
	never bool
}

// folder is where a checkout put a repository, beside the root.
type folder struct {
	path string
	of   string // owner/name@ref of another repository; empty: this one
}

// jobs reads all jobs of one workflow.
func (r *reader) jobs(c call) {
	for _, p := range c.root.Get("jobs").Pairs() {
		if !r.spend(stepCost, p.Key.Place()) {
			return
		}
		if !p.Value.IsMap() {
			r.gap(c.prefix+p.Key.Text(), p.Key.Text(), "a job that is no mapping", p.Key.Place())
			continue
		}
		j := r.newJob(c, p)
		if j.never && c.prefix != "" {
			continue // not part of this call
		}
		if uses := p.Value.Get("uses"); uses.IsText() {
			j.called(uses)
			continue
		}
		r.def.Jobs = append(r.def.Jobs, j.read())
	}
}

// newJob is what each job has, also one that is a call.
func (r *reader) newJob(c call, p tree.Pair) *jobReader {
	span := p.Value.Span()
	span.Place = p.Key.Place()
	j := &jobReader{reader: r, c: c, node: p.Value, known: c.known, seen: map[string]bool{}}
	j.job = ci.Job{ID: c.prefix + p.Key.Text(), Name: p.Value.Get("name").Text(), Where: span, If: p.Value.Get("if").Text()}
	for _, n := range p.Value.Get("needs").Texts() {
		j.job.Needs = append(j.job.Needs, c.prefix+n)
	}
	t := r.narrow(c.triggers, j.job.If, j.known)
	j.never = len(t) == 0 && len(c.triggers) > 0
	if !j.never && !same(t, r.def.Triggers) {
		j.job.Triggers = t
	}
	return j
}

func same(a, b []ci.Trigger) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Event != b[i].Event || a[i].Trust != b[i].Trust {
			return false
		}
	}
	return true
}

// triggers are the ways to start the job.
func (j *jobReader) triggers() []ci.Trigger {
	if j.job.Triggers != nil {
		return j.job.Triggers
	}
	return j.def.Triggers
}

func (j *jobReader) read() ci.Job {
	j.matrix()
	j.vars = variables(nil).over(j.c.root.Get("env"), j.known).over(j.node.Get("env"), j.known)
	j.environment()
	j.runner()
	j.defaults()
	j.permissions()
	j.wideSecrets()
	j.scripts = &script.Reader{Repo: j.repo}
	for _, s := range j.node.Get("steps").Items() {
		j.step(s, 0)
	}
	focus(&j.job)
	return j.job
}

func (j *jobReader) environment() {
	name := j.node.Get("environment")
	if name.IsMap() {
		name = name.Get("name")
	}
	if name.IsText() {
		j.job.Environment = ci.Environment{Name: name.Text(), Where: name.Place()}
	}
}

func (j *jobReader) defaults() {
	for _, n := range []tree.Node{j.c.root.Get("defaults", "run"), j.node.Get("defaults", "run")} {
		if s := n.Get("shell").Text(); s != "" {
			j.shell = j.known.put(s)
		}
		if d := n.Get("working-directory").Text(); d != "" {
			j.dir = j.known.with(j.vars.names()).put(d)
		}
	}
}

func (j *jobReader) permissions() {
	j.p = j.granted()
	j.job.Credentials = append(j.job.Credentials, j.p.credentials()...)
}

// variables are environment variables whose value is written out.
type variables map[string]string

// over is v and the variables of an env block; one whose value is computed is
// not known, whatever it was before.
func (v variables) over(env tree.Node, k names) variables {
	out := make(variables, len(v))
	for name, value := range v {
		out[name] = value
	}
	for _, p := range env.Pairs() {
		if value := k.put(p.Value.Text()); p.Value.IsText() && !strings.Contains(value, "${{") {
			out[p.Key.Text()] = value
		} else {
			delete(out, p.Key.Text())
		}
	}
	return out
}

// names are the variables as expressions name them.
func (v variables) names() names {
	k := make(names, len(v))
	for name, value := range v {
		k["env."+strings.ToLower(name)] = value
	}
	return k
}

// Package circleci reads configurations of CircleCI 2.
//
// The isolation domain is the job: one executor, in whose environment the
// project's variables are, and those of each context that a workflow gives to the
// job. Caches are the project's, whoever wrote them.
package circleci

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// Owns tells whether a file of this path is a configuration.
func Owns(p string) bool { return p == ".circleci/config.yml" || p == ".circleci/config.yaml" }

// maxDepth bounds commands that use each other.
const maxDepth = 5

// Read reads one configuration.
func Read(repo fs.FS, file string) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	if !root.Get("jobs").IsMap() && !root.Get("workflows").IsMap() {
		return ci.Definition{}, fmt.Errorf("%s has neither jobs nor workflows", file)
	}
	r := &reader{repo: repo, root: root, def: &ci.Definition{System: ci.CircleCI, File: file, Name: file}}
	at := ci.Place{File: file, Line: 1, Column: 1}
	r.all = []ci.Trigger{{Event: "push", Where: at}, {Event: "pull_request", Trust: ci.Contributor, Where: at}}
	r.def.Triggers = r.all
	if root.Get("setup").True() {
		r.gap("", "setup: true", "the rest of the configuration is made while it runs", root.Get("setup").Place())
	}
	r.workflows()
	if root.Over() {
		r.gap("", file, "the file is larger than what is looked at", root.Place())
	}
	return *r.def, nil
}

type reader struct {
	repo fs.FS
	root tree.Node
	def  *ci.Definition
	all  []ci.Trigger
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	for _, g := range r.def.Gaps {
		if g.What == what && g.Job == job {
			return
		}
	}
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// workflows reads each job where a workflow uses it; a job that no workflow uses
// runs only where it is called build.
func (r *reader) workflows() {
	used := false
	for _, w := range r.root.Get("workflows").Pairs() {
		for _, use := range w.Value.Get("jobs").Items() {
			used = true
			name, body, at := use.Text(), tree.Node{}, use
			if use.IsMap() {
				pairs := use.Pairs()
				if len(pairs) == 0 {
					continue
				}
				name, body, at = pairs[0].Key.Text(), pairs[0].Value, pairs[0].Key
			}
			r.use(w, name, body, at)
		}
	}
	if b := r.root.Get("jobs", "build"); !used && b.Exists() {
		r.job("build", "build", b, tree.Node{}, r.all)
	}
}

func (r *reader) use(w tree.Pair, name string, body, at tree.Node) {
	if body.Get("type").Text() == "approval" {
		return
	}
	id := body.Get("name").Text()
	if id == "" {
		id = name
	}
	for _, j := range r.def.Jobs {
		if j.ID == id {
			id = w.Key.Text() + "/" + id
			break
		}
	}
	triggers := r.all
	if w.Value.Get("triggers").Exists() || closed(body.Get("filters")) {
		triggers = r.all[:1]
	}
	n := r.root.Get("jobs", name)
	if !n.Exists() {
		r.orb(id, name, body, at, triggers)
		return
	}
	r.job(id, name, n, body, triggers)
}

// closed tells whether filters let through only tags, or named branches.
func closed(filters tree.Node) bool {
	only := filters.Get("branches", "only").Texts()
	if len(only) > 0 {
		return !slices.ContainsFunc(only, func(s string) bool { return strings.Contains(s, "*") })
	}
	ignores := filters.Get("branches", "ignore").Texts()
	return filters.Get("tags").Exists() && slices.Contains(ignores, "/.*/")
}

// orb is a job of an orb: what runs there is not in the files.
func (r *reader) orb(id, name string, body, at tree.Node, triggers []ci.Trigger) {
	j := ci.Job{ID: id, Where: ci.Span{Place: at.Place(), End: max(at.Place().Line, body.Span().End)}, Needs: body.Get("requires").Texts(), Triggers: triggers}
	r.contexts(&j, body)
	e, ok := r.orbEvent(name, at)
	if !ok {
		r.gap(id, name, "a job that is not in the file", at.Place())
		return
	}
	j.Steps = []ci.Step{{Name: name, Where: j.Where, Events: []ci.Event{e}}}
	r.gap(id, name, "a job of an orb", at.Place())
	r.def.Jobs = append(r.def.Jobs, j)
}

// orbEvent is code of an orb: named by a version, which its owner cannot move
// when it is whole, and never by digest.
func (r *reader) orbEvent(name string, at tree.Node) (ci.Event, bool) {
	alias, _, ok := strings.Cut(name, "/")
	ref := r.root.Get("orbs", alias)
	if !ok || !ref.Exists() {
		return ci.Event{}, false
	}
	if ref.IsMap() {
		return ci.Event{Tier: ci.ThirdParty, Text: name, Why: "the orb is in this file", Ecosystem: "action", Own: true, Where: at.Place()}, true
	}
	_, version, _ := strings.Cut(ref.Text(), "@")
	whole := strings.Count(version, ".") == 2 && strings.Trim(version, "0123456789.") == ""
	why := "the step is of the orb " + ref.Text() + ", at a version that can be moved"
	if whole {
		why = "the step is of the orb " + ref.Text()
	}
	return ci.Event{Tier: ci.ThirdParty, Text: name, Why: why, Ecosystem: "action", Pinned: whole, Own: strings.HasPrefix(ref.Text(), "circleci/"), Where: at.Place()}, true
}

// contexts are the groups of secrets that a workflow gives to a job.
func (r *reader) contexts(j *ci.Job, body tree.Node) {
	for _, c := range body.Get("context").List() {
		j.Credentials = append(j.Credentials, ci.Credential{
			Name: "context " + c.Text(), Kind: ci.Context, Classes: credential.Named(c.Text()), Scope: ci.PerJob, Step: -1,
			Enters: "context of the job", Where: c.Place(), LongLived: true,
		})
	}
}

// jobReader fills one job.
type jobReader struct {
	*reader
	job     ci.Job
	params  map[string]string
	defined map[string]bool
	seen    map[string]bool
	scripts *script.Reader
}

func (r *reader) job(id, name string, n, body tree.Node, triggers []ci.Trigger) {
	j := &jobReader{reader: r, params: defaults(n), defined: map[string]bool{}, seen: map[string]bool{}}
	span := n.Span()
	for _, p := range r.root.Get("jobs").Pairs() {
		if p.Key.Text() == name {
			span.Place = p.Key.Place()
		}
	}
	j.job = ci.Job{ID: id, Where: span, Needs: body.Get("requires").Texts()}
	if len(triggers) < len(r.all) {
		j.job.Triggers = triggers
	}
	for _, p := range body.Pairs() {
		if p.Value.IsText() {
			j.params[p.Key.Text()] = p.Value.Text()
		}
	}
	r.contexts(&j.job, body)
	env := j.executor(n)
	j.scripts = &script.Reader{Repo: r.repo, Env: env}
	j.steps(body.Get("pre-steps"), j.params, 0)
	j.steps(n.Get("steps"), j.params, 0)
	j.steps(body.Get("post-steps"), j.params, 0)
	r.def.Jobs = append(r.def.Jobs, j.job)
}

// defaults are the parameters that have one.
func defaults(n tree.Node) map[string]string {
	out := map[string]string{}
	for _, p := range n.Get("parameters").Pairs() {
		if d := p.Value.Get("default"); d.IsText() {
			out[p.Key.Text()] = d.Text()
		}
	}
	return out
}

// executor reads where the job runs, and the variables that the file gives it.
func (j *jobReader) executor(n tree.Node) map[string]string {
	env := map[string]string{}
	take := func(e tree.Node) {
		for _, p := range e.Get("environment").Pairs() {
			j.defined[p.Key.Text()] = true
			env[p.Key.Text()] = p.Value.Text()
		}
		if c := e.Get("resource_class"); c.IsText() {
			j.job.Runner = ci.Runner{Labels: []string{substitute(c.Text(), j.params)}, Persistent: strings.Contains(c.Text(), "/"), Where: c.Place()}
		}
	}
	name := n.Get("executor")
	if name.IsMap() {
		name = name.Get("name")
	}
	if e := name.Text(); e != "" {
		take(j.root.Get("executors", substitute(e, j.params)))
	}
	take(n)
	return env
}

// substitute puts parameters in.
func substitute(text string, params map[string]string) string {
	for k, v := range params {
		if !strings.Contains(text, "<<") {
			return text
		}
		text = strings.ReplaceAll(strings.ReplaceAll(text, "<< parameters."+k+" >>", v), "<<parameters."+k+">>", v)
	}
	return text
}

// steps reads a list of steps, those of the file's own commands in their place.
func (j *jobReader) steps(list tree.Node, params map[string]string, depth int) {
	if depth > maxDepth {
		j.gap(j.job.ID, "steps", "commands that use each other more than five deep", list.Place())
		return
	}
	for _, s := range list.Items() {
		name, body, at := s.Text(), tree.Node{}, s
		if s.IsMap() {
			pairs := s.Pairs()
			if len(pairs) == 0 {
				continue
			}
			name, body, at = pairs[0].Key.Text(), pairs[0].Value, pairs[0].Key
		}
		j.step(name, body, at, params, depth)
	}
}

func (j *jobReader) step(name string, body, at tree.Node, params map[string]string, depth int) {
	switch name {
	case "run":
		j.run(body, params)
	case "when", "unless":
		j.steps(body.Get("steps"), params, depth+1)
	case "checkout", "setup_remote_docker", "add_ssh_keys", "store_test_results", "store_artifacts":
		if name == "add_ssh_keys" {
			j.job.Credentials = append(j.job.Credentials, ci.Credential{
				Name: "ssh keys of the project", Kind: ci.File, Classes: []ci.Class{ci.Deploy, ci.Repository}, Scope: ci.PerStep, Step: len(j.job.Steps), Enters: "step add_ssh_keys", Where: at.Place(), OnDisk: true, LongLived: true,
			})
		}
		j.job.Steps = append(j.job.Steps, ci.Step{Name: name, Where: at.Span()})
	case "save_cache", "restore_cache", "persist_to_workspace", "attach_workspace":
		j.store(name, body, at)
	default:
		j.command(name, body, at, params, depth)
	}
}

func (j *jobReader) command(name string, body, at tree.Node, params map[string]string, depth int) {
	if c := j.root.Get("commands", name); c.Exists() {
		in := defaults(c)
		for _, p := range body.Pairs() {
			if p.Value.IsText() {
				in[p.Key.Text()] = substitute(p.Value.Text(), params)
			}
		}
		j.steps(c.Get("steps"), in, depth+1)
		return
	}
	e, ok := j.orbEvent(name, at)
	if !ok {
		j.gap(j.job.ID, name, "a step that is not in the file", at.Place())
		return
	}
	j.gap(j.job.ID, name, "a command of an orb", at.Place())
	j.job.Steps = append(j.job.Steps, ci.Step{Name: name, Where: at.Span(), Events: []ci.Event{e}})
}

func (j *jobReader) run(body tree.Node, params map[string]string) {
	cmd, dir, shell := body, "", ""
	if body.IsMap() {
		cmd, dir, shell = body.Get("command"), body.Get("working_directory").Text(), body.Get("shell").Text()
		for _, p := range body.Get("environment").Pairs() {
			j.defined[p.Key.Text()] = true
		}
	}
	i := len(j.job.Steps)
	src := script.Source{Text: substitute(cmd.Text(), params), Place: cmd.TextPlace(), Flat: cmd.Folded(), Shell: strings.Fields(shell + " bash")[0], Dir: folder(dir)}
	for _, v := range script.Variables(src) {
		j.variable(v, i, cmd.Place())
	}
	f := j.scripts.Read(src)
	for _, c := range f.Credentials {
		c.Step = i
		j.job.Credentials = append(j.job.Credentials, c)
	}
	for _, g := range f.Gaps {
		j.gap(j.job.ID, g.What, g.Why, g.Where)
	}
	j.job.Steps = append(j.job.Steps, ci.Step{Name: body.Get("name").Text(), Where: cmd.Span(), Events: f.Events, Acts: f.Acts, Stores: f.Stores})
}

// folder is a working directory below the checkout.
func folder(dir string) string {
	for _, p := range []string{"~/project/", "~/repo/", "./"} {
		dir = strings.TrimPrefix(dir, p)
	}
	if strings.HasPrefix(dir, "~") || strings.HasPrefix(dir, "/") {
		return ""
	}
	return dir
}

// variable adds a secret of the project, or of a context: one that is used, that
// the file gives no value, and whose name looks like a secret.
func (j *jobReader) variable(name string, step int, at ci.Place) {
	if j.defined[name] || j.seen[name] || strings.HasPrefix(name, "CIRCLE_") || !credential.Sensitive(name) {
		return
	}
	j.seen[name] = true
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: name, Kind: ci.Secret, Classes: credential.Named(name), Scope: ci.PerJob, Step: step, Enters: "environment of the job", Where: at, LongLived: true,
	})
}

func (j *jobReader) store(name string, body, at tree.Node) {
	s := ci.Store{Kind: boundary.KindArtifact, Name: "workspace", Where: at.Place()}
	switch name {
	case "attach_workspace":
		s.Reads = true
	case "persist_to_workspace":
		s.Writes = true
	default:
		s.Kind, s.Executed, s.Reads, s.Writes = boundary.KindCache, true, name == "restore_cache", name == "save_cache"
		keys := append(body.Get("key").Texts(), body.Get("keys").Texts()...)
		for i, k := range keys {
			before, _, cut := strings.Cut(k, "{{")
			if i == 0 {
				s.Name, s.Prefix = before, cut || s.Reads
				continue
			}
			s.Also = append(s.Also, before)
		}
	}
	j.job.Steps = append(j.job.Steps, ci.Step{Name: name, Where: at.Span(), Stores: []ci.Store{s}})
}

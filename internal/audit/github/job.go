package github

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
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
	inputs  map[string]string
	seen    map[string]bool // secrets that are in job.Credentials, by name and step
	windows bool
	shell   string // defaults.run
	dir     string
	folders []string // where the repository is checked out to, beside "."
}

// jobs reads all jobs of one workflow.
func (r *reader) jobs(c call) {
	for _, p := range c.root.Get("jobs").Pairs() {
		if !p.Value.IsMap() {
			r.gap(p.Key.Text(), p.Key.Text(), "a job that is no mapping", p.Key.Place())
			continue
		}
		if uses := p.Value.Get("uses"); uses.IsText() {
			r.called(c, p, uses)
			continue
		}
		r.def.Jobs = append(r.def.Jobs, r.readJob(c, p))
	}
}

func (r *reader) readJob(c call, p tree.Pair) ci.Job {
	span := p.Value.Span()
	span.Place = p.Key.Place()
	j := &jobReader{reader: r, c: c, node: p.Value, inputs: c.inputs, seen: map[string]bool{}}
	j.job = ci.Job{
		ID: c.prefix + p.Key.Text(), Name: p.Value.Get("name").Text(), Where: span, If: p.Value.Get("if").Text(),
	}
	for _, n := range p.Value.Get("needs").Texts() {
		j.job.Needs = append(j.job.Needs, c.prefix+n)
	}
	j.job.Triggers = narrow(r.def.Triggers, j.job.If)
	if c.if_ != "" {
		j.job.Triggers = narrow(j.job.Triggers, c.if_)
	}
	if len(j.job.Triggers) == len(r.def.Triggers) {
		j.job.Triggers = nil
	}
	j.environment()
	j.runner()
	j.defaults()
	j.permissions()
	j.wideSecrets()
	j.scripts = &script.Reader{Repo: r.repo, Env: j.plainEnv()}
	j.container()
	for i, s := range j.node.Get("steps").Items() {
		j.step(i, s)
	}
	focus(&j.job)
	return j.job
}

func (j *jobReader) environment() {
	n := j.node.Get("environment")
	name := n
	if n.IsMap() {
		name = n.Get("name")
	}
	if name.IsText() {
		j.job.Environment = ci.Environment{Name: name.Text(), Where: name.Place()}
	}
}

// runner reads runs-on: a label, labels, a group; or an expression, whose values
// a matrix of plain lists tells.
func (j *jobReader) runner() {
	n := j.node.Get("runs-on")
	labels := n
	if n.IsMap() {
		labels = n.Get("labels")
		if g := n.Get("group").Text(); g != "" {
			j.job.Runner.Labels = append(j.job.Runner.Labels, "group "+g)
			j.job.Runner.Persistent = true
		}
	}
	j.job.Runner.Where = n.Place()
	for _, l := range labels.Texts() {
		j.job.Runner.Labels = append(j.job.Runner.Labels, j.values(l)...)
	}
	for _, l := range j.job.Runner.Labels {
		if strings.EqualFold(l, "self-hosted") {
			j.job.Runner.Persistent = true
		}
		if strings.Contains(strings.ToLower(l), "windows") {
			j.windows = len(j.job.Runner.Labels) == 1
		}
	}
}

// values are what an expression of the matrix can be, or the text itself.
func (j *jobReader) values(text string) []string {
	text = substitute(text, j.inputs)
	all := expressions(text)
	if len(all) != 1 || !strings.HasPrefix(all[0], "matrix.") {
		return []string{text}
	}
	key := strings.Split(strings.TrimPrefix(all[0], "matrix."), ".")
	matrix := j.node.Get("strategy", "matrix")
	var out []string
	for _, v := range matrix.Get(key[0]).Items() {
		if len(key) > 1 {
			v = v.Get(key[1:]...)
		}
		out = append(out, v.Texts()...)
	}
	for _, i := range matrix.Get("include").Items() {
		out = append(out, i.Get(key...).Texts()...)
	}
	if len(out) == 0 {
		return []string{text}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (j *jobReader) defaults() {
	for _, n := range []tree.Node{j.c.root.Get("defaults", "run"), j.node.Get("defaults", "run")} {
		if s := n.Get("shell").Text(); s != "" {
			j.shell = s
		}
		if d := n.Get("working-directory").Text(); d != "" {
			j.dir = substitute(d, j.inputs)
		}
	}
}

func (j *jobReader) permissions() {
	j.p = j.c.permissions
	if n := j.node.Get("permissions"); n.Exists() {
		j.p = readPermissions(n, ci.PerJob, "permissions of the job")
	}
	j.p = j.p.within(j.c.limit)
	j.job.Credentials = append(j.job.Credentials, j.p.credentials()...)
}

// wideSecrets are those of the environment of the workflow and of the job.
func (j *jobReader) wideSecrets() {
	for _, e := range []struct {
		node  tree.Node
		scope ci.Scope
		how   string
	}{
		{j.c.root.Get("env"), ci.Global, "environment of the workflow"},
		{j.node.Get("env"), ci.PerJob, "environment of the job"},
	} {
		for _, p := range e.node.Pairs() {
			j.secrets(p.Value, -1, e.scope, e.how, p.Key.Text())
		}
	}
	for _, key := range []string{"if", "name", "concurrency", "outputs"} {
		j.secretsBelow(j.node.Get(key), -1, ci.PerJob, key+" of the job")
	}
}

func (j *jobReader) plainEnv() map[string]string {
	env := map[string]string{}
	for _, n := range []tree.Node{j.c.root.Get("env"), j.node.Get("env")} {
		for _, p := range n.Pairs() {
			if t := substitute(p.Value.Text(), j.inputs); !strings.Contains(t, "${{") {
				env[p.Key.Text()] = t
			}
		}
	}
	return env
}

// container is an image that every step of the job runs in: the job's machine,
// and no step of a third party.
func (j *jobReader) container() {
	n := j.node.Get("container")
	j.secretsBelow(n.Get("credentials"), -1, ci.PerJob, "credentials of the container")
	j.secretsBelow(n.Get("env"), -1, ci.PerJob, "environment of the container")
	for _, s := range j.node.Get("services").Pairs() {
		j.secretsBelow(s.Value, -1, ci.PerJob, "service "+s.Key.Text())
	}
}

// secretsBelow is secrets for all texts of a subtree.
func (j *jobReader) secretsBelow(n tree.Node, step int, scope ci.Scope, how string) {
	if n.IsText() {
		j.secrets(n, step, scope, how, "")
		return
	}
	for _, p := range n.Pairs() {
		if p.Value.IsText() {
			j.secrets(p.Value, step, scope, how, p.Key.Text())
			continue
		}
		j.secretsBelow(p.Value, step, scope, how)
	}
	for _, i := range n.Items() {
		j.secretsBelow(i, step, scope, how)
	}
}

// secrets adds what one text takes out of the secrets. key is the name that it
// is given to: a variable or an input, which may tell more than the secret's own.
func (j *jobReader) secrets(n tree.Node, step int, scope ci.Scope, how, key string) {
	text := substitute(n.Text(), j.inputs)
	names, all := secretsIn(text)
	if how == "if of the job" || strings.HasPrefix(how, "condition") {
		names, all = secretsOf(text)
	}
	for _, name := range names {
		j.secret(name, n.Place(), step, scope, how, key)
	}
	if all {
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: "all secrets", Kind: ci.Secret, Classes: []ci.Class{ci.Unsorted}, Scope: scope, Step: step, Enters: how, Where: n.Place(), All: true, LongLived: true,
		})
	}
}

func (j *jobReader) secret(name string, at ci.Place, step int, scope ci.Scope, how, key string) {
	if j.c.secrets != nil || j.c.inherit {
		if mapped, ok := j.c.secrets[name]; ok {
			name = mapped
		}
	}
	if strings.EqualFold(name, "GITHUB_TOKEN") {
		return // the job's own token, which the permissions speak of
	}
	id := fmt.Sprintf("%s/%d", name, step)
	if j.seen[id] || j.seen[name+"/-1"] {
		return
	}
	j.seen[id] = true
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: name, Kind: ci.Secret, Classes: classesOf(name, key), Scope: scope, Step: step, Enters: how, Where: at, LongLived: true,
	})
}

// classesOf sorts a secret by its name, else by the name that it is given to.
func classesOf(name, key string) []ci.Class {
	classes := credential.Named(name)
	if !slices.Contains(classes, ci.Unsorted) || key == "" {
		return classes
	}
	return credential.Named(key)
}

// called is a job that is another workflow.
func (r *reader) called(c call, p tree.Pair, uses tree.Node) {
	ref := uses.Text()
	local, own := strings.CutPrefix(ref, "./")
	if rest, ok := strings.CutPrefix(ref, "$/"); ok {
		local, own = rest, true
	}
	if !own || c.depth >= maxDepth {
		r.foreign(c, p, uses)
		return
	}
	root, err := tree.Load(r.repo, path.Clean(local))
	if err != nil {
		r.gap(c.prefix+p.Key.Text(), ref, "the called workflow cannot be read: "+err.Error(), uses.Place())
		return
	}
	next := call{root: root, file: local, prefix: c.prefix + p.Key.Text() + "/", depth: c.depth + 1, inputs: inputsOf(root, p.Value, c.inputs), if_: p.Value.Get("if").Text()}
	limit := c.permissions
	if n := p.Value.Get("permissions"); n.Exists() {
		limit = readPermissions(n, ci.PerJob, "permissions of the calling job")
	}
	limit = limit.within(c.limit)
	next.limit = &limit
	next.permissions = limit
	if root.Get("permissions").Exists() {
		next.permissions = workflowPermissions(root, r.o)
	}
	next.secrets, next.inherit = secretsOfCall(p.Value.Get("secrets"), c.secrets)
	r.jobs(next)
}

// inputsOf are the plain inputs of a call, the callee's defaults among them.
func inputsOf(root, job tree.Node, outer map[string]string) map[string]string {
	in := map[string]string{}
	on := root.Get("on")
	if !on.Exists() {
		on = root.Get("true")
	}
	for _, p := range on.Get("workflow_call", "inputs").Pairs() {
		if d := p.Value.Get("default"); d.IsText() {
			in[p.Key.Text()] = d.Text()
		}
	}
	takePlain(in, job.Get("with"), outer)
	return in
}

func takePlain(in map[string]string, with tree.Node, outer map[string]string) {
	for _, p := range with.Pairs() {
		if t := substitute(p.Value.Text(), outer); p.Value.IsText() && !strings.Contains(t, "${{") {
			in[p.Key.Text()] = t
		} else {
			delete(in, p.Key.Text())
		}
	}
}

// secretsOfCall maps a callee's secrets to the caller's.
func secretsOfCall(n tree.Node, outer map[string]string) (names map[string]string, inherit bool) {
	if n.Text() == "inherit" {
		return outer, true
	}
	names = map[string]string{}
	for _, p := range n.Pairs() {
		for _, name := range first(secretsIn(p.Value.Text())) {
			if o, ok := outer[name]; ok {
				name = o
			}
			names[p.Key.Text()] = name
		}
	}
	return names, false
}

func first(names []string, _ bool) []string { return names }

// foreign is a job that is a workflow of another repository: what runs there is
// not known, what it is given is.
func (r *reader) foreign(c call, p tree.Pair, uses tree.Node) {
	j := &jobReader{reader: r, c: c, node: p.Value, inputs: c.inputs, seen: map[string]bool{}}
	span := p.Value.Span()
	span.Place = p.Key.Place()
	j.job = ci.Job{ID: c.prefix + p.Key.Text(), Name: p.Value.Get("name").Text(), Where: span, If: p.Value.Get("if").Text()}
	for _, n := range p.Value.Get("needs").Texts() {
		j.job.Needs = append(j.job.Needs, c.prefix+n)
	}
	j.permissions()
	ref := substitute(uses.Text(), c.inputs)
	if builder(ref) {
		j.job.Separate = true
		j.job.Mitigations = append(j.job.Mitigations, ci.Mitigation{Text: "signed by a builder that the project cannot change: " + ref, Where: uses.Place()})
		r.def.Jobs = append(r.def.Jobs, j.job)
		return
	}
	if n := p.Value.Get("secrets"); n.Text() == "inherit" {
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: "all secrets", Kind: ci.Secret, Classes: []ci.Class{ci.Unsorted}, Scope: ci.PerJob, Step: -1, Enters: "secrets: inherit", Where: n.Place(), All: true, LongLived: true,
		})
	} else {
		j.secretsBelow(n, -1, ci.PerJob, "secrets of the call")
	}
	j.secretsBelow(p.Value.Get("with"), -1, ci.PerJob, "inputs of the call")
	owner, name, pinned := parts(ref)
	e := ci.Event{
		Tier: ci.ThirdParty, Text: ref, Why: "the job is a workflow of another repository", Ecosystem: "action", Pinned: pinned, Own: r.trusted(owner, name), Where: uses.Place(),
	}
	j.job.Steps = []ci.Step{{Name: ref, Where: uses.Span(), Events: []ci.Event{e}}}
	r.gap(j.job.ID, ref, "a workflow of another repository", uses.Place())
	r.def.Jobs = append(r.def.Jobs, j.job)
}

// builder tells of the reusable workflows that build and sign apart from their
// caller.
func builder(ref string) bool {
	return strings.HasPrefix(ref, "slsa-framework/slsa-github-generator/.github/workflows/")
}

// parts splits owner/name/path@ref.
func parts(ref string) (owner, name string, pinned bool) {
	path, at, _ := strings.Cut(ref, "@")
	owner, rest, _ := strings.Cut(path, "/")
	name, _, _ = strings.Cut(rest, "/")
	return owner, name, isCommit(at)
}

// isCommit tells whether a ref is a full commit.
func isCommit(ref string) bool {
	if len(ref) != 40 && len(ref) != 64 {
		return false
	}
	return strings.Trim(ref, "0123456789abcdef") == ""
}

package gitlab

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// jobReader fills one job.
type jobReader struct {
	*reader
	name    string
	node    tree.Node
	job     ci.Job
	scripts *script.Reader
	plain   map[string]string    // variables with a value in the file
	vars    map[string]tree.Node // all variables of the file, by name
	seen    map[string]bool
}

func (r *reader) readJob(name string) ci.Job {
	n := r.templates[name]
	span := n.Span()
	span.Place = r.keys[name].Place()
	j := &jobReader{reader: r, name: name, node: n, seen: map[string]bool{}, plain: map[string]string{}, vars: map[string]tree.Node{}}
	j.job = ci.Job{ID: name, Where: span}
	j.variables()
	j.rules()
	j.runner()
	j.environment()
	j.needs()
	j.tokens()
	j.scripts = &script.Reader{Repo: r.repo, Env: j.plain}
	for _, key := range []string{"before_script", "script", "after_script"} {
		j.section(key)
	}
	j.image()
	j.stores()
	j.pages()
	if t := j.get("trigger"); t.Exists() {
		r.gap(name, "trigger", "a pipeline of another file or project", t.Place())
	}
	return j.job
}

// get is the value of a keyword: the job's own, that of what it extends, or the
// default's.
func (j *jobReader) get(key string) tree.Node {
	if n := j.extended(j.node, key, 0); n.Exists() {
		return n
	}
	if slices.Contains([]string{"image", "services", "cache", "before_script", "after_script", "tags", "id_tokens", "artifacts"}, key) && j.inherits(key) {
		if n := j.global["default"].Get(key); n.Exists() {
			return n
		}
		return j.global[key]
	}
	return tree.Node{}
}

func (j *jobReader) inherits(key string) bool {
	n := j.extended(j.node, "inherit", 0).Get("default")
	if n.IsList() {
		return slices.Contains(n.Texts(), key)
	}
	return !n.False()
}

// extended looks a key up in a job and in what it extends, the last first.
func (r *reader) extended(n tree.Node, key string, depth int) tree.Node {
	if v := n.Get(key); v.Exists() || depth > maxDepth {
		return v
	}
	names := n.Get("extends").Texts()
	for i := len(names) - 1; i >= 0; i-- {
		base, ok := r.templates[names[i]]
		if !ok {
			continue
		}
		if v := r.extended(base, key, depth+1); v.Exists() {
			return v
		}
	}
	return tree.Node{}
}

// bases are a job and what it extends, the farthest first.
func (r *reader) bases(n tree.Node, depth int) []tree.Node {
	if depth > maxDepth {
		return nil
	}
	var all []tree.Node
	for _, name := range n.Get("extends").Texts() {
		base, ok := r.templates[name]
		if !ok {
			r.gap("", name, "a job to extend that is not in the files", n.Get("extends").Place())
			continue
		}
		all = append(all, r.bases(base, depth+1)...)
	}
	return append(all, n)
}

// variables gathers those of the file and of the job, and the secrets that they
// are made of.
func (j *jobReader) variables() {
	take := func(n tree.Node, scope ci.Scope, how string) {
		for _, p := range n.Pairs() {
			v := p.Value
			if v.IsMap() {
				v = v.Get("value")
			}
			j.vars[p.Key.Text()] = v
			if !strings.Contains(v.Text(), "$") {
				j.plain[p.Key.Text()] = v.Text()
				continue
			}
			for _, name := range script.Variables(script.Source{Text: v.Text()}) {
				j.variable(name, -1, scope, how, v.Place(), p.Key.Text())
			}
		}
	}
	take(j.global["variables"], ci.Global, "variables of the pipeline")
	for _, n := range j.bases(j.node, 0) {
		take(n.Get("variables"), ci.PerJob, "variables of the job")
	}
}

// variable adds a secret variable of the project: one that is used, that no
// file gives a value to, and whose name looks like a secret.
func (j *jobReader) variable(name string, step int, scope ci.Scope, how string, at ci.Place, key string) {
	if _, defined := j.vars[name]; defined || j.seen[name] {
		return
	}
	if strings.HasPrefix(name, "CI_") || strings.HasPrefix(name, "GITLAB_USER") {
		j.predefined(name, step, how, at)
		return
	}
	classes := credential.Named(name)
	if slices.Contains(classes, ci.Unsorted) && key != "" {
		classes = credential.Named(key)
	}
	if !credential.Sensitive(name) && !credential.Sensitive(key) {
		return
	}
	j.seen[name] = true
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: name, Kind: ci.Secret, Classes: classes, Scope: scope, Step: step, Enters: how, Where: at, LongLived: true,
	})
}

// predefined are the tokens that GitLab gives to each job.
func (j *jobReader) predefined(name string, step int, how string, at ci.Place) {
	switch name {
	case "CI_REGISTRY_PASSWORD", "CI_JOB_TOKEN", "CI_DEPLOY_PASSWORD", "CI_DEPENDENCY_PROXY_PASSWORD":
	default:
		return
	}
	j.seen[name] = true
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: name, Kind: ci.Token, Classes: []ci.Class{ci.Publish}, Scope: ci.PerJob, Step: step, Enters: how, Where: at,
	})
}

func (j *jobReader) rules() {
	rules := j.get("rules")
	switch {
	case rules.IsList():
		j.job.Triggers = j.byRules(rules, j.def.Triggers)
	case j.get("only").Exists():
		j.job.Triggers = j.onlyRefs(j.get("only"))
	}
	if j.get("when").Text() == "manual" {
		j.job.Mitigations = append(j.job.Mitigations, ci.Mitigation{Text: "somebody starts the job by hand", Where: j.get("when").Place()})
	}
	if len(j.job.Triggers) == len(j.def.Triggers) {
		j.job.Triggers = nil
	}
}

func (j *jobReader) onlyRefs(only tree.Node) []ci.Trigger {
	refs := only.Texts()
	if only.IsMap() {
		refs = only.Get("refs").Texts()
	}
	mr := slices.Contains(refs, "merge_requests")
	push := len(refs) == 0 || slices.ContainsFunc(refs, func(s string) bool { return s != "merge_requests" })
	return slices.DeleteFunc(slices.Clone(j.def.Triggers), func(t ci.Trigger) bool {
		if t.Event == "merge_request_event" {
			return !mr
		}
		return !push
	})
}

// runner reads tags: with none, or with those of the service's own runners, the
// machine is made for the job.
func (j *jobReader) runner() {
	n := j.get("tags")
	j.job.Runner = ci.Runner{Labels: n.Texts(), Where: n.Place()}
	for _, t := range n.Texts() {
		if !strings.HasPrefix(t, "saas-") && !strings.HasPrefix(t, "gitlab-org") {
			j.job.Runner.Persistent = true
		}
	}
}

func (j *jobReader) environment() {
	n := j.get("environment")
	name := n
	if n.IsMap() {
		name = n.Get("name")
	}
	if name.IsText() {
		j.job.Environment = ci.Environment{Name: name.Text(), Where: name.Place()}
	}
}

func (j *jobReader) needs() {
	for _, n := range append(j.get("needs").List(), j.get("dependencies").List()...) {
		name := n.Text()
		if n.IsMap() {
			name = n.Get("job").Text()
		}
		if name != "" && !slices.Contains(j.job.Needs, name) {
			j.job.Needs = append(j.job.Needs, name)
		}
	}
}

// tokens are id_tokens, and what a vault hands out.
func (j *jobReader) tokens() {
	for _, p := range j.get("id_tokens").Pairs() {
		aud := strings.Join(p.Value.Get("aud").Texts(), ", ")
		j.seen[p.Key.Text()] = true
		classes := credential.Named(p.Key.Text() + "_" + aud)
		if !slices.ContainsFunc(classes, ci.Class.High) {
			classes = []ci.Class{ci.Deploy}
			if strings.Contains(strings.ToLower(aud), "sigstore") {
				classes = []ci.Class{ci.Sign}
			}
		}
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: p.Key.Text(), Kind: ci.OIDC, Classes: classes, Scope: ci.PerJob, Step: -1, Enters: "id_tokens of the job", Where: p.Key.Place(), Subject: aud,
		})
	}
	for _, p := range j.get("secrets").Pairs() {
		j.seen[p.Key.Text()] = true
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: p.Key.Text(), Kind: ci.Secret, Classes: credential.Named(p.Key.Text()), Scope: ci.PerJob, Step: -1, Enters: "secrets of the job", Where: p.Key.Place(),
		})
	}
}

// section reads the lines of one script: each is a step.
func (j *jobReader) section(key string) {
	var lines []tree.Node
	j.lines(j.get(key), &lines, 0)
	if len(lines) == 0 {
		return
	}
	if key == "after_script" {
		j.scripts = &script.Reader{Repo: j.repo, Env: j.plain} // another shell, and the same container
	}
	for k, n := range lines {
		i := len(j.job.Steps)
		s := ci.Step{Where: n.Span()}
		src := script.Source{Text: n.Text(), Place: n.TextPlace(), Flat: n.Folded(), Continues: i > 0 && (k > 0 || key == "script")}
		for _, name := range script.Variables(src) {
			j.variable(name, i, ci.PerJob, "environment of the job: a variable of the project", n.Place(), "")
		}
		f := j.scripts.Read(src)
		s.Events, s.Acts, s.Stores = f.Events, f.Acts, f.Stores
		for _, c := range f.Credentials {
			c.Step = i
			j.job.Credentials = append(j.job.Credentials, c)
		}
		for _, g := range f.Gaps {
			g.Job = j.name
			j.def.Gaps = append(j.def.Gaps, g)
		}
		j.job.Steps = append(j.job.Steps, s)
	}
}

// lines flattens nested lists and !reference.
func (r *reader) lines(n tree.Node, out *[]tree.Node, depth int) {
	switch {
	case depth > maxDepth:
	case n.Tag() == "!reference":
		r.lines(r.reference(n), out, depth+1)
	case n.IsList():
		for _, i := range n.Items() {
			r.lines(i, out, depth+1)
		}
	case n.IsText():
		*out = append(*out, n)
	case n.IsMap():
		r.gap("", strings.TrimSpace(n.Line(n.Place().Line)), "a line of a script that YAML takes for a mapping", n.Place())
	}
}

func (r *reader) reference(n tree.Node) tree.Node {
	keys := n.Texts()
	if len(keys) == 0 {
		return tree.Node{}
	}
	base, ok := r.templates[keys[0]]
	if !ok {
		base = r.global[keys[0]]
	}
	for _, k := range keys[1:] {
		base = r.extended(base, k, 0)
	}
	if !base.Exists() {
		r.gap("", "!reference ["+strings.Join(keys, ", ")+"]", "what it refers to is not in the files", n.Place())
	}
	return base
}

// image is what the job's commands run in; kaniko builds images in it.
func (j *jobReader) image() {
	n := j.get("image")
	name := n
	if n.IsMap() {
		name = n.Get("name")
	}
	for _, s := range j.get("services").List() {
		text := s.Text()
		if s.IsMap() {
			text = s.Get("name").Text()
		}
		if strings.Contains(text, ":dind") {
			j.job.Mitigations = append(j.job.Mitigations, ci.Mitigation{Text: "images are built in a service of their own", Where: s.Place()})
		}
	}
	if len(j.job.Steps) == 0 || !strings.Contains(name.Text(), "kaniko") {
		return
	}
	for i := range j.job.Steps {
		if slices.ContainsFunc(j.job.Steps[i].Events, func(e ci.Event) bool { return e.Unsandboxed }) {
			return
		}
	}
	s := &j.job.Steps[len(j.job.Steps)-1]
	s.Events = append(s.Events, ci.Event{
		Tier: ci.Executes, Text: name.Text(), Why: "kaniko runs the commands of a Dockerfile in the job's own container", Ecosystem: "oci", Unsandboxed: true, Where: s.Where.Place,
	})
}

// stores are the artifacts that the job leaves and takes, and its caches.
func (j *jobReader) stores() {
	s := ci.Step{Name: "artifacts and caches", Where: j.job.Where}
	if a := j.get("artifacts"); a.Get("paths").Exists() {
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: j.name, Writes: true, Where: a.Place()})
	}
	for _, need := range j.job.Needs {
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: need, Reads: true, Where: j.job.Where.Place})
	}
	for _, c := range j.get("cache").List() {
		s.Stores = append(s.Stores, j.cache(c))
	}
	if len(s.Stores) > 0 {
		j.job.Steps = append(j.job.Steps, s)
	}
}

func (j *jobReader) cache(c tree.Node) ci.Store {
	key := c.Get("key")
	name := key.Text()
	if key.IsMap() {
		name = key.Get("prefix").Text() + strings.Join(key.Get("files").Texts(), " ")
	}
	before, _, cut := strings.Cut(name, "$")
	policy := c.Get("policy").Text()
	return ci.Store{
		Kind: boundary.KindCache, Name: before, Prefix: cut, Reads: policy != "push", Writes: policy != "pull", Executed: true, Where: c.Place(),
	}
}

// pages is the job whose artifacts become a site.
func (j *jobReader) pages() {
	if j.name != "pages" && !j.get("pages").Exists() || len(j.job.Steps) == 0 {
		return
	}
	s := &j.job.Steps[len(j.job.Steps)-1]
	s.Acts = append(s.Acts, ci.Act{Class: ci.Deploy, Text: "pages", Tool: "pages", Where: j.job.Where.Place})
}

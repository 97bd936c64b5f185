// Package buildkite reads pipelines of Buildkite.
//
// The isolation domain is the step, on an agent of a queue. The machine of the
// agent outlives the step, and what that machine may do is a credential of every
// step on the queue, although no file says so.
package buildkite

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
	"github.com/sallyport/sallyport/internal/boundary"
)

// Owns tells whether a file of this path is a pipeline.
func Owns(p string) bool {
	ext := path.Ext(p)
	if ext != ".yml" && ext != ".yaml" {
		return false
	}
	return strings.HasPrefix(p, ".buildkite/") && !strings.Contains(p, "/hooks/") || p == "buildkite.yml" || p == "buildkite.yaml"
}

// Read reads one pipeline.
func Read(repo fs.FS, file string) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	steps := root.Get("steps")
	if !steps.IsList() && !root.IsList() {
		return ci.Definition{}, fmt.Errorf("%s has no steps: it is no pipeline", file)
	}
	if root.IsList() {
		steps = root
	}
	r := &reader{repo: repo, root: root, ids: map[string]int{}, def: &ci.Definition{System: ci.Buildkite, File: file, Name: file}}
	at := ci.Place{File: file, Line: 1, Column: 1}
	r.def.Triggers = []ci.Trigger{{Event: "push", Where: at}, {Event: "pull_request", Trust: ci.Contributor, Where: at}}
	r.steps(steps, 0)
	if root.Over() {
		r.gap("", file, "the file is larger than what is looked at", root.Place())
	}
	return *r.def, nil
}

type reader struct {
	repo fs.FS
	root tree.Node
	def  *ci.Definition
	ids  map[string]int
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

func (r *reader) steps(n tree.Node, depth int) {
	if depth > 5 {
		return
	}
	for _, s := range n.Items() {
		switch {
		case s.Get("steps").IsList():
			r.steps(s.Get("steps"), depth+1)
		case s.Get("group").Exists(), s.Get("wait").Exists(), s.Get("block").Exists(), s.Get("input").Exists(), s.IsText():
			// a pause, or a question to somebody
		case s.Get("trigger").Exists():
			r.gap("", "trigger: "+s.Get("trigger").Text(), "a pipeline of another place", s.Get("trigger").Place())
		case command(s).Exists() || s.Get("plugins").Exists():
			r.def.Jobs = append(r.def.Jobs, r.job(s))
		default:
			r.gap("", r.lineOf(s), "a step of no kind that is known", s.Place())
		}
	}
}

func (r *reader) lineOf(s tree.Node) string { return strings.TrimSpace(s.Line(s.Place().Line)) }

func command(s tree.Node) tree.Node {
	for _, key := range []string{"command", "commands"} {
		if n := s.Get(key); n.Exists() {
			return n
		}
	}
	if n := s.Get("script"); n.Exists() {
		return n
	}
	return tree.Node{}
}

// job reads one command step.
func (r *reader) job(s tree.Node) ci.Job {
	j := ci.Job{ID: r.id(s), Where: s.Span(), If: s.Get("if").Text(), Needs: s.Get("depends_on").Texts()}
	j.Triggers = r.narrow(s)
	r.agent(&j, s)
	scripts := &script.Reader{Repo: r.repo, Env: plainEnv(r.root.Get("env"), s.Get("env"))}
	for _, p := range append(r.root.Get("env").Pairs(), s.Get("env").Pairs()...) {
		if credential.Sensitive(p.Key.Text()) && strings.Contains(p.Value.Text(), "$") {
			j.Credentials = append(j.Credentials, secretOf(p.Key.Text(), "environment of the step", p.Key.Place()))
		}
	}
	for _, p := range s.Get("secrets").List() {
		j.Credentials = append(j.Credentials, secretOf(p.Text(), "secrets of the step", p.Place()))
	}
	for _, p := range s.Get("secrets").Pairs() {
		j.Credentials = append(j.Credentials, secretOf(p.Key.Text(), "secrets of the step", p.Key.Place()))
	}
	for _, p := range s.Get("plugins").List() {
		r.plugin(&j, p)
	}
	for k, n := range command(s).List() {
		r.line(&j, scripts, n, k)
	}
	r.artifacts(&j, s)
	ambient(&j)
	return j
}

// id is the step's key, else its label; a number where there are two.
func (r *reader) id(s tree.Node) string {
	id := s.Get("key").Text()
	for _, key := range []string{"id", "identifier", "label", "name"} {
		if id == "" {
			id = s.Get(key).Text()
		}
	}
	if id == "" {
		id = "step"
	}
	r.ids[id]++
	if n := r.ids[id]; n > 1 {
		return fmt.Sprintf("%s (%d)", id, n)
	}
	return id
}

// narrow drops the trigger by which the step never starts.
func (r *reader) narrow(s tree.Node) []ci.Trigger {
	cond := s.Get("if").Text()
	branches := strings.Join(s.Get("branches").Texts(), " ")
	closed := branches != "" && !strings.Contains(branches, "*") ||
		!strings.Contains(cond, "||") && (strings.Contains(cond, "build.branch ==") || strings.Contains(cond, "build.tag != null") || strings.Contains(cond, "build.pull_request.id == null"))
	if strings.Contains(cond, "||") && !strings.Contains(cond, "pull_request") {
		closed = true
		for part := range strings.SplitSeq(cond, "||") {
			closed = closed && (strings.Contains(part, "build.branch ==") || strings.Contains(part, "build.tag != null"))
		}
	}
	if closed {
		return r.def.Triggers[:1]
	}
	return nil
}

// agent reads the queue: the step's own, else the pipeline's.
func (r *reader) agent(j *ci.Job, s tree.Node) {
	n := s.Get("agents")
	if !n.Exists() {
		n = r.root.Get("agents")
	}
	j.Runner = ci.Runner{Persistent: true, Where: n.Place()}
	for _, p := range n.Pairs() {
		j.Runner.Labels = append(j.Runner.Labels, p.Key.Text()+"="+p.Value.Text())
	}
	j.Runner.Labels = append(j.Runner.Labels, n.Texts()...)
	if !n.Exists() {
		j.Runner.Labels, j.Runner.Where = []string{"queue=default"}, s.Place()
	}
	slices.Sort(j.Runner.Labels)
}

func plainEnv(all ...tree.Node) map[string]string {
	env := map[string]string{}
	for _, n := range all {
		for _, p := range n.Pairs() {
			if t := p.Value.Text(); !strings.Contains(t, "$") {
				env[p.Key.Text()] = t
			}
		}
	}
	return env
}

func secretOf(name, how string, at ci.Place) ci.Credential {
	return ci.Credential{Name: name, Kind: ci.Secret, Classes: credential.Named(name), Scope: ci.PerJob, Step: -1, Enters: how, Where: at, LongLived: true}
}

// line reads the k-th command; all of a step are of one shell. A dollar that is doubled is one for the shell.
func (r *reader) line(j *ci.Job, scripts *script.Reader, n tree.Node, k int) {
	text := strings.ReplaceAll(n.Text(), "$$", "$")
	i := len(j.Steps)
	src := script.Source{Text: text, Place: n.TextPlace(), Flat: n.Folded(), Continues: k > 0}
	f := scripts.Read(src)
	s := ci.Step{Where: n.Span(), Events: f.Events, Acts: f.Acts, Stores: f.Stores}
	for _, c := range f.Credentials {
		c.Step = i
		j.Credentials = append(j.Credentials, c)
	}
	for _, name := range script.Variables(src) {
		if credential.Sensitive(name) && !strings.HasPrefix(name, "BUILDKITE_") && !holds(j, name) {
			c := secretOf(name, "environment of the agent", n.Place())
			c.Assumed = true
			j.Credentials = append(j.Credentials, c)
		}
	}
	for _, g := range f.Gaps {
		g.Job = j.ID
		r.def.Gaps = append(r.def.Gaps, g)
	}
	if strings.Contains(text, "pipeline upload") {
		r.gap(j.ID, "buildkite-agent pipeline upload", "steps that are made while the build runs", n.Place())
	}
	j.Steps = append(j.Steps, s)
}

func holds(j *ci.Job, name string) bool {
	return slices.ContainsFunc(j.Credentials, func(c ci.Credential) bool { return c.Name == name })
}

// artifacts are what artifact_paths uploads for later steps.
func (r *reader) artifacts(j *ci.Job, s tree.Node) {
	n := s.Get("artifact_paths")
	if !n.Exists() || len(j.Steps) == 0 {
		return
	}
	last := &j.Steps[len(j.Steps)-1]
	for _, p := range n.Texts() {
		last.Stores = append(last.Stores, ci.Store{Kind: boundary.KindArtifact, Name: p, Writes: true, Where: n.Place()})
	}
}

// ambient is the agent's own authority: where a step publishes, signs or deploys
// and holds nothing for it, the machine does.
func ambient(j *ci.Job) {
	classes := []ci.Class{}
	at := j.Runner.Where
	for _, s := range j.Steps {
		for _, a := range s.Acts {
			if !a.Verifies && a.Class.High() && !holdsClass(j, a.Class) && !slices.Contains(classes, a.Class) {
				classes = append(classes, a.Class)
			}
		}
	}
	c := ci.Credential{
		Name: "agent of " + strings.Join(j.Runner.Labels, " "), Kind: ci.Agent, Classes: classes, Scope: ci.Global, Step: -1,
		Enters: "machine of the agent", Where: at, Subject: strings.Join(j.Runner.Labels, " "),
	}
	if len(classes) == 0 {
		c.Classes = []ci.Class{ci.Ambient}
	}
	j.Credentials = append(j.Credentials, c)
}

func holdsClass(j *ci.Job, class ci.Class) bool {
	return slices.ContainsFunc(j.Credentials, func(c ci.Credential) bool { return c.Is(class) })
}

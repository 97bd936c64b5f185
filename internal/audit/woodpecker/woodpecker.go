// Package woodpecker reads pipelines of Woodpecker and of Drone.
//
// Each step runs in a container of its own, and only it has the secrets that it
// names: a step is a domain. The steps of one file share the workspace, so what
// one leaves there, a later one that runs it runs with its own secrets.
package woodpecker

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// Owns tells whether a file of this path is a pipeline.
func Owns(p string) bool {
	switch p {
	case ".woodpecker.yml", ".woodpecker.yaml", ".drone.yml", ".drone.yaml":
		return true
	}
	ext := path.Ext(p)
	return strings.HasPrefix(p, ".woodpecker/") && (ext == ".yml" || ext == ".yaml")
}

// Read reads one file; Drone puts several pipelines into one.
func Read(repo fs.FS, file string) (ci.Definition, error) {
	docs, err := tree.LoadAll(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	r := &reader{repo: repo, def: &ci.Definition{System: ci.Woodpecker, File: file, Name: file}, ids: map[string]int{}}
	at := ci.Place{File: file, Line: 1, Column: 1}
	r.all = []ci.Trigger{{Event: "push", Where: at}, {Event: "pull_request", Trust: ci.Contributor, Where: at}}
	r.def.Triggers = r.all
	for _, root := range docs {
		r.pipeline(root)
	}
	if len(r.def.Jobs) == 0 && len(r.def.Gaps) == 0 {
		return ci.Definition{}, fmt.Errorf("%s has no steps: it is no pipeline", file)
	}
	return *r.def, nil
}

type reader struct {
	repo   fs.FS
	def    *ci.Definition
	all    []ci.Trigger
	ids    map[string]int
	number int // of the pipeline in the file
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

func (r *reader) pipeline(root tree.Node) {
	r.number++
	kind := root.Get("kind").Text()
	if kind == "secret" || kind == "signature" {
		return
	}
	steps := root.Get("steps")
	if !steps.Exists() {
		steps = root.Get("pipeline") // the older spelling
	}
	when := root.Get("when")
	if !when.Exists() {
		when = root.Get("trigger")
	}
	triggers := narrow(r.all, when)
	labels := root.Get("labels")
	scripts := &script.Reader{Repo: r.repo}
	for _, p := range steps.Pairs() {
		r.step(p.Key.Text(), p.Key, p.Value, triggers, labels, scripts)
	}
	for _, s := range steps.Items() {
		r.step(s.Get("name").Text(), s, s, triggers, labels, scripts)
	}
	if root.Over() {
		r.gap("", r.def.File, "the file is larger than what is looked at", root.Place())
	}
}

// step reads one container: a job of its own.
func (r *reader) step(name string, at, n tree.Node, triggers []ci.Trigger, labels tree.Node, scripts *script.Reader) {
	if name == "" {
		name = "step"
	}
	r.ids[name]++
	if k := r.ids[name]; k > 1 {
		name = fmt.Sprintf("%s (%d)", name, k)
	}
	span := n.Span()
	span.Place = at.Place()
	j := ci.Job{ID: name, Where: span, Needs: n.Get("depends_on").Texts(), Triggers: narrow(triggers, n.Get("when"))}
	for _, p := range labels.Pairs() {
		j.Runner.Labels = append(j.Runner.Labels, p.Key.Text()+"="+p.Value.Text())
	}
	j.Runner.Where = labels.Place()
	s := ci.Step{Name: name, Where: span}
	r.secrets(&j, n)
	r.image(&s, n)
	r.commands(&j, &s, n, scripts)
	r.plugin(&s, n)
	s.Stores = append(s.Stores, ci.Store{
		Kind: boundary.KindArtifact, Name: fmt.Sprintf("workspace %d", r.number), Writes: true, Reads: true, Executed: runsWorkspace(n), Where: n.Place(),
	})
	j.Steps = []ci.Step{s}
	r.def.Jobs = append(r.def.Jobs, j)
}

// narrow drops the trigger by which a step never starts.
func narrow(all []ci.Trigger, when tree.Node) []ci.Trigger {
	events := map[string]bool{}
	for _, w := range when.List() {
		e := w.Get("event")
		if e.IsMap() {
			e = e.Get("include")
		}
		if !e.Exists() {
			return all
		}
		for _, t := range e.Texts() {
			events[t] = true
		}
	}
	if len(events) == 0 {
		return all
	}
	var kept []ci.Trigger
	pr := events["pull_request"] || events["pull_request_closed"]
	for _, t := range all {
		if t.Trust == ci.Contributor && pr || t.Trust == ci.Maintainer && (len(events) > 1 || !pr) {
			kept = append(kept, t)
		}
	}
	return kept
}

// secrets are those that the step names: from_secret, and the older list.
func (r *reader) secrets(j *ci.Job, n tree.Node) {
	add := func(name, key, how string, at ci.Place) {
		classes := credential.Named(name)
		if len(classes) == 1 && classes[0] == ci.Unsorted && key != "" {
			classes = credential.Named(key)
		}
		j.Credentials = append(j.Credentials, ci.Credential{Name: name, Kind: ci.Secret, Classes: classes, Scope: ci.PerStep, Step: 0, Enters: how, Where: at, LongLived: true})
	}
	for _, from := range []struct{ key, how string }{{"environment", "environment of the step"}, {"settings", "settings of the plugin"}} {
		for _, p := range n.Get(from.key).Pairs() {
			if s := p.Value.Get("from_secret"); s.Exists() {
				add(s.Text(), p.Key.Text(), from.how, s.Place())
			}
		}
	}
	for _, s := range n.Get("secrets").Items() {
		name := s.Text()
		if s.IsMap() {
			name = s.Get("source").Text()
		}
		add(name, s.Get("target").Text(), "secrets of the step", s.Place())
	}
}

// image is the step's container: somebody else's program where it is a plugin,
// a base for the commands where there are some.
func (r *reader) image(s *ci.Step, n tree.Node) {
	image := n.Get("image")
	if !image.Exists() || n.Get("commands").Exists() {
		return
	}
	s.Events = append(s.Events, ci.Event{
		Tier: ci.ThirdParty, Text: image.Text(), Why: "the step is a plugin, a container image", Ecosystem: "oci", Pinned: strings.Contains(image.Text(), "@sha256:"), Where: image.Place(),
	})
	socket := n.Get("privileged").True()
	for _, v := range n.Get("volumes").List() {
		socket = socket || strings.Contains(v.Text(), "docker.sock")
	}
	if socket {
		s.Events = append(s.Events, ci.Event{
			Tier: ci.Executes, Text: image.Text(), Why: "the container reaches the machine that it runs on", Ecosystem: "oci", Unsandboxed: true, Where: image.Place(),
		})
	}
}

func (r *reader) commands(j *ci.Job, s *ci.Step, n tree.Node, scripts *script.Reader) {
	for k, c := range n.Get("commands").List() {
		f := scripts.Read(script.Source{Text: c.Text(), Place: c.TextPlace(), Flat: c.Folded(), Continues: k > 0})
		s.Events = append(s.Events, f.Events...)
		s.Acts = append(s.Acts, f.Acts...)
		for _, k := range f.Credentials {
			k.Step = 0
			j.Credentials = append(j.Credentials, k)
		}
		for _, g := range f.Gaps {
			g.Job = j.ID
			r.def.Gaps = append(r.def.Gaps, g)
		}
	}
}

// plugin tells what known plugins do with their credential.
func (r *reader) plugin(s *ci.Step, n tree.Node) {
	image := n.Get("image")
	name := image.Text()[strings.LastIndexByte(image.Text(), '/')+1:]
	if i := strings.IndexAny(name, ":@"); i >= 0 {
		name = name[:i]
	}
	class := ci.Class("")
	switch {
	case n.Get("commands").Exists():
		return
	case strings.Contains(name, "docker"), strings.Contains(name, "buildx"), strings.Contains(name, "kaniko"), strings.Contains(name, "release"), strings.Contains(name, "npm"), strings.Contains(name, "pypi"):
		class = ci.Publish
	case strings.Contains(name, "cosign"), strings.Contains(name, "gpg"):
		class = ci.Sign
	case strings.Contains(name, "s3"), strings.Contains(name, "scp"), strings.Contains(name, "ssh"), strings.Contains(name, "rsync"), strings.Contains(name, "helm"), strings.Contains(name, "kube"):
		class = ci.Deploy
	case strings.Contains(name, "git"):
		class = ci.Repository
	default:
		return
	}
	s.Acts = append(s.Acts, ci.Act{Class: class, Text: image.Text(), Tool: name, Where: image.Place()})
}

// runsWorkspace tells whether a command of the step is a file of the workspace.
func runsWorkspace(n tree.Node) bool {
	for _, c := range n.Get("commands").Texts() {
		for line := range strings.SplitSeq(c, "\n") {
			for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(";&|()", r) }) {
				words := strings.Fields(part)
				if len(words) > 0 && strings.Contains(words[0], "/") && !strings.HasPrefix(words[0], "/") && !strings.Contains(words[0], "=") {
					return true
				}
				if len(words) > 1 && (words[0] == "sh" || words[0] == "bash" || words[0] == "." || words[0] == "source") && !strings.HasPrefix(words[1], "-") && !strings.HasPrefix(words[1], "/") {
					return true
				}
			}
		}
	}
	return false
}

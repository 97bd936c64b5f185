package github

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// stepReader fills one step; those of a composite action add to the step that
// uses it.
type stepReader struct {
	*jobReader
	n      tree.Node
	i      int
	out    *ci.Step
	inputs map[string]string
	base   string // folder of the composite action that the step is in
	depth  int
}

// step reads the i-th step of the job, or the steps that run beside each other.
func (j *jobReader) step(i int, n tree.Node) {
	s := ci.Step{Name: n.Get("name").Text(), Where: n.Span()}
	j.job.Steps = append(j.job.Steps, s)
	r := &stepReader{jobReader: j, n: n, i: len(j.job.Steps) - 1, out: &j.job.Steps[len(j.job.Steps)-1], inputs: j.inputs}
	if par := n.Get("parallel"); par.IsList() {
		j.job.Steps = j.job.Steps[:len(j.job.Steps)-1]
		for _, m := range par.Items() {
			j.step(i, m)
		}
		return
	}
	r.read()
}

func (s *stepReader) read() {
	for _, p := range s.n.Get("env").Pairs() {
		s.secrets(p.Value, s.i, ci.PerStep, "environment of the step", p.Key.Text())
	}
	if n := s.n.Get("if"); n.IsText() {
		s.secrets(n, s.i, ci.PerStep, "condition of the step", "")
	}
	switch run, uses := s.n.Get("run"), s.n.Get("uses"); {
	case run.Exists():
		s.run(run)
	case uses.IsText():
		s.uses(uses)
	default:
		s.gap(s.job.ID, s.n.Line(s.n.Place().Line), "a step that neither runs nor uses anything", s.n.Place())
	}
}

// run reads a shell step.
func (s *stepReader) run(run tree.Node) {
	s.secrets(run, s.i, ci.PerStep, "text of the command", "")
	s.steered(run)
	dir := s.dir
	if d := s.n.Get("working-directory").Text(); d != "" {
		dir = substitute(d, s.inputs)
	}
	shell := s.shell
	if sh := s.n.Get("shell").Text(); sh != "" {
		shell = substitute(sh, s.inputs)
	}
	if shell == "" && s.windows {
		shell = "pwsh"
	}
	s.take(s.scripts.Read(script.Source{
		Text: substitute(run.Text(), s.inputs), Place: run.TextPlace(), Flat: run.Folded(), Shell: shell, Dir: s.folder(dir),
	}))
}

// folder is where a step runs, below the root of the repository.
func (s *stepReader) folder(dir string) string {
	if dir == "" || strings.Contains(dir, "${{") {
		return ""
	}
	d := path.Clean(dir)
	for _, f := range s.folders {
		if rest, ok := strings.CutPrefix(d+"/", f+"/"); ok {
			return strings.TrimSuffix(rest, "/")
		}
	}
	return strings.TrimPrefix(d, "./")
}

// take adds what a script does.
func (s *stepReader) take(f script.Facts) {
	s.out.Events = append(s.out.Events, f.Events...)
	s.out.Acts = append(s.out.Acts, f.Acts...)
	s.out.Stores = append(s.out.Stores, f.Stores...)
	for _, c := range f.Credentials {
		c.Step = s.i
		s.job.Credentials = append(s.job.Credentials, c)
	}
	for _, g := range f.Gaps {
		g.Job = s.job.ID
		s.def.Gaps = append(s.def.Gaps, g)
	}
	if s.headCheckedOut() {
		s.out.Events = append(s.out.Events, s.headEvents(f)...)
	}
}

// headEvents: once the head of a pull request is checked out, what runs there is
// its author's.
func (s *stepReader) headEvents(f script.Facts) []ci.Event {
	var all []ci.Event
	for _, e := range f.Events {
		if e.Tier == ci.Executes && !e.Own {
			e.Tier, e.Why = ci.Steered, "the checkout is the head of a pull request: its author decides what this runs"
			all = append(all, e)
			break
		}
	}
	return all
}

func (s *stepReader) headCheckedOut() bool {
	for _, st := range s.job.Steps[:s.i] {
		if slices.ContainsFunc(st.Events, func(e ci.Event) bool { return e.Tier == ci.Steered && e.Ecosystem == "git" }) {
			return true
		}
	}
	return false
}

// steered reports words of whoever starts the run in a shell line.
func (s *stepReader) steered(n tree.Node) {
	if !s.open() {
		return
	}
	at := n.TextPlace()
	for k, line := range strings.Split(n.Text(), "\n") {
		if m := steeringExpression(line); m != "" {
			p := at
			if !n.Folded() {
				p.Line += k
			}
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Steered, Text: strings.TrimSpace(line), Why: "${{ " + m + " }} is put into the script: whoever writes it writes commands", Ecosystem: "shell", Where: p,
			})
			return
		}
	}
}

// open tells whether people without write access can start the job.
func (s *stepReader) open() bool {
	triggers := s.job.Triggers
	if triggers == nil {
		triggers = s.def.Triggers
	}
	return slices.ContainsFunc(triggers, func(t ci.Trigger) bool { return t.Trust != ci.Maintainer })
}

func (s *stepReader) strange() bool {
	triggers := s.job.Triggers
	if triggers == nil {
		triggers = s.def.Triggers
	}
	return slices.ContainsFunc(triggers, func(t ci.Trigger) bool { return t.Trust == ci.Stranger })
}

// uses reads a step that is an action.
func (s *stepReader) uses(uses tree.Node) {
	ref := substitute(uses.Text(), s.inputs)
	for _, p := range s.n.Get("with").Pairs() {
		s.secrets(p.Value, s.i, ci.PerStep, "input "+p.Key.Text()+" of the step", p.Key.Text())
	}
	if dir, ok := s.local(ref); ok {
		s.composite(dir, ref, uses)
		return
	}
	if image, ok := strings.CutPrefix(ref, "docker://"); ok {
		s.out.Events = append(s.out.Events, ci.Event{
			Tier: ci.ThirdParty, Text: ref, Why: "the step is a container image", Ecosystem: "oci", Pinned: strings.Contains(image, "@sha256:"), Where: uses.Place(),
		})
		return
	}
	owner, name, pinned := parts(ref)
	if owner == "" || name == "" || strings.Contains(ref, "${{") {
		s.gap(s.job.ID, ref, "an action whose name is computed", uses.Place())
		return
	}
	if !s.trusted(owner, name) {
		why := "the step is an action of " + owner + ", named by a tag or branch that can be moved"
		if pinned {
			why = "the step is an action of " + owner + ", named by its commit"
		}
		s.out.Events = append(s.out.Events, ci.Event{Tier: ci.ThirdParty, Text: ref, Why: why, Ecosystem: "action", Pinned: pinned, Where: uses.Place()})
	}
	s.known(strings.ToLower(owner+"/"+name), ref, uses)
}

// local tells whether an action is of this repository, and in which folder.
func (s *stepReader) local(ref string) (string, bool) {
	if rest, ok := strings.CutPrefix(ref, "$/"); ok {
		return path.Clean(rest), true
	}
	if !strings.HasPrefix(ref, "./") {
		return "", false
	}
	dir := path.Clean(ref)
	for _, f := range s.folders {
		if rest, ok := strings.CutPrefix(dir+"/", f+"/"); ok {
			return strings.TrimSuffix(rest, "/"), true
		}
	}
	return dir, true
}

// composite puts the steps of an action of this repository in its place.
func (s *stepReader) composite(dir, ref string, uses tree.Node) {
	if s.depth >= maxDepth {
		s.gap(s.job.ID, ref, "actions that use each other more than five deep", uses.Place())
		return
	}
	var root tree.Node
	var err error
	for _, name := range []string{"action.yml", "action.yaml"} {
		if root, err = tree.Load(s.repo, path.Join(dir, name)); err == nil {
			break
		}
	}
	if err != nil {
		if !s.isFolder(dir) {
			err = fs.ErrNotExist
		}
		s.gap(s.job.ID, ref, "the action cannot be read: it may be made by an earlier step", uses.Place())
		return
	}
	steps := root.Get("runs", "steps")
	if !steps.IsList() {
		return // a program of this repository: its own code
	}
	inputs := map[string]string{}
	for _, p := range root.Get("inputs").Pairs() {
		if d := p.Value.Get("default"); d.IsText() {
			inputs[p.Key.Text()] = d.Text()
		}
	}
	takePlain(inputs, s.n.Get("with"), s.inputs)
	for _, n := range steps.Items() {
		in := *s
		in.n, in.inputs, in.base, in.depth = n, inputs, dir, s.depth+1
		in.read()
	}
}

func (s *stepReader) isFolder(dir string) bool {
	if s.repo == nil {
		return false
	}
	info, err := fs.Stat(s.repo, dir)
	return err == nil && info.IsDir()
}

// with is the text of an input of the step.
func (s *stepReader) with(key string) string {
	return substitute(s.n.Get("with", key).Text(), s.inputs)
}

// whole is where an input stands, or the step.
func (s *stepReader) whole(key string) ci.Place {
	if n := s.n.Get("with", key); n.Exists() {
		return n.Place()
	}
	return s.n.Get("uses").Place()
}

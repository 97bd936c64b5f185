package github

import (
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
	inputs names // and values of the matrix of which there is one
	vars   variables
	known  names        // both
	when   []ci.Trigger // that the conditions of the step leave
	// actions are the folders of the composite actions that the step is in, the
	// innermost last.
	actions []string
}

// step reads one step of the job, or the steps that run beside each other.
func (j *jobReader) step(n tree.Node, depth int) {
	if !j.spend(stepCost, n.Place()) {
		return
	}
	if par := n.Get("parallel"); par.IsList() && depth < maxDepth {
		for _, m := range par.Items() {
			j.step(m, depth+1)
		}
		return
	}
	j.job.Steps = append(j.job.Steps, ci.Step{Name: n.Get("name").Text(), Where: n.Span()})
	i := len(j.job.Steps) - 1
	s := &stepReader{jobReader: j, n: n, i: i, out: &j.job.Steps[i], inputs: j.known, vars: j.vars, when: j.triggers()}
	s.read()
}

func (s *stepReader) read() {
	credentials, acts := len(s.job.Credentials), len(s.out.Acts)
	env := s.n.Get("env")
	s.known = s.inputs.with(s.vars.names())
	for _, p := range env.Pairs() {
		s.secretsKnown(p.Value, s.known, s.i, ci.PerStep, "environment of the step", p.Key.Text())
	}
	s.vars = s.vars.over(env, s.known)
	s.known = s.inputs.with(s.vars.names())
	if n := s.n.Get("if"); n.IsText() {
		s.secretsKnown(n, s.known, s.i, ci.PerStep, "condition of the step", "")
		if t := s.narrow(s.when, n.Text(), s.known); len(t) > 0 {
			s.when = t
		}
	}
	switch run, uses := s.n.Get("run"), s.n.Get("uses"); {
	case run.Exists():
		s.run(run)
	case uses.IsText():
		s.uses(uses)
	default:
		s.gap(s.job.ID, s.n.Line(s.n.Place().Line), "a step that neither runs nor uses anything", s.n.Place())
		return
	}
	s.refine(credentials, acts)
}

// run reads a shell step.
func (s *stepReader) run(run tree.Node) {
	s.secretsKnown(run, s.known, s.i, ci.PerStep, "text of the command", "")
	s.steered(run)
	if all := expressions(run.Text()); len(all) == 1 && strings.TrimSpace(run.Text()) == run.Text()[all[0].at:] {
		if key := matrixKey(all[0].body); key != nil && len(s.actions) == 0 {
			for _, cell := range s.cells(key) { // each command of the matrix
				s.shellText(cell)
			}
			if len(s.cells(key)) > 0 {
				return
			}
		}
	}
	s.shellText(run)
}

// shellText reads shell text in the step's surroundings.
func (s *stepReader) shellText(n tree.Node) {
	text := s.inputs.put(n.Text()) // variables can have another value by now
	if !s.spend(len(text), n.Place()) {
		return
	}
	src := script.Source{Text: text, Place: n.TextPlace(), Flat: n.Folded(), Shell: s.shellOf(), Dir: s.directory()}
	if strings.Count(text, "\n") != strings.Count(n.Text(), "\n") {
		src.Flat = true // an input has lines of its own, which stand elsewhere
	}
	s.scripts.Env = s.vars
	s.take(s.scripts.Read(src))
}

// shellOf is the step's shell. An action's steps do not take over what the
// workflow sets for its own.
func (s *stepReader) shellOf() string {
	if sh := s.n.Get("shell").Text(); sh != "" {
		return s.known.put(sh)
	}
	if len(s.actions) == 0 && s.shell != "" {
		return s.shell
	}
	if s.windows {
		return "pwsh"
	}
	return ""
}

// directory is where a step runs, below the root of the repository.
func (s *stepReader) directory() string {
	dir := s.n.Get("working-directory").Text()
	if dir == "" && len(s.actions) == 0 {
		dir = s.dir
	}
	return s.under(dir)
}

// under is a folder of the workspace, below the root of the repository.
func (s *stepReader) under(dir string) string {
	dir = names{"github.workspace": "."}.put(s.known.put(dir))
	if dir == "" || strings.Contains(dir, "${{") {
		return ""
	}
	d := path.Clean(dir)
	if f, ok := s.folderOf(d); ok {
		return strings.TrimPrefix(strings.TrimPrefix(d, f.path), "/")
	}
	return d
}

// folderOf is the checkout that a folder is in.
func (s *stepReader) folderOf(dir string) (folder, bool) {
	i := slices.IndexFunc(s.folders, func(f folder) bool { return strings.HasPrefix(dir+"/", f.path+"/") })
	if i < 0 {
		return folder{}, false
	}
	return s.folders[i], true
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
	for _, e := range f.Events {
		if s.headRunsHere() && e.Tier == ci.Executes && !e.Own {
			s.headRuns(e)
			break
		}
	}
}

// headRunsHere tells whether a stranger's code was checked out before.
func (s *stepReader) headRunsHere() bool { return len(s.heads) > 0 && s.strange() }

// headRuns: once the head of a pull request is checked out, what runs there is
// its author's.
func (s *stepReader) headRuns(e ci.Event) {
	e.Tier, e.Why, e.Own, e.Pinned = ci.Steered, "the checkout is the head of a pull request: its author decides what this runs", false, false
	s.out.Events = append(s.out.Events, e)
}

// steered reports words of whoever starts the run in a text that is run.
func (s *stepReader) steered(n tree.Node) {
	places := locator{node: n, text: n.Text(), head: n.TextPlace()}
	for _, e := range expressions(places.text) {
		words := ""
		for _, body := range expressions(s.known.put("${{ " + e.body + " }}")) {
			if words = strangersWords(body.body, s.when); words != "" {
				break
			}
		}
		if words == "" {
			continue
		}
		s.out.Events = append(s.out.Events, ci.Event{
			Tier: ci.Steered, Text: lineAt(places.text, e.at), Why: "${{ " + words + " }} is put into the script: whoever writes it writes commands", Ecosystem: "shell", Where: places.of(e.at),
		})
		return
	}
}

// lineAt is the line of a text that an offset is in.
func lineAt(text string, at int) string {
	from := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[from:], "\n")
	return strings.TrimSpace(line)
}

// strange tells whether anybody can start the step, with the repository's
// secrets beside it.
func (s *stepReader) strange() bool {
	return slices.ContainsFunc(s.when, func(t ci.Trigger) bool { return t.Trust == ci.Stranger })
}

// input is the text of an input of the step.
func (s *stepReader) input(key string) string { return s.known.put(s.n.Get("with", key).Text()) }

// on tells whether an input says yes, off whether it says no.
func (s *stepReader) on(key string) bool  { return strings.EqualFold(s.input(key), "true") }
func (s *stepReader) off(key string) bool { return strings.EqualFold(s.input(key), "false") }

// place is where an input stands, or the step.
func (s *stepReader) place(key string) ci.Place {
	if n := s.n.Get("with", key); n.Exists() {
		return n.Place()
	}
	return s.n.Get("uses").Place()
}

package pipeline

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// links checks what stages take from each other and puts them in order. It
// tells whether the order exists, so that the whole can be judged.
func (l *loader) links(p *Pipeline) bool {
	before := len(l.errs)
	names := make([]string, len(p.Stages))
	for i, s := range p.Stages {
		names[i] = s.Name
	}
	for i := range p.Stages {
		l.from(p, i, names)
	}
	if len(l.errs) > before {
		return false
	}
	sorted, loop := inOrder(p.Stages)
	if loop != nil {
		row := l.form.Stages.rows[slices.Index(names, loop[0])]
		l.add("E-STAGE-CYCLE", row.at, "", "stages take from each other in a circle: %s", strings.Join(loop, " -> "))
		return false
	}
	p.Stages = sorted
	return true
}

// from checks the stages that stage i takes from.
func (l *loader) from(p *Pipeline, i int, names []string) {
	s, form := p.Stages[i], l.form.Stages.rows[i]
	judged := false
	for k, name := range s.From {
		at := form.item.From.items[k].at
		j := slices.Index(names, name)
		switch {
		case j < 0:
			l.add("E-STAGE-FROM", at, didYouMean(name, names), "there is no stage %q", name)
			continue
		case slices.Contains(s.From[:k], name):
			l.add("E-STAGE-FROM", at, "", "%q stands here a second time", name)
		case p.Stages[j].Zone > s.Zone && s.Zone != 0:
			l.add("E-STAGE-ORDER", at, "zones follow each other: fetch, generate, build, test, verify, release", "%s, zone %s, cannot take from %s of the later zone %s", s.Name, s.Zone, name, p.Stages[j].Zone)
		case s.Zone == boundary.Release && p.Stages[j].Zone != boundary.Verify:
			l.add("E-VERIFY-SKIPPED", at, "take from a verify stage", "release takes what a verdict names, and %s gives none", name)
		}
		judged = judged || p.Stages[j].Zone == boundary.Verify
	}
	if s.Zone == boundary.Release && !judged {
		l.add("E-VERIFY-SKIPPED", form.at, "add from: and a verify stage", "release stage %q takes from no verify stage: %s (SP7)", s.Name, boundary.SP7.Text())
	}
	if s.Zone == boundary.Verify && len(s.From) == 0 {
		l.add("E-STAGE-FROM", form.at, "add from: and the stages whose artifacts it judges", "verify stage %q takes from no stage", s.Name)
	}
}

// inOrder puts each stage after those that it takes from, otherwise by zone and
// then as in the file; or it returns the names along a circle.
func inOrder(stages []Stage) (sorted []Stage, loop []string) {
	left := slices.Clone(stages)
	slices.SortStableFunc(left, func(a, b Stage) int { return int(a.Zone) - int(b.Zone) })
	done := make(map[string]bool, len(left))
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(s Stage) bool {
			return !slices.ContainsFunc(s.From, func(f string) bool { return !done[f] })
		})
		if i < 0 {
			return nil, circle(left, done)
		}
		done[left[i].Name] = true
		sorted = append(sorted, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return sorted, nil
}

// circle follows the first open link of each stage until one comes back.
func circle(left []Stage, done map[string]bool) []string {
	next := make(map[string]string, len(left))
	for _, s := range left {
		i := slices.IndexFunc(s.From, func(f string) bool { return !done[f] })
		if i >= 0 {
			next[s.Name] = s.From[i]
		}
	}
	var walked []string
	for at := left[0].Name; ; at = next[at] {
		if i := slices.Index(walked, at); i >= 0 {
			return append(walked[i:], at)
		}
		walked = append(walked, at)
	}
}

// artifacts checks names of artifacts and who speaks of them.
func (l *loader) artifacts(p *Pipeline) {
	made := map[string]string{} // artifact -> stage
	for _, row := range l.form.Stages.rows {
		for _, out := range row.item.Out.rows {
			if first, twice := made[out.name]; twice {
				l.add("E-ARTIFACT", out.at, "", "artifact %q is made by stage %q already", out.name, first)
				continue
			}
			made[out.name] = row.name
		}
	}
	for _, row := range l.form.Stages.rows {
		s, _ := p.Stage(row.name)
		names := p.artifactsOf(s.Name)
		if s.Zone == boundary.Verify && len(names) == 0 {
			l.add("E-ARTIFACT", row.at, "add out: to a build stage, and that stage to from:", "no artifact comes to verify stage %q: there is nothing to judge", s.Name)
			continue
		}
		if s.Zone < boundary.Verify {
			continue // its checks and publications are refused already
		}
		for _, c := range row.item.Check.items {
			if c.name == "rebuild" && c.arg != "" && !slices.Contains(names, c.arg) {
				l.add("E-ARTIFACT", c.argAt, didYouMean(c.arg, names), "no artifact %q comes to stage %q", c.arg, s.Name)
			}
		}
		for _, v := range row.item.Publish.items {
			if what := string(v.What.V.word); !slices.Contains(names, what) {
				l.add("E-ARTIFACT", v.What.at, didYouMean(what, names), "no artifact %q comes to stage %q", what, s.Name)
			}
		}
	}
}

// conflicts refuses a stage that is handed the same path by two stages neither
// of which comes after the other: nothing says which one it means.
func (l *loader) conflicts(p *Pipeline) {
	before := make(map[string]map[string]bool, len(p.Stages))
	for _, s := range p.Stages {
		before[s.Name] = p.Before(s.Name)
	}
	for _, s := range p.Stages {
		makers := map[string][]string{} // path -> stages
		inputs := slices.DeleteFunc(p.Inputs(s.Name), func(in Input) bool { return in.Artifact != "" && in.Path == "." })
		for _, in := range inputs {
			makers[in.Path] = append(makers[in.Path], in.Stage)
		}
		for _, in := range inputs {
			l.conflict(s, in, makers, before)
		}
	}
}

// conflict looks for who else makes a path, or a folder that it is in.
func (l *loader) conflict(s Stage, in Input, makers map[string][]string, before map[string]map[string]bool) {
	for dir := in.Path; ; dir = path.Dir(dir) {
		for _, other := range makers[dir] {
			// Of two equal paths the pair is told once, by the later name.
			if other == in.Stage || dir == in.Path && other > in.Stage || before[other][in.Stage] || before[in.Stage][other] {
				continue
			}
			l.add("E-PATH-CONFLICT", mark{s.Line, 1, 1}, "let one of them take from the other, or keep other paths",
				"%s is handed %s by %s and %s by %s, and neither comes after the other", s.Name, in.Path, in.Stage, dir, other)
			return
		}
		if dir == "." || in.Path == GoModCache {
			return
		}
	}
}

// Input is one path that a stage finds in its workspace, and who made it.
type Input struct {
	Stage    string // who hands it on
	Path     string // from the project's root, or $GOMODCACHE; . of an artifact is the source itself
	Artifact string // its name as an artifact; empty: a kept path
}

// Stage returns the stage of that name.
func (p *Pipeline) Stage(name string) (Stage, bool) {
	for _, s := range p.Stages {
		if s.Name == name {
			return s, true
		}
	}
	return Stage{}, false
}

// Inputs lists what a stage finds in its workspace beside the source: what all
// stages before it kept or made, the nearest first. Where two name the same
// path, the earlier in the list is what is seen; a path of a stage that takes
// from another hides the other's.
func (p *Pipeline) Inputs(name string) []Input {
	before := p.Before(name)
	var out []Input
	for i := len(p.Stages) - 1; i >= 0; i-- {
		s := p.Stages[i]
		if !before[s.Name] {
			continue
		}
		for _, k := range s.Keep {
			out = append(out, Input{Stage: s.Name, Path: k})
		}
		for _, a := range slices.Sorted(maps.Keys(s.Out)) {
			out = append(out, Input{Stage: s.Name, Path: s.Out[a], Artifact: a})
		}
	}
	return out
}

// Before is the set of stages that a stage takes from, directly or not.
func (p *Pipeline) Before(name string) map[string]bool {
	seen := map[string]bool{}
	queue := []string{name}
	for len(queue) > 0 {
		s, _ := p.Stage(queue[0])
		queue = queue[1:]
		for _, f := range s.From {
			if !seen[f] {
				seen[f] = true
				queue = append(queue, f)
			}
		}
	}
	return seen
}

// artifactsOf lists the artifacts that come to a stage, by name.
func (p *Pipeline) artifactsOf(stage string) []string {
	var names []string
	for _, in := range p.Inputs(stage) {
		if in.Artifact != "" {
			names = append(names, in.Artifact)
		}
	}
	slices.Sort(names)
	return names
}

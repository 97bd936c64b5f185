package github

import (
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// uses reads a step that is an action.
func (s *stepReader) uses(uses tree.Node) {
	ref := s.known.put(uses.Text())
	for _, p := range s.n.Get("with").Pairs() {
		s.secretsKnown(p.Value, s.known, s.i, ci.PerStep, "input "+p.Key.Text()+" of the step", p.Key.Text())
	}
	if dir, ok := s.ownPath(ref); ok {
		s.own(dir, ref, uses)
		return
	}
	if image, ok := strings.CutPrefix(ref, "docker://"); ok {
		s.image(ref, image, uses.Place())
		return
	}
	owner, name, pinned := parts(ref)
	if owner == "" || name == "" || strings.Contains(ref, "${{") {
		s.gap(s.job.ID, ref, "an action whose name is computed", uses.Place())
		return
	}
	if !s.trusted(owner, name) {
		s.thirdParty(ref, owner, pinned, uses.Place())
	}
	s.action(ref, uses)
}

func (s *stepReader) thirdParty(ref, owner string, pinned bool, at ci.Place) {
	why := "the step is an action of " + owner + ", named by a tag or branch that can be moved"
	if pinned {
		why = "the step is an action of " + owner + ", named by its commit"
	}
	s.out.Events = append(s.out.Events, ci.Event{Tier: ci.ThirdParty, Text: ref, Why: why, Ecosystem: "action", Pinned: pinned, Where: at})
}

func (s *stepReader) image(ref, image string, at ci.Place) {
	s.out.Events = append(s.out.Events, ci.Event{
		Tier: ci.ThirdParty, Text: ref, Why: "the step is a container image", Ecosystem: "oci", Pinned: strings.Contains(image, "@sha256:"), Where: at,
	})
}

// own reads an action in the workspace: of this repository, or of one that a
// step checked out.
func (s *stepReader) own(dir, ref string, uses tree.Node) {
	if s.headIn(dir) && s.strange() && strings.HasPrefix(ref, "./") {
		s.headRuns(ci.Event{Text: ref, Ecosystem: "action", Where: uses.Place()})
	}
	if f, ok := s.folderOf(dir); ok && strings.HasPrefix(ref, "./") {
		if f.of != "" {
			owner, name, pinned := parts(f.of)
			if !s.trusted(owner, name) {
				s.thirdParty(ref+" of "+f.of, owner, pinned, uses.Place())
			}
			s.gap(s.job.ID, ref, "an action of "+f.of+", which is another repository", uses.Place())
			return
		}
		dir = path.Clean("." + strings.TrimPrefix(dir, f.path))
	}
	switch {
	case slices.Contains(s.actions, dir):
		s.gap(s.job.ID, ref, "actions that use each other in a circle", uses.Place())
	case len(s.actions) >= maxDepth:
		s.gap(s.job.ID, ref, "actions that use each other more than five deep", uses.Place())
	default:
		s.expand(dir, ref, uses)
	}
}

// headIn tells whether a folder of the workspace holds a stranger's code.
func (s *stepReader) headIn(dir string) bool {
	at := "."
	if f, ok := s.folderOf(dir); ok {
		at = f.path
	}
	return slices.Contains(s.heads, at)
}

// expand puts the steps of an action of this repository in its place.
func (s *stepReader) expand(dir, ref string, uses tree.Node) {
	root, err := s.load(path.Join(dir, "action.yml"), uses.Place())
	if err != nil {
		root, err = s.load(path.Join(dir, "action.yaml"), uses.Place())
	}
	if err != nil {
		s.gap(s.job.ID, ref, "the action cannot be read: it may be made by an earlier step", uses.Place())
		return
	}
	if image, ok := strings.CutPrefix(root.Get("runs", "image").Text(), "docker://"); ok {
		s.image("docker://"+image, image, root.Get("runs", "image").Place())
	}
	in := *s
	in.actions = append(slices.Clone(s.actions), dir)
	in.vars = s.vars.over(tree.Node{}, nil)
	in.vars["GITHUB_ACTION_PATH"] = "./" + dir
	in.inputs = inputsOf(root.Get("inputs"), s.n.Get("with"), s.known)
	in.inputs["github.action_path"] = "./" + dir
	for _, n := range root.Get("runs", "steps").Items() { // a program of the repository has none: its own code
		if !s.spend(stepCost, n.Place()) {
			return
		}
		each := in
		each.n = n
		each.read()
	}
	s.over(root)
}

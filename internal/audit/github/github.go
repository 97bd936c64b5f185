// Package github reads workflows of GitHub Actions.
//
// The isolation domain is the job: one machine, on which each step can read the
// memory and the files of the others, with every secret that the job refers to
// anywhere. Actions and reusable workflows of the same repository are put in
// their place; those of others are steps of a third party, or a gap.
//
// It promises limits: a file costs no more than its size and a fixed amount for
// all that it refers to. It does not promise to know every action: one that no
// table names is code of whoever owns it, and does nothing else.
package github

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// Options are what the files do not say.
type Options struct {
	Owner   string   // owner/name of the repository; empty: unknown
	Trusted []string // owners, or owner/name, whose actions count as the repository's
	// DefaultPermissions of a token where a workflow says nothing: read, write,
	// or empty: unknown.
	DefaultPermissions string
}

// The limits of one workflow, with all that it refers to.
const (
	maxDepth = 5       // actions and workflows that call each other
	maxCost  = 2 << 20 // bytes that are read, each time that they are referred to
	stepCost = 300     // bytes that a step counts for beside its text
)

// Owns tells whether a file of this path is a workflow.
func Owns(p string) bool {
	ext := path.Ext(p)
	return path.Dir(p) == ".github/workflows" && (ext == ".yml" || ext == ".yaml")
}

// Read reads one workflow. repo holds it, and the files that it refers to: one
// that is not there is a gap.
func Read(repo fs.FS, file string, o Options) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	if !root.Get("jobs").IsMap() {
		return ci.Definition{}, fmt.Errorf("%s has no jobs: it is no workflow", file)
	}
	r := &reader{repo: repo, o: o, left: maxCost, def: &ci.Definition{System: ci.GitHub, File: file, Name: root.Get("name").Text()}}
	if r.def.Name == "" {
		r.def.Name = file
	}
	r.triggers(root)
	r.jobs(call{
		root: root, permissions: workflowPermissions(root, o), triggers: r.def.Triggers, secrets: handed{all: true}, choices: optionsOf(root), files: []string{path.Clean(file)},
	})
	r.follow()
	r.over(root)
	return *r.def, nil
}

// reader fills one definition.
type reader struct {
	loaded map[string]loaded // files of the repository, by path
	repo   fs.FS
	o      Options
	def    *ci.Definition
	closes map[string]bool // events that come for what is closed, too
	left   int             // bytes that may still be read
	spent  bool            // nothing is left, and a gap says so
}

// call is one workflow on its way through those that call each other.
type call struct {
	root        tree.Node
	permissions permissions
	limit       *permissions        // of the caller: a callee cannot have more
	prefix      string              // of the job ids: the caller's
	triggers    []ci.Trigger        // that the caller's conditions leave
	secrets     handed              // that the caller gives
	known       names               // inputs of the workflow
	choices     map[string][]string // inputs that can be one of several texts
	files       []string            // those that call each other, this one last
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	what = strings.TrimSpace(what)
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// spend takes n bytes of what may be read, and tells whether they were there.
func (r *reader) spend(n int, at ci.Place) bool {
	if r.left -= n; r.left >= 0 {
		return true
	}
	if !r.spent {
		r.spent = true
		r.gap("", r.def.File, "it refers to more than is looked at; what follows was not read", at)
	}
	return false
}

// load reads a file that the workflow refers to.
func (r *reader) load(file string, at ci.Place) (tree.Node, error) {
	if r.repo == nil {
		return tree.Node{}, fs.ErrNotExist
	}
	if info, err := fs.Stat(r.repo, file); err == nil && !r.spend(int(min(info.Size(), maxCost)), at) {
		return tree.Node{}, fmt.Errorf("more than is looked at: %w", fs.ErrInvalid)
	}
	if l, ok := r.loaded[file]; ok {
		return l.root, l.err
	}
	root, err := tree.Load(r.repo, file)
	if r.loaded == nil {
		r.loaded = map[string]loaded{}
	}
	r.loaded[file] = loaded{root, err}
	return root, err
}

// loaded is a file that was read before: an action is used many times.
type loaded struct {
	root tree.Node
	err  error
}

// over says of a file that it was not read to its end.
func (r *reader) over(root tree.Node) {
	if root.Over() {
		r.gap("", root.File(), "the file is larger than what is looked at", root.Place())
	}
}

// onOf is `on`, which YAML 1.1 parsers take for true.
func onOf(root tree.Node) tree.Node {
	if on := root.Get("on"); on.Exists() {
		return on
	}
	return root.Get("true")
}

func (r *reader) triggers(root tree.Node) {
	r.closes = map[string]bool{}
	on := onOf(root)
	for _, p := range on.Pairs() {
		r.trigger(p.Key, p.Value)
	}
	for _, n := range on.List() {
		if n.IsText() {
			r.trigger(n, tree.Node{})
		}
	}
	r.def.Callable = len(r.def.Triggers) == 1 && r.def.Triggers[0].Event == "workflow_call"
}

func (r *reader) trigger(name, body tree.Node) {
	t := ci.Trigger{Event: name.Text(), Trust: trustOf(name.Text()), Where: name.Place()}
	if t.Event == "workflow_run" {
		t.Follows = body.Get("workflows").Texts()
	}
	r.closes[t.Event] = slices.Contains(body.Get("types").Texts(), "closed")
	r.def.Triggers = append(r.def.Triggers, t)
}

// trustOf tells who can start a run by an event, and whether it has secrets.
func trustOf(event string) ci.Trust {
	switch event {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		return ci.Contributor
	case "pull_request_target", "issue_comment", "issues", "discussion", "discussion_comment", "commit_comment", "workflow_run", "fork", "watch", "gollum":
		return ci.Stranger
	}
	return ci.Maintainer
}

// trusted tells whether an action of this owner and name counts as the
// repository's own.
func (r *reader) trusted(owner, name string) bool {
	if owner == "actions" || owner == "github" {
		return true
	}
	own, _, _ := strings.Cut(r.o.Owner, "/")
	if own != "" && strings.EqualFold(owner, own) {
		return true
	}
	return slices.ContainsFunc(r.o.Trusted, func(t string) bool {
		return strings.EqualFold(t, owner) || strings.EqualFold(t, owner+"/"+name)
	})
}

// ownPath is the path of an action or workflow of this repository, by one of
// the ways to name it: ./x, $/x, owner/name/x@ref.
func (r *reader) ownPath(ref string) (string, bool) {
	for _, prefix := range []string{"./", "$/"} {
		if rest, ok := strings.CutPrefix(ref, prefix); ok {
			return path.Clean(rest), true
		}
	}
	if r.o.Owner == "" || r.repo == nil || !foldPrefix(ref, r.o.Owner+"/") {
		return "", false
	}
	file, _, _ := strings.Cut(ref[len(r.o.Owner)+1:], "@")
	if _, err := fs.Stat(r.repo, path.Clean(file)); err != nil {
		return "", false // it was there at that ref
	}
	return path.Clean(file), true
}

// Package github reads workflows of GitHub Actions.
//
// The isolation domain is the job: one machine, on which each step can read the
// memory and the files of the others, with every secret that the job refers to
// anywhere. Actions and reusable workflows of the same repository are put in
// their place; those of others are steps of a third party, or a gap.
package github

import (
	"fmt"
	"io/fs"
	"path"
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

// maxDepth bounds actions and workflows that call each other.
const maxDepth = 5

// Owns tells whether a file of this path is a workflow.
func Owns(p string) bool {
	ext := path.Ext(p)
	return path.Dir(p) == ".github/workflows" && (ext == ".yml" || ext == ".yaml")
}

// Read reads one workflow. repo holds the files that it refers to; nil: none.
func Read(repo fs.FS, file string, o Options) (ci.Definition, error) {
	root, err := tree.Load(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	if !root.Get("jobs").IsMap() {
		return ci.Definition{}, fmt.Errorf("%s has no jobs: it is no workflow", file)
	}
	r := &reader{repo: repo, o: o, def: &ci.Definition{System: ci.GitHub, File: file, Name: root.Get("name").Text()}}
	if r.def.Name == "" {
		r.def.Name = file
	}
	r.triggers(root)
	r.jobs(call{root: root, permissions: workflowPermissions(root, o), file: file})
	if root.Over() {
		r.gap("", file, "the file is larger than what is looked at", root.Place())
	}
	return *r.def, nil
}

// reader fills one definition.
type reader struct {
	repo fs.FS
	o    Options
	def  *ci.Definition
}

// call is one workflow on its way through those that call each other.
type call struct {
	root        tree.Node
	file        string
	permissions permissions
	prefix      string            // of the job ids: the caller's
	secrets     map[string]string // the callee's name -> the caller's; nil: as they are
	inputs      map[string]string // the callee's inputs, where they are plain text
	inherit     bool              // secrets: inherit
	limit       *permissions      // of the caller: a callee cannot have more
	if_         string            // the caller's condition
	depth       int
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// triggers reads `on`, which YAML 1.1 parsers take for true.
func (r *reader) triggers(root tree.Node) {
	on := root.Get("on")
	if !on.Exists() {
		on = root.Get("true")
	}
	add := func(name tree.Node, body tree.Node) {
		t := ci.Trigger{Event: name.Text(), Trust: trustOf(name.Text()), Where: name.Place()}
		if name.Text() == "workflow_run" {
			t.Follows = body.Get("workflows").Texts()
		}
		if name.Text() == "workflow_call" {
			r.def.Callable = true
		}
		r.def.Triggers = append(r.def.Triggers, t)
	}
	for _, p := range on.Pairs() {
		add(p.Key, p.Value)
	}
	for _, n := range on.List() {
		if n.IsText() {
			add(n, tree.Node{})
		}
	}
	if len(r.def.Triggers) > 1 || len(r.def.Triggers) == 1 && r.def.Triggers[0].Event != "workflow_call" {
		r.def.Callable = false
	}
}

// trustOf tells who can start a run by an event, and whether it has secrets.
func trustOf(event string) ci.Trust {
	switch event {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		return ci.Contributor
	case "pull_request_target", "issue_comment", "issues", "discussion", "discussion_comment", "workflow_run", "fork", "watch", "gollum":
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
	for _, t := range r.o.Trusted {
		if strings.EqualFold(t, owner) || strings.EqualFold(t, owner+"/"+name) {
			return true
		}
	}
	return false
}

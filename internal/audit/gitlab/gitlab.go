// Package gitlab reads the pipelines of GitLab CI.
//
// The isolation domain is the job: one container, in whose environment all
// variables of the project are that the job's branch and environment may have.
// before_script and script are one shell, after_script is a second one in the
// same container.
package gitlab

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// Owns tells whether a file of this path is a pipeline.
func Owns(p string) bool { return p == ".gitlab-ci.yml" || p == ".gitlab-ci.yaml" }

// maxDepth bounds what includes, extends and references follow.
const maxDepth = 10

// Read reads one pipeline and what it includes of the same repository.
func Read(repo fs.FS, file string, owner string, trusted []string) (ci.Definition, error) {
	r := &reader{
		repo: repo, owner: owner, trusted: trusted, global: map[string]tree.Node{}, templates: map[string]tree.Node{}, seen: map[string]bool{},
		def: &ci.Definition{System: ci.GitLab, File: file, Name: file},
	}
	if err := r.load(file, 0); err != nil {
		return ci.Definition{}, err
	}
	r.triggers()
	for _, name := range r.order {
		if !strings.HasPrefix(name, ".") {
			r.def.Jobs = append(r.def.Jobs, r.readJob(name))
		}
	}
	if len(r.def.Jobs) == 0 && len(r.def.Gaps) == 0 {
		return ci.Definition{}, fmt.Errorf("%s has no jobs", file)
	}
	return *r.def, nil
}

// reader fills one definition.
type reader struct {
	repo      fs.FS
	owner     string
	trusted   []string
	def       *ci.Definition
	global    map[string]tree.Node // keywords at the head of the file
	templates map[string]tree.Node // jobs, hidden ones among them
	keys      map[string]tree.Node
	order     []string
	seen      map[string]bool // files that were read
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// keywords are the keys at the head of a file that are no job.
func keywords() []string {
	return []string{
		"default", "include", "stages", "variables", "workflow", "spec", "image", "services", "cache", "before_script", "after_script", "types",
	}
}

// load reads a file and those that it includes. What is read later does not
// replace what the including file says.
func (r *reader) load(file string, depth int) error {
	r.seen[file] = true
	docs, err := tree.LoadAll(r.repo, file)
	if err != nil {
		return err
	}
	for _, root := range docs {
		if !root.IsMap() {
			continue
		}
		for _, p := range root.Pairs() {
			r.take(p)
		}
		for _, i := range root.Get("include").List() {
			r.include(i, depth)
		}
		if root.Over() {
			r.gap("", file, "the file is larger than what is looked at", root.Place())
		}
	}
	return nil
}

func (r *reader) take(p tree.Pair) {
	name := p.Key.Text()
	if slices.Contains(keywords(), name) {
		if _, ok := r.global[name]; !ok {
			r.global[name] = p.Value
		}
		return
	}
	if _, ok := r.templates[name]; ok || !p.Value.IsMap() && !p.Value.IsList() {
		return
	}
	r.templates[name] = p.Value
	if r.keys == nil {
		r.keys = map[string]tree.Node{}
	}
	r.keys[name] = p.Key
	if p.Value.IsMap() {
		r.order = append(r.order, name)
	}
}

// include reads a file of this repository; all else is a gap.
func (r *reader) include(n tree.Node, depth int) {
	local := n.Get("local").Text()
	if n.IsText() && !strings.Contains(n.Text(), "://") {
		local = n.Text()
	}
	if local == "" {
		for _, p := range n.Pairs() {
			if kind := p.Key.Text(); slices.Contains([]string{"project", "remote", "template", "component", "artifact"}, kind) {
				r.gap("", kind+": "+p.Value.Text(), "an include from outside the repository", p.Key.Place())
				return
			}
		}
		r.gap("", n.Text(), "an include from outside the repository", n.Place())
		return
	}
	local = strings.TrimPrefix(path.Clean(local), "/")
	files := []string{local}
	if strings.Contains(local, "*") {
		files = r.glob(local)
	}
	for _, f := range files {
		if r.seen[f] || depth >= maxDepth {
			continue
		}
		if err := r.load(f, depth+1); err != nil {
			r.gap("", f, "an included file that cannot be read: "+err.Error(), n.Place())
		}
	}
}

func (r *reader) glob(pattern string) []string {
	if r.repo == nil {
		return nil
	}
	found, err := fs.Glob(r.repo, strings.ReplaceAll(pattern, "**", "*"))
	if err != nil {
		return nil
	}
	return found
}

// triggers are those of the pipeline: workflow rules, or what GitLab does
// without any.
func (r *reader) triggers() {
	rules := r.global["workflow"].Get("rules")
	if !rules.IsList() {
		at := ci.Place{File: r.def.File, Line: 1, Column: 1}
		r.def.Triggers = []ci.Trigger{{Event: "push", Where: at}, {Event: "merge_request_event", Trust: ci.Contributor, Where: at}}
		return
	}
	r.def.Triggers = r.byRules(rules, []ci.Trigger{{Event: "push", Where: rules.Place()}, {Event: "merge_request_event", Trust: ci.Contributor, Where: rules.Place()}})
}

// byRules are the triggers that a list of rules lets through.
func (r *reader) byRules(rules tree.Node, all []ci.Trigger) []ci.Trigger {
	allowed := map[string]bool{}
	for _, rule := range rules.Items() {
		cond := rule.Get("if").Text()
		never := rule.Get("when").Text() == "never"
		for _, t := range all {
			if _, decided := allowed[t.Event]; decided || !holds(cond, t.Event) {
				continue
			}
			if cond == "" || !rule.Get("changes").Exists() && certain(cond) {
				allowed[t.Event] = !never
			} else if !never {
				allowed[t.Event] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t ci.Trigger) bool { return !allowed[t.Event] })
}

// holds tells whether a condition can be true for an event.
func holds(cond, event string) bool {
	mr := event == "merge_request_event"
	c := strings.ReplaceAll(cond, "'", `"`)
	switch {
	case strings.Contains(c, "||"):
		return true
	case strings.Contains(c, `$CI_PIPELINE_SOURCE == "merge_request_event"`), strings.Contains(c, "$CI_MERGE_REQUEST"):
		return mr
	case strings.Contains(c, `$CI_PIPELINE_SOURCE == "`), strings.Contains(c, "$CI_COMMIT_TAG") && !strings.Contains(c, "$CI_COMMIT_TAG ="),
		strings.Contains(c, "$CI_COMMIT_BRANCH == "), strings.Contains(c, "$CI_COMMIT_REF_PROTECTED"):
		return !mr
	}
	return true
}

// certain tells of conditions that are true whenever their event is there.
func certain(cond string) bool {
	c := strings.ReplaceAll(strings.TrimSpace(cond), "'", `"`)
	return c == `$CI_PIPELINE_SOURCE == "merge_request_event"` || c == "$CI_MERGE_REQUEST_IID"
}

// Package tekton reads pipelines of Tekton in the folder .tekton, where
// Pipelines as Code takes them from.
//
// The isolation domain is the task run: one Pod, whose steps share volumes and
// one service account. What the cluster gave that account, no file here says.
// Tasks of one run share only what they hand on: workspaces and results.
//
// Tasks and pipelines of the same folder are put in where they are used; those
// of another place (a bundle, a resolver, a hub) are gaps.
package tekton

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// Options are what the files do not say.
type Options struct {
	// Owner is owner/name of the repository, where known: tasks that are fetched
	// from repositories of the same owner are its own.
	Owner string
	// Trusted are owners, or beginnings of image names, that count as the
	// repository's own.
	Trusted []string
}

// The limits of one definition.
const (
	maxFiles  = 200     // files of the folder that are read for a reference
	maxJobs   = 500     // tasks of all runs
	maxScript = 1 << 20 // bytes of shell text, a task counted each time that it is used
)

const folder = ".tekton"

// Owns tells whether a file of this path may hold a run.
func Owns(p string) bool {
	ext := path.Ext(p)
	return strings.HasPrefix(p, folder+"/") && (ext == ".yml" || ext == ".yaml")
}

// Read reads one file. A file without anything of Tekton gives a definition
// without jobs.
func Read(repo fs.FS, file string, o Options) (ci.Definition, error) {
	docs, err := tree.LoadAll(repo, file)
	if err != nil {
		return ci.Definition{}, err
	}
	r := &reader{repo: repo, o: o, ids: map[string]int{}, left: maxScript, def: &ci.Definition{System: ci.Tekton, File: file, Name: file}}
	for _, d := range docs {
		r.own = append(r.own, objects(d)...)
	}
	r.read()
	for _, d := range docs {
		if d.Over() {
			r.gap("", file, "the file is larger than what is looked at", d.Place())
			break
		}
	}
	return *r.def, nil
}

// reader reads the runs of one file.
type reader struct {
	repo fs.FS
	o    Options
	def  *ci.Definition
	own  []tree.Node // the file's objects
	all  []tree.Node // those of the folder, once they are needed
	full bool
	ids  map[string]int
	left int // bytes of shell text that may still be read
}

func (r *reader) gap(job, what, why string, at ci.Place) {
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: at})
}

// objects are what a document stands for: those of a list, and those that a
// trigger makes.
func objects(n tree.Node) []tree.Node {
	switch n.Get("kind").Text() {
	case "List":
		return n.Get("items").Items()
	case "TriggerTemplate":
		return n.Get("spec", "resourcetemplates").Items()
	}
	return []tree.Node{n}
}

// is tells whether n is an object of Tekton's of some kind.
func is(n tree.Node, kind string) bool {
	return n.Get("kind").Text() == kind && strings.HasPrefix(n.Get("apiVersion").Text(), "tekton.dev/")
}

func nameOf(n tree.Node) string {
	if name := n.Get("metadata", "name").Text(); name != "" {
		return name
	}
	return strings.TrimSuffix(n.Get("metadata", "generateName").Text(), "-")
}

// read reads the runs of the file, or, where it has none, what it defines for
// others to use, unless something of the folder uses it: then it is read there.
func (r *reader) read() {
	var runs []tree.Node
	for _, n := range r.own {
		if is(n, "PipelineRun") || is(n, "TaskRun") {
			runs = append(runs, n)
		}
	}
	for _, n := range runs {
		r.run(n, len(runs) > 1)
	}
	if len(runs) > 0 {
		return
	}
	for _, n := range r.own {
		if (is(n, "Pipeline") || is(n, "Task")) && !r.used(n) {
			r.def.Callable = true
			r.run(n, len(r.own) > 1)
		}
	}
}

// used tells whether an object of the folder refers to n.
func (r *reader) used(n tree.Node) bool {
	name, kind := nameOf(n), n.Get("kind").Text()
	for _, o := range r.folder() {
		spec := o.Get("spec")
		if kind == "Pipeline" && spec.Get("pipelineRef", "name").Text() == name {
			return true
		}
		if kind == "Task" && (spec.Get("taskRef", "name").Text() == name || usesTask(spec, name) || usesTask(spec.Get("pipelineSpec"), name)) {
			return true
		}
	}
	return false
}

func usesTask(spec tree.Node, name string) bool {
	for _, list := range []string{"tasks", "finally"} {
		for _, t := range spec.Get(list).Items() {
			if t.Get("taskRef", "name").Text() == name {
				return true
			}
		}
	}
	return false
}

// find returns the object of a kind and a name: of the file, else of the folder.
func (r *reader) find(kind, name string) tree.Node {
	for _, all := range [][]tree.Node{r.own, r.folder()} {
		for _, n := range all {
			if is(n, kind) && nameOf(n) == name {
				return n
			}
		}
	}
	return tree.Node{}
}

// folder reads the objects of all files of the folder, once. A file that cannot
// be read defines nothing, and is said by whoever reads it as a definition.
func (r *reader) folder() []tree.Node {
	if r.full || r.repo == nil {
		return r.all
	}
	r.full = true
	files := 0
	_ = fs.WalkDir(r.repo, folder, func(p string, e fs.DirEntry, err error) error {
		if err != nil || files >= maxFiles {
			return fs.SkipAll // what is not found is a gap where it is used
		}
		if e.IsDir() || !e.Type().IsRegular() || !Owns(p) || p == r.def.File {
			return nil
		}
		files++
		docs, err := tree.LoadAll(r.repo, p)
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		for _, d := range docs {
			r.all = append(r.all, objects(d)...)
		}
		return nil
	})
	r.all = append(r.all, r.own...)
	return r.all
}

// id makes a name one that no other job of the definition has.
func (r *reader) id(name string) string {
	if name == "" {
		name = "task"
	}
	r.ids[name]++
	if n := r.ids[name]; n > 1 {
		return fmt.Sprintf("%s (%d)", name, n)
	}
	return name
}

// scripts is the reader of shell text of one run: its tasks work in the same
// files, so that what one installs another runs.
func (r *reader) scripts() *script.Reader { return &script.Reader{Repo: r.repo} }

// trusted tells whether a name is the repository's own by its owner.
func (r *reader) trusted(name string) bool {
	owner, _, _ := strings.Cut(r.o.Owner, "/")
	for _, host := range []string{"https://github.com/", "https://gitlab.com/", "https://raw.githubusercontent.com/"} {
		if rest, ok := strings.CutPrefix(name, host); ok {
			first, _, _ := strings.Cut(rest, "/")
			return owner != "" && first == owner || slices.Contains(r.o.Trusted, first)
		}
	}
	return slices.ContainsFunc(r.o.Trusted, func(t string) bool { return t != "" && strings.HasPrefix(name, t+"/") })
}

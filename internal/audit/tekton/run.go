package tekton

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// run is one PipelineRun or TaskRun; or a Pipeline or Task that nobody of the
// folder runs, as if it were run without parameters.
type run struct {
	*reader
	root     tree.Node
	prefix   string
	triggers []ci.Trigger
	params   values
	scripts  *script.Reader
	// spaces are the workspaces of the pipeline, and what the run puts there.
	spaces map[string]tree.Node
	tasks  []member
}

// member is one task of a run.
type member struct {
	name    string
	job     int // index in the definition
	finally bool
	needs   []string
	spaces  map[string]string // the task's workspaces, by the pipeline's name
	entry   tree.Node
	// runsFiles: it runs a file of its workspaces by name.
	runsFiles bool
}

// run reads one object that can be run. Where a file has several, its name
// stands before those of its tasks.
func (r *reader) run(n tree.Node, several bool) {
	x := &run{reader: r, root: n, params: values{}, scripts: r.scripts(), spaces: map[string]tree.Node{}}
	if several && strings.HasPrefix(n.Get("kind").Text(), "Pipeline") {
		x.prefix = nameOf(n) + "/"
	}
	x.triggers = triggersOf(n)
	r.def.Triggers = join(r.def.Triggers, x.triggers)
	spec := n.Get("spec")
	x.params = given(spec.Get("params"), nil)
	for _, w := range spec.Get("workspaces").Items() {
		x.spaces[w.Get("name").Text()] = w
	}
	switch n.Get("kind").Text() {
	case "Task":
		x.single(nameOf(n), n, spec)
	case "TaskRun":
		x.single(nameOf(n), spec, spec)
	case "Pipeline":
		x.pipeline(spec)
	default:
		x.pipelineRun(spec)
	}
}

// single reads one task without a pipeline.
func (x *run) single(name string, entry, spec tree.Node) {
	t := member{name: name, entry: entry, spaces: map[string]string{}}
	for w := range x.spaces {
		t.spaces[w] = w
	}
	body := spec
	if !spec.Get("steps").Exists() {
		body = x.specOf("Task", spec, spec.Get("taskSpec"), spec.Get("taskRef"))
	}
	x.task(t, body, spec.Get("taskRef"), x.params)
}

// pipelineRun reads the pipeline that the run names or holds.
func (x *run) pipelineRun(spec tree.Node) {
	ref := spec.Get("pipelineRef")
	body := x.specOf("Pipeline", spec, spec.Get("pipelineSpec"), ref)
	if !body.Exists() {
		x.gap("", nameOf(x.root)+": "+refText(ref), "a pipeline of another place", ref.Place())
		return
	}
	x.pipeline(body)
}

// specOf is what an entry holds itself, or what it names in the folder.
func (x *run) specOf(kind string, entry, spec, ref tree.Node) tree.Node {
	if spec.Exists() || !entry.Exists() {
		return spec
	}
	if ref.Get("bundle").Exists() || ref.Get("resolver").Exists() {
		return tree.Node{}
	}
	if k := ref.Get("kind").Text(); k != "" && k != kind {
		return tree.Node{}
	}
	return x.find(kind, ref.Get("name").Text()).Get("spec")
}

// pipeline reads the tasks of a pipeline, and what they hand to each other.
func (x *run) pipeline(spec tree.Node) {
	x.params.declared(spec.Get("params"))
	first := len(x.tasks)
	for _, list := range []string{"tasks", "finally"} {
		for _, t := range spec.Get(list).Items() {
			if len(x.def.Jobs) >= maxJobs {
				x.gap("", x.def.File, fmt.Sprintf("more than %d tasks", maxJobs), t.Place())
				return
			}
			x.entry(t, list == "finally")
		}
	}
	x.handOver(x.tasks[first:])
}

// entry reads one task of a pipeline.
func (x *run) entry(n tree.Node, finally bool) {
	t := member{name: n.Get("name").Text(), entry: n, finally: finally, spaces: map[string]string{}}
	for _, w := range n.Get("workspaces").Items() {
		own := w.Get("name").Text()
		outer := w.Get("workspace").Text()
		if outer == "" {
			outer = own
		}
		t.spaces[outer] = own
	}
	t.needs = needsOf(n)
	if n.Get("pipelineSpec").Exists() || n.Get("pipelineRef").Exists() {
		x.gap("", t.name, "a pipeline within a pipeline", n.Place())
		return
	}
	body := x.specOf("Task", n, n.Get("taskSpec"), n.Get("taskRef"))
	x.task(t, body, n.Get("taskRef"), given(n.Get("params"), x.params))
}

// needsOf are the tasks that a task waits for: those that it names, and those
// whose results it takes.
func needsOf(n tree.Node) []string {
	needs := n.Get("runAfter").Texts()
	add := func(text string) {
		for _, r := range results(text) {
			if task, _, _ := strings.Cut(r, "."); !slices.Contains(needs, task) {
				needs = append(needs, task)
			}
		}
	}
	for _, key := range []string{"params", "when", "matrix"} {
		texts(n.Get(key), 0, add)
	}
	return needs
}

// texts gives every text below n to f.
func texts(n tree.Node, depth int, f func(string)) {
	if depth > 6 {
		return
	}
	for _, p := range n.Pairs() {
		texts(p.Value, depth+1, f)
	}
	for _, i := range n.Items() {
		texts(i, depth+1, f)
	}
	if n.IsText() {
		f(n.Text())
	}
}

// handOver says what the tasks of a pipeline leave for each other: a workspace
// that two of them share, and results. A task that surely ran before another
// takes nothing from it.
func (x *run) handOver(tasks []member) {
	after := order(tasks)
	for i, t := range tasks {
		last := x.lastStep(t)
		if last == nil {
			continue
		}
		for outer := range t.spaces {
			if x.shared(outer) {
				last.Stores = append(last.Stores, ci.Store{Kind: boundary.KindArtifact, Name: spaceName(outer, t.name), Writes: true, Where: t.entry.Place()})
			}
		}
		for k, w := range tasks {
			if k != i && !after[k][i] {
				x.takes(t, w)
			}
		}
		slices.SortFunc(last.Stores, func(a, b ci.Store) int { return strings.Compare(a.Name, b.Name) })
	}
}

// takes adds the workspaces that t may get from w.
func (x *run) takes(t, w member) {
	first := &x.def.Jobs[t.job].Steps[0]
	for outer := range t.spaces {
		if _, ok := w.spaces[outer]; ok && x.shared(outer) {
			first.Stores = append(first.Stores, ci.Store{
				Kind: boundary.KindArtifact, Name: spaceName(outer, w.name), Reads: true, Executed: t.runsFiles, Where: t.entry.Place(),
			})
		}
	}
}

func spaceName(space, task string) string { return "workspace " + space + " after " + task }

// shared tells whether what the run puts into a workspace is one volume for all
// tasks.
func (x *run) shared(name string) bool {
	w, ok := x.spaces[name]
	return !ok || !w.Get("emptyDir").Exists() && !w.Get("secret").Exists() && !w.Get("configMap").Exists()
}

func (x *run) lastStep(t member) *ci.Step {
	if t.job < 0 || len(x.def.Jobs[t.job].Steps) == 0 {
		return nil
	}
	return &x.def.Jobs[t.job].Steps[len(x.def.Jobs[t.job].Steps)-1]
}

// order tells of each two tasks whether the first surely starts after the
// second has ended.
func order(tasks []member) []map[int]bool {
	at := map[string]int{}
	for i, t := range tasks {
		at[t.name] = i
	}
	after := make([]map[int]bool, len(tasks))
	var reach func(i, from int)
	reach = func(i, from int) {
		for _, name := range tasks[from].needs {
			if k, ok := at[name]; ok && k != i && !after[i][k] {
				after[i][k] = true
				reach(i, k)
			}
		}
	}
	for i, t := range tasks {
		after[i] = map[int]bool{}
		reach(i, i)
		for k, o := range tasks {
			if t.finally && !o.finally {
				after[i][k] = true
			}
		}
	}
	return after
}

// accountOf is the service account of a task, and where that is said.
func (x *run) accountOf(task string) (name string, at ci.Place, scope ci.Scope) {
	spec := x.root.Get("spec")
	for _, list := range []string{"taskRunSpecs", "serviceAccountNames"} {
		for _, s := range spec.Get(list).Items() {
			if s.Get("pipelineTaskName").Text() != task && s.Get("taskName").Text() != task {
				continue
			}
			for _, key := range []string{"serviceAccountName", "taskServiceAccountName"} {
				if n := s.Get(key); n.Text() != "" {
					return x.params.resolve(n.Text()), n.Place(), ci.PerJob
				}
			}
		}
	}
	for _, path := range [][]string{{"taskRunTemplate", "serviceAccountName"}, {"serviceAccountName"}} {
		if n := spec.Get(path...); n.Text() != "" {
			return x.params.resolve(n.Text()), n.Place(), ci.Global
		}
	}
	for _, key := range []string{"name", "generateName"} {
		if n := x.root.Get("metadata", key); n.Exists() {
			return "default", n.Place(), ci.Global
		}
	}
	return "default", x.root.Place(), ci.Global
}

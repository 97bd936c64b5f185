package tekton

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

func read(t *testing.T, text string, o Options) ci.Definition {
	t.Helper()
	d, err := Read(fstest.MapFS{".tekton/a.yaml": {Data: []byte(text)}}, ".tekton/a.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func gapped(d ci.Definition, part string) bool {
	for _, g := range d.Gaps {
		if strings.Contains(g.What+": "+g.Why, part) {
			return true
		}
	}
	return false
}

func TestOwns(t *testing.T) {
	for path, want := range map[string]bool{
		".tekton/a.yaml": true, ".tekton/sub/a.yml": true, ".tekton/README.md": false, "tekton/a.yaml": false, "sub/.tekton/a.yaml": false,
	} {
		if Owns(path) != want {
			t.Errorf("Owns(%s) is %t", path, !want)
		}
	}
}

// A file of the folder that is of no kind of Tekton's is no error, and no job.
func TestNothingOfTekton(t *testing.T) {
	d := read(t, "kind: Repository\napiVersion: pipelinesascode.tekton.dev/v1alpha1\n", Options{})
	if len(d.Jobs) != 0 || len(d.Gaps) != 0 {
		t.Errorf("read %v", d)
	}
	if _, err := Read(fstest.MapFS{}, ".tekton/a.yaml", Options{}); err == nil {
		t.Error("a file that is not there was read")
	}
	if _, err := Read(fstest.MapFS{".tekton/a.yaml": {Data: []byte("{ a")}}, ".tekton/a.yaml", Options{}); err == nil {
		t.Error("what is no YAML was read")
	}
}

// A step action that names itself is read once.
func TestActionOfItself(t *testing.T) {
	d := read(t, `
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: { name: a }
spec: { taskSpec: { steps: [{ ref: { name: loop } }] } }
---
apiVersion: tekton.dev/v1
kind: StepAction
metadata: { name: loop }
spec: { ref: { name: loop } }
`, Options{})
	if !gapped(d, "a step of another place") {
		t.Errorf("gaps %v", d.Gaps)
	}
}

func TestManyTasks(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: { name: a }\nspec:\n  pipelineSpec:\n    tasks:\n")
	for i := range maxJobs + 10 {
		fmt.Fprintf(&b, "      - { name: t%d, taskSpec: { steps: [{ script: ./x }] }, workspaces: [{ name: w }] }\n", i)
	}
	d := read(t, b.String(), Options{})
	if len(d.Jobs) != maxJobs || !gapped(d, "more than 500 tasks") {
		t.Errorf("%d jobs, gaps %v", len(d.Jobs), d.Gaps)
	}
}

// One long script that many tasks use is read until the limit.
func TestLongScript(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: { name: long }\nspec:\n  steps:\n    - script: |\n")
	for range 2000 {
		b.WriteString("        echo " + strings.Repeat("x", 100) + "\n")
	}
	b.WriteString("---\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: { name: a }\nspec:\n  pipelineSpec:\n    tasks:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "      - { name: t%d, taskRef: { name: long } }\n", i)
	}
	d := read(t, b.String(), Options{})
	if !gapped(d, "more shell text than is looked at") {
		t.Errorf("gaps %v", d.Gaps)
	}
}

package conductor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
)

func usesStandard(s evidence.Stage) bool {
	return slices.ContainsFunc(s.Inputs, func(l evidence.Layer) bool { return l.From == standardName })
}

// compiled tells whether a run compiled the standard library.
func (w *world) compiled() bool {
	return slices.ContainsFunc(w.events, func(e Event) bool {
		return e.Kind == StageEnded && e.Stage == standardName && e.Record != nil && !e.Record.Cached
	})
}

func TestStandardLibraryIsCompiledOnce(t *testing.T) {
	plain := newWorld(t)
	plain.c.StandardFrom = -1
	files := plain.goProject()
	want := plain.pass(Request{Source: plain.project(files)})
	if plain.compiled() || usesStandard(stageOf(t, want, "build")) {
		t.Fatal("the library was compiled though it was not to be")
	}

	w := newWorld(t)
	w.c.StandardFrom = 1
	files["go.sum"] = w.proxy.GoSum("mod.example/greet@v1.0.0")
	dir := w.project(files)
	got := w.pass(Request{Source: dir})
	if !w.compiled() || !usesStandard(stageOf(t, got, "build")) || !usesStandard(stageOf(t, got, "test")) {
		t.Error("the library was not compiled for the stages that use it")
	}
	if got.Run.Artifacts[0].Digest != want.Run.Artifacts[0].Digest {
		t.Error("the artifact is another one with the library compiled before")
	}
	if k, other := stageOf(t, got, "build").Key, stageOf(t, want, "build").Key; k != other {
		t.Errorf("the stage's key is %s, without the library %s", k, other)
	}

	w.c.StandardFrom = 0 // does not pay, but there is one
	must(t, os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n"), 0o644))
	got = w.pass(Request{Source: dir})
	if w.compiled() || !usesStandard(stageOf(t, got, "build")) {
		t.Error("the library that there is was not used")
	}

	// Settings of its own get a library of their own: none is made here.
	bent := strings.Replace(files["sallyport.yaml"], "  build:\n", "  build:\n    env: { GOFLAGS: -tags=other }\n", 1)
	must(t, os.WriteFile(filepath.Join(dir, "sallyport.yaml"), []byte(bent), 0o644))
	if own := w.pass(Request{Source: dir}); usesStandard(stageOf(t, own, "build")) {
		t.Error("a stage with other settings was given the library")
	}
	w.tamperStandard(got)
}

// tamperStandard changes one compiled package on disk, and looks that no stage
// is given it.
func (w *world) tamperStandard(o *Outcome) {
	w.Helper()
	var dir string
	for _, l := range stageOf(w, o, "build").Inputs {
		if l.From == standardName {
			dir = filepath.Join(w.c.Store.TreePath(l.Digest), goCacheDir)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "0*", "*-d"))
	must(w, err)
	if len(names) == 0 {
		w.Fatal("no compiled package in " + dir)
	}
	must(w, os.WriteFile(names[0], []byte("poison"), 0o644))
	files := w.goProject()
	files["other.go"] = "package main\n"
	w.open() // as a new process would
	out := w.run(Request{Source: w.project(files), Require: sandbox.LevelReduced})
	if out.Failure != nil {
		w.Fatalf("a tampered library ended the run: %s", out.Failure.Reason)
	}
	if usesStandard(stageOf(w, out, "build")) && !w.compiled() {
		w.Error("a tampered library was used")
	}
}

package conductor

import (
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/evidence"
)

func TestRunGo(t *testing.T) {
	w := newWorld(t)
	req := Request{Source: w.project(w.goProject())}
	out := w.pass(req)
	if out.Result != Released || len(w.release.got) != 1 {
		t.Errorf("result %s, released %d times", out.Result, len(w.release.got))
	}
	if len(out.Run.Artifacts) != 1 || out.Run.Artifacts[0].Size < 100_000 {
		t.Errorf("artifacts %+v", out.Run.Artifacts)
	}
	if len(out.Run.Planned) == 0 || len(out.Run.Served) == 0 {
		t.Errorf("materials: %d planned, %d served", len(out.Run.Planned), len(out.Run.Served))
	}
	if len(out.Run.Rebuilds) != 1 || !out.Run.Rebuilds[0].Identical || !slices.Contains(out.Run.Rebuilds[0].Varied, "path") {
		t.Errorf("rebuilds %+v", out.Run.Rebuilds)
	}
	if out.Run.Tests == nil || !out.Run.Tests.Passed || !slices.Contains(out.Run.Tests.Subjects, out.Run.Artifacts[0].Digest) {
		t.Errorf("tests %+v", out.Run.Tests)
	}
	for _, s := range out.Run.Stages {
		if s.State != evidence.Success || s.Identity == "" {
			t.Errorf("stage %+v", s)
		}
	}
	again := w.pass(req)
	for _, name := range []string{"fetch", "build", "test"} {
		if !stageOf(t, again, name).Cached {
			t.Errorf("stage %s was run again", name)
		}
	}
	if again.Run.Artifacts[0] != out.Run.Artifacts[0] {
		t.Errorf("artifact of the second run: %+v", again.Run.Artifacts[0])
	}
}

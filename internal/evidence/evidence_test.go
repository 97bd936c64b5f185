package evidence

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
)

func goodRun(t *testing.T) *Run {
	t.Helper()
	b, err := os.ReadFile("../../spec/vectors/gate/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// A verdict names evidence by its digest, also after it was written and read.
func TestCanonicalSurvivesReading(t *testing.T) {
	r := goodRun(t)
	first, err := r.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	var again Run
	if err := json.Unmarshal(first, &again); err != nil {
		t.Fatal(err)
	}
	second, err := again.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("evidence changes when it is read back")
	}
	before, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again.Stages[0].Receipt.Probes[0].Got = "connected"
	if after, err := again.Digest(); err != nil || after == before {
		t.Errorf("changed evidence keeps its digest (%v)", err)
	}
}

func TestGaps(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*Run)
		want     Gaps
		complete bool
	}{
		"none":       {func(*Run) {}, Gaps{}, true},
		"unplanned":  {func(r *Run) { r.Served[0].PURL = "pkg:npm/x@1" }, Gaps{Unplanned: []string{"pkg:npm/x@1"}}, false},
		"altered":    {func(r *Run) { r.Served[0].Sum = "sha512-x" }, Gaps{Altered: []string{"pkg:npm/express@4.21.2"}}, false},
		"undigested": {func(r *Run) { r.Served[0].Digest = digest.Digest{} }, Gaps{Undigested: []string{"pkg:npm/express@4.21.2"}}, false},
		"made":       {func(r *Run) { r.Planned, r.Served = nil, r.Served[:1]; r.Served[0].Pin = PinMade }, Gaps{Unpinned: []string{"pkg:npm/express@4.21.2"}}, true},
		"manifest":   {func(r *Run) { r.Unpinned = []string{"go.mod"} }, Gaps{Unpinned: []string{"go.mod"}}, true},
	} {
		r := goodRun(t)
		c.change(r)
		g := r.Gaps()
		if !slices.Equal(g.Unplanned, c.want.Unplanned) || !slices.Equal(g.Altered, c.want.Altered) ||
			!slices.Equal(g.Undigested, c.want.Undigested) || !slices.Equal(g.Unpinned, c.want.Unpinned) || g.Complete() != c.complete {
			t.Errorf("%s: %+v, complete %v", name, g, g.Complete())
		}
	}
}

func TestReceiptMustBeTheStagesOwn(t *testing.T) {
	for want, change := range map[string]func(*Stage){
		ReceiptClean:  func(*Stage) {},
		ReceiptNone:   func(s *Stage) { s.Receipt = nil },
		ReceiptFailed: func(s *Stage) { s.Receipt.Identity = "spiffe://sallyport.local/shop/test/other" },
	} {
		r := goodRun(t)
		change(&r.Stages[2])
		if got := r.Stages[2].Shown(); got != want {
			t.Errorf("shows %s, wanted %s", got, want)
		}
	}
}

func TestReproducedMeansEveryRebuild(t *testing.T) {
	r := goodRun(t)
	a := r.Artifacts[0]
	if !r.Reproduced(a) || !r.Tested(a) {
		t.Error("what was shown is not")
	}
	r.Rebuilds = append(r.Rebuilds, Rebuild{Artifact: a.Name, First: a.Digest, Second: digest.OfString("x")})
	if r.Reproduced(a) {
		t.Error("one rebuild that differs was passed over")
	}
	r.Rebuilds = nil
	if r.Reproduced(a) {
		t.Error("nothing was built twice")
	}
	r.Tests.Subjects = nil
	if r.Tested(a) {
		t.Error("tests of other bytes count")
	}
}

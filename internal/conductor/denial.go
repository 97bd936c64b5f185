package conductor

import (
	"fmt"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// maxDenials bounds the different refusals of one run that are kept.
const maxDenials = 500

// denials are the refusals of a run, numbered in the order in which they
// happened: D-<run>-<n>.
type denials struct {
	run *run

	mu   sync.Mutex
	last int
}

func newDenials(r *run) *denials { return &denials{run: r} }

// next gives the number of the next refusal.
func (d *denials) next() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	return d.last
}

// add records a refusal that has its number.
func (d *denials) add(one evidence.Denial) {
	kept := false
	d.run.rec.update(func(e *evidence.Run) {
		if kept = len(e.Denials) < maxDenials; kept {
			e.Denials = append(e.Denials, one)
		}
	})
	if !kept {
		return
	}
	d.run.log(ledger.Entry{Type: ledger.Denial, Stage: one.Stage, Data: digestOfJSON(one), Facts: map[string]string{
		"id": one.ID, "class": one.Class, "rule": string(one.Rule), "zone": one.Zone.String()}})
	d.run.events.emit(Event{Kind: Denied, Stage: one.Stage, Zone: one.Zone, Denial: &one})
}

// blocked records what the sandbox saw and refused.
func (d *denials) blocked(s *pipeline.Stage, seen []sandbox.Blocked) {
	for _, b := range seen {
		one := evidence.Denial{
			ID: fmt.Sprintf("D-%s-%d", d.run.rec.run.ID, d.next()), Class: b.What, Stage: s.Name, Zone: s.Zone, Process: harmless([]byte(b.Process)),
			Target: harmless([]byte(b.Target)), Rule: boundary.SP3, Why: s.Zone.String() + " does not have it", Time: d.run.now(), Count: b.Count,
		}
		if b.What == "connect" {
			one.Class, one.Why = "net", s.Zone.String()+" has no network"
			one.Do = "make what it fetches a dependency that the lockfile names: then fetch brings it, by digest"
			if s.Zone == boundary.Test {
				one.Do = "sallyport run --without " + s.Name + "   # recorded; or skip the tests that need the network when CI is set"
			}
		}
		if s.Line > 0 {
			one.Where = fmt.Sprintf("%s:%d", pipeline.FileName, s.Line)
		}
		d.add(one)
	}
}

// judge says of the refusals of a stage whether they caused its end. A refusal
// in a stage that failed is likely to be the cause, and no more than that can
// be told from here; in one that went on it was not.
func (d *denials) judge(stage, failure string) {
	d.run.rec.update(func(e *evidence.Run) {
		for i := range e.Denials {
			one := &e.Denials[i]
			if one.Stage != stage || one.Verdict != "" {
				continue
			}
			one.Verdict = "not the cause of a failure: the stage went on and ended well"
			if failure != "" {
				one.Verdict = fmt.Sprintf("likely the cause: %.1f s later the stage ended: %s", d.run.now().Sub(one.Time).Seconds(), failure)
			}
		}
	})
}

// served adds what a stage was given to the run's materials.
func (r *run) served(stage string, res *result) {
	if len(res.Served) == 0 {
		return
	}
	r.rec.update(func(e *evidence.Run) {
		for _, m := range res.Served {
			known := slices.ContainsFunc(e.Served, func(o evidence.Material) bool { return o.Kind == m.Kind && o.PURL == m.PURL })
			if !known {
				e.Served = append(e.Served, m)
			}
		}
	})
	r.log(ledger.Entry{Type: ledger.Materials, Stage: stage, Subjects: []digest.Digest{r.plan.allow.Digest()}, Data: digestOfJSON(res.Served),
		Facts: map[string]string{"served": fmt.Sprint(len(res.Served)), "planned": fmt.Sprint(len(r.plan.allow.Materials()))}})
}

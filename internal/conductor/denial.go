package conductor

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/joblog"
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

// add records a refusal that has its number, with the rule that boundary.Decide
// gives for what was tried.
func (d *denials) add(one evidence.Denial) {
	if one.Tried == (boundary.Attempt{}) {
		one.Tried = boundary.Attempt{Class: boundary.Class(one.Class), Zone: one.Zone, Stage: one.Stage, Target: one.Target}
	}
	no := boundary.Refuse(one.Tried, d.run.exceptions(), one.Time)
	one.Rule, one.Why, one.Do = no.Rule, cmp.Or(one.Why, no.Why), cmp.Or(one.Do, no.Remedy(one.ID))
	kept := false
	d.run.rec.update(func(e *evidence.Run) {
		if kept = len(e.Denials) < maxDenials; kept {
			e.Denials = append(e.Denials, one)
		}
	})
	if !kept {
		return
	}
	// The attempt is bound, so that the log can be replayed: the run's record has
	// it, and Decide gives the rule again.
	d.run.log(ledger.Entry{Type: ledger.Denial, Stage: one.Stage, Data: digestOfJSON(one.Tried), Facts: map[string]string{
		"id": one.ID, "class": one.Class, "rule": string(one.Rule), "zone": one.Zone.String()}})
	d.run.events.emit(Event{Kind: Denied, Stage: one.Stage, Zone: one.Zone, Denial: &one})
}

// blocked records what the sandbox saw and refused.
func (d *denials) blocked(s *pipeline.Stage, seen []sandbox.Blocked) {
	for _, b := range seen {
		one := evidence.Denial{
			ID: d.id(), Class: b.What, Stage: s.Name, Zone: s.Zone, Process: chain(b.Process), Target: harmless([]byte(b.Target)),
			Package: harmless([]byte(b.Package)), Where: whereOf(s), Time: b.Time, Count: b.Count,
		}
		if one.Time.IsZero() {
			one.Time = d.run.now()
		}
		if b.Net() {
			one.Class = "net"
		}
		d.add(one)
	}
}

// limit records the limit at which a stage was ended.
func (d *denials) limit(s *pipeline.Stage, ended sandbox.Result) {
	if ended.Limit == "" {
		return
	}
	d.add(evidence.Denial{
		ID: d.id(), Class: "limit", Stage: s.Name, Zone: s.Zone, Target: limitText(ended.Limit, ended.Bound), Where: whereOf(s),
		Tried:   boundary.Attempt{Class: boundary.ClassLimit, Zone: s.Zone, Stage: s.Name, Target: ended.Limit, Amount: ended.Bound},
		Verdict: "the cause: the stage was ended at this limit", Time: d.run.now(), Count: 1,
	})
}

// limitText names a limit and its value.
func limitText(name string, bound int64) string {
	switch name {
	case "time":
		return name + ", " + time.Duration(bound).String()
	case "pids":
		return fmt.Sprintf("%s, %d processes", name, bound)
	}
	return fmt.Sprintf("%s, %d MiB", name, bound>>20)
}

func (d *denials) id() string { return fmt.Sprintf("D-%s-%d", d.run.rec.run.ID, d.next()) }

func whereOf(s *pipeline.Stage) string {
	if s.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", pipeline.FileName, s.Line)
}

// chain is a process and its parents without the shell of ours at its head.
func chain(process string) string {
	if rest, ok := strings.CutPrefix(process, "/bin/sh -c "); ok && strings.HasPrefix(rest, script[:10]) || strings.HasPrefix(rest, "umask ") {
		if _, after, ok := strings.Cut(process, " > "); ok {
			process = after
		}
	}
	return harmless([]byte(process))
}

// heard records what the programs of a stage say that they could not have: a
// package that they were told not to fetch, a file of the host. The sandbox does
// not see these. What a stage prints is a hint for people and changes nothing.
func (d *denials) heard(s *pipeline.Stage, tail []string) {
	said := map[joblog.Wish]bool{}
	for _, line := range tail {
		w, ok := joblog.WishOf(line)
		if !ok || said[w] || w.Kind == joblog.WishPackage && s.Zone == boundary.Fetch || w.Kind == joblog.WishFile && !onHost(w.Target) {
			continue
		}
		said[w] = true
		one := evidence.Denial{ID: d.id(), Class: "file", Stage: s.Name, Zone: s.Zone, Target: harmless([]byte(w.Target)), Where: whereOf(s), Time: d.run.now(), Count: 1}
		if w.Kind == joblog.WishPackage {
			one.Class, one.Package = "package", one.Target
		}
		d.add(one)
	}
}

// onHost tells whether the host has a file of that name, which the zone has not.
func onHost(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
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
				one.Verdict = causeOf(d.run.now().Sub(one.Time), failure)
			}
		}
	})
}

// soon is how long after a refusal a stage ends that could not do without.
const soon = 3 * time.Second

// causeOf says whether a refusal made a stage fail, as far as the time between
// the two can tell.
func causeOf(after time.Duration, failure string) string {
	if after > soon {
		return fmt.Sprintf("may be the cause: the stage went on for %s, and ended: %s", after.Round(time.Second), failure)
	}
	return fmt.Sprintf("likely the cause: %.1f s later the stage ended: %s", max(0, after.Seconds()), failure)
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

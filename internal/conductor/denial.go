package conductor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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
	d.run.log(ledger.Entry{Type: ledger.Denial, Stage: one.Stage, Data: digestOfJSON(one), Facts: map[string]string{
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

// offline records what package managers say that they would have fetched. They
// are told to be offline and do not even try, so the sandbox sees nothing. What
// a stage prints is a hint for people and changes nothing else.
func (d *denials) offline(s *pipeline.Stage, tail []string) {
	if s.Zone == boundary.Fetch {
		return
	}
	for _, line := range tail {
		target, ok := wanted(line)
		if !ok {
			continue
		}
		tried := boundary.Attempt{Class: boundary.ClassPackage, Zone: s.Zone, Stage: s.Name, Target: target}
		d.add(evidence.Denial{
			ID: d.id(), Class: "package", Stage: s.Name, Zone: s.Zone, Target: target, Package: target, Tried: tried,
			Where: whereOf(s), Time: d.run.now(), Count: 1,
		})
		return
	}
}

// wanted finds the package that a line of go or npm says cannot be had.
func wanted(line string) (string, bool) {
	if before, _, ok := strings.Cut(line, ": module lookup disabled by GOPROXY=off"); ok {
		fields := strings.Fields(before)
		if len(fields) == 0 {
			return "", false
		}
		return strings.Trim(fields[len(fields)-1], `":,`), true
	}
	if strings.Contains(line, "ENOTCACHED") || strings.Contains(line, "cache mode is 'only-if-cached'") {
		return "a package that is not in npm's cache", true
	}
	return "", false
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

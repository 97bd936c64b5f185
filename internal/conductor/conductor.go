// Package conductor leads one run through its zones, in order, and records each
// step.
//
// It plans first: the source becomes a tree, the pipeline a boundary.Graph, and
// a graph with a crossing is refused before anything runs. Then each stage gets
// a fresh zone over read-only layers, stages that do not wait for each other at
// the same time; what a stage declared is adopted by digest, everything else is
// thrown away. The last steps are Sallyport's own: second builds, the search
// for secrets, the gate's verdicts, and a Releaser that takes nothing else.
//
// It has no way to a key, executes nothing of the project outside a zone, and
// parses what zones wrote only as data with bounds: JUnit reports, archives to
// compare, logs to show. What it observed is written to runs/<id>/run.json after
// each step, so that a run whose process died is known as failed afterwards.
//
//	runs/42/run.json       the evidence (evidence.Run)
//	runs/42/outcome.json   what came of it (Record)
//	runs/42/logs/build.log the whole output of a stage, made harmless
//	runs/42/running        locked while the run's process lives; gone afterwards
package conductor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/image"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// TrustDomain is the domain of stage identities in local mode.
const TrustDomain = "sallyport.local"

// Conductor is what a run needs. Its fields are set once, before the first Run;
// several runs can go on at the same time.
type Conductor struct {
	Runs    string // directory of run records
	Cache   string // directory for facts that can be found again
	Version string // of Sallyport; part of every memoization key

	Store   *store.Store
	Sandbox sandbox.Sandbox
	Gateway *gateway.Gateway
	Ledger  Ledger
	Scanner Scanner
	Policy  *gate.Policy
	Release Releaser // nil: a run ends with its verdicts

	// StandardFrom is how many modules a project needs for Go's standard library
	// to be compiled once for all stages; zero: a number that pays, negative: never.
	StandardFrom int

	Now func() time.Time // nil: time.Now
}

// Request is one run.
type Request struct {
	Source  string       // directory, git+URL[@REF], or package URL; empty: "."
	Ref     string       // branch, tag or commit
	Require string       // lowest isolation level; empty: full
	Without []string     // stages to leave out
	NoCache bool         // run every stage, whatever is remembered
	NoHoney bool         // zones hold no honey credentials
	Image   *image.Image // whose programs the zones see; nil: the host's
	Limits  sandbox.Limits
	// Learn answers whatever the fetch stages ask for, to find out which exceptions
	// the project would need. Nothing of such a run is released.
	Learn bool
	// Allow are exceptions beside those of the project. Nothing of a run that has
	// any is released: they are on trial.
	Allow  []boundary.Allowance
	Events func(Event) // nil: none; called by one goroutine at a time
}

// Result is how a run ended, in one word.
type Result string

// The results.
const (
	Released Result = "released" // promoted to a release repository
	Verified Result = "verified" // every artifact has its verdict; nothing was to be released
	Pending  Result = "pending"  // waits for approvals
	Refused  Result = "refused"  // a rule or the policy says no
	Failed   Result = "failed"   // a stage, an input or a machine said no
)

// Outcome is what came of a run.
type Outcome struct {
	Result    Result
	Run       *evidence.Run
	Dir       string // of the run's record
	Failure   *Failure
	Decisions []Decision
	Release   *Promoted
}

// run is one run on its way.
type run struct {
	*Conductor
	req    Request
	rec    *record
	events *events

	plan      *plan
	tools     toolchain.Set
	denials   *denials
	outputs   *outputs
	standards standards
	sealed    *evidence.Run // as it is judged and signed; nothing changes it
}

// Run takes a source through all zones. The Outcome is never nil once the run
// has a record, also when it fails: then it says why. The error is for what
// kept it from having one, and for an isolation that is too weak
// (*sandbox.NotIsolated).
func (c *Conductor) Run(ctx context.Context, req Request) (*Outcome, error) {
	if err := Recover(c.Runs); err != nil {
		return nil, err
	}
	level, err := c.level(ctx, req.Require)
	if err != nil {
		return nil, err
	}
	rec, err := newRecord(c.Runs, c.now())
	if err != nil {
		return nil, err
	}
	r := &run{Conductor: c, req: req, rec: rec, events: newEvents(req.Events)}
	if req.Learn || len(req.Allow) > 0 {
		trial := *c
		trial.Release, r.Conductor = nil, &trial
	}
	r.denials = newDenials(r)
	r.outputs = newOutputs()
	r.rec.update(func(e *evidence.Run) { e.Isolation = isolation(c.Sandbox.Name(), level) })
	out := r.lead(ctx)
	return out, rec.close(out)
}

// lead is the run itself; whatever happens is in the Outcome.
func (r *run) lead(ctx context.Context) *Outcome {
	defer r.events.close()
	r.events.emit(Event{Kind: RunStarted, Run: r.rec.run.ID, Text: r.rec.run.Isolation.Level})
	out := &Outcome{Dir: r.rec.dir, Run: r.rec.run}
	err := r.steps(ctx, out)
	if out.Failure = r.failure(ctx, err); out.Failure != nil {
		out.Result = out.Failure.Result
	}
	r.finish(out)
	return out
}

// steps are the steps of a run in their order.
func (r *run) steps(ctx context.Context, out *Outcome) error {
	scratch, err := r.Store.Scratch("run")
	if err != nil {
		return err
	}
	defer store.RemoveTree(scratch)
	defer r.outputs.wait()
	if r.plan, err = r.makePlan(ctx, scratch); err != nil {
		return err
	}
	if err := r.runStages(ctx); err != nil {
		return err
	}
	if err := r.scan(ctx); err != nil {
		return err
	}
	return r.conclude(ctx, out)
}

// level measures the isolation and compares it with what is required.
func (c *Conductor) level(ctx context.Context, require string) (sandbox.Level, error) {
	l := c.Sandbox.Level(ctx)
	rank := map[string]int{sandbox.LevelFull: 2, sandbox.LevelReduced: 1, sandbox.LevelNone: 0}
	if require == "" {
		require = sandbox.LevelFull
	}
	want, ok := rank[require]
	if !ok || want == 0 {
		return l, fmt.Errorf("no isolation level %q: there are %s and %s", require, sandbox.LevelFull, sandbox.LevelReduced)
	}
	if rank[l.Name] < want {
		return l, &sandbox.NotIsolated{Wanted: require, Got: l.Name, Missing: l.Missing}
	}
	return l, nil
}

func isolation(name string, l sandbox.Level) evidence.Isolation {
	i := evidence.Isolation{Sandbox: name, Level: l.Name,
		BuilderID: fmt.Sprintf("https://github.com/sallyport/sallyport/builder/local/%s/%s@v1", name, l.Name)}
	for _, m := range l.Missing {
		i.Missing = append(i.Missing, m.Primitive)
	}
	return i
}

func (c *Conductor) now() time.Time {
	if c.Now != nil {
		return c.Now().UTC()
	}
	return time.Now().UTC()
}

// identity is the SPIFFE ID of a stage.
func (r *run) identity(z boundary.Zone, stage string) string {
	id, err := boundary.SPIFFE(TrustDomain, segment(r.rec.run.Project), z, segment(stage))
	if err != nil {
		return ""
	}
	return id
}

// segment makes one path segment of a SPIFFE ID out of a name.
func segment(name string) string {
	b := []byte(name)
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			b[i] = '_'
		}
	}
	if s := string(b); s != "" && s != "." && s != ".." {
		return s
	}
	return "_"
}

// log appends to the ledger without waiting. A ledger that cannot be written
// ends the run at the next flush.
func (r *run) log(e ledger.Entry) {
	if r.Ledger == nil {
		return
	}
	e.Run, e.Time = r.rec.run.ID, r.now()
	if err := r.Ledger.AppendAsync(e); err != nil {
		r.rec.broken(err)
	}
}

// settled waits until the ledger holds everything that was logged.
func (r *run) settled(ctx context.Context) error {
	if r.Ledger == nil {
		return nil
	}
	err := errors.Join(r.Ledger.Flush(ctx), r.rec.ledgerError())
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func digestOfJSON(v any) digest.Digest {
	b, err := canonical(v)
	if err != nil {
		return digest.Digest{}
	}
	return digest.Of(b)
}

var errNoRecord = errors.New("no such run")

func isMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }

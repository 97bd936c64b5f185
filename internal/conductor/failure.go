package conductor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/source"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// Code is the stable name of a reason why a run did not go through.
type Code string

// The codes. Those of the gateway (gw-checksum ...), of the pipeline (E-YAML ...)
// and of a source are passed on as they are, upper case with E- before them.
const (
	CodeStage       Code = "E-STAGE"        // a command of a stage failed
	CodeLimit       Code = "E-LIMIT"        // a stage reached a limit
	CodeCanary      Code = "E-CANARY"       // a honey credential came out of a stage
	CodeOutput      Code = "E-OUTPUT"       // a stage left something that is not taken
	CodeNoOutput    Code = "E-NO-OUTPUT"    // a stage did not make an artifact that it declares
	CodeCrossing    Code = "E-CROSSING"     // the pipeline has a path from taint to authority
	CodeWithout     Code = "E-WITHOUT"      // --without names no stage, or one that cannot be left out
	CodePolicy      Code = "E-POLICY"       // the gate denied an artifact
	CodeTampered    Code = "E-TAMPERED"     // stored bytes were changed on disk
	CodeDiskFull    Code = "E-DISK-FULL"    // no room left
	CodeNoTool      Code = "E-NO-TOOL"      // the host lacks a toolchain
	CodeNotIsolated Code = "E-NOT-ISOLATED" // a zone would have been too weak
	CodeInterrupted Code = "E-INTERRUPTED"  // stopped from outside
	CodeInternal    Code = "E-INTERNAL"     // our fault, or the machine's
)

// Failure is why a run did not go through.
type Failure struct {
	Code   Code     `json:"code"`
	Result Result   `json:"result"` // refused or failed
	Stage  string   `json:"stage,omitempty"`
	Reason string   `json:"reason"`
	Path   []string `json:"path,omitempty"` // of a crossing, step by step
	Tail   []string `json:"tail,omitempty"` // last lines of the stage's output, made harmless
	Log    string   `json:"log,omitempty"`  // file with the whole output
	Next   string   `json:"next,omitempty"`
	Retry  bool     `json:"retry,omitempty"` // the machine's or the network's fault: the same may go through later
	Err    error    `json:"-"`
}

// stageError is a stage that did not end well.
type stageError struct {
	code  Code
	stage string
	why   string
	tail  []string
	log   string
	err   error
}

func (e *stageError) Error() string { return fmt.Sprintf("stage %s: %s", e.stage, e.why) }
func (e *stageError) Unwrap() error { return e.err }

// crossed refuses a pipeline with crossings.
type crossed struct{ crossings []boundary.Crossing }

func (c *crossed) Error() string {
	return fmt.Sprintf("the pipeline has %d crossings of the boundary; the first: %s, %s", len(c.crossings), c.crossings[0].Rule, c.crossings[0].Text)
}

// denied is an artifact that the gate did not let through.
type denied struct{ artifacts []string }

func (d *denied) Error() string { return "the policy denies " + strings.Join(d.artifacts, ", ") }

// coded is an error with a code of ours.
type coded struct {
	code Code
	next string
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// failure explains an error; nil has none.
func (r *run) failure(ctx context.Context, err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Code: CodeInternal, Result: Failed, Reason: err.Error(), Err: err}
	if e, ok := errors.AsType[*stageError](err); ok {
		f.Stage, f.Code, f.Reason, f.Tail, f.Log = e.stage, e.code, e.Error(), e.tail, e.log
	}
	f.classify(err)
	if ctx.Err() != nil {
		f.Code, f.Reason, f.Next, f.Retry = CodeInterrupted, "interrupted", "run the same again: finished stages are remembered", true
	}
	return f
}

// classify finds the code that belongs to an error of one of the rooms below.
func (f *Failure) classify(err error) {
	if c, ok := errors.AsType[*coded](err); ok {
		f.Code, f.Next = c.code, c.next
	}
	if c, ok := errors.AsType[*crossed](err); ok {
		f.Code, f.Result, f.Path = CodeCrossing, Refused, steps(c.crossings)
	}
	if _, ok := errors.AsType[*denied](err); ok {
		f.Code, f.Result = CodePolicy, Refused
	}
	if m, ok := errors.AsType[*toolchain.Missing](err); ok {
		f.Code, f.Next = CodeNoTool, m.Mend
	}
	if _, ok := errors.AsType[*sandbox.NotIsolated](err); ok {
		f.Code, f.Result, f.Next = CodeNotIsolated, Refused, "sallyport doctor"
	}
	if e, ok := errors.AsType[*source.Error](err); ok {
		f.Code = Code("E-" + strings.ToUpper(strings.ReplaceAll(e.Code, ".", "-")))
		f.Retry = e.Code == "source.fetch"
	}
	if e, ok := errors.AsType[*pipeline.Error](err); ok {
		f.Code, f.Next = Code(e.Code), e.Hint
	}
	f.classifyStore(err)
}

func (f *Failure) classifyStore(err error) {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		f.Code, f.Next = Code("E-"+strings.ToUpper(string(e.Code))), e.Do
		f.Retry = e.Code == fault.UpstreamDown
	}
	if e, ok := errors.AsType[*store.Refused](err); ok {
		f.Code = CodeOutput
		if e.Stage == "" && f.Stage == "" {
			f.Code = "E-SOURCE-REFUSED"
		}
	}
	if errors.Is(err, store.ErrTampered) {
		f.Code, f.Next = CodeTampered, "find out who changed it; then run again: what was changed has been removed"
	}
	if errors.Is(err, store.ErrDiskFull) {
		f.Code, f.Next, f.Retry = CodeDiskFull, "make room, or set --state to another disk", true
	}
}

// steps tells crossings as lines.
func steps(all []boundary.Crossing) []string {
	var out []string
	for _, c := range all[:min(len(all), 10)] {
		out = append(out, fmt.Sprintf("%s: %s", c.Rule, c.Text))
		for _, s := range c.Path {
			out = append(out, fmt.Sprintf("  %s: %s", s.Node, s.Text))
		}
	}
	return out
}

// finish writes the end of a run into its record.
func (r *run) finish(out *Outcome) {
	r.rec.update(func(e *evidence.Run) {
		e.Ended = r.now()
		switch {
		case out.Failure == nil:
			e.State = evidence.Success
		case out.Failure.Result == Refused:
			e.State, e.Reason = evidence.Refused, out.Failure.Reason
		default:
			e.State, e.Reason = evidence.Failed, out.Failure.Reason
		}
	})
}

package conductor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// conclude closes the evidence, asks the gate, and hands verdicts on.
func (r *run) conclude(ctx context.Context, out *Outcome) error {
	r.verifyStages()
	if err := r.settled(ctx); err != nil {
		return err
	}
	if err := r.seal(); err != nil {
		return err
	}
	verdicts, err := r.judge(out)
	if err != nil {
		return err
	}
	return r.release(ctx, out, verdicts)
}

// verifyStages records the verify stages: what they check was done on the way.
func (r *run) verifyStages() {
	for _, s := range r.plan.pipeline.Stages {
		if s.Zone == boundary.Verify {
			j := r.job(s)
			id := r.begin(j, digest.Digest{})
			r.end(j, id, nil, false, nil)
		}
	}
}

// seal ends the evidence and writes it as the verdicts will name it: nothing
// that happens afterwards is part of it.
func (r *run) seal() error {
	r.rec.update(func(e *evidence.Run) { e.State, e.Ended = evidence.Success, r.now() })
	b, err := r.rec.run.Canonical()
	if err != nil {
		return err
	}
	r.sealed = &evidence.Run{}
	if err := json.Unmarshal(b, r.sealed); err != nil {
		return fmt.Errorf("seal evidence: %w", err)
	}
	if again, err := r.sealed.Canonical(); err != nil || !bytes.Equal(b, again) {
		return errors.Join(errors.New("seal evidence: it does not read back as it was written"), err)
	}
	if err := os.WriteFile(filepath.Join(r.rec.dir, "evidence.json"), b, 0o600); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

// judge asks the gate about each artifact. All have to pass.
func (r *run) judge(out *Outcome) ([]gate.Verdict, error) {
	var verdicts []gate.Verdict
	var refused []string
	for _, a := range r.sealed.Artifacts {
		v, err := gate.Decide(r.Policy, r.sealed, a)
		d := Decision{Artifact: a.Name, Digest: a.Digest, Policy: r.Policy.Ref(), Passed: err == nil}
		no, isNo := errors.AsType[*gate.Denied](err)
		switch {
		case isNo:
			d.Denied = no.Rules
			refused = append(refused, a.Name+": "+reasons(no.Rules))
		case err != nil:
			return nil, fmt.Errorf("decide on %s: %w", a.Name, err)
		default:
			d.Warnings, d.Records = v.Warnings(), v.Records()
			verdicts = append(verdicts, v)
		}
		out.Decisions = append(out.Decisions, d)
		r.log(ledger.Entry{Type: ledger.Verdict, Subjects: []digest.Digest{a.Digest}, Data: digestOfJSON(d), Facts: map[string]string{
			"artifact": a.Name, "policy": d.Policy.Name, "passed": fmt.Sprint(d.Passed)}})
	}
	if len(refused) > 0 {
		return nil, &denied{refused}
	}
	return verdicts, nil
}

func reasons(rules []gate.Result) string {
	var out []string
	for _, r := range rules {
		out = append(out, fmt.Sprintf("%s (wanted: %s; got: %s)", r.Rule, r.Wanted, r.Got))
	}
	return strings.Join(out, ", ")
}

// release hands the verdicts to the Releaser, for each release stage whose
// conditions hold.
func (r *run) release(ctx context.Context, out *Outcome, verdicts []gate.Verdict) error {
	out.Result = Verified
	for _, s := range r.plan.pipeline.Stages {
		if s.Zone != boundary.Release {
			continue
		}
		if why := r.unmet(s); why != "" {
			r.skip(s, why)
			continue
		}
		if s.Approve != nil && s.Approve.Count > 0 {
			r.skip(s, fmt.Sprintf("waits for %d approvals by %s", s.Approve.Count, strings.Join(s.Approve.By, ", ")))
			out.Result = Pending
			continue
		}
		if err := r.releaseOne(ctx, out, s, verdicts); err != nil {
			return err
		}
	}
	return r.settled(ctx)
}

func (r *run) releaseOne(ctx context.Context, out *Outcome, s pipeline.Stage, verdicts []gate.Verdict) error {
	j := &job{stage: s}
	id := r.begin(j, digest.Digest{})
	done, err := r.Release.Release(ctx, Release{Run: r.sealed, Verdicts: verdicts, Stage: s, Open: func(d digest.Digest) (io.ReadCloser, error) {
		return r.Store.OpenBlob(d)
	}})
	if err != nil {
		err = fmt.Errorf("stage %s: %w", s.Name, err)
	}
	r.end(j, id, nil, false, err)
	if err == nil {
		out.Result, out.Release = Released, done
	}
	return err
}

func (r *run) skip(s pipeline.Stage, why string) {
	r.rec.stage(evidence.Stage{Name: s.Name, Zone: s.Zone, State: evidence.Skipped, Reason: why})
	r.note("stage " + s.Name + ": " + why)
}

// unmet says which condition of a release stage does not hold.
func (r *run) unmet(s pipeline.Stage) string {
	if r.Release == nil {
		return "there is no releaser"
	}
	if s.When == nil {
		return ""
	}
	ref := r.plan.source.Source.Ref
	for _, c := range []struct{ kind, pattern string }{{"tag", s.When.Tag}, {"branch", s.When.Branch}} {
		if c.pattern == "" {
			continue
		}
		if ok, err := path.Match(c.pattern, ref); err != nil || !ok {
			return fmt.Sprintf("is for a %s like %s, and the source's ref is %q", c.kind, c.pattern, ref)
		}
	}
	return ""
}

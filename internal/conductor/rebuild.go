package conductor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// rebuilt lists for each stage the artifacts that a verify stage wants built a
// second time.
func (r *run) rebuilt() map[string][]string {
	out := map[string][]string{}
	for _, v := range r.plan.pipeline.Stages {
		if v.Zone != boundary.Verify {
			continue
		}
		for _, in := range r.plan.pipeline.Inputs(v.Name) {
			wanted := slices.ContainsFunc(v.Check, func(c pipeline.Check) bool {
				return c.Name == "rebuild" && (c.Arg == "" || c.Arg == in.Artifact)
			})
			if wanted && in.Artifact != "" && !slices.Contains(out[in.Stage], in.Artifact) {
				out[in.Stage] = append(out[in.Stage], in.Artifact)
			}
		}
	}
	return out
}

// rebuild builds a stage again under other conditions and compares. That the
// second build differs, or fails, is evidence and no failure of the run: the
// policy decides. When it fails at another path it is tried at the same one, to
// tell a build that needs its path from one that cannot be repeated.
func (r *run) rebuild(ctx context.Context, s pipeline.Stage, artifacts []string) error {
	first := r.outputs.get(s.Name)
	if sourceOnly(first.Artifacts, artifacts) {
		return r.repack(ctx, s, artifacts)
	}
	v := second()
	res, err := r.again(ctx, s, v)
	if errors.Is(err, errAlarm) {
		return err // whoever steals in the second build alone is a thief, too
	}
	if err != nil && ctx.Err() == nil {
		r.note(fmt.Sprintf("the second build of %s fails at another path: trying the same one", s.Name))
		v.At = ""
		if res, err = r.again(ctx, s, v); errors.Is(err, errAlarm) {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // the run has ended otherwise
	}
	r.compareAll(ctx, first, artifacts, res, err, v.varied())
	return nil
}

// sourceOnly tells whether all wanted artifacts are archives of the project as
// it came in. What the stage runs has no part in those.
func sourceOnly(made []evidence.Artifact, wanted []string) bool {
	return !slices.ContainsFunc(made, func(a evidence.Artifact) bool {
		return slices.Contains(wanted, a.Name) && path.Clean(a.Path) != "."
	})
}

// repack packs the project a second time.
func (r *run) repack(ctx context.Context, s pipeline.Stage, artifacts []string) error {
	res := &result{}
	err := r.takeArtifacts(ctx, r.job(s), res)
	if ctx.Err() == nil {
		r.compareAll(ctx, r.outputs.get(s.Name), artifacts, res, err, []string{"time"})
	}
	return nil
}

// compareAll compares each wanted artifact with its second build, which may have
// failed.
func (r *run) compareAll(ctx context.Context, first *result, artifacts []string, res *result, err error, varied []string) {
	for _, a := range first.Artifacts {
		if !slices.Contains(artifacts, a.Name) {
			continue
		}
		b := evidence.Rebuild{Artifact: a.Name, First: a.Digest, Varied: varied}
		if err == nil {
			err = r.compare(ctx, &b, a, res)
		}
		if err != nil {
			b.Error = err.Error()
		}
		r.rec.update(func(e *evidence.Run) { e.Rebuilds = append(e.Rebuilds, b) })
	}
}

// again runs the stage's commands in a zone that differs from the first one.
func (r *run) again(ctx context.Context, s pipeline.Stage, v variant) (*result, error) {
	j := r.job(s)
	j.variant = v
	j.stage.Name += ".rebuild"
	return r.runStage(ctx, j)
}

func (r *run) compare(ctx context.Context, b *evidence.Rebuild, first evidence.Artifact, res *result) error {
	i := slices.IndexFunc(res.Artifacts, func(a evidence.Artifact) bool { return a.Name == first.Name })
	if i < 0 {
		return fmt.Errorf("the second build made no %s", first.Name)
	}
	b.Second = res.Artifacts[i].Digest
	b.Identical = b.First == b.Second
	if b.Identical {
		return nil
	}
	var err error
	b.Differs, err = r.differing(ctx, first, b.Second)
	return err
}

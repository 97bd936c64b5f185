package conductor

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// runStages runs all stages that run the project's commands, each as soon as
// those it takes from have ended, and the second builds beside them. The first
// failure stops the others.
func (r *run) runStages(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	done := map[string]chan struct{}{}
	for _, s := range r.plan.pipeline.Stages {
		if s.Zone <= boundary.Test {
			done[s.Name] = make(chan struct{})
		}
	}
	again := r.rebuilt()
	for _, s := range r.plan.pipeline.Stages {
		if s.Zone > boundary.Test {
			continue
		}
		g.Go(func() error {
			if !waitFor(ctx, done, s.From) {
				return nil // another stage has failed: this one was never begun
			}
			defer close(done[s.Name])
			return r.oneStage(ctx, s)
		})
		if len(again[s.Name]) > 0 {
			g.Go(func() error {
				if !waitFor(ctx, done, []string{s.Name}) || r.outputs.get(s.Name) == nil {
					return nil
				}
				return r.rebuild(ctx, s, again[s.Name])
			})
		}
	}
	return g.Wait()
}

func waitFor(ctx context.Context, done map[string]chan struct{}, names []string) bool {
	for _, n := range names {
		select {
		case <-done[n]:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// oneStage runs a stage and hands on what it made.
func (r *run) oneStage(ctx context.Context, s pipeline.Stage) error {
	j := r.job(s)
	res, err := r.runStage(ctx, j)
	if res != nil {
		r.served(s.Name, res)
	}
	if err != nil {
		return err
	}
	r.denials.judge(s.Name, "")
	r.outputs.put(s.Name, res)
	r.rec.update(func(e *evidence.Run) {
		e.Artifacts = append(e.Artifacts, res.Artifacts...)
		e.Tests = addTests(e.Tests, res.Tests)
	})
	return nil
}

// job puts the layers of all stages that s takes from over the source, the
// latest on top.
func (r *run) job(s pipeline.Stage) *job {
	j := &job{stage: s}
	before := r.plan.pipeline.Before(s.Name)
	for _, p := range slices.Backward(r.plan.pipeline.Stages) {
		res := r.outputs.get(p.Name)
		if !before[p.Name] || res == nil || res.Layer.IsZero() {
			continue
		}
		j.layers = append(j.layers, res.Layer)
		j.inputs = append(j.inputs, evidence.Layer{From: p.Name, Digest: res.Layer})
	}
	for _, d := range r.plan.base() {
		j.layers = append(j.layers, d)
		j.inputs = append(j.inputs, evidence.Layer{From: pipeline.NodeSource, Path: srcDir, Digest: d})
	}
	return j
}

// addTests makes one record of several test stages.
func addTests(all, one *evidence.Tests) *evidence.Tests {
	if one == nil {
		return all
	}
	if all == nil {
		c := *one
		return &c
	}
	c := *all
	c.Stage += ", " + one.Stage
	c.Passed = c.Passed && one.Passed
	c.Total, c.Failures = c.Total+one.Total, c.Failures+one.Failures
	c.Subjects = slices.DeleteFunc(slices.Clone(c.Subjects), func(d digest.Digest) bool { return !slices.Contains(one.Subjects, d) })
	return &c
}

package conductor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// standardName is the stage that compiles Go's standard library, and its layer.
const standardName = "go-std"

// goCacheDir is where GOCACHE lies below the root of the overlay.
const goCacheDir = "go/build"

// standardTime is the modification time of compiled packages. The go command
// drops what seems unused for days, and copies what it touches: neither happens
// to what seems to be of the future.
//
// BUG: a store that is hashed again, as after a restart of the machine, sets all
// times back. Stages then copy or compile more of the library themselves; what
// they come to is the same.
const standardTime = 4102444800 // 2100-01-01

// standardPays is from how many modules on it pays to compile the whole library
// once: that costs as much as a mid-size project, and a small one uses little of it.
const standardPays = 4

// standards are the standard libraries that a run has compiled, by environment.
type standards struct {
	mu   sync.Mutex
	made map[string]func() (digest.Digest, error)
}

// withStandard puts Go's compiled standard library below what a stage changes,
// so that no stage compiles it again. It was compiled in a zone that held the
// host's toolchain and nothing of a project but the stage's own settings for Go,
// which are part of its key: a pipeline that bends them (GOFLAGS, CC) gets a
// library of its own and reaches no other. A stage comes to the same without it,
// later: what decides over it has its part in the stage's key, and it has none.
func (r *run) withStandard(ctx context.Context, j *job) {
	if j.stage.Name == standardName || !r.compilesGo(&j.stage) {
		return
	}
	d, err := r.standard(ctx, &j.stage)
	if err != nil {
		r.note(fmt.Sprintf("stage %s compiles the standard library itself: %s", j.stage.Name, err))
	}
	if err != nil || d.IsZero() {
		return
	}
	j.std = d
	j.inputs = append(j.inputs, evidence.Layer{From: standardName, Path: goCacheDir, Digest: d})
}

// compilesGo tells whether a stage may compile Go with the host's own toolchain.
func (r *run) compilesGo(s *pipeline.Stage) bool {
	if s.Zone != boundary.Build && s.Zone != boundary.Test || len(r.plan.pipeline.Gateway.Go) == 0 || r.plan.allow.Toolchain() != "" {
		return false
	}
	return slices.ContainsFunc(r.tools.Tools, func(t evidence.Toolchain) bool { return t.Name == "go" })
}

// pays tells whether the project is large enough to compile the library for it.
func (r *run) pays() bool {
	from := r.StandardFrom
	if from == 0 {
		from = standardPays
	}
	modules := 0
	for _, m := range r.plan.allow.Materials() {
		if m.Kind == "go.zip" {
			modules++
		}
	}
	return from > 0 && modules >= from
}

// standard compiles the library once in a run, or recalls it.
func (r *run) standard(ctx context.Context, like *pipeline.Stage) (digest.Digest, error) {
	env := map[string]string{}
	for k, v := range like.Env {
		if strings.HasPrefix(k, "GO") || strings.HasPrefix(k, "CGO_") || k == "CC" {
			env[k] = v
		}
	}
	var key strings.Builder
	for _, k := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&key, "%q=%q ", k, env[k])
	}
	r.standards.mu.Lock()
	if r.standards.made == nil {
		r.standards.made = map[string]func() (digest.Digest, error){}
	}
	compile, ok := r.standards.made[key.String()]
	if !ok {
		compile = sync.OnceValues(func() (digest.Digest, error) { return r.compileStandard(ctx, env) })
		r.standards.made[key.String()] = compile
	}
	r.standards.mu.Unlock()
	return compile()
}

// compileStandard returns no digest where there is no library yet and it does not
// pay to make one.
func (r *run) compileStandard(ctx context.Context, env map[string]string) (digest.Digest, error) {
	j := &job{stage: pipeline.Stage{
		Name: standardName, Zone: boundary.Build, Dir: "..", Env: env, Run: []string{"go build std"},
		Limits: pipeline.Limits{Time: 10 * time.Minute},
	}, hands: []string{goCacheDir}, modified: standardTime}
	if _, err := r.Store.Record(memoKind, r.key(j)); (err != nil || r.req.NoCache) && !r.pays() {
		return digest.Digest{}, nil
	}
	res, err := r.runStage(ctx, j)
	if err != nil {
		return digest.Digest{}, err
	}
	if res.Layer.IsZero() {
		return digest.Digest{}, errors.New("nothing was compiled")
	}
	return res.Layer, nil
}

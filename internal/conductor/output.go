package conductor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// The media types of artifacts.
const (
	mediaFile = "application/octet-stream"
	mediaTar  = "application/x-tar"
	mediaGzip = "application/gzip"
)

// outputs are what the stages of a run have handed on so far.
type outputs struct {
	mu      sync.Mutex
	results map[string]*result

	removing sync.WaitGroup
}

func newOutputs() *outputs { return &outputs{results: map[string]*result{}} }

func (o *outputs) put(stage string, res *result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.results[stage] = res
}

func (o *outputs) get(stage string) *result {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.results[stage]
}

// discard removes what is left of a workspace while the run goes on.
func (o *outputs) discard(ws store.Workspace) {
	o.removing.Go(func() { store.RemoveTree(ws.Dir) }) // what stays is removed when the store is closed
}

func (o *outputs) wait() { o.removing.Wait() }

// collect takes what a stage declared out of its workspace.
func (r *run) collect(ctx context.Context, j *job, ws store.Workspace, res *result) error {
	if j.stage.Zone == boundary.Test {
		return r.collectTests(ctx, j, ws, res)
	}
	if err := r.adopt(ctx, j, ws, res, j.declared()); err != nil {
		return err
	}
	if err := r.sourceKept(ctx, j, ws, res); err != nil {
		return err
	}
	return r.takeArtifacts(ctx, j, res)
}

// maxRewrites bounds the rewritten files that are named.
const maxRewrites = 100

// sourceKept notes which files of the source a stage wrote to, beside what it
// declared: its artifacts are then made of something that nobody reviewed.
// Adopt has taken what was declared out of the workspace before.
func (r *run) sourceKept(ctx context.Context, j *job, ws store.Workspace, res *result) error {
	all, err := r.Store.Rewritten(ctx, ws.Upper, r.plan.tree, srcDir, j.declared())
	if err != nil {
		return err
	}
	res.Rewrites = worstRewrites(all)
	return nil
}

// worstRewrites names some of many: what refuses comes first, so that a stage
// cannot hide one changed file behind a crowd of touched ones.
func worstRewrites(all []store.Rewrite) []evidence.Rewrite {
	touched := func(f store.Rewrite) int {
		if f.How == store.Touched {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b store.Rewrite) int { return touched(a) - touched(b) })
	var out []evidence.Rewrite
	for _, f := range all[:min(len(all), maxRewrites)] {
		out = append(out, evidence.Rewrite{Path: strings.TrimPrefix(f.Path, srcDir+"/"), How: string(f.How)})
	}
	return out
}

// adopt makes a layer of the declared paths. A stage that changed none of them
// adds no layer.
func (r *run) adopt(ctx context.Context, j *job, ws store.Workspace, res *result, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	t, err := r.Store.Adopt(ctx, store.AdoptSpec{
		Stage: j.stage.Name, Upper: ws.Upper, Paths: paths, Box: j.variant.box(), Links: readable(r.tools), Modified: j.modified,
	})
	if err != nil {
		return err
	}
	if t.Entries > 0 {
		res.Layer = t.Digest
	}
	return nil
}

// readable are the places that links in an output may name: they hold the same
// read-only programs in every zone.
func readable(tools toolchain.Set) []string {
	out := []string{"/usr", "/bin", "/sbin", "/lib", "/lib64"}
	for _, m := range tools.Mounts {
		out = append(out, m.Inside)
	}
	return out
}

// stack is what a later stage sees below its own changes.
func (j *job) stack(res *result) []digest.Digest {
	if res.Layer.IsZero() {
		return j.layers
	}
	return append([]digest.Digest{res.Layer}, j.layers...)
}

// takeArtifacts keeps each declared artifact as a blob.
func (r *run) takeArtifacts(ctx context.Context, j *job, res *result) error {
	for _, name := range slices.Sorted(maps.Keys(j.stage.Out)) {
		a, err := r.takeArtifact(ctx, j, res, name, j.stage.Out[name])
		if err != nil {
			return fmt.Errorf("artifact %s: %w", name, err)
		}
		res.Artifacts = append(res.Artifacts, a)
	}
	return nil
}

func (r *run) takeArtifact(ctx context.Context, j *job, res *result, name, where string) (evidence.Artifact, error) {
	a := evidence.Artifact{Name: name, Stage: j.stage.Name, Path: where, MediaType: mediaFile}
	if path.Clean(where) == "." {
		// The project itself, as it came in: no stage can change it.
		a.MediaType = mediaTar
		return a, r.pack(ctx, &a, []digest.Digest{r.plan.tree}, srcDir)
	}
	found, err := r.Store.Merge(ctx, j.stack(res), boxPath(where))
	if err != nil {
		return a, err
	}
	if len(found) == 0 {
		return a, &coded{code: CodeNoOutput, err: fmt.Errorf("stage %s did not make %s", j.stage.Name, where)}
	}
	switch found[0].Kind {
	case store.Dir, store.Opaque:
		a.MediaType = mediaTar
		return a, r.pack(ctx, &a, j.stack(res), boxPath(where))
	case store.Link:
		return a, &store.Refused{Code: "tree.link-out", Stage: j.stage.Name, Path: where, Why: "an artifact is a file or a directory, not a link"}
	}
	if strings.HasSuffix(where, ".tgz") || strings.HasSuffix(where, ".gz") {
		a.MediaType = mediaGzip
	}
	f, err := r.Store.Open(found[0])
	if err != nil {
		return a, err
	}
	defer f.Close()
	a.Digest, a.Size, err = r.Store.PutBlob(f)
	return a, r.tampered(err, found[0].Layer)
}

// pack keeps a directory as one archive.
func (r *run) pack(ctx context.Context, a *evidence.Artifact, layers []digest.Digest, sub string) error {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(r.Store.PackTar(ctx, pw, layers, sub)) }()
	var err error
	a.Digest, a.Size, err = r.Store.PutBlob(pr)
	pr.CloseWithError(err)
	return err
}

// keepLog keeps the log as a blob, for later runs that do not run the stage.
func (r *run) keepLog(f *os.File, res *result) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("keep log: %w", err)
	}
	var err error
	res.Log, _, err = r.Store.PutBlob(f)
	return err
}

// collectTests reads what a test stage reports. Nothing else comes out of it.
func (r *run) collectTests(ctx context.Context, j *job, ws store.Workspace, res *result) error {
	t := &evidence.Tests{Stage: j.stage.Name, Passed: true}
	for _, in := range r.artifactsBefore(j.stage.Name) {
		t.Subjects = append(t.Subjects, in.Digest)
	}
	res.Tests = t
	glob, ok := j.stage.Reports["junit"]
	if !ok {
		return nil
	}
	tree, err := r.Store.Adopt(ctx, store.AdoptSpec{
		Stage: j.stage.Name, Upper: ws.Upper, Paths: []string{boxPath(literal(glob))}, Box: sandbox.Box, Links: readable(r.tools),
	})
	if err != nil {
		return err
	}
	return r.readReports(ctx, tree.Digest, boxPath(glob), t)
}

// literal is the directory part of a pattern that has no wildcard.
func literal(glob string) string {
	dir := path.Dir(glob)
	for strings.ContainsAny(dir, `*?[\`) {
		dir = path.Dir(dir)
	}
	return dir
}

// artifactsBefore are the artifacts of all stages that a stage takes from.
func (r *run) artifactsBefore(stage string) []evidence.Artifact {
	before := r.plan.pipeline.Before(stage)
	var out []evidence.Artifact
	for _, s := range r.plan.pipeline.Stages {
		if res := r.outputs.get(s.Name); before[s.Name] && res != nil {
			out = append(out, res.Artifacts...)
		}
	}
	return out
}

var errReports = errors.New("test reports cannot be read")

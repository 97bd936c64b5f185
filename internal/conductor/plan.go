package conductor

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/source"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// srcDir is where the project is, below the root of the overlay.
const srcDir = "src"

// maxPipelineFile bounds sallyport.yaml and the file of exceptions, in bytes.
const maxPipelineFile = 1 << 20

// plan is what a run is going to do.
type plan struct {
	source   *source.Found
	tree     digest.Digest // of the source
	made     digest.Digest // layer with lockfiles made in this run; zero: none
	pipeline *pipeline.Pipeline
	excepted []boundary.Allowance // all exceptions, also those that have run out
	allow    *gateway.AllowSet
}

// exceptions are those of the project and of the request; none before the
// project has been read.
func (r *run) exceptions() []boundary.Allowance {
	if r.plan == nil {
		return nil
	}
	return r.plan.excepted
}

// base is the stack of layers below every stage, topmost first.
func (p *plan) base() []digest.Digest {
	if p.made.IsZero() {
		return []digest.Digest{p.tree}
	}
	return []digest.Digest{p.made, p.tree}
}

// makePlan turns the request into a checked pipeline and an allow-set.
func (r *run) makePlan(ctx context.Context, scratch string) (*plan, error) {
	p := &plan{}
	if err := r.takeSource(ctx, scratch, p); err != nil {
		return nil, err
	}
	if err := r.takePipeline(ctx, p); err != nil {
		return nil, err
	}
	r.plan = p
	if err := r.checkBoundary(); err != nil {
		return nil, err
	}
	var err error
	if r.tools, err = r.findTools(ctx, p.pipeline.Gateway); err != nil {
		return nil, err
	}
	r.rec.update(func(e *evidence.Run) { e.Toolchains = r.tools.Tools })
	return p, r.planGateway(ctx, scratch)
}

// findTools finds what the project needs on the host, or takes what the image
// has. Then nothing of the host's is shown.
func (r *run) findTools(ctx context.Context, g pipeline.Gateway) (toolchain.Set, error) {
	if i := r.req.Image; i != nil {
		return toolchain.Set{Path: i.Path, Tools: []evidence.Toolchain{i.Toolchain()}}, nil
	}
	return toolchain.Find(ctx, toolchain.Needs{Go: len(g.Go) > 0, Node: len(g.Npm) > 0}, r.Cache)
}

// takeSource brings the source into the store.
func (r *run) takeSource(ctx context.Context, scratch string, p *plan) error {
	dir := filepath.Join(scratch, "source")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("fetch source: %w", err)
	}
	found, err := source.Find(ctx, source.Request{Source: r.req.Source, Ref: r.req.Ref, Scratch: dir, Packages: r.Gateway})
	if err != nil {
		return err
	}
	tree, err := r.Store.Ingest(ctx, found.Path, store.IngestOptions{Prefix: srcDir, Skip: found.Skip})
	if err != nil {
		return err
	}
	for _, s := range slices.Concat(found.Notes, tree.Skipped) {
		r.note("left out of the source: " + s)
	}
	p.source, p.tree = found, tree.Digest
	found.Source.Tree = tree.Digest
	r.rec.update(func(e *evidence.Run) { e.Source = found.Source })
	return nil
}

func (r *run) note(text string) { r.events.emit(Event{Kind: Note, Text: text}) }

// takePipeline reads sallyport.yaml, or detects what the project is.
func (r *run) takePipeline(ctx context.Context, p *plan) error {
	var err error
	if p.pipeline, err = r.loadPipeline(ctx, p); err != nil {
		return err
	}
	for _, f := range p.pipeline.Findings {
		r.note(f)
	}
	if err := without(p.pipeline, r.req.Without); err != nil {
		return err
	}
	if err := r.takeExceptions(ctx, p); err != nil {
		return err
	}
	r.rec.update(func(e *evidence.Run) {
		e.Project, e.Detected, e.Without = p.pipeline.Name, p.pipeline.Detected, r.req.Without
		e.Pipeline = p.pipeline.Digest()
		e.Parameters = r.parameters(p)
		for _, s := range p.pipeline.Stages {
			e.Stages = append(e.Stages, evidence.Stage{Name: s.Name, Zone: s.Zone, State: evidence.Skipped})
		}
	})
	return nil
}

// takeExceptions gives the pipeline what .sallyport/allow.yaml says.
func (r *run) takeExceptions(ctx context.Context, p *plan) error {
	text, found, err := r.sourceFile(ctx, p.tree, pipeline.AllowFile)
	if err != nil {
		return err
	}
	if found {
		if p.excepted, err = pipeline.LoadAllow(pipeline.AllowFile, text); err != nil {
			return err
		}
	}
	p.excepted = append(p.excepted, r.req.Allow...)
	for _, a := range p.excepted {
		if !a.InForce(r.now()) {
			r.note(fmt.Sprintf("%s:%d has run out: %s", pipeline.AllowFile, a.Line, a))
		}
	}
	p.pipeline.Except(p.excepted, r.now())
	return nil
}

func (r *run) loadPipeline(ctx context.Context, p *plan) (*pipeline.Pipeline, error) {
	text, found, err := r.sourceFile(ctx, p.tree, pipeline.FileName)
	if err != nil {
		return nil, err
	}
	if found {
		return pipeline.Load(pipeline.FileName, text)
	}
	root := filepath.Join(r.Store.TreePath(p.tree), srcDir)
	return pipeline.Detect(root, pipeline.Options{Name: projectName(p.source), Package: p.source.Package})
}

// sourceFile reads a file of ours out of the source tree.
func (r *run) sourceFile(ctx context.Context, tree digest.Digest, name string) ([]byte, bool, error) {
	found, err := r.Store.Merge(ctx, []digest.Digest{tree}, srcDir+"/"+name)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	f, err := r.Store.Open(found[0])
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPipelineFile+1))
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	return b, true, nil
}

// projectName is the folder's name, which the copy in the store has lost; of
// other sources the manifests say it.
func projectName(f *source.Found) string {
	if f.Package || f.Source.Commit != "" {
		return ""
	}
	return filepath.Base(f.Path)
}

// parameters enumerates everything from outside that steers a run.
func (r *run) parameters(p *plan) []evidence.Parameter {
	add := func(out []evidence.Parameter, name, value string) []evidence.Parameter {
		if value == "" {
			return out
		}
		return append(out, evidence.Parameter{Name: name, Value: value})
	}
	var out []evidence.Parameter
	out = add(out, "source", p.source.Source.URI)
	out = add(out, "ref", r.req.Ref)
	out = add(out, "policy", r.Policy.Ref().Name)
	out = add(out, "require", r.req.Require)
	out = add(out, "without", strings.Join(r.req.Without, ","))
	if r.req.Image != nil {
		out = add(out, "image", r.req.Image.Ref.PURL())
	}
	if r.req.NoCache {
		out = add(out, "no-cache", "true")
	}
	if r.req.NoHoney {
		out = add(out, "no-honey", "true")
	}
	if r.req.Learn {
		out = add(out, "learn", "true")
	}
	var exceptions []string
	for _, a := range p.excepted {
		if a.InForce(r.now()) {
			exceptions = append(exceptions, a.Terms())
		}
	}
	out = add(out, "exceptions", strings.Join(exceptions, "; "))
	return out
}

// without takes stages out; what took from them takes from where they did.
func without(p *pipeline.Pipeline, names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(p.Stages, func(s pipeline.Stage) bool { return s.Name == name })
		if i < 0 {
			return &coded{code: CodeWithout, next: "sallyport plan", err: fmt.Errorf("no stage %q to leave out", name)}
		}
		gone := p.Stages[i]
		if gone.Zone == boundary.Verify {
			return &coded{code: CodeWithout, err: fmt.Errorf("stage %q cannot be left out: nothing is released without a verdict", name)}
		}
		p.Stages = slices.Delete(p.Stages, i, i+1)
		for k := range p.Stages {
			p.Stages[k].From = inherit(p.Stages[k].From, gone)
		}
	}
	return nil
}

func inherit(from []string, gone pipeline.Stage) []string {
	if !slices.Contains(from, gone.Name) {
		return from
	}
	var out []string
	for _, f := range slices.Concat(from, gone.From) {
		if f != gone.Name && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// checkBoundary refuses a pipeline on which taint meets authority.
func (r *run) checkBoundary() error {
	g := r.plan.pipeline.Graph(TrustDomain)
	crossings := boundary.Check(g)
	facts := map[string]string{"project": r.plan.pipeline.Name, "crossings": fmt.Sprint(len(crossings)), "isolation": r.rec.run.Isolation.Level}
	if r.req.Image != nil {
		facts["image"] = r.req.Image.Manifest.String()
	}
	r.log(ledger.Entry{Type: ledger.Plan, Subjects: []digest.Digest{r.plan.tree}, Data: r.plan.pipeline.Digest(), Facts: facts})
	if len(crossings) > 0 {
		return &crossed{crossings}
	}
	return nil
}

// planGateway turns the lockfiles into the allow-set. Where one is missing it
// is made first, and all are planned again.
func (r *run) planGateway(ctx context.Context, scratch string) error {
	root := filepath.Join(r.Store.TreePath(r.plan.tree), srcDir)
	allow, err := r.Gateway.Plan(ctx, root, r.plan.pipeline.Gateway)
	if err != nil {
		return fmt.Errorf("plan materials: %w", err)
	}
	r.plan.allow = allow
	if r.req.Learn {
		if err := r.Gateway.Widen(ctx, allow); err != nil {
			return err
		}
	}
	if lacking := rootsOf(allow.Unpinned(), r.plan.pipeline.Gateway); len(lacking) > 0 {
		if err := r.makeLockfiles(ctx, lacking); err != nil {
			return err
		}
		root = filepath.Join(scratch, "planned")
		if err := r.Store.Export(ctx, r.plan.base(), srcDir, root); err != nil {
			return err
		}
		if r.plan.allow, err = r.Gateway.PlanMade(ctx, root, r.plan.pipeline.Gateway); err != nil {
			return fmt.Errorf("plan materials from made lockfiles: %w", err)
		}
	}
	r.rec.update(func(e *evidence.Run) { e.Planned = r.plan.allow.Materials() })
	return nil
}

func under(dir, name string) string { return path.Join(srcDir, dir, name) }

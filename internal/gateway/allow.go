package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/golang"
	"github.com/sallyport/sallyport/internal/gateway/intake"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/record"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// AllowSet is what a zone may ask for. The zero value allows nothing.
type AllowSet struct {
	goPlan    *golang.Plan
	npmPlan   *npm.Plan
	gos       *golang.Service // who planned it also serves it; nil: no such source
	npm       *npm.Service
	materials []evidence.Material
	digest    digest.Digest
}

// Plan reads the lockfiles that the pipeline's gateway names, below root. It
// contacts no upstream. Lockfiles are hostile: an entry that points elsewhere,
// or a lockfile that disagrees with its manifest, is an error that names it.
func (g *Gateway) Plan(ctx context.Context, root string, from pipeline.Gateway) (*AllowSet, error) {
	return g.plan(ctx, root, from, evidence.PinLockfile)
}

// PlanMade is Plan for lockfiles that were made in this run by a zone: what they
// name is allowed and recorded as made, not as pinned.
func (g *Gateway) PlanMade(ctx context.Context, root string, from pipeline.Gateway) (*AllowSet, error) {
	return g.plan(ctx, root, from, evidence.PinMade)
}

func (g *Gateway) plan(ctx context.Context, root string, from pipeline.Gateway, pin evidence.Pin) (*AllowSet, error) {
	tree, err := intake.Open(root)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	set := &AllowSet{goPlan: golang.NewPlan(), npmPlan: npm.NewPlan()}
	for _, src := range from.Go {
		s, err := g.goService(ctx)
		if err != nil {
			return nil, err
		}
		set.gos = s
		if err := set.goPlan.Read(tree, src, pin, s.Config()); err != nil {
			return nil, err
		}
	}
	for _, src := range from.Npm {
		s, err := g.npmService(ctx)
		if err != nil {
			return nil, err
		}
		set.npm = s
		if err := set.npmPlan.Read(tree, src, pin, s.Config()); err != nil {
			return nil, err
		}
	}
	for _, a := range from.Allow {
		if err := g.except(ctx, set, a); err != nil {
			return nil, err
		}
	}
	if err := set.screen(); err != nil {
		return nil, err
	}
	return set, set.seal()
}

// screen refuses a set that names known malware, whoever named it.
func (a *AllowSet) screen() error {
	if a.gos != nil {
		if err := a.goPlan.Screen(a.gos.Known()); err != nil {
			return err
		}
	}
	if a.npm != nil {
		return a.npmPlan.Screen(a.npm.Known())
	}
	return nil
}

// except adds a package that an exception names.
func (g *Gateway) except(ctx context.Context, set *AllowSet, a boundary.Allowance) error {
	if strings.HasPrefix(a.Package, "pkg:npm/") {
		s, err := g.npmService(ctx)
		if err != nil {
			return err
		}
		set.npm = s
		return set.npmPlan.Allow(a, pipeline.AllowFile, s.Config())
	}
	s, err := g.goService(ctx)
	if err != nil {
		return err
	}
	set.gos = s
	return set.goPlan.Allow(a, pipeline.AllowFile, s.Config())
}

// Widen opens the set's ecosystems that the project has no lockfile for, to a
// session that learns what a command asks for.
func (g *Gateway) Widen(ctx context.Context, set *AllowSet) error {
	var err error
	if set.gos == nil && g.o.Upstreams.Go != nil {
		if set.gos, err = g.goService(ctx); err != nil {
			return err
		}
	}
	if set.npm == nil && g.o.Upstreams.Npm != nil {
		set.npm, err = g.npmService(ctx)
	}
	return err
}

// Promise fetches the package that an exception is to name, through the same
// rules as any other, and returns the exception with version and checksum. A
// package URL without a version means the newest version that the rules let
// through.
func (g *Gateway) Promise(ctx context.Context, set *AllowSet, a boundary.Allowance) (boundary.Allowance, error) {
	var err error
	if name, version, ok := npm.SplitPurl(a.Package); ok {
		s, err := g.npmService(ctx)
		if err != nil {
			return a, err
		}
		a.Package, a.Sum, err = s.Promise(ctx, set.npmPlan, name, version)
		return a, err
	}
	path, version, ok := golang.SplitPurl(a.Package)
	if !ok {
		return a, fault.New(fault.Purl, fmt.Sprintf("%q is no package of an ecosystem that exceptions know", fault.Clean(a.Package)))
	}
	s, err := g.goService(ctx)
	if err != nil {
		return a, err
	}
	a.Package, a.Sum, err = s.Promise(ctx, set.goPlan, path, version)
	return a, err
}

// seal fixes the list and its digest.
func (a *AllowSet) seal() error {
	a.materials = append(a.goPlan.Materials(), a.npmPlan.Materials()...)
	record.Sort(a.materials)
	b, err := json.Marshal(a.materials)
	if err != nil {
		return fault.Wrap(fault.Store, "digest of the allow-set", err)
	}
	a.digest = digest.Of(b)
	return nil
}

// Materials lists the members, sorted.
func (a *AllowSet) Materials() []evidence.Material {
	if a == nil {
		return nil
	}
	return a.materials
}

// Digest names the allow-set: the SHA-256 of its materials' JSON.
func (a *AllowSet) Digest() digest.Digest {
	if a == nil {
		return digest.Digest{}
	}
	return a.digest
}

// Unpinned lists the manifests that need packages and have no lockfile, relative
// to the root: a session that resolves has to make one first.
func (a *AllowSet) Unpinned() []string {
	if a == nil || a.goPlan == nil {
		return nil
	}
	return append(append([]string(nil), a.goPlan.Unpinned...), a.npmPlan.Unpinned...)
}

// Toolchain is the Go release that the project asks for beyond the host's, such
// as go1.27.1, or empty. It is a member of the set.
func (a *AllowSet) Toolchain() string {
	if a == nil || a.goPlan == nil {
		return ""
	}
	return a.goPlan.Toolchain
}

// Overrides are files of the project, by path from its root, that a fetching
// zone has to see in place of the project's own: an .npmrc that names another
// registry would lead npm past the gateway.
func (a *AllowSet) Overrides() map[string][]byte {
	if a == nil || a.npmPlan == nil {
		return nil
	}
	return a.npmPlan.Overrides()
}

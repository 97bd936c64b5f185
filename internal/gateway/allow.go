package gateway

import (
	"context"
	"encoding/json"

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
		if err := set.goPlan.Screen(s.Known()); err != nil {
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
		if err := set.npmPlan.Screen(s.Known()); err != nil {
			return nil, err
		}
	}
	return set, set.seal()
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

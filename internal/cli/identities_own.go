package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// kindWorkload is the kind of an identity of our own stages.
const kindWorkload = "spiffe"

// identitiesOfPipeline are those that sallyport.yaml gives to its stages: one
// for each, and the credentials that a stage is given.
func identitiesOfPipeline(raw []byte, repository string) ([]audit.Identity, error) {
	p, err := pipeline.Load(pipeline.FileName, raw)
	if err != nil {
		return nil, err
	}
	by := map[string]*audit.Identity{}
	g := p.Graph(conductor.TrustDomain)
	reach := boundary.Spread(g)
	for _, n := range g.Nodes {
		if n.Identity == "" {
			continue
		}
		for _, h := range n.Holds {
			id := cmp.Or(h.Identity, n.Identity)
			i := identityAt(by, id, n, repository)
			if h.Authority != boundary.ProjectCode() {
				i.Can = append(i.Can, string(h.Authority.Verb))
			}
			i.Exposed = i.Exposed || h.Authority.Release() && reach.Runs(n.ID)
		}
		identityAt(by, n.Identity, n, repository)
	}
	return sortedIdentities(by), nil
}

func identityAt(by map[string]*audit.Identity, id string, n boundary.Node, repository string) *audit.Identity {
	i := by[id]
	if i == nil {
		i = &audit.Identity{ID: id, Kind: kindWorkload, Zone: n.Zone.String(), Repository: repository, Can: []string{}, Used: []string{}}
		if boundary.CheckSPIFFE(id) != nil {
			i.Kind = "credential"
		}
		by[id] = i
	}
	use := audit.Use{File: pipeline.FileName, Line: n.Where.Line, Job: n.ID, How: "identity of the stage"}
	if !slices.Contains(i.Where, use) {
		i.Where = append(i.Where, use)
	}
	return i
}

// runIdentities are the identities that a run had, and what the log says that
// each did.
func (a *app) runIdentities(ctx context.Context, run string) ([]audit.Identity, error) {
	log, err := a.readLog()
	if err != nil {
		return nil, err
	}
	by := map[string]*audit.Identity{}
	stages := map[string]string{} // stage -> identity
	found := false
	for rec, err := range log.Entries(ctx, ledger.Filter{Run: run}) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		found = true
		takeEntry(by, stages, rec)
	}
	if !found {
		return nil, &problem{Code: codeNoRun, Exit: exitUsage, What: "the log has nothing of run " + run, Next: "sallyport runs"}
	}
	return sortedIdentities(by), nil
}

// takeEntry reads one entry of a run. What a stage can do follows from its zone;
// what it did, from the entries that name it.
func takeEntry(by map[string]*audit.Identity, stages map[string]string, rec ledger.Record) {
	e := rec.Entry
	if e == nil {
		return
	}
	id := e.Identity
	if id == "" {
		id = stages[e.Stage]
	}
	if id == "" {
		return
	}
	i := by[id]
	if i == nil {
		i = &audit.Identity{ID: id, Kind: kindWorkload, Zone: e.Facts["zone"], Can: []string{}, Used: []string{}}
		by[id] = i
	}
	switch e.Type {
	case ledger.IdentityBegun:
		stages[e.Stage], i.Zone = id, e.Facts["zone"]
		i.Where = append(i.Where, audit.Use{File: "log", Line: int(rec.Index), Job: e.Stage, How: "begun"})
		if i.Zone == boundary.Fetch.String() {
			i.Can = append(i.Can, string(boundary.VerbFetch))
		}
	case ledger.Materials:
		i.Used = append(i.Used, string(boundary.VerbFetch))
	case ledger.Signature:
		i.Zone = boundary.Release.String()
		i.Can, i.Used = append(i.Can, string(boundary.VerbSign)), append(i.Used, string(boundary.VerbSign))
		i.Where = append(i.Where, audit.Use{File: "log", Line: int(rec.Index), Job: "release", How: "signed with the " + e.Facts["key"] + " key"})
	}
}

func sortedIdentities(by map[string]*audit.Identity) []audit.Identity {
	out := make([]audit.Identity, 0, len(by))
	for _, i := range by {
		slices.Sort(i.Can)
		slices.Sort(i.Used)
		i.Can, i.Used = slices.Compact(i.Can), slices.Compact(i.Used)
		out = append(out, *i)
	}
	slices.SortFunc(out, func(a, b audit.Identity) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

package conductor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/store"
)

// scanKind is the kind of the store's records that say that bytes were clean.
const scanKind = "clean"

// scan looks for secrets and canaries in everything that leaves the zones:
// artifacts and logs. The project as it came in leaves no zone.
func (r *run) scan(ctx context.Context) error {
	var all secrets.Report
	for _, a := range r.rec.run.Artifacts {
		if path.Clean(a.Path) == "." {
			continue
		}
		if err := r.scanBlob(ctx, &all, "artifact "+a.Name, a.Digest, r.Scanner.Reader); err != nil {
			return err
		}
	}
	for _, s := range r.rec.run.Stages {
		if s.Log.IsZero() {
			continue
		}
		if err := r.scanBlob(ctx, &all, "log of "+s.Name, s.Log, r.Scanner.Log); err != nil {
			return err
		}
	}
	fresh, known, err := r.split(ctx, all.Findings)
	if err != nil {
		return err
	}
	for _, i := range all.Incomplete {
		r.note("not searched for secrets to the end: " + i)
	}
	r.rec.update(func(e *evidence.Run) {
		e.Secrets, e.SecretsKnown, e.SecretsRun = fresh, known, len(all.Incomplete) == 0
	})
	return nil
}

type scanFunc func(ctx context.Context, where string, r io.Reader) (secrets.Report, error)

// scanBlob scans a blob unless the same version found it clean before.
func (r *run) scanBlob(ctx context.Context, all *secrets.Report, where string, d digest.Digest, scan scanFunc) error {
	key := digest.OfString(r.Version + "\x00" + strings.Fields(where)[0] + "\x00" + d.String())
	if _, err := r.Store.Record(scanKind, key); err == nil && !r.req.NoCache {
		return nil
	}
	f, err := r.Store.OpenBlob(d)
	if err != nil {
		return r.tampered(err)
	}
	defer f.Close()
	rep, err := scan(ctx, where, f)
	if err != nil {
		return err
	}
	all.Merge(rep)
	if !rep.Clean() {
		return nil
	}
	err = r.Store.PutRecord(scanKind, key, []byte("{}"))
	if errors.Is(err, store.ErrDiskFull) {
		return err
	}
	return nil
}

// split tells findings whose text is in the source or in a fetched material
// from those that came up in this run. A canary, or a secret that the controller
// knows, is never excused: it must not be anywhere.
func (r *run) split(ctx context.Context, found []evidence.Finding) (fresh, known []evidence.Finding, err error) {
	if len(found) == 0 {
		return nil, nil, nil
	}
	public, err := r.public(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range found {
		if slices.Contains(public, f.Rule+" "+f.Print) && !strings.Contains(f.Rule, ":") {
			known = append(known, f)
			continue
		}
		fresh = append(fresh, f)
	}
	return fresh, known, nil
}

// public lists what a scan finds in the source and in what fetch handed on.
func (r *run) public(ctx context.Context) ([]string, error) {
	trees := []digest.Digest{r.plan.tree}
	for _, s := range r.plan.pipeline.Stages {
		if res := r.outputs.get(s.Name); s.Zone == boundary.Fetch && res != nil && !res.Layer.IsZero() {
			trees = append(trees, res.Layer)
		}
	}
	var out []string
	for _, t := range trees {
		rep, err := r.Scanner.Tree(ctx, "inputs", r.Store.TreePath(t))
		if err != nil {
			return nil, fmt.Errorf("search the inputs for what was found: %w", err)
		}
		for _, f := range rep.Findings {
			out = append(out, f.Rule+" "+f.Print)
		}
	}
	return out, nil
}

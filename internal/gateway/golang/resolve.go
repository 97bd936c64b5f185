package golang

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// reach is what a zone that makes a lockfile may ask for: the paths that the
// project requires and, transitively, those that served go.mod files require.
// A name made up inside the zone is not among them.
type reach struct {
	any   bool // made up or not, what a command asks for is only noted
	mu    sync.Mutex
	paths map[string]bool
}

// maxReach bounds the paths of one session.
const maxReach = 50_000

func newReach(p *Plan) *reach {
	r := &reach{paths: map[string]bool{}}
	for path := range p.roots {
		r.paths[path] = true
	}
	for path := range p.versions {
		r.paths[path] = true
	}
	return r
}

func (r *reach) has(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.any || r.paths[path]
}

// member makes a module of a reachable version: its checksums come from the
// checksum database.
func (r *reach) member(v module.Version) *Module {
	if !r.has(v.Path) || module.Check(v.Path, v.Version) != nil || module.CanonicalVersion(v.Version) != v.Version {
		return nil
	}
	return &Module{Version: v, Zip: true, Pin: evidence.PinMade, ModPin: evidence.PinMade}
}

// learn adds what a served go.mod requires.
func (r *reach) learn(_ module.Version, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return // nothing learned, so what it requires is refused
	}
	f, err := modfile.ParseLax("go.mod", b, nil)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range f.Require {
		if len(r.paths) < maxReach {
			r.paths[q.Mod.Path] = true
		}
	}
}

// resolveQuery passes a version question about a reachable module on.
func (v *View) resolveQuery(w http.ResponseWriter, r *http.Request, t target, have []string) {
	if !v.resolve.has(t.Path) {
		v.outside(w, t)
		return
	}
	versions, err := v.s.list(r.Context(), t.Path)
	if err != nil {
		v.failed(w, r, &Module{Version: t.Version}, err)
		return
	}
	versions = append(versions, have...)
	slices.SortFunc(versions, compareVersions)
	versions = slices.Compact(versions)
	if t.what == "list" {
		text(w, http.StatusOK, list(versions))
		return
	}
	newest := newestRelease(versions)
	if newest == "" {
		text(w, http.StatusNotFound, "not found: the proxy lists no version of "+t.Path+"\n")
		return
	}
	writeInfo(w, newest, time.Time{})
}

// newestRelease prefers releases to pre-releases, as the go command does. It
// stands in for @latest, which not every proxy answers.
func newestRelease(sorted []string) string {
	for _, v := range slices.Backward(sorted) {
		if !strings.Contains(v, "-") {
			return v
		}
	}
	if len(sorted) > 0 {
		return sorted[len(sorted)-1]
	}
	return ""
}

func (v *View) resolveInfo(w http.ResponseWriter, r *http.Request, t target) {
	m := v.resolve.member(t.Version)
	if m == nil {
		v.outside(w, t)
		return
	}
	in, err := v.s.info(r.Context(), t.Version)
	if err != nil {
		v.failed(w, r, m, err)
		return
	}
	writeInfo(w, in.Version, in.Time)
}

// list asks a proxy which versions it has.
func (s *Service) list(ctx context.Context, path string) ([]string, error) {
	ep, err := module.EscapePath(path)
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "module path", err)
	}
	var out []string
	_, err = s.ask(path, func(site upstream.Site) error {
		b, err := s.client.Read(ctx, upstream.Request{Site: site, Path: ep + "/@v/list", Limit: 4 << 20})
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 0 && module.Check(path, f[0]) == nil {
				out = append(out, f[0])
			}
		}
		return nil
	})
	return out, err
}

package conductor

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// root is one module or package for which a lockfile has to be made.
type root struct {
	dir     string // relative to the project
	command string
	writes  []string // files in dir that the command makes
	lock    string   // the one that is the lockfile
}

// rootsOf tells for manifests that have no lockfile how one is made. Where
// development dependencies are left out, they are not asked for either: npm
// resolves what the manifest names, whatever is omitted.
func rootsOf(manifests []string, g pipeline.Gateway) []root {
	var out []root
	for _, m := range manifests {
		dir := path.Dir(m)
		if path.Base(m) == "package.json" {
			command := "npm install --package-lock-only --ignore-scripts --no-audit --no-fund"
			if omitsDev(g, dir) {
				command = "npm pkg delete devDependencies && " + command
			}
			out = append(out, root{dir, command, []string{"package-lock.json"}, "package-lock.json"})
			continue
		}
		out = append(out, root{dir, "go mod tidy", []string{"go.mod", "go.sum"}, "go.sum"})
	}
	return out
}

func omitsDev(g pipeline.Gateway, dir string) bool {
	return slices.ContainsFunc(g.Npm, func(s pipeline.NpmSource) bool { return path.Clean(s.Dir) == dir && s.OmitDev })
}

// lockStage is the stage that makes lockfiles. It is a fetch stage like others,
// but its session answers questions about names that nothing names yet.
const lockStage = "lock"

// makeLockfiles has lockfiles made in a fetch zone. What the zone wrote is the
// answer of a stranger: it becomes a layer, is planned from like any lockfile,
// and what it names is recorded as unpinned.
func (r *run) makeLockfiles(ctx context.Context, lacking []root) error {
	s := pipeline.Stage{Name: lockStage, Zone: boundary.Fetch}
	for _, l := range lacking {
		s.Run = append(s.Run, "cd "+quote(path.Join(".", l.dir))+" && "+l.command)
		for _, w := range l.writes {
			s.Keep = append(s.Keep, path.Join(l.dir, w))
		}
	}
	r.rec.update(func(e *evidence.Run) {
		e.Stages = append([]evidence.Stage{{Name: lockStage, Zone: s.Zone, State: evidence.Skipped}}, e.Stages...)
	})
	j := r.job(s)
	j.resolve = true
	res, err := r.runStage(ctx, j)
	if err != nil {
		return err
	}
	r.plan.made = res.Layer
	return r.useMade(ctx, lacking)
}

// useMade enters the made lockfiles into the plan. A root whose command made
// none needs none: it has no dependencies.
func (r *run) useMade(ctx context.Context, lacking []root) error {
	var unpinned []string
	for _, l := range lacking {
		found, err := r.Store.Merge(ctx, []digest.Digest{r.plan.made}, under(l.dir, l.lock))
		if err != nil {
			return fmt.Errorf("made lockfile: %w", err)
		}
		if len(found) == 0 {
			continue
		}
		name := path.Join(l.dir, l.lock)
		unpinned = append(unpinned, name)
		g := &r.plan.pipeline.Gateway
		for i := range g.Go {
			if g.Go[i].Lockfile == "" && g.Go[i].Dir == l.dir && l.lock == "go.sum" {
				g.Go[i].Lockfile = name
			}
		}
		for i := range g.Npm {
			if g.Npm[i].Lockfile == "" && g.Npm[i].Dir == l.dir && l.lock != "go.sum" {
				g.Npm[i].Lockfile = name
			}
		}
	}
	r.rec.update(func(e *evidence.Run) { e.Unpinned = unpinned })
	for _, u := range unpinned {
		r.note(u + " was made in this run: its versions are not pinned by the project")
	}
	return nil
}

// quote makes one word of a text for sh.
func quote(s string) string {
	b := []byte{'\''}
	for i := range len(s) {
		if s[i] == '\'' {
			b = append(b, `'\''`...)
			continue
		}
		b = append(b, s[i])
	}
	return string(append(b, '\''))
}

package pipeline

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// GoModCache is what a stage writes in keep for Go's module cache, which lies
// outside the project.
const GoModCache = "$GOMODCACHE"

// Load reads a pipeline file. The error is an Errors, which holds everything
// that is wrong with it. What Load gives is sound in itself; whether it has a
// crossing is boundary.Check's to say, of its Graph.
func Load(name string, data []byte) (*Pipeline, error) {
	r := newReport(name, data)
	root := parse(r, data)
	if root == nil {
		return nil, r.err()
	}
	var f fileForm
	f.read(r, root)
	if len(r.errs) > 0 {
		// A file whose parts do not fit cannot be judged as a whole: what follows
		// from the misfits would only hide them.
		return nil, r.err()
	}
	l := loader{report: r, form: &f}
	p := l.pipeline()
	if err := r.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// loader turns a form that fits into a Pipeline and reports what it cannot mean.
type loader struct {
	*report
	form *fileForm
}

func (l *loader) pipeline() *Pipeline {
	p := &Pipeline{Name: string(l.form.Name.V.word), Gateway: l.gateway(), Identities: l.identities()}
	for i := range l.form.Stages.rows {
		p.Stages = append(p.Stages, l.stage(&l.form.Stages.rows[i]))
	}
	p.Expect = l.expect()
	if l.few(p) && l.links(p) {
		l.artifacts(p)
		l.conflicts(p)
	}
	return p
}

// maxPaths bounds what all stages together hand on, and with it the work of
// comparing these paths.
const maxPaths = 2000

func (l *loader) few(p *Pipeline) bool {
	n := 0
	for _, s := range p.Stages {
		n += len(s.Keep) + len(s.Out)
	}
	if n > maxPaths {
		l.add("E-PATH", l.form.Stages.at, "keep folders rather than files", "the stages hand on %d paths; at most %d are followed", n, maxPaths)
		return false
	}
	return true
}

func (l *loader) gateway() Gateway {
	var g Gateway
	for _, f := range l.form.Gateway.Npm.items {
		dir, lockfile := l.source(f.Dir, f.Lockfile, f.at, "package-lock.json", "npm-shrinkwrap.json")
		g.Npm = append(g.Npm, NpmSource{Dir: dir, Lockfile: lockfile, OmitDev: f.OmitDev.V.on, MinAge: f.MinAge.V.d, Line: f.at.line,
			Internal: packages(f.Internal), Accept: packages(f.Accept)})
	}
	for _, f := range l.form.Gateway.Go.items {
		dir, lockfile := l.source(f.Dir, f.Lockfile, f.at, "go.sum", "go.work.sum")
		g.Go = append(g.Go, GoSource{Dir: dir, Lockfile: lockfile, MinAge: f.MinAge.V.d, Line: f.at.line})
	}
	return g
}

func packages(l list[aPackage, *aPackage]) []string {
	var out []string
	for _, p := range l.items {
		out = append(out, string(p.V.word))
	}
	return out
}

// source checks one entry of the gateway: a folder, a lockfile, or both.
func (l *loader) source(dir, lockfile aPath, at mark, names ...string) (string, string) {
	if !dir.set && !lockfile.set {
		l.add("E-GATEWAY", at, "write lockfile: "+names[0]+", or dir: for a project that has none yet", "the entry names neither dir nor lockfile")
		return "", ""
	}
	d, file := "", ""
	if dir.set {
		d = l.path(dir)
	}
	if !lockfile.set {
		return d, ""
	}
	file = l.path(lockfile)
	if base := path.Base(file); file != "" && base != names[0] && base != names[1] {
		l.add("E-GATEWAY", lockfile.at, didYouMean(base, names), "%q is not a lockfile that is read here", clip(base))
	}
	if !dir.set {
		d = path.Dir(file)
	}
	return d, file
}

func (l *loader) identities() map[string]Identity {
	if len(l.form.Identities.rows) == 0 {
		return nil
	}
	out := make(map[string]Identity, len(l.form.Identities.rows))
	for _, row := range l.form.Identities.rows {
		out[row.name] = Identity{Audience: string(row.item.Audience.V.word), TTL: row.item.TTL.V.d, Line: row.at.line}
	}
	return out
}

func (l *loader) expect() []Expect {
	var out []Expect
	for _, f := range l.form.Expect.items {
		e := Expect{Zone: f.Zone.V.zone, Line: f.at.line}
		for _, side := range []struct {
			from aPattern
			to   *string
		}{{f.Cannot, &e.Cannot}, {f.Can, &e.Can}} {
			if !side.from.set {
				continue
			}
			*side.to = string(side.from.V.word)
			if _, err := boundary.ParsePattern(*side.to); err != nil {
				l.add("E-EXPECT", side.from.at, "", "%s", err)
			}
		}
		out = append(out, e)
	}
	return out
}

// path checks a path of the project: relative, inside, and written in the one
// way that names it.
func (l *loader) path(v aPath) string {
	s := string(v.V.word)
	if hint, ok := inside(s); !ok {
		l.add("E-PATH", v.at, hint, "%q does not name a place inside the project", clip(s))
		return ""
	}
	return s
}

// inside tells whether s is a clean, relative path that stays inside, and what
// to write if it is not.
func inside(s string) (hint string, ok bool) {
	switch clean := path.Clean(s); {
	case strings.ContainsAny(s, "\\\x00"):
		return "paths are written with /", false
	case path.IsAbs(s) || clean == ".." || strings.HasPrefix(clean, "../"):
		return "paths start at the project's root and stay inside", false
	case strings.HasPrefix(s, "~") || strings.HasPrefix(s, "$"):
		return "nothing is expanded in a path", false
	case clean == ".git" || strings.HasPrefix(clean, ".git/") || strings.Contains(clean, "/.git/") || strings.HasSuffix(clean, "/.git"):
		return "what a stage writes to .git is never handed on", false
	case clean != s:
		return "write " + clean, false
	}
	return "", true
}

package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
)

// repository gives the findings that are about more than one domain.
func repository(defs []ci.Definition, all []*domain) []finding.Finding {
	by := map[*ci.Job]*domain{}
	for _, x := range all {
		for _, j := range x.jobs {
			by[j] = x
		}
	}
	var out []finding.Finding
	out = append(out, handedOver(links(defs), by)...)
	out = append(out, sharedSecrets(all)...)
	return append(out, sharedRunners(all)...)
}

// handedOver is SPA-014 for caches and SPA-015 for what is run: something that
// a tainted job wrote arrives beside a credential.
func handedOver(ls []link, by map[*ci.Job]*domain) []finding.Finding {
	var out []finding.Finding
	seen := map[string]bool{}
	for _, l := range ls {
		w, r := by[l.from.job], by[l.to.job]
		s := l.store()
		id := finding.ID("SPA-015")
		if s.Kind == boundary.KindCache {
			id = "SPA-014"
		}
		if s.ByDigest || id == "SPA-015" && !s.Executed || !w.tainted() {
			continue
		}
		// A job that runs dependencies itself gains nothing from the cache.
		c, ok := r.receives(l.to)
		key := string(id) + r.name() + r.def.File
		if !ok || seen[key] || len(r.some(executes)) > 0 {
			continue
		}
		seen[key] = true
		out = append(out, r.handed(id, l, w, c))
	}
	return out
}

// receives is a credential that what arrives at e can reach.
func (x *domain) receives(e end) (held, bool) {
	here := event{Event: ci.Event{Tier: ci.Executes}, job: e.job, step: e.step}
	for _, c := range x.high() {
		if x.reaches(here, c) {
			return c, true
		}
	}
	return held{}, false
}

func (x *domain) handed(id finding.ID, l link, w *domain, c held) finding.Finding {
	s := l.store()
	f := x.about(id, c)
	f.Line = s.Where.Line
	start := w.some(func(e event) bool { return executes(e) || steered(e) })[0]
	f.Title = fmt.Sprintf("%s %q, which job %s writes, reaches %s", s.Kind, l.name(), w.name(), c.Name)
	f.Untrusted = &finding.Untrusted{File: start.Where.File, Line: start.Where.Line, Text: start.Text, Why: start.Why}
	if s.Prefix || l.from.entry().Prefix {
		f.Confidence = finding.Likely // the rest of the key is an expression
	}
	f.Path = []finding.Step{
		step(start.Where, fmt.Sprintf("%s: %s", clip(start.Text, 120), start.Why)),
		step(l.from.entry().Where, fmt.Sprintf("job %s writes %s %q", w.name(), s.Kind, l.from.entry().Name)),
		step(s.Where, fmt.Sprintf("job %s takes it", l.to.job.ID)),
		step(c.Where, fmt.Sprintf("%s enters by the %s", c.Name, c.Enters)),
	}
	f.Fix = []string{fmt.Sprintf("restore no cache in job %s", l.to.job.ID)}
	if id == "SPA-015" {
		f.Fix = []string{"check the artifact's digest, or its provenance, before it is run", fmt.Sprintf("or run it in a job without %s", c.Name)}
	}
	return f
}

// sharedSecrets is SPA-008: one secret, in a job that runs other people's code
// and in one that does not.
func sharedSecrets(all []*domain) []finding.Finding {
	type use struct {
		x *domain
		c held
	}
	by := map[string][]use{}
	var names []string
	for _, x := range all {
		for _, c := range x.high() {
			if c.Kind == ci.OIDC || c.Kind == ci.Token || c.Scope == ci.Global {
				continue
			}
			if by[c.Name] == nil {
				names = append(names, c.Name)
			}
			by[c.Name] = append(by[c.Name], use{x, c})
		}
	}
	var out []finding.Finding
	for _, name := range names {
		uses := by[name]
		dirty := slices.IndexFunc(uses, func(u use) bool { return u.x.tainted() })
		clean := slices.IndexFunc(uses, func(u use) bool { return !u.x.tainted() })
		if dirty < 0 || clean < 0 {
			continue
		}
		d, k := uses[dirty], uses[clean]
		f := d.x.about("SPA-008", d.c)
		f.Title = fmt.Sprintf("%s is used by job %s, which runs dependencies, and by job %s, which does not", name, d.c.job.ID, k.c.job.ID)
		f.Path = append(f.Path, step(k.c.Where, fmt.Sprintf("job %s holds it too", k.c.job.ID)))
		f.Fix = []string{fmt.Sprintf("give job %s a credential of its own, with less", d.c.job.ID)}
		out = append(out, f)
	}
	return out
}

// sharedRunners is SPA-018: a machine that outlives its jobs runs untrusted
// code and later holds a credential.
func sharedRunners(all []*domain) []finding.Finding {
	dirty := map[string]*domain{}
	for _, x := range all {
		if key := runnerKey(x); key != "" && x.tainted() && dirty[key] == nil {
			dirty[key] = x
		}
	}
	var out []finding.Finding
	for _, x := range all {
		w := dirty[runnerKey(x)]
		if w == nil || w == x || x.tainted() || len(x.high()) == 0 {
			continue
		}
		c := x.high()[0]
		f := x.about("SPA-018", c)
		start := w.some(func(e event) bool { return executes(e) || steered(e) })[0]
		r := x.jobs[0].Runner
		f.Title = fmt.Sprintf("job %s runs dependencies on the machine that holds %s for job %s", w.name(), c.Name, x.name())
		f.Untrusted = &finding.Untrusted{File: start.Where.File, Line: start.Where.Line, Text: start.Text, Why: start.Why}
		f.Confidence = finding.Likely // whether the machine is made anew is not in the file
		f.Path = []finding.Step{
			step(start.Where, fmt.Sprintf("%s: %s", clip(start.Text, 120), start.Why)),
			step(r.Where, fmt.Sprintf("jobs %s and %s run on %s", w.name(), x.name(), strings.Join(r.Labels, ", "))),
			step(c.Where, fmt.Sprintf("%s enters by the %s", c.Name, c.Enters)),
		}
		f.Fix = []string{fmt.Sprintf("run job %s on machines of its own, made anew for each job", x.name())}
		out = append(out, f)
	}
	return out
}

// runnerKey names the machines of a domain, where they outlive it.
func runnerKey(x *domain) string {
	r := x.jobs[0].Runner
	if !r.Persistent || len(r.Labels) == 0 {
		return ""
	}
	labels := slices.Clone(r.Labels)
	slices.Sort(labels)
	return string(x.def.System) + " " + strings.Join(labels, " ")
}

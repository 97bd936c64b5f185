package facts

import (
	"slices"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

// BuilderPrefix is what the builder ids of local runs begin with.
const BuilderPrefix = "https://github.com/sallyport/sallyport/builder/local/"

// FromRun returns what rules see of r.
func FromRun(r *evidence.Run) *Run {
	f := &Run{
		ID: r.ID, Project: r.Project, State: string(r.State), Reason: r.Reason,
		Source:  Source{r.Source.URI, r.Source.Ref, r.Source.Commit, text(r.Source.Tree), r.Source.Sum},
		Started: r.Started, Ended: r.Ended, Detected: r.Detected, Pipeline: text(r.Pipeline),
		Parameters: make(map[string]string, len(r.Parameters)),
		Isolation: Isolation{
			Sandbox: r.Isolation.Sandbox, Level: r.Isolation.Level, Missing: r.Isolation.Missing, BuilderID: r.Isolation.BuilderID,
			Honest: r.Isolation.BuilderID == BuilderPrefix+r.Isolation.Sandbox+"/"+r.Isolation.Level+"@v1",
		},
		Materials: materials(r), Secrets: Secrets{Scanned: r.SecretsRun}, Without: r.Without,
	}
	for _, p := range r.Parameters {
		f.Parameters[p.Name] = p.Value
	}
	for i := range r.Stages {
		f.Stages = append(f.Stages, stage(&r.Stages[i]))
	}
	for _, t := range r.Toolchains {
		f.Toolchains = append(f.Toolchains, Toolchain{t.Name, t.Version, text(t.Digest)})
	}
	for _, a := range r.Artifacts {
		f.Artifacts = append(f.Artifacts, a.Name)
	}
	for i := range r.Denials {
		d := &r.Denials[i]
		f.Denials = append(f.Denials, Denial{d.ID, d.Class, d.Stage, d.Zone.String(), d.Package, d.Target, string(d.Rule), d.Count})
	}
	for _, s := range r.Secrets {
		f.Secrets.Findings = append(f.Secrets.Findings, Finding{s.Rule, s.Where})
	}
	return f
}

// text is a digest as rules compare it: empty when there is none.
func text(d digest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

func stage(s *evidence.Stage) Stage {
	f := Stage{
		Name: s.Name, Zone: s.Zone.String(), State: string(s.State), Reason: s.Reason,
		Cached: s.Cached, Keyed: !s.Key.IsZero(), Tainted: s.Tainted(), Executed: s.Executed(),
		Commands: s.Commands, ExitCode: s.ExitCode, Limit: s.Limit, Receipt: s.Shown(),
	}
	for _, w := range s.Rewrites {
		if w.How == evidence.RewriteTouched {
			f.Touched = append(f.Touched, w.Path)
		} else {
			f.Rewrote = append(f.Rewrote, w.Path)
		}
	}
	if s.Receipt == nil {
		return f
	}
	f.Level = s.Receipt.Level
	for _, p := range s.Receipt.Probes {
		if !p.OK {
			f.Probes = append(f.Probes, p.Name)
		}
	}
	return f
}

func materials(r *evidence.Run) Materials {
	g := r.Gaps()
	m := Materials{
		Planned: len(r.Planned), Served: len(r.Served), List: make([]Material, 0, len(r.Served)),
		Unplanned: g.Unplanned, Altered: g.Altered, Undigested: g.Undigested, Unpinned: g.Unpinned,
	}
	for i := range r.Served {
		s := &r.Served[i]
		m.List = append(m.List, Material{s.PURL, s.Kind, s.Sum, text(s.Digest), s.URI, string(s.Pin), s.Scripts, s.Dev})
	}
	return m
}

// FromArtifact returns what rules see of a and of what r shows about it.
func FromArtifact(r *evidence.Run, a evidence.Artifact) *Artifact {
	f := &Artifact{
		Name: a.Name, Stage: a.Stage, Path: a.Path, MediaType: a.MediaType, Digest: text(a.Digest), Size: int(a.Size),
	}
	if t := r.Tests; t != nil {
		f.Tests = Tests{Ran: true, Passed: t.Passed, Covered: slices.Contains(t.Subjects, a.Digest), Total: t.Total, Failures: t.Failures}
	}
	for i := range r.Rebuilds {
		if b := &r.Rebuilds[i]; b.Artifact == a.Name {
			f.Rebuild = Rebuild{Ran: true, Identical: r.Reproduced(a), Differs: b.Differs, Varied: b.Varied, Error: b.Error}
		}
	}
	return f
}

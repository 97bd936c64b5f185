package facts

import (
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
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
	tainted := s.Zone >= boundary.Fetch && s.Zone <= boundary.Test
	f := Stage{
		Name: s.Name, Zone: s.Zone.String(), State: string(s.State), Reason: s.Reason,
		Cached: s.Cached, Keyed: !s.Key.IsZero(), Tainted: tainted,
		Executed: !s.Cached && s.State != evidence.Skipped,
		Commands: s.Commands, ExitCode: s.ExitCode, Limit: s.Limit, Receipt: "none",
	}
	if s.Receipt == nil {
		return f
	}
	f.Level, f.Receipt = s.Receipt.Level, "failed"
	if s.Receipt.Clean() && s.Receipt.Zone == s.Zone && s.Receipt.Identity == s.Identity {
		f.Receipt = "clean"
	}
	for _, p := range s.Receipt.Probes {
		if !p.OK {
			f.Probes = append(f.Probes, p.Name)
		}
	}
	return f
}

// materials compares what was served with what was planned. A material that was
// found while a lockfile was made has no entry in the plan; it is unpinned
// instead.
func materials(r *evidence.Run) Materials {
	type key struct{ purl, kind string }
	m := Materials{Planned: len(r.Planned), Served: len(r.Served), List: make([]Material, 0, len(r.Served))}
	planned := make(map[string]bool, len(r.Planned))
	sums := make(map[key]string, len(r.Planned))
	for i := range r.Planned {
		p := &r.Planned[i]
		planned[p.PURL] = true
		sums[key{p.PURL, p.Kind}] = p.Sum
	}
	m.Unpinned = slices.Clone(r.Unpinned)
	for i := range r.Served {
		s := &r.Served[i]
		made := s.Pin != evidence.PinLockfile && s.Pin != evidence.PinSumDB && s.Pin != evidence.PinSource
		if made {
			m.Unpinned = append(m.Unpinned, s.PURL)
		}
		if !planned[s.PURL] && s.Pin != evidence.PinMade {
			m.Unplanned = append(m.Unplanned, s.PURL)
		}
		if sum := sums[key{s.PURL, s.Kind}]; sum != "" && s.Sum != "" && sum != s.Sum {
			m.Altered = append(m.Altered, s.PURL)
		}
		if s.Digest.IsZero() {
			m.Undigested = append(m.Undigested, s.PURL)
		}
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
		b := &r.Rebuilds[i]
		if b.Artifact != a.Name {
			continue
		}
		same := b.Identical && b.Error == "" && b.First == a.Digest && b.Second == a.Digest
		if f.Rebuild.Ran { // each rebuild has to be identical
			same = same && f.Rebuild.Identical
		}
		f.Rebuild = Rebuild{Ran: true, Identical: same, Differs: b.Differs, Varied: b.Varied, Error: b.Error}
	}
	return f
}

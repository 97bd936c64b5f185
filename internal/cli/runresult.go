package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/evidence"
)

// runResult is sallyport/run/v1: what came of one run.
type runResult struct {
	Schema    string               `json:"schema"`
	Run       string               `json:"run"`
	Project   string               `json:"project"`
	Outcome   string               `json:"outcome"` // released, verified, pending, failed, refused
	Reason    string               `json:"reason,omitempty"`
	Isolation string               `json:"isolation"`
	Missing   []string             `json:"missing,omitempty"` // primitives that the host lacks
	BuilderID string               `json:"builder_id"`
	Source    evidence.Source      `json:"source"`
	Detected  bool                 `json:"detected"`
	Seconds   float64              `json:"seconds"`
	Stages    []stageResult        `json:"stages"`
	Artifacts []artifactResult     `json:"artifacts"`
	Materials materialsResult      `json:"materials"`
	Tests     *evidence.Tests      `json:"tests,omitempty"`
	Rebuilds  []evidence.Rebuild   `json:"rebuilds"`
	Findings  []evidence.Finding   `json:"findings"`
	Without   []string             `json:"without,omitempty"`
	Denials   []evidence.Denial    `json:"denials"`
	Layout    string               `json:"layout,omitempty"` // OCI image layout of the release
	Out       string               `json:"out,omitempty"`    // --out
	Failure   *conductor.Failure   `json:"failure,omitempty"`
	Decisions []conductor.Decision `json:"decisions,omitempty"`
}

type stageResult struct {
	Name     string  `json:"name"`
	Zone     string  `json:"zone"`
	Outcome  string  `json:"outcome"`
	Reason   string  `json:"reason,omitempty"`
	Cached   bool    `json:"cached"`
	Seconds  float64 `json:"seconds"`
	ExitCode int     `json:"exit_code"`
	Limit    string  `json:"limit,omitempty"`
	Identity string  `json:"identity,omitempty"`
	Log      string  `json:"log,omitempty"` // path of the full log
}

type artifactResult struct {
	Name   string `json:"name"`
	Stage  string `json:"stage"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Bundle string `json:"bundle,omitempty"` // path of the provenance bundle
	Path   string `json:"path,omitempty"`   // in --out
}

type materialsResult struct {
	Planned  int      `json:"planned"`
	Served   int      `json:"served"`
	Unpinned []string `json:"unpinned,omitempty"`
}

// newRunResult says what a run came to.
func newRunResult(out *conductor.Outcome) runResult {
	r := out.Run
	res := runResult{
		Outcome: string(out.Result), Failure: out.Failure, Decisions: out.Decisions,
		Schema: "sallyport/run/v1", Run: r.ID, Project: r.Project, Reason: r.Reason, Source: r.Source, Detected: r.Detected,
		Isolation: r.Isolation.Level, Missing: r.Isolation.Missing, BuilderID: r.Isolation.BuilderID,
		Stages: []stageResult{}, Artifacts: []artifactResult{}, Rebuilds: []evidence.Rebuild{}, Findings: []evidence.Finding{},
		Materials: materialsResult{len(r.Planned), len(r.Served), r.Unpinned},
		Tests:     r.Tests, Without: r.Without, Denials: []evidence.Denial{},
	}
	if !r.Ended.IsZero() {
		res.Seconds = r.Ended.Sub(r.Started).Seconds()
	}
	res.Rebuilds = append(res.Rebuilds, r.Rebuilds...)
	res.Findings = append(res.Findings, r.Secrets...)
	res.Denials = append(res.Denials, r.Denials...)
	for _, s := range r.Stages {
		res.Stages = append(res.Stages, stageResult{
			Name: s.Name, Zone: s.Zone.String(), Outcome: string(s.State), Reason: s.Reason, Cached: s.Cached,
			Seconds: s.Ended.Sub(s.Started).Seconds(), ExitCode: s.ExitCode, Limit: s.Limit, Identity: s.Identity, Log: out.LogPath(s.Name),
		})
	}
	bundles := map[string]string{}
	if out.Release != nil {
		res.Layout, bundles = out.Release.Layout, out.Release.Bundles
	}
	for _, a := range r.Artifacts {
		res.Artifacts = append(res.Artifacts, artifactResult{Name: a.Name, Stage: a.Stage, Digest: a.Digest.String(), Size: a.Size, Bundle: bundles[a.Name]})
	}
	return res
}

// exit is the exit code that belongs to the outcome.
func (r *runResult) exit() int {
	switch r.Outcome {
	case "released", "verified":
		return exitYes
	case "pending":
		return exitPending
	default:
		return exitNo
	}
}

// text writes the result for people: what came out first, then what it rests on.
func (r *runResult) text(w io.Writer) {
	fmt.Fprintf(w, "run %s of %s: %s in %s\n", r.Run, clean(r.Project), r.Outcome, seconds(secondsOf(r.Seconds)))
	for _, a := range r.Artifacts {
		fmt.Fprintf(w, "  artifact   %s  %s  %s\n", clean(a.Name), a.Digest, size(a.Size))
	}
	fmt.Fprintf(w, "  materials  %d planned, %d served\n", r.Materials.Planned, r.Materials.Served)
	for _, u := range r.Materials.Unpinned {
		fmt.Fprintf(w, "  unpinned   %s had no lockfile: one was made in this run\n", clean(u))
	}
	if r.Tests != nil {
		fmt.Fprintf(w, "  tests      %s\n", testsWord(r.Tests))
	}
	for _, b := range r.Rebuilds {
		fmt.Fprintf(w, "  rebuild    %s\n", rebuildWord(b))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  finding    %s in %s\n", clean(f.Rule), clean(f.Where))
	}
	if len(r.Without) > 0 {
		fmt.Fprintf(w, "  without    %s\n", clean(strings.Join(r.Without, ", ")))
	}
	if len(r.Denials) > 0 {
		fmt.Fprintf(w, "  refusals   %d\n", len(r.Denials))
	}
	fmt.Fprintf(w, "  isolation  %s%s\n", r.Isolation, missingWord(r.Missing))
	fmt.Fprintf(w, "  builder    %s\n", r.BuilderID)
	if r.Layout != "" {
		fmt.Fprintf(w, "  layout     %s\n", r.Layout)
	}
	if r.Out != "" {
		fmt.Fprintf(w, "  verify     sallyport verify %s\n", r.Out)
	}
}

func missingWord(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return " (missing: " + strings.Join(missing, ", ") + "; see: sallyport doctor)"
}

func testsWord(t *evidence.Tests) string {
	word := "failed"
	if t.Passed {
		word = "passed"
	}
	if t.Total > 0 {
		word += fmt.Sprintf(", %d of %d", t.Total-t.Failures, t.Total)
	}
	return word
}

func rebuildWord(b evidence.Rebuild) string {
	switch {
	case b.Error != "":
		return clean(b.Artifact + ": the second build failed: " + b.Error)
	case b.Identical:
		return clean(b.Artifact + ": the second build gave the same bytes (varied: " + strings.Join(b.Varied, ", ") + ")")
	default:
		const most = 5
		shown := b.Differs[:min(len(b.Differs), most)]
		more := ""
		if n := len(b.Differs) - len(shown); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return clean(b.Artifact + ": the second build differs in " + strings.Join(shown, ", ") + more)
	}
}

// size writes a count of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}

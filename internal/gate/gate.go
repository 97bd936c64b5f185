// Package gate decides whether an artifact may pass, and why.
//
// Evidence and a policy go in, a Verdict comes out. It is pure and offline: the
// same evidence and policy give the same answer anywhere. A Verdict cannot be
// made by any other package, and the release room takes nothing else.
//
// A policy is a list of rules in CEL over the values of package facts. Whatever a
// policy says, no verdict is given for a run that did not succeed, nor for an
// artifact that the run did not make; and a rule that cannot be evaluated denies.
package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate/facts"
)

// Verdict says that one artifact of one run has passed one policy. Only Decide
// makes one; the zero Verdict is valid for nothing.
type Verdict struct {
	run      string
	artifact evidence.Artifact
	evidence digest.Digest
	policy   PolicyRef
	results  []Result
	passed   bool
}

// Valid tells whether the verdict was given by Decide. Whoever acts on a verdict
// asks this first.
func (v Verdict) Valid() bool { return v.passed }

// Run is the id of the run that the evidence is from.
func (v Verdict) Run() string { return v.run }

// Artifact is what may pass: only the bytes with this digest.
func (v Verdict) Artifact() evidence.Artifact { return v.artifact }

// Evidence is the digest of the run's evidence, as Run.Digest gives it.
func (v Verdict) Evidence() digest.Digest { return v.evidence }

// Policy names the policy that was passed.
func (v Verdict) Policy() PolicyRef { return v.policy }

// Results are the outcomes of all rules, in the policy's order.
func (v Verdict) Results() []Result { return slices.Clone(v.results) }

// Warnings are the results of warn rules that do not hold.
func (v Verdict) Warnings() []Result { return failed(v.results, Warn) }

// Records are the results of record rules that do not hold.
func (v Verdict) Records() []Result { return failed(v.results, Record) }

func failed(results []Result, s Severity) []Result {
	var out []Result
	for _, r := range results {
		if !r.OK && r.Severity == s {
			out = append(out, r)
		}
	}
	return out
}

// Result is the outcome of one rule.
type Result struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	OK       bool     `json:"ok"`
	Wanted   string   `json:"wanted"`
	Got      string   `json:"got"`
	Boundary string   `json:"boundary,omitempty"` // SP1 to SP9, where the rule stands for one
	Do       string   `json:"do,omitempty"`
}

// Denied says that an artifact may not pass, and which rules say so.
type Denied struct {
	Run      string
	Artifact string
	Policy   PolicyRef
	Rules    []Result // those that deny, at least one
	All      []Result
}

// Error gives the refusal in one line.
func (d *Denied) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s refuses %s of run %s", d.Policy.Name, d.Artifact, d.Run)
	for i, r := range d.Rules {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s: wanted: %s, got: %s", sep, r.Rule, r.Wanted, r.Got)
	}
	return b.String()
}

// Decide gives a verdict on artifact a of the run r, or a *Denied that says why
// not. Any other error means that it could not tell, which is no verdict either.
func Decide(p *Policy, r *evidence.Run, a evidence.Artifact) (Verdict, error) {
	if p == nil || r == nil || len(p.rules) == 0 {
		return Verdict{}, errors.New("decide: no policy or no evidence")
	}
	sum, err := r.Digest()
	if err != nil {
		return Verdict{}, err
	}
	results := append(floor(r, a), p.evaluate(facts.FromRun(r), facts.FromArtifact(r, a))...)
	if deny := denying(results); len(deny) > 0 {
		return Verdict{}, &Denied{Run: r.ID, Artifact: a.Name, Policy: p.ref, Rules: deny, All: results}
	}
	return Verdict{run: r.ID, artifact: a, evidence: sum, policy: p.ref, results: results, passed: true}, nil
}

func denying(results []Result) []Result { return failed(results, Deny) }

// floor is what no policy can turn off.
func floor(r *evidence.Run, a evidence.Artifact) []Result {
	listed := "listed"
	if !slices.Contains(r.Artifacts, a) {
		listed = "not among them"
	}
	return []Result{
		{
			Rule: "floor:run-success", Severity: Deny, OK: r.State == evidence.Success, Boundary: "SP7",
			Wanted: string(evidence.Success), Got: shown(string(r.State)), Do: "sallyport log shows which stage failed",
		},
		{
			Rule: "floor:artifact-of-run", Severity: Deny, OK: listed == "listed" && !a.Digest.IsZero() && a.Name != "", Boundary: "SP4",
			Wanted: "one of the artifacts of run " + r.ID, Got: shown(a.Name) + " " + a.Digest.String() + " is " + listed,
			Do: "sallyport run makes and records the artifact",
		},
	}
}

const maxShown = 600

// shown makes a text fit for a line: one line, bounded, no control characters.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	if s == "" {
		return "nothing"
	}
	return s
}

package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
)

// TestFindingsAreCrossings holds the audit to the model: of any definitions, a
// domain has a finding of code that reaches a credential if and only if
// boundary.Check finds the crossing SP1 of a high authority there.
func TestFindingsAreCrossings(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	shown := 0
	for range 1000 {
		defs := randomDefinitions(r)
		want := crossed(defs)
		got := map[string]bool{}
		for _, f := range Examine(defs) {
			if !f.Strict && slices.Contains([]finding.ID{"SPA-001", "SPA-002", "SPA-003", "SPA-004", "SPA-012"}, f.Rule) {
				got[f.File+"#"+f.Domain] = true
			}
		}
		for d := range want {
			if !got[d] {
				t.Fatalf("%s is crossed and not found: %+v", d, defs)
			}
		}
		for d := range got {
			if !want[d] {
				t.Fatalf("%s is found and not crossed: %+v", d, defs)
			}
		}
		shown += len(want)
	}
	if shown < 200 {
		t.Fatalf("%d crossings: the test shows little", shown)
	}
}

// crossed are the jobs, by name, in which Check sees code reach a high
// credential, other than by what another domain handed over.
func crossed(defs []ci.Definition) map[string]bool {
	high := map[string]bool{}
	for _, d := range defs {
		for _, j := range d.Jobs {
			for _, c := range j.Credentials {
				if c.High() {
					high[object(c.Name)] = true
				}
			}
		}
	}
	g := Compile(defs)
	g.Flows = nil
	out := map[string]bool{}
	for _, c := range boundary.Check(g) {
		if c.Rule == boundary.SP1 && high[c.Authority.Object] {
			name, _, _ := strings.Cut(c.Node, "/")
			out[name] = true
		}
	}
	return out
}

func randomDefinitions(r *rand.Rand) []ci.Definition {
	defs := make([]ci.Definition, 1+r.IntN(2))
	for d := range defs {
		defs[d] = ci.Definition{System: ci.GitHub, File: fmt.Sprintf("f%d.yml", d)}
		for j := range 1 + r.IntN(3) {
			defs[d].Jobs = append(defs[d].Jobs, randomJob(r, fmt.Sprintf("f%d-j%d", d, j)))
		}
	}
	return defs
}

func randomJob(r *rand.Rand, id string) ci.Job {
	j := ci.Job{ID: id, Steps: make([]ci.Step, 1+r.IntN(3))}
	separate := r.IntN(3) == 0
	for i := range j.Steps {
		j.Steps[i].Alone = separate
		if r.IntN(2) == 0 {
			j.Steps[i].Events = []ci.Event{{Tier: ci.Tier(1 + r.IntN(4)), Text: "run", Own: r.IntN(4) == 0, Pinned: r.IntN(2) == 0}}
		}
	}
	classes := []ci.Class{ci.Publish, ci.Sign, ci.Deploy, ci.Repository, ci.Low, ci.Unsorted}
	for k := range r.IntN(3) {
		c := ci.Credential{Name: fmt.Sprintf("%s-%d", id, k), Kind: ci.Secret, Step: r.IntN(len(j.Steps)+1) - 1, Scope: ci.PerStep}
		c.Classes = []ci.Class{classes[r.IntN(len(classes))]}
		if c.Step >= 0 && r.IntN(3) == 0 {
			c.Scope = ci.MintedAt
		}
		j.Credentials = append(j.Credentials, c)
	}
	return j
}

package framework

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// every are the ids of all rules of the audit.
func every() (ids []string) {
	for _, r := range finding.Rules() {
		ids = append(ids, string(r.ID))
	}
	return ids
}

// without are all rules of the audit but one.
func without(rule string) []string {
	return slices.DeleteFunc(every(), func(r string) bool { return r == rule })
}

func TestJudge(t *testing.T) {
	f := Framework{ID: "x", Controls: []Control{
		{ID: "files", Rules: []string{"SPA-001", "SP1"}, Decidable: ByFiles, Beyond: "b"},
		{ID: "run", Rules: []string{"SPA-002"}, Evidence: []string{"receipt"}, Decidable: ByRun, Beyond: "b"},
		{ID: "neither", Decidable: ByNeither, Why: "not in files"},
		{ID: "in part", Rules: []string{"SPA-003"}, Decidable: ByNeither, Why: "in part"},
		{ID: "route", Rules: []string{"SP3"}, Evidence: []string{"ledger"}, Decidable: ByRun, Beyond: "b"},
		{ID: "gaps", Rules: []string{"SPA-090"}, Decidable: ByFiles, Beyond: "b"},
		{ID: "unsaid", Rules: []string{"SPA-001"}},
	}}
	const b, s, n, u = Broken, Shown, NotShown, Undecidable
	run := []string{"receipt", "ledger"}
	for name, c := range map[string]struct {
		facts Facts
		want  []State
	}{
		"clean":                  {Facts{Examined: every()}, []State{s, n, u, u, n, s, u}},
		"with a run":             {Facts{Examined: every(), Evidence: run}, []State{s, s, u, u, s, s, u}},
		"no receipt":             {Facts{Examined: every(), Evidence: []string{"ledger"}}, []State{s, n, u, u, n, s, u}},
		"SP3 examined":           {Facts{Examined: append(every(), "SP3"), Evidence: []string{"ledger"}}, []State{s, n, u, u, s, s, u}},
		"gaps":                   {Facts{Examined: every(), Evidence: run, Gaps: 1}, []State{n, n, u, u, n, n, u}},
		"nothing":                {Facts{}, []State{n, n, u, u, n, n, u}},
		"one not examined":       {Facts{Examined: without("SPA-001"), Evidence: run}, []State{n, s, u, u, s, s, u}},
		"stand-in not examined":  {Facts{Examined: without("SPA-020"), Evidence: run}, []State{n, s, u, u, s, s, u}},
		"broken":                 {Facts{Examined: every(), Breaches: []Breach{{Rule: "SPA-001"}, {Rule: "SPA-003"}}}, []State{b, n, u, b, n, s, b}},
		"stand-in broken":        {Facts{Examined: every(), Breaches: []Breach{{Rule: "SPA-005"}}}, []State{n, n, u, u, n, s, u}},
		"boundary's rule broken": {Facts{Examined: every(), Evidence: run, Breaches: []Breach{{Rule: "SP1"}, {Rule: "SP3"}}}, []State{b, s, u, u, b, s, u}},
		"another rule broken":    {Facts{Examined: every(), Evidence: run, Breaches: []Breach{{Rule: "SPA-010"}}}, []State{s, s, u, u, s, s, u}},
		"not analysed":           {Facts{Examined: every(), Evidence: run, Breaches: []Breach{{Rule: "SPA-090"}}}, []State{n, n, u, u, n, n, u}},
	} {
		r := Judge(f, c.facts)
		totals := map[State]int{}
		for i, a := range r.Answers {
			totals[a.State]++
			if a.State != c.want[i] {
				t.Errorf("%s, %s: %s (%s), want %s", name, a.Control, a.State, a.Why, c.want[i])
			}
		}
		for _, state := range []State{Broken, Shown, NotShown, Undecidable} {
			if r.Totals[state] != totals[state] {
				t.Errorf("%s: total of %s is %d, want %d", name, state, r.Totals[state], totals[state])
			}
		}
	}
}

// TestJudgeSaysWhy holds what an answer names to one example of each state.
func TestJudgeSaysWhy(t *testing.T) {
	c := Control{ID: "c", Title: "t", Text: "x", Former: []string{"old"}, Rules: []string{"SPA-001", "SP1"}, Evidence: []string{"receipt", "ledger"}, Decidable: ByRun, Beyond: "more"}
	twice := Breach{Rule: "SPA-001", Where: "a.yml:3", Title: "npm ci can publish", Severity: "critical"}
	for name, k := range map[string]struct {
		facts   Facts
		why, by string
	}{
		"broken": {
			Facts{Breaches: []Breach{twice, {Rule: "SP1", Where: "b.yml:4", Title: "y"}, twice}},
			"2 findings of rules that it is mapped to", "SPA-001 a.yml:3: npm ci can publish (critical)|SP1 b.yml:4: y",
		},
		"shown": {
			Facts{Examined: every(), Evidence: []string{"ledger", "receipt", "scan"}},
			"every rule and all evidence that it asks for was examined and holds", "SPA-001|SP1|receipt|ledger",
		},
		"missing": {
			Facts{Examined: []string{"SPA-002"}, Evidence: []string{"ledger"}, Gaps: 2},
			"rule SPA-001 was not examined; rule SP1 was not examined, and SPA-001 not either; 2 parts not analysed, so that the rules do not show it; " +
				"it asks for evidence of a run that is not there: receipt (sallyport run, then report --run)", "ledger",
		},
		"stand-in": {
			Facts{Examined: every(), Evidence: []string{"ledger", "receipt"}, Breaches: []Breach{{Rule: "SPA-020", Where: "a.yml:7"}}},
			"SP1 does not hold: SPA-020 a.yml:7", "SPA-001|receipt|ledger",
		},
	} {
		a := Judge(Framework{Controls: []Control{c}}, k.facts).Answers[0]
		if a.Why != k.why || strings.Join(a.By, "|") != k.by {
			t.Errorf("%s: %q by %q,\nwant %q by %q", name, a.Why, strings.Join(a.By, "|"), k.why, k.by)
		}
		if a.Control != "c" || a.Title != "t" || a.Text != "x" || a.Beyond != "more" || !slices.Equal(a.Former, []string{"old"}) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestNothingIsShownOfNothing: without facts no control of any framework is
// shown, and with gaps none either, whatever else is there.
func TestNothingIsShownOfNothing(t *testing.T) {
	var kinds []string
	for _, k := range Kinds() {
		kinds = append(kinds, k.ID)
	}
	for _, f := range all(t) {
		for _, facts := range []Facts{{}, {Evidence: kinds}, {Examined: every(), Evidence: kinds, Gaps: 1}} {
			for _, a := range Judge(f, facts).Answers {
				if a.State == Shown && !onlyEvidence(f, a.Control) || a.State == Shown && facts.Gaps > 0 || a.State == Broken {
					t.Errorf("%s %s: %s with %+v", f.ID, a.Control, a.State, facts)
				}
			}
		}
	}
}

// TestEverythingIsShownOfAll: with all facts, each control that can be shown is,
// and no other.
func TestEverythingIsShownOfAll(t *testing.T) {
	facts := Facts{Examined: every()}
	for _, k := range Kinds() {
		facts.Evidence = append(facts.Evidence, k.ID)
	}
	for _, f := range all(t) {
		for i, a := range Judge(f, facts).Answers {
			want := Shown
			if f.Controls[i].Decidable == ByNeither {
				want = Undecidable
			}
			if a.State != want {
				t.Errorf("%s %s: %s (%s), want %s", f.ID, a.Control, a.State, a.Why, want)
			}
		}
	}
}

// TestWhatFilesCannotDecide names controls that no audit may ever call shown.
func TestWhatFilesCannotDecide(t *testing.T) {
	for id, controls := range map[string]string{
		"owasp-nhi-2025": "NHI1 NHI4 NHI6 NHI10",
		"owasp-cicd":     "CICD-SEC-1 CICD-SEC-2 CICD-SEC-7 CICD-SEC-8",
		"nist-csf-2.0":   "GV.SC-06 GV.SC-07 ID.AM-04 PR.AA-01 PR.AA-02 PR.AA-03 PR.DS-01 PR.PS-01 PR.PS-06 DE.CM-06",
		"nist-800-207":   "tenet-1 tenet-2",
		"slsa-1.1-build": "choose-an-appropriate-build-platform hosted threat-source threat-dependencies",
	} {
		f, err := Find(id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range Judge(f, Facts{Examined: every(), Evidence: []string{"receipt", "provenance", "ledger", "verdict", "materials"}}).Answers {
			if a.State == Undecidable {
				got = append(got, a.Control)
			}
		}
		if strings.Join(got, " ") != controls {
			t.Errorf("%s: %v, want %s", id, got, controls)
		}
	}
}

// onlyEvidence tells whether a control of a framework asks for evidence of a run
// and for no rule that CI files can break.
func onlyEvidence(f Framework, id string) bool {
	for _, c := range f.Controls {
		if c.ID == id {
			return !slices.ContainsFunc(c.Rules, func(r string) bool { return r != routeRule })
		}
	}
	return false
}

package framework

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
)

func all(t *testing.T) []Framework {
	t.Helper()
	f, err := All()
	if err != nil || len(f) != 8 {
		t.Fatalf("%d frameworks: %v", len(f), err)
	}
	return f
}

// TestDataIsWhole wants of each framework what a reader needs to check it, and
// rules that exist.
func TestDataIsWhole(t *testing.T) {
	for _, f := range all(t) {
		if f.ID == "" || f.Title == "" || f.Version == "" || f.Source == "" {
			t.Errorf("%+v lacks something", f)
		}
		if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
			t.Errorf("%s: %v", f.ID, err)
		}
		seen := map[string]bool{}
		for _, c := range f.Controls {
			if c.ID == "" || c.Title == "" || seen[c.ID] {
				t.Errorf("%s %q: nameless, without title, or twice", f.ID, c.ID)
			}
			seen[c.ID] = true
			if c.Undecidable == "" && len(c.Rules)+len(c.Evidence) == 0 {
				t.Errorf("%s %s: nothing decides it, and nothing says so", f.ID, c.ID)
			}
			for _, r := range c.Rules {
				_, ours := finding.Find(finding.ID(r))
				if !ours && boundary.Rule(r).Text() == "" {
					t.Errorf("%s %s: there is no rule %s", f.ID, c.ID, r)
				}
			}
			for _, e := range c.Evidence {
				if !slices.Contains([]string{"receipt", "provenance", "ledger", "verdict", "approvals", "materials"}, e) {
					t.Errorf("%s %s: no evidence %s", f.ID, c.ID, e)
				}
			}
		}
	}
}

// TestMappingOfRules holds the mappings to the table that the rules were made
// with: OWASP NHI, OWASP CI/CD, CSF 2.0.
func TestMappingOfRules(t *testing.T) {
	f := all(t)
	for rule, want := range map[string]string{
		"SPA-001": "NHI5 NHI8 CICD-SEC-3 CICD-SEC-5 PR.AA-05 PR.PS-05 PR.PS-06",
		"SPA-002": "NHI2 NHI5 NHI8 CICD-SEC-5 CICD-SEC-6 CICD-SEC-9 PR.AA-05 PR.DS-10 PR.PS-05",
		"SPA-003": "NHI5 NHI6 NHI8 CICD-SEC-5 CICD-SEC-6 PR.AA-05 PR.IR-01",
		"SPA-004": "NHI5 CICD-SEC-1 CICD-SEC-5 PR.AA-05 PR.PS-06",
		"SPA-005": "NHI2 CICD-SEC-6 PR.AA-01 PR.DS-10",
		"SPA-006": "NHI5 NHI9 CICD-SEC-2 CICD-SEC-5 PR.AA-05",
		"SPA-007": "NHI2 NHI5 CICD-SEC-6 PR.AA-05",
		"SPA-008": "NHI8 NHI9 CICD-SEC-2 CICD-SEC-6 PR.AA-05 PR.IR-01",
		"SPA-009": "NHI5 NHI9 CICD-SEC-6 PR.AA-05",
		"SPA-010": "NHI3 CICD-SEC-3 CICD-SEC-8 GV.SC-07 ID.AM-04",
		"SPA-011": "NHI3 CICD-SEC-8 GV.SC-06",
		"SPA-012": "NHI5 NHI8 CICD-SEC-4 PR.PS-06 PR.AA-05",
		"SPA-013": "NHI2 NHI8 CICD-SEC-4 CICD-SEC-6 PR.AA-05",
		"SPA-014": "NHI8 CICD-SEC-3 CICD-SEC-9 PR.IR-01 ID.RA-09",
		"SPA-015": "NHI8 CICD-SEC-9 ID.RA-09 PR.DS-01",
		"SPA-016": "NHI5 CICD-SEC-5 PR.AA-05",
		"SPA-017": "NHI6 NHI8 CICD-SEC-1 PR.AA-05",
		"SPA-018": "NHI6 NHI8 CICD-SEC-7 PR.IR-01 PR.PS-01",
		"SPA-019": "NHI2 CICD-SEC-6 PR.DS-10",
		"SPA-020": "NHI2 NHI5 CICD-SEC-6 PR.AA-05",
		"SPA-021": "NHI5 CICD-SEC-9 ID.RA-09 PR.PS-06",
		"SPA-022": "NHI6 NHI8 CICD-SEC-7 PR.IR-01",
		"SPA-023": "NHI7 NHI4 NHI6 CICD-SEC-6 PR.AA-01 PR.AA-03",
		"SPA-024": "NHI3 CICD-SEC-3 PR.PS-05 GV.SC-07",
		"SPA-090": "CICD-SEC-10 ID.AM-02 DE.CM-06",
	} {
		var got []string
		for _, x := range Taxa(f, rule) {
			if x.Framework == "owasp-nhi-2025" || x.Framework == "owasp-cicd" || x.Framework == "nist-csf-2.0" {
				got = append(got, x.ID)
			}
		}
		ids := strings.Fields(want)
		slices.Sort(ids)
		slices.Sort(got)
		if !slices.Equal(got, ids) {
			t.Errorf("%s: %v, want %v", rule, got, ids)
		}
	}
}

func TestJudge(t *testing.T) {
	f := Framework{ID: "x", Controls: []Control{
		{ID: "a", Rules: []string{"SPA-001", "SP1"}}, {ID: "b", Rules: []string{"SPA-002"}, Evidence: []string{"receipt"}},
		{ID: "c", Undecidable: "not in files"}, {ID: "d", Rules: []string{"SPA-003"}, Undecidable: "in part"},
	}}
	every := []string{"SPA-001", "SPA-002", "SPA-003"}
	for name, c := range map[string]struct {
		facts Facts
		want  [4]State
	}{
		"clean":        {Facts{Examined: every}, [4]State{Shown, NotShown, Undecidable, Undecidable}},
		"with a run":   {Facts{Examined: every, Evidence: []string{"receipt"}}, [4]State{Shown, Shown, Undecidable, Undecidable}},
		"gaps":         {Facts{Examined: every, Evidence: []string{"receipt"}, Gaps: 1}, [4]State{NotShown, NotShown, Undecidable, Undecidable}},
		"not examined": {Facts{}, [4]State{NotShown, NotShown, Undecidable, Undecidable}},
		"broken":       {Facts{Examined: every, Breaches: []Breach{{"SPA-001", "f:1", "x"}, {"SPA-003", "f:2", "y"}}}, [4]State{Broken, NotShown, Undecidable, Broken}},
	} {
		r := Judge(f, c.facts)
		for i, a := range r.Answers {
			if a.State != c.want[i] || a.Why == "" {
				t.Errorf("%s, %s: %s (%s), want %s", name, a.Control, a.State, a.Why, c.want[i])
			}
		}
	}
}

func TestFindSuggests(t *testing.T) {
	if _, err := Find("nist"); err == nil || !strings.Contains(err.Error(), "nist-csf-2.0") {
		t.Errorf("%v", err)
	}
}

// TestHostileText: titles of findings hold text of CI files.
func TestHostileText(t *testing.T) {
	f := all(t)[0]
	r := Judge(f, Facts{Breaches: []Breach{{f.Controls[1].Rules[0], "f:1", "<script>\x1b[2J|`x`"}}})
	for _, write := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return Text(b, r) }, func(b *bytes.Buffer) error { return Markdown(b, r) }, func(b *bytes.Buffer) error { return HTML(b, r) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b.Bytes(), '\x1b') {
			t.Errorf("a control character came through: %q", b.String())
		}
	}
	var page bytes.Buffer
	_ = HTML(&page, r)
	if strings.Contains(page.String(), "<script>") {
		t.Error("the page runs what a finding says")
	}
}

func TestPageListsAll(t *testing.T) {
	page, err := os.ReadFile("../../docs/frameworks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all(t) {
		if want := "| `" + f.ID + "` | " + f.Title + " | " + f.Version + " | " + f.Source + " | " + f.Date + " |"; !strings.Contains(string(page), want) {
			t.Errorf("docs/frameworks.md lacks: %s", want)
		}
	}
}

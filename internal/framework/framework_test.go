package framework

import (
	"fmt"
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
// rules and evidence that exist.
func TestDataIsWhole(t *testing.T) {
	kinds := map[string]bool{}
	for _, k := range Kinds() {
		kinds[k.ID] = k.About != ""
	}
	for _, f := range all(t) {
		if f.ID == "" || f.Title == "" || f.Version == "" || f.Source == "" {
			t.Errorf("%+v lacks something", f)
		}
		if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
			t.Errorf("%s: %v", f.ID, err)
		}
		seen := map[string]bool{}
		for _, c := range f.Controls {
			if c.ID == "" || c.Title == "" || c.Text == "" || seen[c.ID] {
				t.Errorf("%s %q: without a name, a title or a text, or twice", f.ID, c.ID)
			}
			seen[c.ID] = true
			for i, r := range c.Rules {
				if _, ours := finding.Find(finding.ID(r)); !ours && boundary.Rule(r).Text() == "" {
					t.Errorf("%s %s: there is no rule %s", f.ID, c.ID, r)
				}
				if slices.Contains(c.Rules[:i], r) {
					t.Errorf("%s %s: rule %s twice", f.ID, c.ID, r)
				}
			}
			for _, e := range c.Evidence {
				if !kinds[e] {
					t.Errorf("%s %s: there is no evidence %s", f.ID, c.ID, e)
				}
			}
		}
	}
}

// TestEachRuleBelongsSomewhere: each rule of the audit and of the boundary is in
// some framework, and each kind of evidence is asked for.
func TestEachRuleBelongsSomewhere(t *testing.T) {
	f := all(t)
	for _, r := range finding.Rules() {
		for _, id := range []string{"owasp-cicd", "nist-csf-2.0"} {
			if !slices.ContainsFunc(Taxa(f, string(r.ID)), func(x Taxon) bool { return x.Framework == id }) {
				t.Errorf("%s is in no control of %s", r.ID, id)
			}
		}
	}
	for i := 1; i <= 9; i++ {
		if rule := fmt.Sprintf("SP%d", i); len(Taxa(f, rule)) == 0 {
			t.Errorf("%s is in no control", rule)
		}
	}
	asked := map[string]bool{}
	for _, x := range f {
		for _, c := range x.Controls {
			for _, e := range c.Evidence {
				asked[e] = true
			}
		}
	}
	for _, k := range Kinds() {
		if !asked[k.ID] {
			t.Errorf("no control asks for %s", k.ID)
		}
	}
}

// published are the ids of each framework, and the names where the standard has
// names, as they were published.
func published() map[string][]string {
	return map[string][]string{
		"owasp-nhi-2025": {
			"NHI1 Improper Offboarding", "NHI2 Secret Leakage", "NHI3 Vulnerable Third-Party NHI", "NHI4 Insecure Authentication", "NHI5 Overprivileged NHI",
			"NHI6 Insecure Cloud Deployment Configurations", "NHI7 Long-Lived Secrets", "NHI8 Environment Isolation", "NHI9 NHI Reuse", "NHI10 Human Use of NHI",
		},
		"owasp-cicd": {
			"CICD-SEC-1 Insufficient Flow Control Mechanisms", "CICD-SEC-2 Inadequate Identity and Access Management", "CICD-SEC-3 Dependency Chain Abuse",
			"CICD-SEC-4 Poisoned Pipeline Execution (PPE)", "CICD-SEC-5 Insufficient PBAC (Pipeline-Based Access Controls)",
			"CICD-SEC-6 Insufficient Credential Hygiene", "CICD-SEC-7 Insecure System Configuration", "CICD-SEC-8 Ungoverned Usage of 3rd Party Services",
			"CICD-SEC-9 Improper Artifact Integrity Validation", "CICD-SEC-10 Insufficient Logging and Visibility",
		},
		"nist-800-53-r5": {
			"AC-3 Access Enforcement", "AC-3(2) Dual Authorization", "AC-4 Information Flow Enforcement", "AC-5 Separation of Duties", "AC-6 Least Privilege",
			"AU-9 Protection of Audit Information", "AU-10 Non-repudiation", "AU-10(3) Chain of Custody", "AU-12 Audit Record Generation",
			"CM-5 Access Restrictions for Change", "CM-7(5) Authorized Software (allow by exception)", "CM-14 Signed Components",
			"IA-5 Authenticator Management", "IA-5(7) No Embedded Unencrypted Static Authenticators", "IA-9 Service Identification and Authentication",
			"SA-11 Developer Testing and Evaluation", "SA-15 Development Process, Standards, and Tools", "SC-4 Information in Shared System Resources",
			"SC-7 Boundary Protection", "SC-7(5) Deny by Default (allow by exception)", "SC-7(10) Prevent Exfiltration",
			"SC-12 Cryptographic Key Establishment and Management", "SC-39 Process Isolation", "SI-7 Software, Firmware, and Information Integrity",
			"SI-14 Non-persistence", "SR-3 Supply Chain Controls and Processes", "SR-4 Provenance", "SR-11 Component Authenticity",
		},
		"nist-csf-2.0": {
			"GV.SC-06", "GV.SC-07", "ID.AM-02", "ID.AM-03", "ID.AM-04", "ID.RA-07", "ID.RA-09", "PR.AA-01", "PR.AA-02", "PR.AA-03", "PR.AA-05",
			"PR.DS-01", "PR.DS-10", "PR.IR-01", "PR.PS-01", "PR.PS-04", "PR.PS-05", "PR.PS-06", "DE.CM-06", "DE.CM-09",
		},
		"nist-800-204d": {
			"3.2.1", "4.2", "5.1.1", "5.1.1-attestations", "5.1.2", "5.1.3", "PULL-PUSH-REQ-2", "PULL-PUSH-REQ-3", "COMMIT-REQ-1", "DEPLOY-REQ-3", "DEPLOY-REQ-4", "5.3",
		},
		"nist-800-207": {"tenet-1", "tenet-2", "tenet-3", "tenet-4", "tenet-5", "tenet-6", "tenet-7"},
		"ssdf-1.1": {
			"PO.1.1", "PO.3.1", "PO.3.2", "PO.3.3", "PO.4.2", "PO.5.1", "PO.5.2", "PS.1.1", "PS.2.1", "PS.3.1", "PS.3.2", "PW.4.1", "PW.4.4", "PW.6.1", "PW.6.2", "PW.8.2",
		},
		"slsa-1.1-build": {
			"choose-an-appropriate-build-platform", "follow-a-consistent-build-process", "distribute-provenance", "provenance-exists", "provenance-authentic", "hosted",
			"provenance-unforgeable", "isolated", "isolated-secrets", "isolated-parallel", "isolated-ephemeral", "isolated-cache", "isolated-remote",
			"verifying-artifacts", "threat-source", "threat-dependencies",
		},
	}
}

func TestIdsAsPublished(t *testing.T) {
	for _, f := range all(t) {
		want := published()[f.ID]
		if len(f.Controls) != len(want) {
			t.Errorf("%s has %d controls, want %d", f.ID, len(f.Controls), len(want))
			continue
		}
		for i, c := range f.Controls {
			if id, name, named := strings.Cut(want[i], " "); c.ID != id || named && c.Title != name {
				t.Errorf("%s: %s %s, want %s", f.ID, c.ID, c.Title, want[i])
			}
		}
	}
}

// TestFormerIds: who looks for an id of CSF 1.1 finds its successor.
func TestFormerIds(t *testing.T) {
	csf, err := Find("nist-csf-2.0")
	if err != nil {
		t.Fatal(err)
	}
	former := map[string]string{}
	for _, c := range csf.Controls {
		for _, id := range c.Former {
			former[id] = c.ID
		}
	}
	if len(former) != 2 || former["PR.AC-4"] != "PR.AA-05" || former["PR.AC-5"] != "PR.IR-01" {
		t.Errorf("%v", former)
	}
}

// TestMappingOfRules holds the mappings to the table that the rules were made
// with: OWASP NHI, OWASP CI/CD, CSF 2.0 and the SLSA Build track.
func TestMappingOfRules(t *testing.T) {
	f := all(t)
	for rule, want := range map[string]string{
		"SPA-001": "NHI5 NHI8 CICD-SEC-3 CICD-SEC-5 PR.AA-05 PR.PS-05 PR.PS-06 isolated",
		"SPA-002": "NHI2 NHI5 NHI8 CICD-SEC-5 CICD-SEC-6 CICD-SEC-9 PR.AA-05 PR.DS-10 PR.PS-05 isolated-secrets provenance-unforgeable",
		"SPA-003": "NHI5 NHI6 NHI8 CICD-SEC-5 CICD-SEC-6 PR.AA-05 PR.IR-01",
		"SPA-004": "NHI5 CICD-SEC-1 CICD-SEC-5 PR.AA-05 PR.PS-06 threat-source",
		"SPA-005": "NHI2 CICD-SEC-6 PR.AA-01 PR.DS-10",
		"SPA-006": "NHI5 NHI9 CICD-SEC-2 CICD-SEC-5 PR.AA-05 provenance-unforgeable",
		"SPA-007": "NHI2 NHI5 CICD-SEC-6 PR.AA-05",
		"SPA-008": "NHI8 NHI9 CICD-SEC-2 CICD-SEC-6 PR.AA-05 PR.IR-01",
		"SPA-009": "NHI5 NHI9 CICD-SEC-6 PR.AA-05",
		"SPA-010": "NHI3 CICD-SEC-3 CICD-SEC-8 GV.SC-07 ID.AM-04 threat-dependencies",
		"SPA-011": "NHI3 CICD-SEC-8 GV.SC-06",
		"SPA-012": "NHI5 NHI8 CICD-SEC-4 PR.PS-06 PR.AA-05",
		"SPA-013": "NHI2 NHI8 CICD-SEC-4 CICD-SEC-6 PR.AA-05",
		"SPA-014": "NHI8 CICD-SEC-3 CICD-SEC-9 PR.IR-01 ID.RA-09 isolated-cache",
		"SPA-015": "NHI8 CICD-SEC-9 ID.RA-09 PR.DS-01 verifying-artifacts",
		"SPA-016": "NHI5 CICD-SEC-5 PR.AA-05",
		"SPA-017": "NHI6 NHI8 CICD-SEC-1 PR.AA-05",
		"SPA-018": "NHI6 NHI8 CICD-SEC-7 PR.IR-01 PR.PS-01 isolated-parallel isolated-ephemeral",
		"SPA-019": "NHI2 CICD-SEC-6 PR.DS-10",
		"SPA-020": "NHI2 NHI5 CICD-SEC-6 PR.AA-05",
		"SPA-021": "NHI5 CICD-SEC-9 ID.RA-09 PR.PS-06 provenance-unforgeable",
		"SPA-022": "NHI6 NHI8 CICD-SEC-7 PR.IR-01 isolated",
		"SPA-023": "NHI7 NHI4 NHI6 CICD-SEC-6 PR.AA-01 PR.AA-03",
		"SPA-024": "NHI3 CICD-SEC-3 PR.PS-05 GV.SC-07 follow-a-consistent-build-process threat-dependencies",
		"SPA-090": "CICD-SEC-10 ID.AM-02 DE.CM-06",
	} {
		var got []string
		for _, x := range Taxa(f, rule) {
			if slices.Contains([]string{"owasp-nhi-2025", "owasp-cicd", "nist-csf-2.0", "slsa-1.1-build"}, x.Framework) {
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

// TestStandInsAreTheAudits: which rule of the audit stands for which of the
// boundary is said in two places, and has to be the same.
func TestStandInsAreTheAudits(t *testing.T) {
	want := map[string][]string{}
	for _, r := range finding.Rules() {
		for _, sp := range r.Breaks {
			want[string(sp)] = append(want[string(sp)], string(r.ID))
		}
	}
	got := standIns()
	if len(got) != len(want) {
		t.Errorf("stand-ins for %d rules, want %d", len(got), len(want))
	}
	for sp, rules := range want {
		if !slices.Equal(got[sp], rules) {
			t.Errorf("%s: %v, want %v", sp, got[sp], rules)
		}
	}
	if len(want[routeRule]) > 0 {
		t.Errorf("the audit tells %s now: %v", routeRule, want[routeRule])
	}
}

func TestFindSuggests(t *testing.T) {
	if f, err := Find("ssdf-1.1"); err != nil || f.ID != "ssdf-1.1" || len(f.Controls) == 0 {
		t.Errorf("%v, %v", f.ID, err)
	}
	const every = "there are nist-800-204d, nist-800-207, nist-800-53-r5, nist-csf-2.0, owasp-cicd, owasp-nhi-2025, slsa-1.1-build, ssdf-1.1"
	for name, hint := range map[string]string{
		"csf":                     "did you mean nist-csf-2.0? ",
		"OWASP":                   "did you mean owasp-cicd or owasp-nhi-2025? ",
		"owasp-cidc":              "did you mean owasp-cicd? ",
		"nist-csf-1.1":            "did you mean nist-csf-2.0? ",
		"zzzzz":                   "",
		"":                        "",
		strings.Repeat("a", 1000): "",
	} {
		want := fmt.Sprintf("no framework %q: %s%s", name, hint, every)
		if _, err := Find(name); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "axc", 1}, {"abc", "ac", 1}, {"ac", "abc", 1}, {"abc", "bca", 2}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `{id: A, title: t, text: x, rules: [SPA-001], decidable: files, beyond: b}`
	if _, err := parse([]byte("id: x\ncontrols: [" + good + "]")); err != nil {
		t.Fatal(err)
	}
	for name, control := range map[string]string{
		"unknown key":            `{id: A, rules: [SPA-001], decidable: files, beyond: b, rule: [SPA-002]}`,
		"nothing decides it":     `{id: A, rules: [SPA-001], beyond: b}`,
		"decided by a guess":     `{id: A, rules: [SPA-001], decidable: guess, beyond: b}`,
		"files without a rule":   `{id: A, decidable: files, beyond: b}`,
		"files with evidence":    `{id: A, rules: [SPA-001], evidence: [receipt], decidable: files, beyond: b}`,
		"run without evidence":   `{id: A, rules: [SPA-001], decidable: run, beyond: b}`,
		"nothing beyond":         `{id: A, rules: [SPA-001], decidable: files}`,
		"shown with a reason":    `{id: A, rules: [SPA-001], decidable: files, beyond: b, why: w}`,
		"neither, no reason":     `{id: A, decidable: neither}`,
		"neither, with evidence": `{id: A, decidable: neither, why: w, evidence: [receipt]}`,
		"no list":                `]`,
	} {
		if _, err := parse([]byte("id: x\ncontrols: [" + control + "]")); err == nil {
			t.Errorf("%s is let pass", name)
		}
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
	for _, k := range Kinds() {
		if want := "| `" + k.ID + "` | " + k.About + " |"; !strings.Contains(string(page), want) {
			t.Errorf("docs/frameworks.md lacks: %s", want)
		}
	}
	for _, s := range []State{Broken, Shown, NotShown, Undecidable} {
		if !strings.Contains(string(page), "| "+string(s)+" |") {
			t.Errorf("docs/frameworks.md lacks the state %s", s)
		}
	}
}

// TestPageNamesWhatCannotBeDecided: the page names each control that can never
// be shown, and none that can.
func TestPageNamesWhatCannotBeDecided(t *testing.T) {
	page, err := os.ReadFile("../../docs/frameworks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "## What cannot be decided here")
	if !found {
		t.Fatal("the page has no such section")
	}
	named := map[string]bool{}
	for _, row := range strings.Split(section, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) != 4 || strings.Contains(row, "---") || strings.TrimSpace(cells[2]) == "controls" {
			continue
		}
		for _, id := range strings.Split(cells[2], ",") {
			named[strings.TrimSpace(id)] = true
		}
	}
	for _, f := range all(t) {
		for _, c := range f.Controls {
			if (c.Decidable == ByNeither) != named[c.ID] {
				t.Errorf("%s %s: decidable is %s, named by the page: %t", f.ID, c.ID, c.Decidable, named[c.ID])
			}
			delete(named, c.ID)
		}
	}
	for id := range named {
		t.Errorf("the page names %q, which is no control", id)
	}
}

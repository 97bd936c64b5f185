package finding

import "github.com/sallyport/sallyport/internal/boundary"

// ID is the stable name of one rule of the audit.
type ID string

// Rule is one rule of the audit. Its page is docs/rules/<ID>.md.
type Rule struct {
	ID       ID
	Title    string
	Severity Severity // of a proven finding
	// Strict: reported with the strict profile only.
	Strict bool
	// Breaks are the rules of the boundary that it stands for.
	Breaks []boundary.Rule
}

// Rules returns all rules, in their order.
func Rules() []Rule {
	return []Rule{
		{"SPA-001", "Dependency code can publish", Critical, false, breaks(boundary.SP1)},
		{"SPA-002", "Dependency code can reach a signing key or signing identity", Critical, false, breaks(boundary.SP1, boundary.SP7)},
		{"SPA-003", "Dependency code can deploy or use cloud credentials", High, false, breaks(boundary.SP1)},
		{"SPA-004", "Dependency code can write the source repository", High, false, breaks(boundary.SP1)},
		{"SPA-005", "A secret is in the environment of a step that installs or builds", High, false, breaks(boundary.SP1)},
		{"SPA-006", "One identity can fetch, sign and deploy", Critical, false, breaks(boundary.SP9)},
		{"SPA-007", "A secret is given to more than the step that needs it", Medium, true, breaks(boundary.SP1)},
		{"SPA-008", "A secret or role is shared by stages of different trust", Medium, true, breaks(boundary.SP2)},
		{"SPA-009", "All secrets are handed over", Medium, false, breaks(boundary.SP1)},
		{"SPA-010", "A third party's step that can change runs beside a credential", High, false, breaks(boundary.SP5)},
		{"SPA-011", "A third party's pinned step runs in a job that publishes or signs", Note, true, breaks(boundary.SP5)},
		{"SPA-012", "Code or text of a stranger runs beside a credential", Critical, false, breaks(boundary.SP1)},
		{"SPA-013", "Secrets are in builds of pull requests", High, true, breaks(boundary.SP1)},
		{"SPA-014", "A cache that a less trusted job wrote is restored beside a credential", High, false, breaks(boundary.SP8)},
		{"SPA-015", "What a less trusted job built is run beside a credential", High, false, breaks(boundary.SP4, boundary.SP8)},
		{"SPA-016", "A write or OIDC right of the whole workflow reaches jobs that run dependencies", Medium, true, breaks(boundary.SP1)},
		{"SPA-017", "A job that publishes, signs or deploys has no protected environment", Medium, true, breaks(boundary.SP7)},
		{"SPA-018", "Untrusted and credentialed jobs share a machine that outlives them", High, false, breaks(boundary.SP8)},
		{"SPA-019", "A credential is left on disk during a build", Medium, true, breaks(boundary.SP6)},
		{"SPA-020", "The checkout's credential stays in a job that runs dependencies", Medium, true, breaks(boundary.SP1)},
		{"SPA-021", "Provenance is signed where the build runs", Medium, true, breaks(boundary.SP7)},
		{"SPA-022", "A builder that does not isolate runs beside a credential", High, false, breaks(boundary.SP1)},
		{"SPA-023", "A long-lived secret is used where OIDC would do", Medium, true, breaks(boundary.SP6)},
		{"SPA-024", "A tool of no fixed version is installed beside a credential", High, false, breaks(boundary.SP5)},
		{"SPA-090", "Not analysed", Note, true, nil},
	}
}

func breaks(all ...boundary.Rule) []boundary.Rule { return all }

// Find returns the rule of that id.
func Find(id ID) (Rule, bool) {
	for _, r := range Rules() {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

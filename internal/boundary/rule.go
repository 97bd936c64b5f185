package boundary

// Rule is the stable id of one rule of the boundary. Audit findings, refusals,
// ledger entries and reports all name the same ids.
type Rule string

// The rules. They are never renumbered.
const (
	SP1 Rule = "SP1" // no stage is tainted and holds release authority or a secret
	SP2 Rule = "SP2" // no identity spans zones
	SP3 Rule = "SP3" // a tainted zone has no route but the gateway
	SP4 Rule = "SP4" // nothing crosses into verify, release or deploy but by digest
	SP5 Rule = "SP5" // a privileged zone runs only code pinned by digest
	SP6 Rule = "SP6" // a credential does not outlive its stage
	SP7 Rule = "SP7" // signing needs a verdict and approvals for that very digest
	SP8 Rule = "SP8" // what a tainted run can write is not trusted by a later privileged one
	SP9 Rule = "SP9" // no single identity can fetch, sign and deploy
)

var ruleTexts = map[Rule]string{
	SP1: "no stage is tainted and holds release authority or a secret",
	SP2: "no identity spans zones",
	SP3: "a tainted zone has no route but the gateway",
	SP4: "nothing crosses into verify, release or deploy but by digest",
	SP5: "a privileged zone runs only code pinned by digest, never code or configuration that a tainted stage can change",
	SP6: "a credential does not outlive its stage",
	SP7: "signing needs a verdict and approvals for that very digest",
	SP8: "what a tainted run can write is not trusted by a later privileged one",
	SP9: "no single identity can fetch, sign and deploy",
}

// Text returns the rule in words.
func (r Rule) Text() string { return ruleTexts[r] }

package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// rule gives the findings of one kind in one domain.
type rule func(*domain) []finding.Finding

// rules are those that look at one domain. The rest look at a repository.
func rules() []rule {
	return []rule{
		dependencyCode,     // SPA-001 to SPA-004
		unsortedSecret,     // SPA-003, of a secret whose use cannot be told
		compiledBeside,     // SPA-001 to SPA-004, as notes
		secretInInstall,    // SPA-005
		oneIdentity,        // SPA-006
		wideSecret,         // SPA-007
		allSecrets,         // SPA-009
		thirdPartyStep,     // SPA-010, SPA-011
		strangersCode,      // SPA-012
		pullRequestSecrets, // SPA-013
		wideRight,          // SPA-016
		noEnvironment,      // SPA-017
		leftOnDisk,         // SPA-019, SPA-020
		signedInBuild,      // SPA-021
		looseBuilder,       // SPA-022
		longLived,          // SPA-023
		floatingTool,       // SPA-024
	}
}

// reachRules are the rules of dependency code that reaches a credential, by
// what the credential is first good for.
func reachRules() []struct {
	id    finding.ID
	class ci.Class
	can   string
} {
	return []struct {
		id    finding.ID
		class ci.Class
		can   string
	}{
		{"SPA-001", ci.Publish, "can publish"},
		{"SPA-002", ci.Sign, "can sign"},
		{"SPA-003", ci.Deploy, "can deploy"},
		{"SPA-004", ci.Repository, "can write the source repository"},
	}
}

// dependencyCode is SPA-001 to SPA-004. A credential counts once, for the worst
// that it is good for.
func dependencyCode(x *domain) []finding.Finding {
	events := x.some(executes)
	var all []finding.Finding
	for k, r := range reachRules() {
		var met []held
		for _, c := range x.holds {
			if _, ok := x.meeting(events, c); ok && ranks(c.Credential) == k {
				met = append(met, c)
			}
		}
		if len(met) == 0 {
			continue
		}
		c := worst(met)
		e, _ := x.meeting(events, c)
		f := x.reached(r.id, e, c)
		f.Title = fmt.Sprintf("%s %s with %s", capital(subjectOf(e)), r.can, c.Name)
		f.Others = others(met, c)
		all = append(all, f)
	}
	return all
}

// ranks is the place in reachRules of the first class of c, or -1.
func ranks(c ci.Credential) int {
	for k, r := range reachRules() {
		if c.Is(r.class) {
			return k
		}
	}
	return -1
}

// worst is the credential to name first: what reaches the whole job before what
// is minted late, the certain before the assumed.
func worst(all []held) held {
	best := all[0]
	for _, c := range all[1:] {
		if weight(c) < weight(best) {
			best = c
		}
	}
	return best
}

func weight(c held) int {
	w := 0
	if c.Scope == ci.MintedAt {
		w += 2
	}
	if c.Assumed {
		w += 4
	}
	if c.Kind == ci.File {
		w++
	}
	return w
}

func others(all []held, but held) []finding.Credential {
	var out []finding.Credential
	for _, c := range all {
		if c.Name != but.Name || c.Where != but.Where {
			out = append(out, shown(c))
		}
	}
	return out
}

// subjectOf says whose code an event starts.
func subjectOf(e event) string {
	switch {
	case e.Tier == ci.Steered:
		return "code of whoever starts the run"
	case e.Tier == ci.ThirdParty:
		return "the step " + e.Text
	}
	return "dependency code (" + clip(e.Text, 60) + ")"
}

// unsortedSecret is SPA-003 of a secret whose use cannot be told.
func unsortedSecret(x *domain) []finding.Finding {
	events := x.some(executes)
	var all []finding.Finding
	for _, c := range x.holds {
		e, ok := x.meeting(events, c)
		if !ok || !c.Is(ci.Unsorted) || c.High() {
			continue
		}
		f := x.reached("SPA-003", e, c)
		f.Title = fmt.Sprintf("%s reaches %s, whose use cannot be told", capital(subjectOf(e)), c.Name)
		f.Severity, f.Confidence, f.Strict = finding.Medium, finding.Possible, true
		all = append(all, f)
	}
	return firstOf(all)
}

// compiledBeside notes dependency code that is compiled beside a credential and
// does not run there.
func compiledBeside(x *domain) []finding.Finding {
	if len(x.some(executes)) > 0 {
		return nil
	}
	events := x.some(func(e event) bool { return e.Tier == ci.Compiles })
	for _, c := range x.high() {
		e, ok := x.meeting(events, c)
		if !ok {
			continue
		}
		f := x.reached(reachRules()[ranks(c.Credential)].id, e, c)
		f.Title = fmt.Sprintf("%s fetches or compiles dependencies beside %s; it does not run them", clip(e.Text, 60), c.Name)
		f.Severity, f.Confidence, f.Strict = finding.Note, finding.Possible, true
		return []finding.Finding{f}
	}
	return nil
}

// secretInInstall is SPA-005: the secret is in the very environment of the
// command that runs other people's code.
func secretInInstall(x *domain) []finding.Finding {
	var all []finding.Finding
	for _, c := range x.high() {
		if c.Kind != ci.Secret && c.Kind != ci.Context || c.Scope == ci.MintedAt {
			continue
		}
		for _, e := range x.some(executes) {
			if !e.within(c) || strings.Contains(c.Enters, "input") {
				continue
			}
			f := x.reached("SPA-005", e, c)
			f.Title = fmt.Sprintf("%s is in the environment of %s", c.Name, clip(e.Text, 60))
			all = append(all, f)
			break
		}
	}
	return firstOf(all)
}

// oneIdentity is SPA-006. What the job is called upon to do counts, and what
// its secrets are named for; the bare right to mint a token does not tell.
func oneIdentity(x *domain) []finding.Finding {
	events := x.some(func(e event) bool { return executes(e) })
	if len(events) == 0 {
		return nil
	}
	by := map[ci.Class]held{}
	for _, class := range []ci.Class{ci.Publish, ci.Sign, ci.Deploy} {
		for _, c := range x.holds {
			if !c.Is(class) || c.Assumed || len(c.Classes) > 2 || !x.reaches(events[0], c) {
				continue
			}
			if _, ok := by[class]; !ok {
				by[class] = c
			}
		}
	}
	if len(by) < 2 {
		return nil
	}
	var can []string
	var met []held
	for _, class := range []ci.Class{ci.Publish, ci.Sign, ci.Deploy} {
		if c, ok := by[class]; ok {
			can = append(can, string(class))
			met = append(met, c)
		}
	}
	f := x.reached("SPA-006", events[0], met[0])
	f.Title = fmt.Sprintf("one job can fetch, %s", strings.Join(can, " and "))
	f.Others = others(met, met[0])
	return []finding.Finding{f}
}

// wideSecret is SPA-007.
func wideSecret(x *domain) []finding.Finding {
	var all []finding.Finding
	for _, c := range x.high() {
		if c.Kind != ci.Secret || c.Scope != ci.Global && c.Scope != ci.PerJob || c.Step >= 0 || len(c.job.Steps) < 2 {
			continue
		}
		f := x.about("SPA-007", c)
		f.Title = fmt.Sprintf("%s is in the %s", c.Name, c.Enters)
		all = append(all, f)
	}
	return all
}

// allSecrets is SPA-009.
func allSecrets(x *domain) []finding.Finding {
	for _, c := range x.holds {
		if c.All {
			f := x.about("SPA-009", c)
			f.Title = "all secrets are handed over: " + c.Enters
			return []finding.Finding{f}
		}
	}
	return nil
}

// thirdPartyStep is SPA-010 for steps that can change, SPA-011 for pinned ones.
// A step that is given the credential to use it is not reported: who takes the
// step trusts it with that. With the strict profile it is, when it can change.
func thirdPartyStep(x *domain) []finding.Finding {
	release := func(c held) bool { return c.Is(ci.Publish) || c.Is(ci.Sign) || c.Is(ci.Deploy) }
	var all []finding.Finding
	for _, e := range x.some(func(e event) bool { return e.Tier == ci.ThirdParty && !e.Own }) {
		for _, c := range x.high() {
			if !x.reaches(e, c) || e.Pinned && !(c.Is(ci.Publish) || c.Is(ci.Sign)) {
				continue
			}
			id := finding.ID("SPA-010")
			if e.Pinned {
				id = "SPA-011"
			}
			f := x.reached(id, e, c)
			f.Title = fmt.Sprintf("%s runs beside %s", e.Text, c.Name)
			f.Strict = f.Strict || x.uses(e) || !release(c)
			all = append(all, f)
			break
		}
	}
	return all
}

// uses tells whether the step of e is there to use a credential.
func (x *domain) uses(e event) bool {
	if slices.ContainsFunc(x.acts, func(a act) bool { return a.job == e.job && a.step == e.step && !a.Verifies }) {
		return true
	}
	return slices.ContainsFunc(x.holds, func(c held) bool { return c.job == e.job && c.Step == e.step })
}

// strangersCode is SPA-012.
func strangersCode(x *domain) []finding.Finding {
	events := x.some(steered)
	var all []finding.Finding
	for _, c := range x.high() {
		e, ok := x.meeting(events, c)
		if !ok {
			continue
		}
		f := x.reached("SPA-012", e, c)
		f.Title = fmt.Sprintf("whoever starts the run can use %s", c.Name)
		all = append(all, f)
	}
	return firstOf(all)
}

// pullRequestSecrets is SPA-013.
func pullRequestSecrets(x *domain) []finding.Finding {
	if !x.stand.contributed {
		return nil
	}
	for _, c := range x.high() {
		if c.Kind == ci.Secret || c.Kind == ci.Context || c.Kind == ci.Connection {
			f := x.about("SPA-013", c)
			f.Title = fmt.Sprintf("%s is in builds of pull requests from branches of the repository", c.Name)
			return []finding.Finding{f}
		}
	}
	return nil
}

// wideRight is SPA-016.
func wideRight(x *domain) []finding.Finding {
	events := x.some(executes)
	for _, c := range x.high() {
		if c.Scope != ci.Global || c.Kind != ci.OIDC && c.Kind != ci.Token {
			continue
		}
		if e, ok := x.meeting(events, c); ok {
			f := x.reached("SPA-016", e, c)
			f.Title = fmt.Sprintf("%s is given to the whole workflow", c.Name)
			return []finding.Finding{f}
		}
	}
	return nil
}

// noEnvironment is SPA-017.
func noEnvironment(x *domain) []finding.Finding {
	for _, a := range x.acts {
		if a.job.Environment.Name != "" || a.Verifies || a.Class != ci.Publish && a.Class != ci.Sign && a.Class != ci.Deploy {
			continue
		}
		for _, c := range x.high() {
			if c.Is(a.Class) {
				f := x.about("SPA-017", c)
				f.Title = fmt.Sprintf("%s needs nobody's approval: the job has no environment", clip(a.Text, 60))
				return []finding.Finding{f}
			}
		}
	}
	return nil
}

// leftOnDisk is SPA-020 for the credential that a checkout leaves, SPA-019 for
// all others.
func leftOnDisk(x *domain) []finding.Finding {
	var disk, checkout []finding.Finding
	events := x.some(executes)
	for _, c := range x.high() {
		e, ok := x.meeting(events, c)
		if !ok || !c.OnDisk {
			continue
		}
		if strings.Contains(c.Enters, "checkout") {
			f := x.reached("SPA-020", e, c)
			f.Title = fmt.Sprintf("%s stays in .git/config while dependencies run", c.Name)
			checkout = append(checkout, f)
			continue
		}
		f := x.reached("SPA-019", e, c)
		f.Title = fmt.Sprintf("%s is left on disk: %s", c.Name, c.Enters)
		disk = append(disk, f)
	}
	return append(firstOf(disk), firstOf(checkout)...)
}

// signedInBuild is SPA-021.
func signedInBuild(x *domain) []finding.Finding {
	events := x.some(executes)
	for _, a := range x.acts {
		if !a.Attests || len(events) == 0 {
			continue
		}
		for _, c := range x.high() {
			if e, ok := x.meeting(events, c); ok && (c.Is(ci.Sign) || c.Kind == ci.OIDC) {
				f := x.reached("SPA-021", e, c)
				f.Title = fmt.Sprintf("%s signs what the same machine built", clip(a.Text, 60))
				return []finding.Finding{f}
			}
		}
	}
	return nil
}

// looseBuilder is SPA-022.
func looseBuilder(x *domain) []finding.Finding {
	return x.firstPair("SPA-022", func(e event) bool { return e.Unsandboxed }, func(e event, c held) string {
		return fmt.Sprintf("%s does not isolate what it builds from %s", clip(e.Text, 60), c.Name)
	})
}

// longLived is SPA-023.
func longLived(x *domain) []finding.Finding {
	var all []finding.Finding
	for _, c := range x.high() {
		instead := credential.Federated(c.Name)
		if c.Kind != ci.Secret || !c.LongLived || instead == "" {
			continue
		}
		f := x.about("SPA-023", c)
		f.Title = fmt.Sprintf("%s lives until somebody revokes it; there is %s", c.Name, instead)
		all = append(all, f)
	}
	return all
}

// floatingTool is SPA-024.
func floatingTool(x *domain) []finding.Finding {
	return x.firstPair("SPA-024", func(e event) bool { return e.Floating && !e.Own }, func(e event, c held) string {
		return fmt.Sprintf("%s installs whatever is newest, beside %s", clip(e.Text, 60), c.Name)
	})
}

// firstPair is the first event of a sort that reaches a credential.
func (x *domain) firstPair(id finding.ID, ok func(event) bool, title func(event, held) string) []finding.Finding {
	for _, e := range x.some(ok) {
		for _, c := range x.high() {
			if !x.reaches(e, c) {
				continue
			}
			f := x.reached(id, e, c)
			f.Title = title(e, c)
			return []finding.Finding{f}
		}
	}
	return nil
}

// firstOf keeps one finding of a rule in a domain, with the others' credentials
// in it.
func firstOf(all []finding.Finding) []finding.Finding {
	if len(all) < 2 {
		return all
	}
	f := all[0]
	for _, o := range all[1:] {
		if o.Credential != nil && (f.Credential == nil || o.Credential.Name != f.Credential.Name) {
			f.Others = append(f.Others, *o.Credential)
		}
	}
	return []finding.Finding{f}
}

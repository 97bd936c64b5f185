package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// fixes says what to do about a finding, the best first.
func fixes(x *domain, id finding.ID, e event, c held) []string {
	switch id {
	case "SPA-001", "SPA-002", "SPA-003", "SPA-004", "SPA-006", "SPA-016", "SPA-021", "SPA-024":
		return x.apart(id, e, c)
	case "SPA-005", "SPA-007":
		return append([]string{fmt.Sprintf("give %s to the step that uses it alone", c.Name)}, x.saferCommand(e)...)
	case "SPA-009":
		return []string{"name the secrets that the called workflow needs, one by one"}
	case "SPA-011":
		return []string{
			fmt.Sprintf("read %s at that commit, and allow it: trusted in .sallyport/audit.yaml", clip(e.Text, 80)),
			fmt.Sprintf("or move it to a job that does not hold %s", c.Name),
		}
	case "SPA-010":
		return []string{
			fmt.Sprintf("name %s by its full commit or digest", clip(e.Text, 80)),
			fmt.Sprintf("or move it to a job that does not hold %s", c.Name),
		}
	case "SPA-012":
		return []string{
			"run code of a pull request in a job without secrets, started by pull_request",
			"hand only data to a second job that holds them, and do not check out or run what was sent",
		}
	case "SPA-013":
		return []string{fmt.Sprintf("run what needs %s on push to a protected branch, or behind an environment with reviewers", c.Name)}
	case "SPA-017":
		return []string{fmt.Sprintf("put job %s into an environment with required reviewers", c.job.ID)}
	case "SPA-019":
		return []string{fmt.Sprintf("put %s on disk after the last step that runs dependencies, and remove it in the step that uses it", c.Name)}
	case "SPA-020":
		return []string{"set persist-credentials: false at the checkout, and give the token to the step that pushes"}
	case "SPA-022":
		return []string{"build in a job without credentials, and push its result by digest in a second one"}
	case "SPA-023":
		return []string{"use " + credential.Federated(c.Name) + ", and revoke " + c.Name}
	}
	return nil
}

// apart is the split of a job in two, and what is second best.
func (x *domain) apart(id finding.ID, e event, c held) []string {
	job := c.job.ID
	out := []string{fmt.Sprintf("split job %s: build without %s, hand the result over as an artifact, and %s in a job that installs nothing", job, c.Name, deed(id, c))}
	out = append(out, x.saferCommand(e)...)
	if c.Scope == ci.Global && (c.Kind == ci.OIDC || c.Kind == ci.Token) {
		out = append(out, fmt.Sprintf("give %s to the job that needs it, not to the workflow", c.Name))
	}
	return out
}

func deed(id finding.ID, c held) string {
	switch {
	case id == "SPA-002" || id == "SPA-021":
		return "sign"
	case id == "SPA-003":
		return "deploy"
	case id == "SPA-004":
		return "write to the repository"
	case c.Is(ci.Publish):
		return "publish"
	}
	return "release"
}

// saferCommand names the same command without other people's code, or confined.
func (x *domain) saferCommand(e event) []string {
	if e.Text == "" || e.Tier != ci.Executes {
		return nil
	}
	var out []string
	if e.Safer != "" {
		out = append(out, fmt.Sprintf("or run `%s`", e.Safer))
	}
	if !strings.ContainsAny(e.Text, "\n@") && slices.Contains(confinable(), e.Ecosystem) {
		out = append(out, fmt.Sprintf("or confine it: `sallyport exec -- %s`", clip(e.Text, 100)))
	}
	return out
}

// confinable are the ecosystems whose commands `sallyport exec` can give their
// packages to.
func confinable() []string { return []string{"npm", "go"} }

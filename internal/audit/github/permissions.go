package github

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// permissions are what a job's token may do.
type permissions struct {
	scopes map[string]level
	all    string // read-all or write-all, "" else
	known  bool   // the file, or an option, says
	scope  ci.Scope
	where  ci.Place
	source string // in words: permissions of the job
}

type level struct {
	value string
	where ci.Place
}

// scopeClass is what the right to write a scope is good for.
func scopeClass(scope string) ci.Class {
	switch scope {
	case "contents", "actions", "pull-requests":
		return ci.Repository
	case "packages":
		return ci.Publish
	case "attestations":
		return ci.Sign
	case "pages", "deployments":
		return ci.Deploy
	}
	return ci.Low
}

func allScopes() []string {
	return []string{
		"actions", "attestations", "contents", "deployments", "id-token", "packages", "pages", "pull-requests",
		"checks", "discussions", "issues", "security-events", "statuses", // of little worth
	}
}

// workflowPermissions are those at the head of a workflow, or the default.
func workflowPermissions(root tree.Node, o Options) permissions {
	if n := root.Get("permissions"); n.Exists() {
		return readPermissions(n, ci.Global, "permissions of the workflow")
	}
	p := permissions{scope: ci.Global, source: "default permissions of a token", where: root.Get("jobs").Place()}
	switch o.DefaultPermissions {
	case "read":
		p.known = true
	case "write":
		p.known, p.all = true, "default"
	}
	return p
}

func readPermissions(n tree.Node, scope ci.Scope, source string) permissions {
	p := permissions{scopes: map[string]level{}, known: true, scope: scope, source: source, where: n.Place()}
	if n.IsText() {
		p.all = n.Text()
		return p
	}
	for _, pair := range n.Pairs() {
		p.scopes[pair.Key.Text()] = level{pair.Value.Text(), pair.Key.Place()}
	}
	return p
}

// within is p where a caller allows no more than limit.
func (p permissions) within(limit *permissions) permissions {
	if limit == nil || !limit.known {
		return p
	}
	if !p.known {
		return *limit
	}
	out := p
	out.scopes = map[string]level{}
	out.all = ""
	for _, s := range allScopes() {
		if p.writes(s) && limit.writes(s) {
			out.scopes[s] = level{"write", p.at(s)}
		}
	}
	return out
}

func (p permissions) writes(scope string) bool {
	switch p.all {
	case "write-all":
		return true
	case "default":
		return scope != "id-token" && scope != "attestations"
	}
	return p.scopes[scope].value == "write"
}

// strong tells whether the token can write anything of worth.
func (p permissions) strong() bool {
	return slices.ContainsFunc(allScopes(), func(s string) bool { return p.writes(s) && scopeClass(s).High() })
}

func (p permissions) at(scope string) ci.Place {
	if l, ok := p.scopes[scope]; ok {
		return l.where
	}
	return p.where
}

// credentials are what the permissions give to a job: the right to mint
// identity tokens, and the job's own token once for each class.
func (p permissions) credentials() []ci.Credential {
	var all []ci.Credential
	for _, scope := range allScopes() {
		if !p.writes(scope) {
			continue
		}
		c := ci.Credential{Scope: p.scope, Step: -1, Enters: p.source, Where: p.at(scope), Assumed: p.all == "default"}
		if scope == "id-token" {
			c.Name, c.Kind = "id-token", ci.OIDC
			c.Classes = []ci.Class{ci.Publish, ci.Sign, ci.Deploy}
		} else {
			c.Name, c.Kind = fmt.Sprintf("GITHUB_TOKEN %s:write", scope), ci.Token
			c.Classes = []ci.Class{scopeClass(scope)}
		}
		all = append(all, c)
	}
	return all
}

// focus narrows what the right to mint tokens is good for to what the job is
// seen to use it for. Where nothing is seen it stays good for all.
func focus(j *ci.Job) {
	var seen []ci.Class
	for _, s := range j.Steps {
		for _, a := range s.Acts {
			if !a.Verifies && mints(a) && !slices.Contains(seen, a.Class) {
				seen = append(seen, a.Class)
			}
		}
	}
	for _, c := range j.Credentials {
		if c.Kind == ci.Session && c.Is(ci.Deploy) && !slices.Contains(seen, ci.Deploy) {
			seen = append(seen, ci.Deploy)
		}
	}
	if len(seen) == 0 {
		return
	}
	order := []ci.Class{ci.Publish, ci.Sign, ci.Deploy}
	for i := range j.Credentials {
		if j.Credentials[i].Kind == ci.OIDC && j.Credentials[i].Name == "id-token" {
			j.Credentials[i].Classes = slices.DeleteFunc(slices.Clone(order), func(c ci.Class) bool { return !slices.Contains(seen, c) })
		}
	}
}

// mints tells whether an act can be one by an identity token.
func mints(a ci.Act) bool {
	switch a.Class {
	case ci.Sign, ci.Deploy:
		return true
	case ci.Publish:
		return !slices.Contains([]string{"gh", "docker", "podman", "crane", "oras", "goreleaser"}, strings.ToLower(a.Tool))
	}
	return false
}

package github

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// called is a job that is another workflow: the jobs of one of this repository
// stand in its place.
func (j *jobReader) called(uses tree.Node) {
	ref := uses.Text()
	file, own := j.ownPath(ref)
	switch {
	case !own:
		j.foreign(uses)
	case slices.Contains(j.c.files, file):
		j.gap(j.job.ID, ref, "workflows that call each other in a circle", uses.Place())
	case len(j.c.files) > maxDepth:
		j.gap(j.job.ID, ref, "workflows that call each other more than five deep", uses.Place())
	default:
		root, err := j.load(file, uses.Place())
		if err != nil {
			j.gap(j.job.ID, ref, "the called workflow cannot be read: "+err.Error(), uses.Place())
			return
		}
		j.jobs(j.calls(root, file))
		j.over(root)
	}
}

// calls is what the job hands to a workflow.
func (j *jobReader) calls(root tree.Node, file string) call {
	limit := j.granted()
	next := call{
		root: root, limit: &limit, permissions: limit, prefix: j.job.ID + "/", triggers: j.triggers(),
		secrets: secretsOfCall(j.node.Get("secrets"), j.c.secrets), files: append(slices.Clone(j.c.files), file),
	}
	if root.Get("permissions").Exists() {
		next.permissions = workflowPermissions(root, j.o)
	}
	next.choices = j.choicesOf(j.node.Get("with"))
	next.known = inputsOf(onOf(root).Get("workflow_call", "inputs"), j.node.Get("with"), j.known)
	return next
}

// granted are the rights of the job, by its own block or its workflow's.
func (j *jobReader) granted() permissions {
	p := j.c.permissions
	if n := j.node.Get("permissions"); n.Exists() {
		p = readPermissions(n, ci.PerJob, "permissions of the job")
	}
	return p.within(j.c.limit)
}

// inputsOf are the inputs of a call by name: what the caller gives, else the
// callee's default.
func inputsOf(declared, with tree.Node, outer names) names {
	in := names{}
	for _, p := range declared.Pairs() {
		if d := p.Value.Get("default"); d.IsText() {
			in["inputs."+strings.ToLower(p.Key.Text())] = d.Text()
		}
	}
	for _, p := range with.Pairs() {
		if p.Value.IsText() {
			in["inputs."+strings.ToLower(p.Key.Text())] = outer.put(p.Value.Text())
		}
	}
	return in
}

// handed are the secrets that a workflow is called with.
type handed struct {
	all   bool                // under their own names
	names map[string][]string // the callee's name, in upper case -> the caller's
}

// from lists the caller's secrets that are behind a name of the callee.
func (h handed) from(name string) []string {
	if mapped, ok := h.names[strings.ToUpper(name)]; ok {
		return mapped
	}
	if h.all || strings.EqualFold(name, "GITHUB_TOKEN") {
		return []string{name}
	}
	return nil
}

func secretsOfCall(n tree.Node, outer handed) handed {
	if n.Text() == "inherit" {
		return outer
	}
	h := handed{names: map[string][]string{}}
	for _, p := range n.Pairs() {
		given, _ := secretsIn(p.Value.Text())
		behind := []string{}
		for _, name := range given {
			behind = append(behind, outer.from(name)...)
		}
		h.names[strings.ToUpper(p.Key.Text())] = behind
	}
	return h
}

// foreign is a job that is a workflow of another repository: what runs there is
// not known, what it is given is.
func (j *jobReader) foreign(uses tree.Node) {
	defer func() { j.def.Jobs = append(j.def.Jobs, j.job) }()
	j.permissions()
	ref := j.known.put(uses.Text())
	if builder(ref) {
		j.job.Separate = true
		j.job.Mitigations = append(j.job.Mitigations, ci.Mitigation{Text: "signed by a builder that the project cannot change: " + ref, Where: uses.Place()})
		return
	}
	if n := j.node.Get("secrets"); n.Text() == "inherit" {
		j.allSecrets(n.Place(), -1, ci.PerJob, "secrets: inherit")
	} else {
		j.secretsBelow(n, -1, ci.PerJob, "secrets of the call")
	}
	j.secretsBelow(j.node.Get("with"), -1, ci.PerJob, "inputs of the call")
	owner, name, pinned := parts(ref)
	e := ci.Event{
		Tier: ci.ThirdParty, Text: ref, Why: "the job is a workflow of another repository", Ecosystem: "action", Pinned: pinned, Own: j.trusted(owner, name), Where: uses.Place(),
	}
	j.job.Steps = []ci.Step{{Name: ref, Where: uses.Span(), Events: []ci.Event{e}}}
	j.gap(j.job.ID, ref, "a workflow of another repository", uses.Place())
}

// builder tells of the reusable workflows that build and sign apart from their
// caller.
func builder(ref string) bool {
	return strings.HasPrefix(ref, "slsa-framework/slsa-github-generator/.github/workflows/")
}

// parts splits owner/name/path@ref.
func parts(ref string) (owner, name string, pinned bool) {
	path, at, _ := strings.Cut(ref, "@")
	owner, rest, _ := strings.Cut(path, "/")
	name, _, _ = strings.Cut(rest, "/")
	return owner, name, isCommit(at)
}

// isCommit tells whether a ref is a full commit.
func isCommit(ref string) bool {
	if len(ref) != 40 && len(ref) != 64 {
		return false
	}
	return strings.Trim(ref, "0123456789abcdef") == ""
}

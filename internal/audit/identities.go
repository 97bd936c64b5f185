package audit

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
)

// Identity is who or what some jobs act as: a secret, a token, an OIDC subject,
// a role, an app, a service connection, an agent.
type Identity struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Zone is set for identities of our own runs.
	Zone string `json:"zone,omitempty"`
	// Repository tells repositories of one reading apart; empty: there is one.
	Repository string `json:"repository,omitempty"`
	// Can is what it may do: fetch, sign, publish, deploy, repository, and for
	// those whose use cannot be told, unsorted.
	Can []string `json:"can"`
	// Used is what the jobs that hold it are seen to do.
	Used  []string `json:"used"`
	Where []Use    `json:"where"`
	// Shared: jobs of different trust hold it.
	Shared bool `json:"shared,omitempty"`
	// Excess is what it can do and no job that holds it is seen to do.
	Excess []string `json:"excess,omitempty"`
	// Exposed: code that nobody here verified reaches it.
	Exposed bool `json:"exposed,omitempty"`
	// LongLived: it lives until somebody revokes it, although Instead is there.
	LongLived bool   `json:"long_lived,omitempty"`
	Instead   string `json:"instead,omitempty"`
}

// Use is one place where an identity is held.
type Use struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Job  string `json:"job"`
	How  string `json:"how"`
}

// IdentitiesSchema names the JSON form of Identities.
const IdentitiesSchema = "sallyport/identities/v1"

// Identities are all identities of a reading, and what they come to.
type Identities struct {
	Schema     string         `json:"schema"`
	Identities []Identity     `json:"identities"`
	Totals     IdentityTotals `json:"totals"`
}

// IdentityTotals are figures over all repositories of a reading.
type IdentityTotals struct {
	Repositories    int `json:"repositories"`
	Identities      int `json:"identities"`
	Shared          int `json:"shared"`
	Excess          int `json:"excess"`
	Exposed         int `json:"exposed"`
	LongLived       int `json:"long_lived"`
	FetchAndRelease int `json:"fetch_and_release"` // can fetch, and sign, publish or deploy
}

// ListIdentities says which identity can do what in the definitions of one
// repository, and where that is written.
func ListIdentities(repository string, defs []ci.Definition) []Identity {
	by := map[string]*Identity{}
	clean := map[string]bool{}
	dirty := map[string]bool{}
	for _, x := range domains(defs) {
		if i, ok := jobIdentity(repository, x); ok {
			by[i.ID] = i
		}
		for _, c := range x.holds {
			key := identityKey(x, c)
			i := by[key]
			if i == nil {
				i = &Identity{ID: key, Kind: string(c.Kind), Repository: repository}
				by[key] = i
			}
			i.take(x, c)
			if x.tainted() {
				dirty[key] = true
			} else {
				clean[key] = true
			}
		}
	}
	out := make([]Identity, 0, len(by))
	for key, i := range by {
		i.Shared = dirty[key] && clean[key]
		i.finish()
		out = append(out, *i)
	}
	slices.SortFunc(out, func(a, b Identity) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// jobIdentity is the job itself: whatever its steps hold, it can do.
func jobIdentity(repository string, x *domain) (*Identity, bool) {
	if len(x.high()) == 0 {
		return nil, false
	}
	i := &Identity{ID: "job:" + domainOf(*x.def, *x.jobs[0]), Kind: "job", Repository: repository}
	for _, c := range x.holds {
		if !c.Is(ci.Low) && !c.Is(ci.Unsorted) {
			i.take(x, c)
		}
	}
	i.Where = []Use{{x.def.File, x.jobs[0].Where.Line, x.name(), "all that its steps hold"}}
	i.LongLived, i.Instead = false, ""
	return i, true
}

// identityKey names an identity: a stored value by its name, what is minted for
// a job by the job.
func identityKey(x *domain, c held) string {
	switch {
	case c.Subject != "":
		return string(c.Kind) + ":" + c.Subject
	case c.Kind == ci.OIDC || c.Kind == ci.Token || c.Kind == ci.App || c.Kind == ci.Session:
		name, _, _ := strings.Cut(c.Name, " ") // GITHUB_TOKEN contents:write is one token
		return string(c.Kind) + ":" + name + " of " + domainOf(*x.def, *c.job)
	}
	return string(c.Kind) + ":" + c.Name
}

func (i *Identity) take(x *domain, c held) {
	file := c.Where.File
	if file == "" {
		file = x.def.File
	}
	i.Where = append(i.Where, Use{file, c.Where.Line, c.job.ID, c.Enters})
	for _, class := range c.Classes {
		i.Can = append(i.Can, string(class))
	}
	for _, e := range x.event {
		if !x.reaches(e, c) {
			continue
		}
		if e.Tier == ci.Executes || e.Tier == ci.Compiles {
			i.Can, i.Used = append(i.Can, "fetch"), append(i.Used, "fetch")
		}
		i.Exposed = i.Exposed || executes(e) || steered(e) || e.Tier == ci.ThirdParty && !e.Pinned && !e.Own
	}
	for _, a := range x.acts {
		if a.job == c.job && !a.Verifies {
			i.Used = append(i.Used, string(a.Class))
		}
	}
	if instead := credential.Federated(c.Name); c.LongLived && instead != "" && c.Kind == ci.Secret {
		i.LongLived, i.Instead = true, instead
	}
}

// finish sorts what was gathered, and says what is never used.
func (i *Identity) finish() {
	tidy := func(s []string) []string {
		slices.Sort(s)
		return append([]string{}, slices.Compact(s)...)
	}
	i.Can, i.Used = tidy(i.Can), tidy(i.Used)
	i.Used = slices.DeleteFunc(i.Used, func(u string) bool { return !slices.Contains(i.Can, u) })
	for _, can := range i.Can {
		if can != string(ci.Low) && can != string(ci.Unsorted) && can != string(ci.Ambient) && !slices.Contains(i.Used, can) {
			i.Excess = append(i.Excess, can)
		}
	}
	slices.SortFunc(i.Where, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Job, b.Job), cmp.Compare(a.How, b.How))
	})
	i.Where = slices.Compact(i.Where)
}

// Who returns the identities that can do all of what is asked.
func Who(all []Identity, can []string) []Identity {
	out := []Identity{}
	for _, i := range all {
		if !slices.ContainsFunc(can, func(c string) bool { return !slices.Contains(i.Can, c) }) {
			out = append(out, i)
		}
	}
	return out
}

// Sum counts identities.
func Sum(all []Identity, repositories int) IdentityTotals {
	t := IdentityTotals{Repositories: repositories, Identities: len(all)}
	for _, i := range all {
		t.Shared += one(i.Shared)
		t.Excess += one(len(i.Excess) > 0)
		t.Exposed += one(i.Exposed)
		t.LongLived += one(i.LongLived)
		out := slices.ContainsFunc([]string{"sign", "publish", "deploy"}, func(c string) bool { return slices.Contains(i.Can, c) })
		t.FetchAndRelease += one(slices.Contains(i.Can, "fetch") && out)
	}
	return t
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Abilities are what an identity can be asked for.
func Abilities() []string { return []string{"fetch", "sign", "publish", "deploy", "repository"} }

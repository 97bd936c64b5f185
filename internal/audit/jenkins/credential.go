package jenkins

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// block reads a block that gives its steps a credential, and tells whether c is
// one. All that runs in it is one step, since all of it has the credential.
func (r *reader) block(c *call, s *scope) bool {
	creds := r.blockCredentials(c)
	if creds == nil || !c.block {
		return false
	}
	inner := *s
	r.begin(c, &inner)
	s.job = inner.job
	inner.step = r.index(&inner)
	for _, k := range creds {
		k.Step = inner.step
		r.hold(&inner, k)
	}
	r.steps(c.body, &inner)
	return true
}

// blockCredentials are those that a block gives; nil: it is no such block.
func (r *reader) blockCredentials(c *call) []ci.Credential {
	if c.name == "withCredentials" {
		return r.bindings(c)
	}
	for _, g := range givers() {
		if g.name != c.name && !(g.name[0] == '.' && strings.HasSuffix(c.name, g.name)) {
			continue
		}
		all := []ci.Credential{}
		for _, id := range r.idsOf(c, g) {
			k := r.secret(id.text, "", "block "+c.name, id.at)
			k.Kind, k.OnDisk = g.kind, g.disk
			if g.always || slices.Equal(k.Classes, []ci.Class{ci.Unsorted}) {
				k.Classes = []ci.Class{g.class}
			}
			k.LongLived = g.kind != ci.Session
			all = append(all, k)
		}
		if len(all) == 0 && g.needed {
			r.gap("", r.line(c), "a credential that the file does not name", c.from)
		}
		return all
	}
	return nil
}

// ident is the name of a credential, and where it is written.
type ident struct {
	text string
	at   int
}

// idsOf are the credentials that a block names: by the keys of its row, else by
// its texts from one on.
func (r *reader) idsOf(c *call, g giver) []ident {
	var all []ident
	for key := range strings.FieldsSeq(g.keys) {
		all = append(all, r.everyGiven(c, key, 0)...)
	}
	if len(all) > 0 || g.from < 0 {
		return all
	}
	texts := c.literals()
	for i := g.from; i < len(texts); i++ {
		if !strings.Contains(texts[i].value, "://") {
			all = append(all, ident{texts[i].value, texts[i].at(0)})
		}
	}
	return all
}

// everyGiven are all values of a named argument, in lists and maps of any depth.
func (r *reader) everyGiven(c *call, key string, depth int) []ident {
	if depth > 8 {
		return nil
	}
	var all []ident
	for _, a := range c.args {
		if a.key == key {
			for _, l := range (&call{args: []arg{{parts: a.parts}}}).literals() {
				all = append(all, ident{l.value, a.from})
			}
			continue
		}
		for _, p := range a.parts {
			if p.call != nil {
				all = append(all, r.everyGiven(p.call, key, depth+1)...)
			} else if l := r.lists[p.name]; l != nil && p.lit == nil {
				all = append(all, r.everyGiven(l, key, depth+1)...)
			}
		}
	}
	return all
}

// bindings reads the list of withCredentials.
func (r *reader) bindings(c *call) []ci.Credential {
	all := []ci.Credential{}
	var read func(b *call)
	read = func(b *call) {
		for _, a := range b.args {
			for _, p := range a.parts {
				if p.call == nil {
					if l := r.lists[p.name]; l != nil && p.lit == nil && b == c {
						read(l)
					} else if p.name != "" && letter(p.name[0]) {
						r.gap("", r.line(c), "a credential that the file does not name", c.from)
					}
					continue
				}
				if id, _ := p.call.given("credentialsId"); p.call.name == "[" && id == "" || p.call.name == "(" {
					read(p.call)
					continue
				}
				all = append(all, r.binding(p.call))
			}
		}
	}
	read(c)
	return all
}

// binding reads one credential of withCredentials.
func (r *reader) binding(b *call) ci.Credential {
	kind := b.name
	if class, _ := b.given("$class"); class != "" {
		kind = class
	}
	id, _ := b.given("credentialsId")
	if id == "" {
		if l := b.first("id"); l != nil {
			id = l.value
		}
	}
	var names []string
	for _, key := range []string{"passwordVariable", "variable", "keyFileVariable", "keystoreVariable", "secretKeyVariable", "usernamePassword"} {
		if v, _ := b.given(key); v != "" {
			names = append(names, v)
		}
	}
	k := r.secret(id, "", "block withCredentials", b.from)
	if id == "" {
		k.Name = kind
		r.gap("", r.line(b), "a credential that the file does not name", b.from)
	}
	k.Classes = classesOf(append(names, id)...)
	for _, row := range kinds() {
		if row.name != kind {
			continue
		}
		k.Kind, k.OnDisk = row.kind, row.disk
		if row.class != "" && slices.Equal(k.Classes, []ci.Class{ci.Unsorted}) {
			k.Classes = []ci.Class{row.class}
		}
	}
	return k
}

// finish sorts what only the whole of a job tells: secrets by what is done with
// them, and what the agent itself must be good for.
func (r *reader) finish() {
	for i := range r.def.Jobs {
		j := &r.def.Jobs[i]
		for k := range j.Credentials {
			r.sortByUse(j, &j.Credentials[k])
		}
		r.ambient(j)
		for k := range j.Steps {
			for n := range j.Steps[k].Stores {
				st := &j.Steps[k].Stores[n]
				st.Executed = st.Executed || st.Reads && r.runs[i]
			}
		}
	}
}

// sortByUse gives a secret whose name tells nothing the classes of what is done
// in its block.
func (r *reader) sortByUse(j *ci.Job, c *ci.Credential) {
	if !slices.Equal(c.Classes, []ci.Class{ci.Unsorted}) || c.Step < 0 || c.Step >= len(j.Steps) {
		return
	}
	var classes []ci.Class
	for _, a := range j.Steps[c.Step].Acts {
		if !a.Verifies && a.Class.High() && !slices.Contains(classes, a.Class) {
			classes = append(classes, a.Class)
		}
	}
	if len(classes) > 0 {
		c.Classes = classes
	}
}

// ambient gives the agent the classes of what is done with no credential of the
// file. That is inferred: a shared library could have given one.
func (r *reader) ambient(j *ci.Job) {
	at := slices.IndexFunc(j.Credentials, func(c ci.Credential) bool { return c.Kind == ci.Agent || c.Kind == ci.Account })
	if at < 0 || slices.ContainsFunc(j.Credentials, func(c ci.Credential) bool { return c.Kind != ci.Agent && (c.High() || c.Is(ci.Unsorted)) }) {
		return
	}
	var classes []ci.Class
	for _, s := range j.Steps {
		for _, a := range s.Acts {
			if !a.Verifies && a.Class.High() && !slices.Contains(classes, a.Class) {
				classes = append(classes, a.Class)
			}
		}
	}
	if len(classes) > 0 {
		j.Credentials[at].Classes, j.Credentials[at].Assumed = classes, true
	}
}

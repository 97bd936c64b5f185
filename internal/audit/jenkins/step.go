package jenkins

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/boundary"
)

func (r *reader) steps(all []*call, s *scope) {
	for _, c := range all {
		r.step(c, s)
	}
}

// step reads one step, and the steps in what it is given.
func (r *reader) step(c *call, s *scope) {
	if r.calls--; r.calls < 0 {
		r.gap("", r.def.File, "more steps than are looked at", c.from)
		return
	}
	switch {
	case c.function:
		return // read where it is called
	case r.shell(c, s), r.frame(c, s), r.block(c, s):
		return
	}
	r.nested(c, s)
	r.handled(c, s)
	inner := *s
	inner.job = s.job
	r.steps(c.body, &inner)
	s.job = max(s.job, inner.job)
}

// nested reads the calls among the arguments of a call.
func (r *reader) nested(c *call, s *scope) {
	for _, a := range c.args {
		for _, p := range a.parts {
			if p.call != nil {
				r.step(p.call, s)
			}
		}
	}
}

// frame reads the blocks that change where steps run.
func (r *reader) frame(c *call, s *scope) bool {
	inner := *s
	switch c.name {
	case "node", "podTemplate":
		if !c.block {
			return false
		}
		inner.job, inner.step, inner.domain, inner.at = -1, -1, "", c
		inner.runner = ci.Runner{Persistent: c.name == "node", Where: r.place(c.from)}
		if c.name == "node" {
			label := ""
			if l := c.first("label"); l != nil {
				label = l.value
			}
			r.machine(&inner, label, c.from)
		}
		r.nested(c, s)
		r.opened(&inner)
		r.steps(c.body, &inner)
		return true
	case "stage":
		if !c.block {
			return false
		}
		inner.job, inner.step, inner.at = -1, -1, c
		if l := c.first("name"); l != nil {
			inner.stage = l.value
		}
		r.steps(c.body, &inner)
		return true
	case "dir", "ws":
		if l := c.first("path"); l != nil {
			inner.dir = join(s.dir, l.value)
		}
	case "withEnv":
		inner = inner.with(variables(c))
	default:
		return false
	}
	r.nested(c, s)
	r.steps(c.body, &inner)
	s.job = max(s.job, inner.job)
	return true
}

// opened gives a node block its domain, which its stages share.
func (r *reader) opened(s *scope) {
	r.nodes++
	s.domain = "node " + itoa(r.nodes)
}

func join(dir, sub string) string {
	if strings.HasPrefix(sub, "/") || strings.Contains(sub, "$") || dir == "" {
		return sub
	}
	return dir + "/" + sub
}

// variables are those of withEnv(['A=b']) whose value is written.
func variables(c *call) map[string]string {
	env := map[string]string{}
	for _, l := range c.literals() {
		if name, value, ok := strings.Cut(l.value, "="); ok && len(l.holes) == 0 {
			env[name] = value
		}
	}
	return env
}

// begin is the step that something of c belongs to: the block's, or one of its
// own.
func (r *reader) begin(c *call, s *scope) *ci.Step {
	r.open(s)
	j := &r.def.Jobs[s.job]
	if s.step >= 0 && s.step < len(j.Steps) {
		return &j.Steps[s.step]
	}
	j.Steps = append(j.Steps, ci.Step{Name: c.name, Where: r.span(c)})
	return &j.Steps[len(j.Steps)-1]
}

// index is the place of the step that begin last gave.
func (r *reader) index(s *scope) int {
	if s.step >= 0 {
		return s.step
	}
	return len(r.def.Jobs[s.job].Steps) - 1
}

// handled reads the steps that are neither shell nor blocks with credentials.
func (r *reader) handled(c *call, s *scope) {
	switch c.name {
	case "stash", "unstash", "archiveArtifacts", "copyArtifacts", "archive", "unarchive":
		r.stored(c, s)
	case "input":
		r.input(c)
	case "build":
		if l := c.first("job"); l != nil {
			r.gap(r.jobID(s), "build "+l.value, "a job of another place", c.from)
		}
	case "library":
		r.libraries(c)
	case "load":
		r.gap(r.jobID(s), "load", "a file that is loaded while the pipeline runs", c.from)
	case "git", "checkout":
		r.checkout(c, s)
	case "docker.image":
		r.inside(c, s)
	default:
		r.called(c, s)
	}
}

// inside is an image that steps run in: docker.image(x).inside { }.
func (r *reader) inside(c *call, s *scope) {
	rest := strings.TrimLeft(r.src[min(c.to, len(r.src)):], " \t\r\n")
	l := c.first()
	if l == nil || !strings.HasPrefix(rest, ".inside") && !strings.HasPrefix(rest, ".withRun") {
		return
	}
	step := r.begin(c, s)
	step.Events = append(step.Events, r.container(l.value, c.from))
	line, _, _ := strings.Cut(rest, "\n")
	loose := scope{}
	r.mounts(&loose, line, c.from)
	step.Events = append(step.Events, loose.events...)
}

func (r *reader) jobID(s *scope) string {
	if s.job < 0 {
		return ""
	}
	return r.def.Jobs[s.job].ID
}

// stored are files that outlive the agent.
func (r *reader) stored(c *call, s *scope) {
	l := c.first("name", "artifacts", "includes", "projectName", "filter")
	if l == nil {
		return
	}
	st := ci.Store{Kind: boundary.KindArtifact, Name: l.value, Where: r.place(c.from)}
	if i := strings.Index(l.value, "${"); i >= 0 {
		st.Name, st.Prefix = l.value[:i], true
	}
	switch c.name {
	case "stash":
		st.Writes, st.Name = true, "stash "+st.Name
	case "unstash":
		st.Reads, st.Name = true, "stash "+st.Name
	case "archiveArtifacts", "archive":
		st.Writes = true
	default:
		st.Reads, st.From = true, l.value
		if f, _ := c.given("filter"); f != "" {
			st.Name = f
		}
	}
	step := r.begin(c, s)
	step.Stores = append(step.Stores, st)
}

// checkout is the credential of a checkout, which the step gives to git alone
// and takes away again.
func (r *reader) checkout(c *call, s *scope) {
	id, at := c.given("credentialsId")
	if id == "" {
		id, at = r.within(c, "credentialsId")
	}
	if id == "" {
		return
	}
	r.begin(c, s)
	cred := r.secret(id, "", "checkout", at)
	cred.Classes, cred.Step = []ci.Class{ci.Ambient}, r.index(s)
	r.hold(s, cred)
}

func (r *reader) hold(s *scope, c ci.Credential) {
	j := &r.def.Jobs[s.job]
	j.Credentials = append(j.Credentials, c)
}

// within looks for a named argument in maps and lists of any depth.
func (r *reader) within(c *call, key string) (string, int) {
	if s, at := c.given(key); s != "" {
		return s, at
	}
	for _, a := range c.args {
		for _, p := range a.parts {
			if p.call != nil {
				if s, at := r.within(p.call, key); s != "" {
					return s, at
				}
			}
		}
	}
	return "", c.from
}

// called is a step that a table knows, a function of the file, or a gap.
func (r *reader) called(c *call, s *scope) {
	if f := r.funcs[c.name]; f != nil {
		r.function(f, s)
		return
	}
	for _, a := range pluginActs() {
		if a.name != c.name && (a.name[0] != '.' || !strings.HasSuffix(c.name, a.name) || !strings.Contains(r.src, "docker.")) {
			continue
		}
		step := r.begin(c, s)
		step.Acts = append(step.Acts, ci.Act{Class: a.class, Text: r.line(c), Tool: a.tool, Where: r.place(c.from)})
		if id, at := r.within(c, "credentialsId"); id != "" {
			cred := r.secret(id, "", "input of "+c.name, at)
			cred.Classes, cred.Step = []ci.Class{a.class}, r.index(s)
			r.hold(s, cred)
		}
		return
	}
	if !r.harmless(c) {
		r.gap(r.jobID(s), c.name, "a step that is not known: of a plugin, or of a shared library", c.from)
	}
}

// function reads a function of the file where it is called.
func (r *reader) function(f *call, s *scope) {
	if r.active[f.name] || len(r.active) >= maxActive {
		return
	}
	r.active[f.name] = true
	inner := *s
	r.steps(f.body, &inner)
	s.job = max(s.job, inner.job)
	delete(r.active, f.name)
}

// line is a call as it is written, its first line.
func (r *reader) line(c *call) string {
	text, _, _ := strings.Cut(r.src[c.from:min(max(c.to, c.from), len(r.src))], "\n")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + " ..."
	}
	return strings.TrimSpace(text)
}

// harmless tells whether a call is one that runs nothing of its own: a step that
// only reports or waits, a word of the language, a method of a value.
func (r *reader) harmless(c *call) bool {
	name := c.name
	if name == "" || name == "=" || strings.ContainsAny(name[:1], "{[(.@_") || typed(name) {
		return true
	}
	if !c.brackets && !c.block {
		return true // a value
	}
	root, _, dotted := strings.Cut(name, ".")
	if r.known[name] || dotted && (r.known[root] || slices.Contains(roots(), root) || r.variable(root) || method(name)) {
		return true
	}
	return slices.Contains(strings.Fields(quiet), name)
}

// variable tells whether the file gives a name to something: a parameter of a
// block or a function, or what a loop goes over.
func (r *reader) variable(name string) bool {
	for _, after := range []string{" ->", "->", " in ", " : ", ")", ", "} {
		if strings.Contains(r.src, " "+name+after) || strings.Contains(r.src, "("+name+after) {
			return true
		}
	}
	return false
}

// method tells whether a name ends in a method of texts, lists or maps.
func method(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return slices.Contains(strings.Fields(methods), last)
}

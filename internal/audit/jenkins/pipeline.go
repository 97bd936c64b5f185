package jenkins

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
)

// scope is where a step stands.
type scope struct {
	domain string
	runner ci.Runner
	agent  []ci.Credential // of the machine or the Pod
	events []ci.Event      // of the container that the steps run in
	stage  string
	who    starters
	creds  []ci.Credential // of the environment sections
	env    map[string]string
	dir    string
	job    int // index of the job, -1: none yet
	step   int // index of the step whose block this is, -1: each step is its own
	at     *call
}

// with returns a scope whose environment has more in it.
func (s scope) with(env map[string]string) scope {
	all := maps.Clone(s.env)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, env)
	s.env = all
	return s
}

// pipeline reads the declarative pipeline.
func (r *reader) pipeline(c *call) {
	s := scope{job: -1, step: -1, who: everybody, domain: "pipeline", at: c}
	for _, b := range c.body {
		switch b.name {
		case "libraries":
			for _, l := range b.body {
				r.libraries(l)
			}
		case "triggers":
			r.triggers(b)
		}
	}
	r.agent(c.section("agent"), &s)
	r.environment(c.section("environment"), &s, ci.Global, "environment of the pipeline")
	if stages := c.section("stages"); stages != nil {
		r.stages(stages, s, 0)
	}
	if post := c.section("post"); post != nil {
		s.at, s.stage = post, "post"
		r.conditions(post, &s)
	}
}

// triggers are what starts the pipeline besides its branch.
func (r *reader) triggers(b *call) {
	for _, t := range b.body {
		trigger := ci.Trigger{Event: t.name, Where: r.place(t.from)}
		if t.name == "upstream" {
			if l := t.first("upstreamProjects"); l != nil {
				for name := range strings.SplitSeq(l.value, ",") {
					trigger.Follows = append(trigger.Follows, strings.TrimSpace(name))
				}
			}
		}
		if strings.Contains(strings.ToLower(t.name), "comment") {
			trigger.Trust = ci.Contributor
		}
		r.def.Triggers = append(r.def.Triggers, trigger)
	}
}

// stages reads the stages of a section.
func (r *reader) stages(b *call, s scope, depth int) {
	for _, c := range b.body {
		if c.name == "stage" && depth < 10 {
			r.stage(c, s, depth)
		}
	}
}

// stage reads one stage of a declarative pipeline.
func (r *reader) stage(c *call, s scope, depth int) {
	s.at, s.job, s.step = c, -1, -1
	if l := c.first("name"); l != nil {
		s.stage = l.value
	}
	s.who &= r.when(c.section("when"))
	r.agent(c.section("agent"), &s)
	r.environment(c.section("environment"), &s, ci.PerJob, "environment of the stage")
	if in := c.section("input"); in != nil {
		r.input(in)
	}
	if m := c.section("matrix"); m != nil {
		r.agent(m.section("agent"), &s)
		r.environment(m.section("environment"), &s, ci.PerJob, "environment of the stage")
		if inner := m.section("stages"); inner != nil {
			r.stages(inner, s, depth+1)
		}
	}
	for _, name := range []string{"stages", "parallel"} {
		if inner := c.section(name); inner != nil && inner.block {
			r.stages(inner, s, depth+1)
		}
	}
	if steps := c.section("steps"); steps != nil {
		r.open(&s)
		r.steps(steps.body, &s)
	}
	if post := c.section("post"); post != nil {
		r.conditions(post, &s)
	}
}

// conditions reads a post section: always, success, failure ...
func (r *reader) conditions(post *call, s *scope) {
	for _, b := range post.body {
		r.steps(b.body, s)
	}
}

// input is a question that somebody has to answer before what follows.
func (r *reader) input(c *call) {
	name := "input"
	message := c.first("message")
	for _, b := range c.body {
		if b.name == "message" {
			message = b.first()
		}
	}
	if message != nil && message.value != "" {
		name = "input: " + message.value
	}
	r.approved = ci.Environment{Name: name, Where: r.place(c.from)}
}

// environment reads the variables of a section.
func (r *reader) environment(b *call, s *scope, reach ci.Scope, how string) {
	if b == nil {
		return
	}
	env := map[string]string{}
	for _, c := range b.body {
		if c.name != "=" {
			continue
		}
		for _, p := range c.args[0].parts {
			if p.call != nil && p.call.name == "credentials" {
				if l := p.call.first("credentialsId"); l != nil {
					cred := r.secret(l.value, c.target, how, c.from)
					cred.Scope, cred.Step = reach, -1
					s.creds = append(slices.Clip(s.creds), cred)
				}
			}
		}
		if v, ok := r.values[c.target]; ok {
			env[c.target] = v
		}
	}
	*s = s.with(env)
}

// secret is a stored value, sorted by the variable that it is put in, or by its
// id.
func (r *reader) secret(id, variable, how string, at int) ci.Credential {
	return ci.Credential{Name: id, Kind: ci.Secret, Classes: classesOf(variable, id), Scope: ci.PerStep, Enters: how, Where: r.place(at), LongLived: true}
}

func classesOf(names ...string) []ci.Class {
	for _, n := range names {
		if c := credential.Named(n); n != "" && !slices.Equal(c, []ci.Class{ci.Unsorted}) {
			return c
		}
	}
	return []ci.Class{ci.Unsorted}
}

// open begins the job of a scope, where it has none yet.
func (r *reader) open(s *scope) {
	if s.job >= 0 {
		return
	}
	if s.domain == "" {
		r.nodes++
		s.domain = fmt.Sprintf("node %d", r.nodes)
	}
	if len(r.def.Jobs) >= maxJobs {
		r.gap("", r.def.File, fmt.Sprintf("more than %d stages", maxJobs), 0)
		s.job = len(r.def.Jobs) - 1
		return
	}
	name := s.stage
	if name == "" {
		name = "node"
	}
	at := s.at
	if at == nil { // a step that stands in no node: it runs on the controller
		at = &call{}
	}
	j := ci.Job{ID: r.id(name), Where: r.span(at), Domain: s.domain, Runner: s.runner, Environment: r.approved, Triggers: r.startedBy(s.who)}
	j.Credentials = append(slices.Clone(s.creds), s.agent...)
	if len(s.events) > 0 {
		j.Steps = append(j.Steps, ci.Step{Name: "agent", Where: ci.Span{Place: s.events[0].Where, End: s.events[0].Where.Line}, Events: s.events})
	}
	s.job = len(r.def.Jobs)
	r.def.Jobs = append(r.def.Jobs, j)
}

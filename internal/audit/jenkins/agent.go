package jenkins

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// agent reads where stages run. No section: where those around them do.
func (r *reader) agent(c *call, s *scope) {
	if c == nil {
		return
	}
	top := s.stage == ""
	outer := s.domain
	s.agent, s.events, s.runner = nil, nil, ci.Runner{Persistent: true, Where: r.place(c.from)}
	if s.domain = "pipeline"; !top {
		r.nodes++
		s.domain = fmt.Sprintf("agent %d", r.nodes)
	}
	if !c.block {
		if len(c.args) > 0 && len(c.args[0].parts) > 0 && c.args[0].parts[0].name == "none" {
			s.domain, s.runner = "", ci.Runner{}
			return
		}
		r.machine(s, "", c.from)
		return
	}
	for _, b := range c.body {
		switch b.name {
		case "label":
			r.labelled(b, s)
		case "node":
			if l := b.section("label"); l != nil {
				r.labelled(l, s)
			}
		case "docker":
			r.docker(b, s, outer)
		case "dockerfile":
			r.machine(s, "", b.from)
		case "kubernetes":
			r.kubernetes(b, s)
		default:
			r.gap("", "agent "+b.name, "an agent of no kind that is known", b.from)
		}
	}
	if len(s.agent) == 0 && s.runner.Persistent {
		r.machine(s, "", c.from)
	}
}

func (r *reader) labelled(b *call, s *scope) {
	label := ""
	if l := b.first("label"); l != nil {
		label = l.value
	}
	s.runner.Where = r.place(b.from)
	r.machine(s, label, b.from)
}

// machine is the standing of an agent that no file describes. An executor of the
// controller is beside all that Jenkins knows.
func (r *reader) machine(s *scope, label string, at int) {
	c := ci.Credential{Name: "agent", Kind: ci.Agent, Classes: []ci.Class{ci.Ambient}, Scope: ci.Global, Step: -1, Enters: "machine of the agent", Where: r.place(at), Subject: label}
	if label != "" {
		s.runner.Labels = []string{label}
		c.Name = "agent " + label
	}
	switch label {
	case "master", "built-in", "controller":
		c.Name, c.Enters = "controller", "executor on the controller, which keeps every credential"
	}
	s.agent = []ci.Credential{c}
}

// docker is a container on an agent: its own domain, unless it is on the very
// machine of the stages around it.
func (r *reader) docker(b *call, s *scope, outer string) {
	s.runner.Persistent = false
	image, at := b.first("image"), b.from
	for _, p := range b.body {
		switch p.name {
		case "image":
			image, at = p.first(), p.from
		case "label":
			if l := p.first(); l != nil {
				s.runner.Labels = []string{l.value}
			}
		case "args":
			if l := p.first(); l != nil {
				r.mounts(s, l.value, p.from)
			}
		case "registryCredentialsId":
			if l := p.first(); l != nil {
				c := r.secret(l.value, "", "registry of the agent's image", p.from)
				c.Classes, c.Scope, c.Step = []ci.Class{ci.Ambient}, ci.PerJob, -1
				s.agent = append(s.agent, c)
			}
		case "reuseNode":
			if outer != "" && strings.Contains(r.src[p.from:min(p.to, len(r.src))], "true") {
				s.domain = outer
			}
		}
	}
	if image != nil {
		s.events = append(s.events, r.container(image.value, at))
	}
}

// container is the image that steps run in. One that the registry's owner
// maintains counts as the machine does: it has no owner in its name.
func (r *reader) container(image string, at int) ci.Event {
	own := !strings.Contains(image, "/") || strings.Contains(image, "docker/library/")
	for _, t := range r.o.Trusted {
		own = own || t != "" && strings.HasPrefix(image, t+"/")
	}
	return ci.Event{
		Tier: ci.ThirdParty, Text: image, Why: "the steps run in this image", Ecosystem: "oci", Pinned: strings.Contains(image, "@sha256:"), Own: own, Where: r.place(at),
	}
}

// mounts tells of arguments that let a container out.
func (r *reader) mounts(s *scope, args string, at int) {
	for _, loose := range []string{"docker.sock", "--privileged", "--pid=host", "--net=host", "--network=host", "--network host", "--net host"} {
		if strings.Contains(args, loose) {
			s.events = append(s.events, ci.Event{
				Tier: ci.Executes, Text: args, Why: "the container reaches the machine that it runs on", Ecosystem: "oci", Unsandboxed: true, Where: r.place(at),
			})
			return
		}
	}
}

// kubernetes is a Pod that is made for the stages: what its account and its
// volumes are is in its definition.
func (r *reader) kubernetes(b *call, s *scope) {
	s.runner = ci.Runner{Where: r.place(b.from)}
	for _, p := range b.body {
		l := p.first()
		if l == nil {
			continue
		}
		switch p.name {
		case "label", "inheritFrom", "cloud":
			s.runner.Labels = append(s.runner.Labels, l.value)
		case "yaml":
			r.pod(l, s)
		case "yamlFile":
			r.gap("", "yamlFile "+l.value, "a Pod of another file", p.from)
		}
	}
}

// pod reads the definition of a Pod within the file.
func (r *reader) pod(l *literal, s *scope) {
	docs, err := tree.Parse(r.def.File, []byte(l.value))
	if err != nil || len(docs) == 0 {
		r.gap("", "yaml", "a Pod whose definition cannot be read", l.at(0))
		return
	}
	lines := []int{0}
	for i := range len(l.value) {
		if l.value[i] == '\n' {
			lines = append(lines, i+1)
		}
	}
	at := func(n tree.Node) int {
		p := n.Place()
		return l.at(lines[min(max(p.Line, 1), len(lines))-1] + max(p.Column, 1) - 1)
	}
	spec := docs[0].Get("spec")
	if n := spec.Get("serviceAccountName"); n.Text() != "" {
		s.agent = append(s.agent, ci.Credential{
			Name: "service account " + n.Text(), Kind: ci.Account, Classes: []ci.Class{ci.Ambient}, Scope: ci.Global, Step: -1, Enters: "Pod of the agent", Where: r.place(at(n)), Subject: n.Text(),
		})
	}
	r.podVolumes(spec, s, at)
	for _, c := range spec.Get("containers").Items() {
		if n := c.Get("securityContext", "privileged"); n.True() {
			r.loose(s, c.Get("image").Text(), "the container has the rights of the node", at(n))
		}
		for _, e := range c.Get("env").Items() {
			if n := e.Get("valueFrom", "secretKeyRef", "name"); n.Exists() {
				cred := r.secret(n.Text(), e.Get("name").Text(), "environment of the Pod", at(n))
				cred.Scope, cred.Step = ci.PerJob, -1
				s.agent = append(s.agent, cred)
			}
		}
	}
}

func (r *reader) podVolumes(spec tree.Node, s *scope, at func(tree.Node) int) {
	for _, v := range spec.Get("volumes").Items() {
		if n := v.Get("secret", "secretName"); n.Exists() {
			c := r.secret(n.Text(), "", "volume of the Pod", at(n))
			c.Scope, c.Step, c.OnDisk = ci.PerJob, -1, true
			s.agent = append(s.agent, c)
		}
		if n := v.Get("hostPath", "path"); n.Exists() {
			r.loose(s, "hostPath "+n.Text(), "the Pod reaches files of the node that it runs on", at(n))
		}
	}
}

func (r *reader) loose(s *scope, text, why string, at int) {
	s.events = append(s.events, ci.Event{Tier: ci.Executes, Text: text, Why: why, Ecosystem: "oci", Unsandboxed: true, Where: r.place(at)})
}

package buildkite

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// plugin is a repository whose hooks run on the agent: name#version, by text or
// as the key of its settings.
func (r *reader) plugin(j *ci.Job, n tree.Node) {
	if n.IsText() {
		r.usePlugin(j, n, tree.Node{})
		return
	}
	for _, p := range n.Pairs() {
		r.usePlugin(j, p.Key, p.Value)
	}
}

func (r *reader) usePlugin(j *ci.Job, key, body tree.Node) {
	name, ref, _ := strings.Cut(key.Text(), "#")
	if strings.HasPrefix(name, "./") {
		return // of this repository
	}
	s := ci.Step{Name: key.Text(), Where: key.Span()}
	pinned := len(ref) == 40 && strings.Trim(ref, "0123456789abcdef") == ""
	s.Events = append(s.Events, ci.Event{
		Tier: ci.ThirdParty, Text: key.Text(), Why: "the plugin's hooks run on the agent", Ecosystem: "action", Pinned: pinned, Own: !strings.Contains(name, "/") || strings.HasPrefix(name, "buildkite-plugins/"), Where: key.Place(),
	})
	i := len(j.Steps)
	minted := ci.Credential{Scope: ci.MintedAt, Step: i, Enters: "plugin " + name, Where: key.Place()}
	short := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case strings.HasPrefix(short, "ecr"), strings.HasPrefix(short, "docker-login"), strings.HasPrefix(short, "gcp-workload"), strings.HasPrefix(short, "docker-ecr"):
		minted.Name, minted.Kind, minted.Classes, minted.OnDisk = "login of "+short, ci.Session, []ci.Class{ci.Publish}, true
	case strings.HasPrefix(short, "aws-assume-role"), strings.HasPrefix(short, "aws-sm"), strings.HasPrefix(short, "vault-secrets"), strings.HasPrefix(short, "gcp-"):
		minted.Name, minted.Kind, minted.Classes = "session of "+short, ci.Session, []ci.Class{ci.Deploy}
		minted.Subject = body.Get("role-arn").Text()
	}
	if minted.Name != "" {
		j.Credentials = append(j.Credentials, minted)
	}
	switch {
	case strings.HasPrefix(short, "cache"):
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindCache, Name: strings.Join(body.Get("manifest").Texts(), " "), Reads: body.Get("restore").Exists(), Writes: body.Get("save").Exists(), Executed: true, Where: key.Place()})
	case strings.HasPrefix(short, "artifacts"):
		s.Stores = append(s.Stores, stored(body.Get("download"), false)...)
		s.Stores = append(s.Stores, stored(body.Get("upload"), true)...)
	}
	r.mounts(&s, short, body)
	j.Steps = append(j.Steps, s)
}

func stored(n tree.Node, writes bool) []ci.Store {
	var all []ci.Store
	for _, t := range n.Texts() {
		all = append(all, ci.Store{Kind: boundary.KindArtifact, Name: t, Reads: !writes, Writes: writes, Where: n.Place()})
	}
	return all
}

// mounts tells of a container that is given the machine's docker socket, or all
// privileges.
func (r *reader) mounts(s *ci.Step, short string, body tree.Node) {
	if !strings.HasPrefix(short, "docker") {
		return
	}
	socket := body.Get("mount-docker-socket").True() || body.Get("privileged").True()
	for _, v := range body.Get("volumes").Texts() {
		socket = socket || strings.Contains(v, "docker.sock")
	}
	if socket {
		s.Events = append(s.Events, ci.Event{
			Tier: ci.Executes, Text: "plugin " + short, Why: "the container reaches the machine that it runs on", Ecosystem: "oci", Unsandboxed: true, Where: s.Where.Place,
		})
	}
}

package tekton

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// classesOf sorts a secret by the names that it goes by, the nearest to its use
// first.
func classesOf(names ...string) []ci.Class {
	for _, name := range names {
		if name == "" {
			continue
		}
		if c := credential.Named(name); !slices.Equal(c, []ci.Class{ci.Unsorted}) {
			return c
		}
	}
	return []ci.Class{ci.Unsorted}
}

// foreign is a reference to a task or a step of another place.
type foreign struct {
	name   string
	text   string
	pinned bool
	at     tree.Node // where the name stands
}

// foreignOf reads a reference that this folder does not answer.
func foreignOf(ref tree.Node, params values) foreign {
	f := foreign{name: ref.Get("name").Text(), text: refText(ref), at: ref}
	if ref.Get("name").Exists() {
		f.at = ref.Get("name")
	}
	source := ref.Get("bundle").Text()
	for _, p := range ref.Get("params").Items() {
		value := params.resolve(p.Get("value").Text())
		switch p.Get("name").Text() {
		case "name":
			f.name, f.at = value, p.Get("value")
		case "bundle", "revision", "url", "pathInRepo":
			source += " " + value
		}
	}
	if f.name == "" {
		f.name = lastName(source)
	}
	for part := range strings.FieldsSeq(source) {
		f.pinned = f.pinned || strings.Contains(part, "@sha256:") || len(part) == 40 && strings.Trim(part, "0123456789abcdef") == ""
	}
	return f
}

// lastName is the file's name that a URL or a path ends in.
func lastName(source string) string {
	parts := strings.Fields(source)
	if len(parts) == 0 {
		return ""
	}
	last := parts[len(parts)-1]
	last = last[strings.LastIndexByte(last, '/')+1:]
	return strings.TrimSuffix(strings.TrimSuffix(last, ".yaml"), ".yml")
}

// refText is a reference as one line.
func refText(ref tree.Node) string {
	if bundle := ref.Get("bundle").Text(); bundle != "" {
		return bundle
	}
	var parts []string
	for _, p := range ref.Get("params").Items() {
		if name := p.Get("name").Text(); name != "kind" {
			parts = append(parts, p.Get("value").Text())
		}
	}
	if len(parts) > 0 {
		return strings.TrimSpace(ref.Get("resolver").Text() + ": " + strings.Join(parts, " "))
	}
	if !ref.Exists() {
		return "a task without steps"
	}
	return strings.TrimSpace(ref.Get("kind").Text() + " " + ref.Get("name").Text())
}

// elsewhere is a task of another place: what it runs is not in the files. What
// is known of tasks of its name is said all the same.
func (x *run) elsewhere(j *ci.Job, ref, entry tree.Node, params values) {
	f := foreignOf(ref, x.params)
	if !f.at.Exists() {
		f.at = entry
	}
	x.gap(j.ID, f.text, "a task of another place", f.at.Place())
	s := ci.Step{Name: f.name, Where: ref.Span()}
	x.known(&s, f)
	j.Steps = append(j.Steps, s)
	for _, p := range entry.Get("params").Items() {
		name, value := p.Get("name").Text(), params[p.Get("name").Text()]
		if slices.Contains(credential.Words(name), "SECRET") && value != "" && !strings.ContainsAny(value, "${ ") {
			j.Credentials = append(j.Credentials, secret(value, "", "", "input "+name+" of the task", 0, p.Get("value"), false))
		}
	}
}

// action is a step of another place within a task.
func (p *pod) action(i int, step, ref tree.Node) {
	name := ref.Get("name").Text()
	if found := p.find("StepAction", name).Get("spec"); name != "" && found.Exists() && !ref.Get("resolver").Exists() && !found.Get("ref").Exists() {
		outer := p.params
		p.params = given(step.Get("params"), outer).declared(found.Get("params"))
		p.step(i, found)
		p.params = outer
		return
	}
	f := foreignOf(ref, p.params)
	p.gap(p.job.ID, f.text, "a step of another place", f.at.Place())
	p.known(&p.job.Steps[i], f)
}

// known adds what is known of a task or step by its name.
func (x *run) known(s *ci.Step, f foreign) {
	own := slices.ContainsFunc(strings.Fields(f.text), x.trusted)
	s.Events = append(s.Events, ci.Event{
		Tier: ci.ThirdParty, Text: f.text, Why: "the task is of another place", Ecosystem: "action", Pinned: f.pinned, Own: own, Where: f.at.Place(),
	})
	for _, k := range catalog() {
		if f.name != k.name && !strings.HasPrefix(f.name, k.name+"-") {
			continue
		}
		if k.tier != 0 {
			s.Events = append(s.Events, ci.Event{
				Tier: k.tier, Text: "task " + f.name, Why: k.why, Ecosystem: k.ecosystem, Unsandboxed: k.unsandboxed, Where: f.at.Place(),
			})
		}
		if k.class != "" {
			s.Acts = append(s.Acts, ci.Act{Class: k.class, Text: "task " + f.name, Tool: f.name, Where: f.at.Place()})
		}
		return
	}
}

// shelf is one kind of task that people take from catalogs.
type shelf struct {
	name        string // or the beginning of a name, before a dash
	tier        ci.Tier
	ecosystem   string
	why         string
	unsandboxed bool
	class       ci.Class // what it does with a credential
}

// catalog is what tasks of well known names do; the first row that fits counts.
func catalog() []shelf {
	const inPod = "runs the commands of a Dockerfile in the task's own Pod"
	return []shelf{
		{"buildah", ci.Executes, "oci", inPod, true, ci.Publish},
		{"kaniko", ci.Executes, "oci", inPod, true, ci.Publish},
		{"docker-build", ci.Executes, "oci", "runs the commands of a Dockerfile in a privileged sidecar", true, ci.Publish},
		{"s2i", ci.Executes, "oci", "runs the scripts of the builder image in the task's own Pod", true, ci.Publish},
		{"buildpacks", ci.Executes, "oci", "runs the build of the project in the task's own Pod", false, ci.Publish},
		{"jib-maven", ci.Executes, "maven", "runs the plugins of the build", false, ci.Publish},
		{"jib-gradle", ci.Executes, "maven", "runs the plugins of the build", false, ci.Publish},
		{"ko", ci.Compiles, "go", "compiles dependencies and runs none of them", false, ci.Publish},
		{"maven", ci.Executes, "maven", "runs the plugins of the build", false, ""},
		{"gradle", ci.Executes, "maven", "runs the build scripts and their plugins", false, ""},
		{"npm", ci.Executes, "npm", "runs the scripts of packages", false, ""},
		{"pytest", ci.Executes, "pypi", "installs the dependencies and runs them", false, ""},
		{"golang-test", ci.Executes, "go", "runs the tests and every dependency that they load", false, ""},
		{"golang-build", ci.Compiles, "go", "compiles dependencies and runs none of them", false, ""},
		{"skopeo-copy", 0, "", "", false, ci.Publish},
		{"github-create-release", 0, "", "", false, ci.Publish},
		{"gh-release", 0, "", "", false, ci.Publish},
		{"create-github-release", 0, "", "", false, ci.Publish},
		{"cosign", 0, "", "", false, ci.Sign},
		{"git-cli", 0, "", "", false, ci.Repository},
		{"git-batch-merge", 0, "", "", false, ci.Repository},
		{"kubernetes-actions", 0, "", "", false, ci.Deploy},
		{"helm-upgrade", 0, "", "", false, ci.Deploy},
		{"openshift-client", 0, "", "", false, ci.Deploy},
		{"argocd-task-sync", 0, "", "", false, ci.Deploy},
		{"aws-cli", 0, "", "", false, ci.Deploy},
		{"gcloud", 0, "", "", false, ci.Deploy},
		{"terraform-cli", 0, "", "", false, ci.Deploy},
		{"pulumi", 0, "", "", false, ci.Deploy},
	}
}

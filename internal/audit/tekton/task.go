package tekton

import (
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// task reads one task as a job: a Pod of its own.
func (x *run) task(t member, spec, ref tree.Node, params values) {
	j := &ci.Job{ID: x.id(x.prefix + t.name), Where: t.entry.Span(), Triggers: x.triggers, If: whenText(t.entry.Get("when"))}
	for _, n := range t.needs {
		j.Needs = append(j.Needs, x.prefix+n)
	}
	if spec.Get("steps").IsList() {
		p := &pod{run: x, job: j, spec: spec, params: params.declared(spec.Get("params"))}
		p.read(t)
	} else {
		x.elsewhere(j, ref, t.entry, params)
	}
	x.bound(j, t)
	x.account(j, t.name)
	x.resultsTaken(j, t, spec)
	t.runsFiles = runsFiles(spec)
	t.job = len(x.def.Jobs)
	x.def.Jobs = append(x.def.Jobs, *j)
	x.tasks = append(x.tasks, t)
}

func whenText(n tree.Node) string {
	var all []string
	for _, w := range n.Items() {
		if cel := w.Get("cel").Text(); cel != "" {
			all = append(all, cel)
			continue
		}
		all = append(all, strings.TrimSpace(w.Get("input").Text()+" "+w.Get("operator").Text()+" "+strings.Join(w.Get("values").Texts(), ", ")))
	}
	return strings.Join(all, " and ")
}

// bound adds the secrets that the run puts into the task's workspaces.
func (x *run) bound(j *ci.Job, t member) {
	for _, w := range x.root.Get("spec", "workspaces").Items() {
		own, ok := t.spaces[w.Get("name").Text()]
		if !ok {
			continue
		}
		j.Credentials = append(j.Credentials, volumeSecrets(w, "workspace "+own+" of the task", x.params)...)
	}
}

// volumeSecrets are the secrets that a volume is made of, and the tokens that
// the cluster mints into it.
func volumeSecrets(v tree.Node, how string, params values) []ci.Credential {
	var all []ci.Credential
	stored := func(n tree.Node) {
		if n.Exists() {
			all = append(all, secret(params.resolve(n.Text()), "", "", how, -1, n, true))
		}
	}
	stored(v.Get("secret", "secretName"))
	for _, s := range v.Get("projected", "sources").Items() {
		stored(s.Get("secret", "name"))
		if a := s.Get("serviceAccountToken", "audience"); a.Exists() {
			c := secret(params.resolve(a.Text()), "", "", how, -1, a, true)
			c.Kind, c.LongLived = ci.OIDC, false
			all = append(all, c)
		}
	}
	stored(v.Get("csi", "volumeAttributes", "secretProviderClass"))
	return all
}

// account is the task's own standing in the cluster. Where the task publishes,
// signs or deploys and no secret of the files is good for that, it does so with
// what belongs to the account.
func (x *run) account(j *ci.Job, task string) {
	name, at, scope := x.accountOf(task)
	c := ci.Credential{
		Name: "service account " + name, Kind: ci.Account, Scope: scope, Step: -1, Enters: "Pod of the task", Where: at, Subject: name, Assumed: name == "default",
	}
	for _, s := range j.Steps {
		for _, a := range s.Acts {
			if !a.Verifies && a.Class.High() && !c.Is(a.Class) && !provided(j, a, c.Assumed) {
				c.Classes = append(c.Classes, a.Class)
			}
		}
	}
	if len(c.Classes) == 0 {
		c.Classes = []ci.Class{ci.Ambient}
	}
	j.Credentials = append(j.Credentials, c)
}

// provided tells whether a secret of the files is what an act is done with. One
// that can write the repository makes releases, too; and an account that no file
// names is thought of last.
func provided(j *ci.Job, a ci.Act, unnamed bool) bool {
	forge := slices.Contains([]string{"gh", "hub", "glab", "tea", "curl", "goreleaser"}, a.Tool)
	return holds(j, a.Class) || forge && holds(j, ci.Repository) ||
		unnamed && slices.ContainsFunc(j.Credentials, func(c ci.Credential) bool { return c.High() || c.Is(ci.Unsorted) })
}

func holds(j *ci.Job, class ci.Class) bool {
	return slices.ContainsFunc(j.Credentials, func(c ci.Credential) bool { return c.Is(class) })
}

// resultsTaken are the results of other tasks that a task is given, and those
// that it leaves. A result that a script holds as text is run by the shell.
func (x *run) resultsTaken(j *ci.Job, t member, spec tree.Node) {
	if len(j.Steps) == 0 {
		return
	}
	for _, p := range t.entry.Get("params").Items() {
		name := p.Get("name").Text()
		texts(p.Get("value"), 0, func(text string) {
			for _, r := range results(text) {
				j.Steps[0].Stores = append(j.Steps[0].Stores, ci.Store{
					Kind: boundary.KindResult, Name: x.prefix + r, Reads: true, Executed: inScript(spec, name), Where: p.Get("value").Place(),
				})
			}
		})
	}
	last := &j.Steps[len(j.Steps)-1]
	for _, r := range spec.Get("results").Items() {
		last.Stores = append(last.Stores, ci.Store{Kind: boundary.KindResult, Name: x.prefix + t.name + "." + r.Get("name").Text(), Writes: true, Where: r.Place()})
	}
}

// inScript tells whether a script of the task holds a parameter as text.
func inScript(spec tree.Node, name string) bool {
	for _, s := range spec.Get("steps").Items() {
		text := s.Get("script").Text()
		for text != "" {
			from, to, ref := reference(text)
			if from < 0 {
				break
			}
			if param(ref) == name {
				return true
			}
			text = text[to:]
		}
	}
	return false
}

// runsFiles tells whether a step of the task runs a file of its workspaces by
// name, which another task could have written.
func runsFiles(spec tree.Node) bool {
	for _, s := range spec.Get("steps").Items() {
		text, _, _ := values{}.shellText(s.Get("script").Text())
		for line := range strings.SplitSeq(text, "\n") {
			if runsFile(strings.Fields(line)) {
				return true
			}
		}
		for i, c := range s.Get("command").Texts() {
			if i == 0 && (strings.HasPrefix(c, "./") || strings.HasPrefix(c, "$(workspaces.")) {
				return true
			}
		}
	}
	return false
}

func runsFile(words []string) bool {
	if len(words) > 1 && slices.Contains([]string{"sh", "bash", ".", "source", "python", "python3"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	w := strings.Trim(words[0], `"'`)
	return strings.HasPrefix(w, "./") || strings.HasPrefix(w, "${workspaces_")
}

// pod is one task that is read.
type pod struct {
	*run
	job    *ci.Job
	spec   tree.Node
	params values
}

func (p *pod) read(t member) {
	steps := p.spec.Get("steps").Items()
	for _, s := range steps {
		p.job.Steps = append(p.job.Steps, ci.Step{Name: s.Get("name").Text(), Where: s.Span()})
	}
	p.env(p.spec.Get("stepTemplate"), "environment of every step", -1)
	p.env(p.root.Get("spec", "podTemplate"), "environment of the Pod", -1)
	p.env(p.root.Get("spec", "taskRunTemplate", "podTemplate"), "environment of the Pod", -1)
	for i, s := range steps {
		p.step(i, s)
	}
	p.volumes(p.spec.Get("volumes"))
	p.volumes(p.root.Get("spec", "podTemplate", "volumes"))
	for _, s := range p.spec.Get("sidecars").Items() {
		p.sidecar(s)
	}
}

// env adds the secrets in the environment of a container.
func (p *pod) env(n tree.Node, how string, step int) {
	for _, e := range n.Get("env").Items() {
		ref := e.Get("valueFrom", "secretKeyRef")
		if ref.Exists() {
			p.hold(ref.Get("name"), ref.Get("key").Text(), e.Get("name").Text(), how, step)
		}
	}
	for _, e := range n.Get("envFrom").Items() {
		if ref := e.Get("secretRef", "name"); ref.Exists() {
			p.hold(ref, "", "", how, step)
		}
	}
}

func (p *pod) hold(name tree.Node, key, as, how string, step int) {
	p.job.Credentials = append(p.job.Credentials, secret(p.params.resolve(name.Text()), key, as, how, step, name, false))
}

// volumes adds the secrets that are mounted, and tells of folders of the node.
func (p *pod) volumes(list tree.Node) {
	for _, v := range list.Items() {
		p.job.Credentials = append(p.job.Credentials, volumeSecrets(v, "volume "+v.Get("name").Text()+" of the task", p.params)...)
		if host := v.Get("hostPath", "path"); host.Exists() {
			p.unsandboxed(p.mounts(v.Get("name").Text()), "hostPath "+host.Text(), "the Pod reaches files of the node that it runs on", host)
		}
	}
}

// mounts is the first step that mounts a volume.
func (p *pod) mounts(volume string) int {
	for i, s := range p.spec.Get("steps").Items() {
		for _, m := range s.Get("volumeMounts").Items() {
			if m.Get("name").Text() == volume {
				return i
			}
		}
	}
	return 0
}

func (p *pod) unsandboxed(step int, text, why string, at tree.Node) {
	if step >= len(p.job.Steps) {
		return
	}
	p.job.Steps[step].Events = append(p.job.Steps[step].Events, ci.Event{
		Tier: ci.Executes, Text: text, Why: why, Ecosystem: "oci", Unsandboxed: true, Where: at.Place(),
	})
}

func (p *pod) sidecar(s tree.Node) {
	p.env(s, "environment of a sidecar", -1)
	image := s.Get("image")
	if s.Get("securityContext", "privileged").True() {
		p.unsandboxed(0, p.params.resolve(image.Text()), "a privileged sidecar runs what is built with the rights of the node", image)
	}
}

// step reads one step.
func (p *pod) step(i int, n tree.Node) {
	how := "environment of the step"
	p.env(n, how, i)
	image := n.Get("image")
	if n.Get("securityContext", "privileged").True() {
		p.unsandboxed(i, p.params.resolve(image.Text()), "the container has the rights of the node", image)
	}
	if ref := n.Get("ref"); ref.Exists() {
		p.action(i, n, ref)
		return
	}
	p.body(i, n)
	p.builder(i, image)
}

// body reads what a step runs.
func (p *pod) body(i int, n tree.Node) {
	text := n.Get("script")
	switch {
	case text.Exists():
		p.shell(i, text, shebang(text.Text()), p.dir(n))
	case n.Get("command").Exists():
		p.command(i, n)
	default:
		p.image(i, n)
	}
}

// builder tells of buildah, which in a Pod can do no better than change its root.
func (p *pod) builder(i int, image tree.Node) {
	s, name := p.job.Steps[i], p.params.resolve(image.Text())
	if !strings.Contains(name, "buildah") || slices.ContainsFunc(s.Events, func(e ci.Event) bool { return e.Unsandboxed }) {
		return
	}
	p.unsandboxed(i, name, "buildah runs the commands of a Dockerfile in the task's own Pod", image)
}

// dir is where a step works, below the root of the files.
func (p *pod) dir(n tree.Node) string {
	dir := n.Get("workingDir").Text()
	if dir == "" {
		dir = p.spec.Get("stepTemplate", "workingDir").Text()
	}
	from, to, name := reference(dir)
	if from == 0 && strings.HasPrefix(name, "workspaces.") {
		dir = strings.TrimPrefix(dir[to:], "/")
	}
	return p.params.resolve(strings.TrimPrefix(dir, "/workspace/source"))
}

// shebang is the shell that a script names in its first line.
func shebang(text string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	if rest, ok := strings.CutPrefix(line, "#!"); ok {
		return strings.TrimSpace(rest)
	}
	return "sh"
}

func (p *pod) shell(i int, n tree.Node, shell, dir string) {
	text, env, back := p.params.shellText(n.Text())
	if p.left -= len(text); p.left < 0 {
		p.gap(p.job.ID, n.File(), "more shell text than is looked at", n.Place())
		return
	}
	p.scripts.Env = env
	p.facts(i, script.Source{Text: text, Place: n.TextPlace(), Flat: n.Folded(), Shell: shell, Dir: dir}, back)
}

// facts adds what a piece of shell text does.
func (p *pod) facts(i int, src script.Source, back *strings.Replacer) {
	f := p.scripts.Read(src)
	s := &p.job.Steps[i]
	for _, e := range f.Events {
		e.Text, e.Why, e.Safer = back.Replace(e.Text), back.Replace(e.Why), back.Replace(e.Safer)
		s.Events = append(s.Events, e)
	}
	for _, a := range f.Acts {
		a.Text, a.Object = back.Replace(a.Text), back.Replace(a.Object)
		s.Acts = append(s.Acts, a)
	}
	for _, c := range f.Credentials {
		c.Step, c.Name = i, back.Replace(c.Name)
		p.job.Credentials = append(p.job.Credentials, c)
	}
	for _, g := range f.Gaps {
		g.Job, g.What = p.job.ID, back.Replace(g.What)
		p.def.Gaps = append(p.def.Gaps, g)
	}
	s.Stores = append(s.Stores, f.Stores...)
}

// command reads command and args: the text after -c of a shell is shell text,
// all else the words of one command.
func (p *pod) command(i int, n tree.Node) {
	words := append(n.Get("command").List(), n.Get("args").List()...)
	if len(words) == 0 {
		return
	}
	shell := path.Base(words[0].Text())
	if slices.Contains([]string{"sh", "bash", "ash", "dash", "zsh"}, shell) {
		for k := 1; k+1 < len(words); k++ {
			if w := words[k].Text(); strings.HasPrefix(w, "-") && strings.HasSuffix(w, "c") {
				p.shell(i, words[k+1], shell, p.dir(n))
				return
			}
		}
	}
	p.words(i, "", words, p.dir(n))
}

// words reads a command that is given word by word.
func (p *pod) words(i int, program string, nodes []tree.Node, dir string) {
	var all []string
	if program != "" {
		all = append(all, program)
	}
	for _, n := range nodes {
		all = append(all, quote(n.Text()))
	}
	if len(nodes) == 0 {
		return
	}
	text, env, back := p.params.shellText(strings.Join(all, " "))
	if p.left -= len(text); p.left < 0 {
		p.gap(p.job.ID, nodes[0].File(), "more shell text than is looked at", nodes[0].Place())
		return
	}
	p.scripts.Env = env
	p.facts(i, script.Source{Text: text, Place: nodes[0].TextPlace(), Flat: true, Dir: dir}, back)
}

// quote writes a word so that a shell reads it as one.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || strings.ContainsRune("'\"\\|&;<>*?#~`!{}", c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// image reads a step that runs what its image is made for.
func (p *pod) image(i int, n tree.Node) {
	image := n.Get("image")
	name := p.params.resolve(image.Text())
	if name == "" {
		return
	}
	p.job.Steps[i].Events = append(p.job.Steps[i].Events, ci.Event{
		Tier: ci.ThirdParty, Text: name, Why: "the step is the program of a container image", Ecosystem: "oci",
		Pinned: strings.Contains(name, "@sha256:"), Own: p.trusted(name), Where: image.Place(),
	})
	p.words(i, programOf(name), n.Get("args").List(), p.dir(n))
}

// programOf is the program that an image is named for.
func programOf(image string) string {
	name := path.Base(image)
	if i := strings.IndexAny(name, ":@"); i >= 0 {
		name = name[:i]
	}
	switch {
	case strings.Contains(image, "kaniko"):
		return "executor"
	case name == "aws-cli":
		return "aws"
	case name == "cloud-sdk" || name == "google-cloud-cli":
		return "gcloud"
	}
	return quote(name)
}

// secret is a stored value. The first of its names that tells its use does.
func secret(name, key, as, how string, step int, at tree.Node, onDisk bool) ci.Credential {
	c := ci.Credential{
		Name: name, Kind: ci.Secret, Classes: classesOf(as, key, name), Scope: ci.PerStep, Step: step, Enters: how, Where: at.Place(), OnDisk: onDisk, LongLived: true,
	}
	if step < 0 {
		c.Scope = ci.PerJob
	}
	return c
}

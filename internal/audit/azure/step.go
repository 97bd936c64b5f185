package azure

import (
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// steps reads a list of steps, those of templates in their place.
func (j *jobReader) steps(list tree.Node, depth int) {
	if depth > maxDepth {
		j.gap(j.job.ID, "steps", "templates that use each other more than six deep", list.Place())
		return
	}
	for _, n := range list.Items() {
		switch {
		case conditional(n):
			for _, p := range n.Pairs() {
				j.steps(p.Value, depth+1)
			}
		case n.Get("template").Exists():
			j.stepTemplate(n, depth)
		default:
			j.step(n)
		}
	}
}

func (j *jobReader) stepTemplate(n tree.Node, depth int) {
	in := *j
	ref := n.Get("template").Text()
	name, elsewhere, _ := strings.Cut(ref, "@")
	file := join(j.s.dir, name)
	root, err := tree.Load(j.repo, file)
	if elsewhere != "" && elsewhere != "self" || strings.Contains(ref, "${{") || err != nil {
		j.gap(j.job.ID, ref, "a template that is not in the repository", n.Get("template").Place())
		return
	}
	in.s.dir, in.s.params = path.Dir(file), parameters(root, n.Get("parameters"), j.s.params)
	in.steps(root.Get("steps"), depth+1)
	j.job = in.job
}

// step reads one step.
func (j *jobReader) step(n tree.Node) {
	i := len(j.job.Steps)
	s := ci.Step{Name: n.Get("displayName").Text(), Where: n.Span()}
	for _, p := range n.Get("env").Pairs() {
		for _, v := range references(p.Value.Text()) {
			j.secret(v, p.Key.Text(), i, "environment of the step", p.Value.Place())
		}
	}
	kind, body := kindOf(n)
	switch kind {
	case "script", "bash", "pwsh", "powershell":
		j.shell(&s, i, body, kind, n.Get("workingDirectory").Text())
	case "checkout":
		if n.Get("persistCredentials").True() {
			j.job.Credentials = append(j.job.Credentials, ci.Credential{
				Name: "System.AccessToken", Kind: ci.Token, Classes: []ci.Class{ci.Repository}, Scope: ci.PerStep, Step: i, Enters: "checkout, which leaves it in .git/config", Where: n.Get("persistCredentials").Place(), OnDisk: true,
			})
		}
	case "publish":
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: n.Get("artifact").Text(), Writes: true, Where: body.Place()})
	case "download":
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: n.Get("artifact").Text(), Reads: true, Where: body.Place()})
	case "task":
		j.task(&s, i, n, body)
	default:
		j.gap(j.job.ID, strings.TrimSpace(n.Line(n.Place().Line)), "a step of no kind that is known", n.Place())
	}
	j.job.Steps = append(j.job.Steps, s)
}

func kindOf(n tree.Node) (string, tree.Node) {
	for _, k := range []string{"script", "bash", "pwsh", "powershell", "checkout", "publish", "download", "task", "getPackage", "reviewApp"} {
		if b := n.Get(k); b.Exists() {
			if k == "getPackage" || k == "reviewApp" {
				k = "download"
			}
			return k, b
		}
	}
	return "", tree.Node{}
}

// shell reads the text of a command.
func (j *jobReader) shell(s *ci.Step, i int, body tree.Node, kind, dir string) {
	text := substitute(body.Text(), j.s.params)
	for _, v := range references(text) {
		j.secret(v, "", i, "text of the command", body.Place())
	}
	shell := ""
	if kind == "pwsh" || kind == "powershell" {
		shell = "pwsh"
	}
	f := j.scripts.Read(script.Source{Text: text, Place: body.TextPlace(), Flat: body.Folded(), Shell: shell, Dir: folder(dir)})
	s.Events, s.Acts, s.Stores = append(s.Events, f.Events...), append(s.Acts, f.Acts...), append(s.Stores, f.Stores...)
	for _, c := range f.Credentials {
		c.Step = i
		j.job.Credentials = append(j.job.Credentials, c)
	}
	for _, g := range f.Gaps {
		j.gap(j.job.ID, g.What, g.Why, g.Where)
	}
}

// folder is a working directory below the checkout.
func folder(dir string) string {
	for _, p := range []string{"$(Build.SourcesDirectory)/", "$(System.DefaultWorkingDirectory)/", "./"} {
		dir = strings.TrimPrefix(dir, p)
	}
	if strings.Contains(dir, "$") || strings.HasPrefix(dir, "/") {
		return ""
	}
	return dir
}

// references are the variables that $(NAME) in a text stands for.
func references(text string) []string {
	var all []string
	for {
		_, rest, ok := strings.Cut(text, "$(")
		if !ok {
			return all
		}
		name, after, ok := strings.Cut(rest, ")")
		if !ok {
			return all
		}
		if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == "" {
			all = append(all, name)
		}
		text = after
	}
}

// secret adds a secret variable: one that the file gives no value, and whose name
// looks like a secret.
func (j *jobReader) secret(name, key string, step int, how string, at ci.Place) {
	if strings.EqualFold(name, "System.AccessToken") {
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: name, Kind: ci.Token, Classes: []ci.Class{ci.Repository, ci.Publish}, Scope: ci.PerStep, Step: step, Enters: how, Where: at,
		})
		return
	}
	if j.plain[name] || j.seen[name] || !credential.Sensitive(name) && !credential.Sensitive(key) || strings.HasPrefix(name, "Build.") || strings.HasPrefix(name, "System.") {
		return
	}
	j.seen[name] = true
	classes := credential.Named(name)
	if slices.Contains(classes, ci.Unsorted) && key != "" {
		classes = credential.Named(key)
	}
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: name, Kind: ci.Secret, Classes: classes, Scope: ci.PerStep, Step: step, Enters: how, Where: at, LongLived: true,
	})
}

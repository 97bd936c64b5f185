package github

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// wideSecrets are those of the environment of the workflow and of the job, of
// its conditions and of its containers.
func (j *jobReader) wideSecrets() {
	for _, e := range []struct {
		node  tree.Node
		scope ci.Scope
		how   string
	}{
		{j.c.root.Get("env"), ci.Global, "environment of the workflow"},
		{j.node.Get("env"), ci.PerJob, "environment of the job"},
	} {
		for _, p := range e.node.Pairs() {
			j.secrets(p.Value, -1, e.scope, e.how, p.Key.Text())
		}
	}
	for _, key := range []string{"if", "name", "concurrency", "outputs"} {
		j.secretsBelow(j.node.Get(key), -1, ci.PerJob, key+" of the job")
	}
	// The image that the steps run in is the job's machine, and no step of a
	// third party.
	n := j.node.Get("container")
	j.secretsBelow(n.Get("credentials"), -1, ci.PerJob, "credentials of the container")
	j.secretsBelow(n.Get("env"), -1, ci.PerJob, "environment of the container")
	for _, s := range j.node.Get("services").Pairs() {
		j.secretsBelow(s.Value, -1, ci.PerJob, "service "+s.Key.Text())
	}
}

// secretsBelow is secrets for all texts of a subtree.
func (j *jobReader) secretsBelow(n tree.Node, step int, scope ci.Scope, how string) {
	if n.IsText() {
		j.secrets(n, step, scope, how, "")
		return
	}
	for _, p := range n.Pairs() {
		if p.Value.IsText() {
			j.secrets(p.Value, step, scope, how, p.Key.Text())
			continue
		}
		j.secretsBelow(p.Value, step, scope, how)
	}
	for _, i := range n.Items() {
		j.secretsBelow(i, step, scope, how)
	}
}

// secrets adds what one text takes out of the secrets. key is the name that it
// is given to: a variable or an input, which may tell more than the secret's own.
func (j *jobReader) secrets(n tree.Node, step int, scope ci.Scope, how, key string) {
	j.secretsKnown(n, j.known, step, scope, how, key)
}

func (j *jobReader) secretsKnown(n tree.Node, k names, step int, scope ci.Scope, how, key string) {
	add := func(names []string, all bool, at ci.Place) {
		for _, name := range names {
			j.secret(name, at, step, scope, how, key)
		}
		if all {
			j.allSecrets(at, step, scope, how)
		}
	}
	if how == "if of the job" || how == "condition of the step" { // may be without ${{ }}
		names, all := secretsOf(k.put(n.Text()))
		add(names, all, n.Place())
		return
	}
	places := locator{node: n, text: n.Text(), head: n.TextPlace()}
	for _, e := range expressions(places.text) {
		names, all := secretsIn(k.put("${{ " + e.body + " }}"))
		if len(names) > 0 || all {
			add(names, all, places.of(e.at))
		}
	}
}

// locator finds where a part of a text stands. It is asked in the order of the
// text.
type locator struct {
	node tree.Node
	text string
	head ci.Place // where the text begins
	seen int      // of text
	line int
	from int // where the line begins
}

// of is the place of what begins at an offset: in a block the line and column,
// else where the text begins.
func (l *locator) of(at int) ci.Place {
	if l.node.Folded() {
		return l.node.Place()
	}
	for ; l.seen < at; l.seen++ {
		if l.text[l.seen] == '\n' {
			l.line, l.from = l.line+1, l.seen+1
		}
	}
	p := l.head
	p.Line += l.line
	p.Column += at - l.from
	return p
}

// secret adds one secret, unless the job has it already. In a workflow that is
// called it goes by the caller's name; one that the caller does not give is not
// there.
func (j *jobReader) secret(name string, at ci.Place, step int, scope ci.Scope, how, key string) {
	for _, given := range j.c.secrets.from(name) {
		if strings.EqualFold(given, "GITHUB_TOKEN") {
			continue // the job's own token, which the permissions speak of
		}
		id := fmt.Sprintf("%s/%d", strings.ToUpper(given), step)
		if j.seen[id] || j.seen[strings.ToUpper(given)+"/-1"] {
			continue
		}
		j.seen[id] = true
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: given, Kind: ci.Secret, Classes: classesOf(given, name, key), Scope: scope, Step: step, Enters: how, Where: at, LongLived: true,
		})
	}
}

func (j *jobReader) allSecrets(at ci.Place, step int, scope ci.Scope, how string) {
	j.job.Credentials = append(j.job.Credentials, ci.Credential{
		Name: "all secrets", Kind: ci.Secret, Classes: []ci.Class{ci.Unsorted}, Scope: scope, Step: step, Enters: how, Where: at, All: true, LongLived: true,
	})
}

// classesOf sorts a secret by its name, else by the names that it is given to.
func classesOf(names ...string) []ci.Class {
	classes := []ci.Class{ci.Unsorted}
	for _, name := range names {
		if name == "" {
			continue
		}
		if classes = credential.Named(name); !slices.Contains(classes, ci.Unsorted) {
			break
		}
	}
	return classes
}

// refine sorts a secret that no name sorts by what the action does that it is an
// input of, where it is the only one: of several, nobody knows which is for what.
// from is the first credential of the step.
func (s *stepReader) refine(from, acts int) {
	only, classes := s.unsorted(from), s.purpose(from, acts)
	if only >= 0 && len(classes) > 0 {
		s.job.Credentials[only].Classes = classes
	}
}

// unsorted is the secret of the step that has no class, if none other is of
// worth; -1: there is none such.
func (s *stepReader) unsorted(from int) int {
	found := -1
	for i, c := range s.job.Credentials[from:] {
		switch {
		case c.Kind != ci.Secret || c.Is(ci.Low) || !strings.HasPrefix(c.Enters, "input ") || forBuild(c.Enters):
		case c.All || found >= 0 || !c.Is(ci.Unsorted):
			return -1
		default:
			found = from + i
		}
	}
	return found
}

// purpose are the classes of what the step does, or mints.
func (s *stepReader) purpose(from, acts int) []ci.Class {
	var classes []ci.Class
	for _, a := range s.out.Acts[acts:] {
		if a.Class != "" && !a.Verifies && !slices.Contains(classes, a.Class) {
			classes = append(classes, a.Class)
		}
	}
	for _, c := range s.job.Credentials[from:] {
		if c.Kind == ci.Secret {
			continue
		}
		for _, class := range c.Classes {
			if class.High() && !slices.Contains(classes, class) {
				classes = append(classes, class)
			}
		}
	}
	return classes
}

// forBuild tells of the inputs of an image build whose secrets are for the
// Dockerfile, and not for the registry.
func forBuild(how string) bool {
	switch how {
	case "input secrets of the step", "input build-args of the step", "input secret-envs of the step", "input ssh of the step":
		return true
	}
	return false
}

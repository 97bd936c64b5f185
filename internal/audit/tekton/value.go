package tekton

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/tree"
)

// values are the parameters of a run, a pipeline or a task, as far as they are
// written: a value may refer to a result or to the event that started the run.
type values map[string]string

// maxValue bounds what parameters within parameters come to, in bytes.
const maxValue = 8 << 10

// declared adds the defaults of a list of parameters that are not given.
func (v values) declared(params tree.Node) values {
	for _, p := range params.Items() {
		name := p.Get("name").Text()
		if _, given := v[name]; !given && p.Get("default").IsText() {
			v[name] = p.Get("default").Text()
		}
	}
	return v
}

// given reads a list of parameters, whose values may refer to outer ones.
func given(params tree.Node, outer values) values {
	v := values{}
	for _, p := range params.Items() {
		if p.Get("value").IsText() {
			v[p.Get("name").Text()] = outer.resolve(p.Get("value").Text())
		}
	}
	return v
}

// resolve puts in the parameters that text refers to. What is not known stays
// as it is written.
func (v values) resolve(text string) string {
	var b strings.Builder
	for {
		from, to, name := reference(text)
		if from < 0 || b.Len() > maxValue {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:from])
		if value, ok := v[param(name)]; ok && len(value) < maxValue {
			b.WriteString(value)
		} else {
			b.WriteString(text[from:to])
		}
		text = text[to:]
	}
}

// reference finds the first $(name) of a text; -1 where there is none. What
// holds a space is no reference but a command of the shell.
func reference(text string) (from, to int, name string) {
	for at := 0; ; {
		i := strings.Index(text[at:], "$(")
		if i < 0 {
			return -1, 0, ""
		}
		from = at + i
		rest := text[from+2:]
		n := strings.IndexAny(rest, ") \n\t$")
		if n > 0 && rest[n] == ')' && scoped(rest[:n]) {
			return from, from + 2 + n + 1, rest[:n]
		}
		at = from + 2
	}
}

// scoped tells whether a name is one of Tekton's.
func scoped(name string) bool {
	for _, head := range []string{"params", "tasks", "workspaces", "results", "context", "steps", "step", "inputs", "outputs", "tt", "credentials", "finally"} {
		if rest, ok := strings.CutPrefix(name, head); ok && rest != "" && (rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// param is the name of the parameter that a reference is about, or "".
func param(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "inputs."), "tt.")
	rest, ok := strings.CutPrefix(name, "params")
	switch {
	case !ok || rest == "":
		return ""
	case rest[0] == '.':
		return rest[1:]
	}
	return strings.Trim(rest, `[]'"`)
}

// shellText makes text one that a shell could read, of the same length: each
// $(params.x) becomes the variable ${params_x}. It returns what those variables
// stand for, as far as known, and how to write them as before.
func (v values) shellText(text string) (string, map[string]string, *strings.Replacer) {
	env := map[string]string{}
	var back []string
	b := []byte(text)
	for at := 0; ; {
		from, to, name := reference(text[at:])
		if from < 0 {
			break
		}
		from, to = from+at, to+at
		b[from+1], b[to-1] = '{', '}'
		for i := from + 2; i < to-1; i++ {
			if !plain(b[i]) {
				b[i] = '_'
			}
		}
		if value, ok := v.known(name); ok {
			env[string(b[from+2:to-1])] = value
		}
		back = append(back, string(b[from:to]), text[from:to])
		at = to
	}
	return string(b), env, strings.NewReplacer(back...)
}

func plain(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// known is the value of a reference, where all of it is written. The path of a
// workspace is the root of the files.
func (v values) known(name string) (string, bool) {
	if strings.HasPrefix(name, "workspaces.") && strings.HasSuffix(name, ".path") {
		return ".", true
	}
	value, ok := v[param(name)]
	return value, ok && !strings.Contains(value, "$(") && !strings.Contains(value, "{{")
}

// results are the tasks and results that a text takes, as task.result.
func results(text string) []string {
	var all []string
	for {
		from, to, name := reference(text)
		if from < 0 {
			return all
		}
		parts := strings.SplitN(name, ".", 4)
		if len(parts) == 4 && parts[0] == "tasks" && parts[2] == "results" {
			result, _, _ := strings.Cut(parts[3], "[")
			all = append(all, parts[1]+"."+result)
		}
		text = text[to:]
	}
}

package github

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/tree"
)

// matrix takes over the values of the matrix of which there is one only.
func (j *jobReader) matrix() {
	only := names{}
	for _, p := range j.node.Get("strategy", "matrix").Pairs() {
		items := p.Value.Items()
		if key := strings.ToLower(p.Key.Text()); len(items) == 1 && items[0].IsText() && key != "include" && key != "exclude" && !j.includes(p.Key.Text()) {
			only["matrix."+key] = j.known.put(items[0].Text())
		}
	}
	j.known = j.known.with(only)
}

func (j *jobReader) includes(key string) bool {
	return slices.ContainsFunc(j.node.Get("strategy", "matrix", "include").Items(), func(n tree.Node) bool { return n.Get(key).Exists() })
}

// cells are the values that the matrix has for a key, or for a key below one.
func (j *jobReader) cells(key []string) []tree.Node {
	matrix := j.node.Get("strategy", "matrix")
	var all []tree.Node
	for _, v := range matrix.Get(key[0]).Items() {
		all = append(all, v.Get(key[1:]...).List()...)
	}
	for _, i := range matrix.Get("include").Items() {
		all = append(all, i.Get(key...).List()...)
	}
	return slices.DeleteFunc(all, func(n tree.Node) bool { return !n.IsText() })
}

// matrixKey is the key of an expression that is one value of the matrix.
func matrixKey(body string) []string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(body), "matrix.")
	if !ok || strings.ContainsAny(rest, " |&!=<>()[]'*") {
		return nil
	}
	return strings.Split(rest, ".")
}

// runner reads runs-on: a label, labels, a group; or an expression, whose values
// a matrix of plain lists tells, or the texts in it.
func (j *jobReader) runner() {
	n := j.node.Get("runs-on")
	labels := n
	run := &j.job.Runner
	run.Where = n.Place()
	if n.IsMap() {
		labels = n.Get("labels")
		if g := n.Get("group").Text(); g != "" {
			run.Labels = append(run.Labels, "group "+g)
			run.Persistent = true
		}
	}
	for _, l := range labels.List() {
		all := j.labels(l)
		run.Labels = append(run.Labels, all...)
		j.windows = j.windows || len(all) > 0 && !slices.ContainsFunc(all, func(s string) bool { return !strings.Contains(strings.ToLower(s), "windows") })
	}
	for _, l := range run.Labels {
		run.Persistent = run.Persistent || strings.EqualFold(l, "self-hosted")
	}
}

// labels are what one label can be.
func (j *jobReader) labels(n tree.Node) []string {
	if !n.IsText() {
		return nil
	}
	label := n.Text()
	all := expressions(label)
	if len(all) == 0 {
		return []string{label}
	}
	var can []string
	e := parseCondition(all[0].body)
	told := e != nil && len(all) == 1 && j.choices(e, &can)
	slices.Sort(can)
	can = slices.Compact(can)
	_, after, _ := strings.Cut(label, "}}")
	for i := range can {
		can[i] = label[:all[0].at] + can[i] + after
	}
	if told && len(can) > 0 {
		return can
	}
	if !j.def.Callable || !strings.Contains(label, "inputs.") { // the caller says, and is read
		j.gap(j.job.ID, label, "a runner that the file does not tell: it may outlive the job", n.Place())
	}
	return append(can, label)
}

// choices adds the texts that an expression can be, and tells whether those are
// all.
func (j *jobReader) choices(e *expr, can *[]string) bool {
	switch e.op {
	case "text":
		*can = append(*can, e.text)
		return true
	case "&&":
		return j.choices(e.args[1], can)
	case "||":
		left := j.choices(e.args[0], can)
		return j.choices(e.args[1], can) && left
	case "call":
		var list []string
		if strings.EqualFold(e.text, "fromJSON") && len(e.args) == 1 && json.Unmarshal([]byte(e.args[0].text), &list) == nil {
			*can = append(*can, list...)
			return true
		}
	case "name":
		all := j.named(e.text)
		*can = append(*can, all...)
		return len(all) > 0 && !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, "${{") })
	}
	return false
}

// named are the texts that a context can be: an input, or a value of the matrix.
func (j *jobReader) named(name string) []string {
	if all := j.c.choices[strings.ToLower(name)]; len(all) > 0 {
		return all
	}
	if v, ok := j.known[strings.ToLower(name)]; ok {
		return []string{v}
	}
	var all []string
	if key := matrixKey(name); key != nil {
		for _, n := range j.cells(key) {
			all = append(all, j.known.put(n.Text()))
		}
	}
	return all
}

// choicesOf are inputs of a call that can be one of several texts.
func (j *jobReader) choicesOf(with tree.Node) map[string][]string {
	out := map[string][]string{}
	for _, p := range with.Pairs() {
		var can []string
		if e := parseCondition(p.Value.Text()); e != nil && strings.Contains(p.Value.Text(), "${{") && j.choices(e, &can) {
			out["inputs."+strings.ToLower(p.Key.Text())] = can
		}
	}
	return out
}

// optionsOf are the inputs of a manual start that are one of several texts.
func optionsOf(root tree.Node) map[string][]string {
	out := map[string][]string{}
	for _, p := range onOf(root).Get("workflow_dispatch", "inputs").Pairs() {
		if all := p.Value.Get("options").Texts(); len(all) > 0 {
			out["inputs."+strings.ToLower(p.Key.Text())] = all
		}
	}
	return out
}

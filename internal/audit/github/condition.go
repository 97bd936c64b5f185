package github

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// narrow drops the triggers by which a condition never holds, and lowers the
// distrust of those by which it holds for no stranger: a workflow that runs for
// pull requests of its own branches only is not a stranger's to start. What
// cannot be told keeps the trigger as it is. None are left where it never holds.
func (r *reader) narrow(triggers []ci.Trigger, condition string, k names) []ci.Trigger {
	node := parseCondition(condition)
	if node == nil {
		return triggers
	}
	var kept []ci.Trigger
	for _, t := range triggers {
		run := start{event: t.Event, closes: r.closes[t.Event], known: k}
		if run.truth(node) == no {
			continue
		}
		if t.Trust == ci.Stranger {
			t.Trust = run.trust(node)
		}
		kept = append(kept, t)
	}
	return kept
}

// follow narrows the triggers of jobs that need others: where those do not run,
// they do not, unless their condition asks how the others ended.
func (r *reader) follow() {
	by := map[string]*ci.Job{}
	for i := range r.def.Jobs {
		by[r.def.Jobs[i].ID] = &r.def.Jobs[i]
	}
	for range maxNesting { // what a job needs can stand below it
		changed := false
		for i := range r.def.Jobs {
			j := &r.def.Jobs[i]
			for _, n := range j.Needs {
				if by[n] != nil && by[n].Triggers != nil && !asksHow(j.If) && r.runsAfter(j, by[n]) {
					changed = true
				}
			}
		}
		if !changed {
			return
		}
	}
}

// asksHow tells whether a job can run although one that it needs did not.
func asksHow(condition string) bool {
	c := strings.ToLower(condition)
	return strings.Contains(c, "always") || strings.Contains(c, "failure") || strings.Contains(c, "cancelled")
}

// runsAfter narrows the triggers of j to those of a job that it needs, and
// tells whether that changed them.
func (r *reader) runsAfter(j, needed *ci.Job) bool {
	own := j.Triggers
	if own == nil {
		own = r.def.Triggers
	}
	var kept []ci.Trigger
	for _, t := range own {
		k := slices.IndexFunc(needed.Triggers, func(n ci.Trigger) bool { return n.Event == t.Event })
		if k < 0 {
			continue
		}
		t.Trust = min(t.Trust, needed.Triggers[k].Trust)
		kept = append(kept, t)
	}
	if len(kept) == 0 || same(kept, own) {
		return false
	}
	j.Triggers = kept
	return true
}

// trust is how far whoever starts a run by which a condition holds is trusted.
func (s start) trust(node *expr) ci.Trust {
	if s.event != "pull_request_target" && s.event != "workflow_run" {
		return ci.Stranger // who comments is not who wrote the code
	}
	s.who = foreign
	if s.truth(node) != no {
		return ci.Stranger
	}
	s.who = branch
	if s.truth(node) != no {
		return ci.Contributor
	}
	return ci.Maintainer
}

// truth is what is known of a condition: the zero truth is nothing.
type truth uint8

const (
	maybe truth = iota
	yes
	no
)

func (t truth) not() truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return maybe
}

func known(b bool) truth {
	if b {
		return yes
	}
	return no
}

// party is whose code a pull request is, where that is supposed.
type party uint8

const (
	anybody party = iota
	foreign       // the head is in a fork
	branch        // the head is a branch of this repository
)

// start is one way to start a run: a condition is read under it.
type start struct {
	event  string
	closes bool // the event comes for closed pull requests, too
	who    party
	known  names
}

// value is what is known of a part of a condition. The zero value is nothing.
type value struct {
	kind   valueKind
	text   string // of text: all of it; of pattern: its beginning
	suffix string // of pattern: its end
	list   []string
}

type valueKind uint8

const (
	unknownValue valueKind = iota
	textValue
	patternValue // a text of which the beginning and the end are known
	listValue
	boolValue  // text is "true" or "false"
	otherValue // a text that no one writes into a condition: a stranger's name
	filled     // some text that is not empty
)

func text(s string) value       { return value{kind: textValue, text: s} }
func pattern(a, b string) value { return value{kind: patternValue, text: a, suffix: b} }
func truthValue(t truth) value {
	switch t {
	case yes:
		return value{kind: boolValue, text: "true"}
	case no:
		return value{kind: boolValue, text: "false"}
	}
	return value{}
}

// holds tells whether a value counts as true.
func (v value) holds() truth {
	switch v.kind {
	case textValue:
		return known(v.text != "")
	case boolValue:
		return known(v.text == "true")
	case patternValue, listValue, otherValue, filled:
		return yes
	}
	return maybe
}

func (s start) truth(e *expr) truth { return s.value(e).holds() }

// value reads a condition, as far as the way to start tells.
func (s start) value(e *expr) value {
	switch e.op {
	case "text":
		return text(e.text)
	case "bool":
		return value{kind: boolValue, text: e.text}
	case "name":
		return s.context(strings.ToLower(e.text))
	case "call":
		return s.call(e)
	case "!":
		return truthValue(s.truth(e.args[0]).not())
	case "&&", "||":
		return s.chain(e)
	case "==":
		return truthValue(equal(s.value(e.args[0]), s.value(e.args[1])))
	case "!=":
		return truthValue(equal(s.value(e.args[0]), s.value(e.args[1])).not())
	}
	return value{}
}

// chain is a && b and a || b, which give one of their sides.
func (s start) chain(e *expr) value {
	left, right := s.value(e.args[0]), s.value(e.args[1])
	decides := no
	if e.op == "||" {
		decides = yes
	}
	switch {
	case left.holds() == decides:
		return left
	case left.holds() != maybe:
		return right
	case right.holds() == decides:
		return right // whichever it is, it counts the same
	}
	return value{}
}

// equal compares as GitHub does: without regard to case.
func equal(a, b value) truth {
	if a.kind == otherValue || b.kind == otherValue {
		return no
	}
	if a.kind != textValue && a.kind != boolValue {
		a, b = b, a
	}
	if a.kind != textValue && a.kind != boolValue {
		return maybe
	}
	switch b.kind {
	case textValue, boolValue:
		return known(strings.EqualFold(a.text, b.text))
	case filled:
		if a.text == "" {
			return no
		}
	case patternValue:
		if !foldPrefix(a.text, b.text) || !foldSuffix(a.text, b.suffix) {
			return no
		}
	}
	return maybe
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func foldSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// call reads the functions whose answer can be told.
func (s start) call(e *expr) value {
	var args []value
	for _, a := range e.args {
		args = append(args, s.value(a))
	}
	switch name := strings.ToLower(e.text); {
	case name == "startswith" && len(args) == 2:
		return truthValue(begins(args[0], args[1]))
	case name == "contains" && len(args) == 2:
		return truthValue(contains(args[0], args[1]))
	case name == "fromjson" && len(args) == 1 && args[0].kind == textValue:
		var list []string
		if json.Unmarshal([]byte(args[0].text), &list) == nil {
			return value{kind: listValue, list: list}
		}
	}
	return value{}
}

func begins(v, with value) truth {
	if with.kind != textValue {
		return maybe
	}
	switch v.kind {
	case textValue:
		return known(foldPrefix(v.text, with.text))
	case patternValue:
		if foldPrefix(v.text, with.text) {
			return yes
		}
		if !foldPrefix(with.text, v.text) {
			return no
		}
	}
	return maybe
}

func contains(in, what value) truth {
	if in.kind == listValue {
		return known(slices.ContainsFunc(in.list, func(s string) bool { return equal(text(s), what) != no })).unless(what)
	}
	if in.kind == textValue && what.kind == textValue {
		return known(strings.Contains(strings.ToLower(in.text), strings.ToLower(what.text)))
	}
	return maybe
}

// unless takes a yes back where what was looked for is not known.
func (t truth) unless(v value) truth {
	if t == yes && v.kind != textValue {
		return maybe
	}
	return t
}

package github

import (
	"regexp"
	"strings"
)

// expr is one part of a condition.
type expr struct {
	op   string // text, bool, name, call, !, &&, ||, ==, !=, or "?": not read
	text string
	args []*expr
}

// The limits of one condition.
const (
	maxCondition = 4 << 10 // bytes
	maxNesting   = 50
)

// parseCondition reads an if, or returns nil where it says nothing or is not
// read.
func parseCondition(s string) *expr {
	s = strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(s, "${{"); ok {
		if s, ok = strings.CutSuffix(inner, "}}"); !ok {
			return nil
		}
	}
	if strings.TrimSpace(s) == "" || len(s) > maxCondition || strings.Contains(s, "${{") {
		return nil
	}
	p := &conditionParser{left: s}
	e := p.or(0)
	p.space()
	if p.bad || p.left != "" {
		return nil
	}
	return e
}

type conditionParser struct {
	left string
	bad  bool
}

func (p *conditionParser) space() { p.left = strings.TrimLeft(p.left, " \t\r\n") }

// take removes one of some operators from the head of what is left.
func (p *conditionParser) take(ops ...string) string {
	p.space()
	for _, op := range ops {
		if rest, ok := strings.CutPrefix(p.left, op); ok {
			p.left = rest
			return op
		}
	}
	return ""
}

func (p *conditionParser) or(depth int) *expr { return p.binary(depth, p.and, "||") }

func (p *conditionParser) and(depth int) *expr { return p.binary(depth, p.comparison, "&&") }

func (p *conditionParser) comparison(depth int) *expr {
	return p.binary(depth, p.unary, "==", "!=", "<=", ">=", "<", ">")
}

func (p *conditionParser) binary(depth int, next func(int) *expr, ops ...string) *expr {
	left := next(depth)
	for !p.bad {
		op := p.take(ops...)
		if op == "" {
			break
		}
		left = &expr{op: op, args: []*expr{left, next(depth)}}
	}
	return left
}

func (p *conditionParser) unary(depth int) *expr {
	if depth > maxNesting {
		p.bad = true
		return &expr{op: "?"}
	}
	p.space()
	switch {
	case strings.HasPrefix(p.left, "!") && !strings.HasPrefix(p.left, "!="):
		p.left = p.left[1:]
		return &expr{op: "!", args: []*expr{p.unary(depth + 1)}}
	case p.take("(") != "":
		e := p.or(depth + 1)
		p.bad = p.bad || p.take(")") == ""
		return e
	case strings.HasPrefix(p.left, "'"):
		return p.quoted()
	}
	return p.named(depth)
}

// quoted is 'text', in which two quotes stand for one.
func (p *conditionParser) quoted() *expr {
	rest := p.left[1:]
	var b strings.Builder
	for {
		part, after, ok := strings.Cut(rest, "'")
		b.WriteString(part)
		if !ok {
			p.bad = true
			return &expr{op: "?"}
		}
		if !strings.HasPrefix(after, "'") {
			p.left = after
			return &expr{op: "text", text: b.String()}
		}
		b.WriteByte('\'')
		rest = after[1:]
	}
}

// keyed is another way to write .name.
var keyed = regexp.MustCompile(`\[\s*'([A-Za-z0-9_-]+)'\s*\]`)

// named is a context, a call, a number or a word.
func (p *conditionParser) named(depth int) *expr {
	end := strings.IndexFunc(p.left, func(c rune) bool {
		return !strings.ContainsRune("_-.*", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
	if end < 0 {
		end = len(p.left)
	}
	whole := p.left
	name := p.left[:end]
	p.left = p.left[end:]
	switch {
	case name == "":
		p.bad = true
	case p.take("(") != "":
		return p.call(name, depth)
	case name == "true" || name == "false":
		return &expr{op: "bool", text: name}
	case strings.HasPrefix(p.left, "["):
		p.index(depth)
		return &expr{op: "name", text: keyed.ReplaceAllString(strings.TrimSpace(whole[:len(whole)-len(p.left)]), ".$1")}
	case name[0] < '0' || name[0] > '9':
		return &expr{op: "name", text: name}
	}
	return &expr{op: "?"}
}

func (p *conditionParser) call(name string, depth int) *expr {
	e := &expr{op: "call", text: name}
	if p.take(")") != "" {
		return p.after(e, depth)
	}
	for !p.bad {
		e.args = append(e.args, p.or(depth+1))
		if p.take(",") == "" {
			break
		}
	}
	p.bad = p.bad || p.take(")") == ""
	return p.after(e, depth)
}

// after is a call, or a part of what it gives, which is not read.
func (p *conditionParser) after(e *expr, depth int) *expr {
	if strings.HasPrefix(p.left, "[") || strings.HasPrefix(p.left, ".") {
		p.index(depth)
		return &expr{op: "?"}
	}
	return e
}

// index passes over [...] and .name behind something.
func (p *conditionParser) index(depth int) {
	for !p.bad && p.left != "" {
		switch {
		case p.take("[") != "":
			p.or(depth + 1)
			p.bad = p.bad || p.take("]") == ""
		case strings.HasPrefix(p.left, "."):
			p.left = strings.TrimLeft(p.left, "._-*0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		default:
			return
		}
	}
}

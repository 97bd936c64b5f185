package jenkins

import (
	"slices"
	"strings"
)

// call is one statement of a Groovy file, as far as it matters here: a name,
// what it is given, and the block that follows. A step, a section and a branch
// of an if all are such. The name is "=" for an assignment, "{" for a block
// without a name, "[" for a list or map, "(" for brackets, and begins with a dot
// where it is called upon what the call before it gave.
type call struct {
	name     string
	target   string // of an assignment
	from, to int    // bytes of the file
	args     []arg
	body     []*call
	brackets bool // it is called: with brackets, or with arguments after it
	block    bool // it has a body
	function bool // it is a function that the file defines
}

// arg is one thing that a call is given.
type arg struct {
	key   string
	from  int
	parts []part
}

// part is a text, a call, or a word of an expression.
type part struct {
	lit  *literal
	call *call
	name string
	from int
}

// maxNest is how deep calls may stand within calls.
const maxNest = 150

type parser struct {
	all   []token
	at    int
	depth int
	over  bool
}

// parse reads a file as statements. What it does not understand it steps over;
// over tells whether a limit was reached.
func parse(src string) (all []*call, over bool) {
	tokens, long := lex(src)
	p := &parser{all: tokens, over: long}
	for p.peek().kind != end {
		all = append(all, p.statements()...)
		if p.peek().is("}") {
			p.at++ // one too many
		}
	}
	return all, p.over
}

func (p *parser) peek() token { return p.all[p.at] }

func (p *parser) peekAt(n int) token { return p.all[min(p.at+n, len(p.all)-1)] }

func (p *parser) next() token {
	t := p.all[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// deeper counts levels; where there are too many, it steps over a token.
func (p *parser) deeper() bool {
	if p.depth >= maxNest {
		p.over = true
		p.next()
		return false
	}
	p.depth++
	return true
}

// statements reads up to the end of a block.
func (p *parser) statements() []*call {
	if !p.deeper() {
		return nil
	}
	defer func() { p.depth-- }()
	var all []*call
	for t := p.peek(); t.kind != end && !t.is("}"); t = p.peek() {
		switch {
		case t.kind == word:
			all = append(all, p.statement()...)
		case t.is("@") && p.peekAt(1).kind == word:
			p.next()
			made := p.statement()
			if len(made) > 0 {
				made[0].name = "@" + made[0].name
			}
			all = append(all, made...)
		case t.is("{"):
			all = append(all, p.closure())
		case t.is("(") || t.is("["):
			all = append(all, p.chain(p.group())...)
		default:
			p.next()
		}
	}
	return all
}

// closure reads a block in braces.
func (p *parser) closure() *call {
	c := &call{name: "{", from: p.next().from, block: true}
	c.body = p.statements()
	c.to = p.peek().to
	if p.peek().is("}") {
		p.next()
	}
	return c
}

// group reads a list or brackets.
func (p *parser) group() *call {
	open := p.next()
	c := &call{name: open.name, from: open.from}
	closing := ")"
	if open.name == "[" {
		closing = "]"
	}
	c.args = p.args(closing)
	c.to = p.all[max(p.at-1, 0)].to
	return c
}

// args reads what stands between brackets, the closing one with it.
func (p *parser) args(closing string) []arg {
	if !p.deeper() {
		return nil
	}
	defer func() { p.depth-- }()
	var all []arg
	for t := p.peek(); t.kind != end; t = p.peek() {
		switch {
		case t.is(closing):
			p.next()
			return all
		case t.is(","), t.is(";"):
			p.next()
		case t.is("}"):
			return all // of an outer block
		case t.kind == sign && (t.name == ")" || t.name == "]"):
			p.next()
		default:
			all = append(all, p.arg(false))
		}
	}
	return all
}

// arg reads one argument; of a command without brackets it ends with the line.
func (p *parser) arg(command bool) arg {
	a := arg{from: p.peek().from}
	if t := p.peek(); (t.kind == word || t.kind == text || t.kind == number) && p.peekAt(1).is(":") {
		if a.key = t.name; t.lit != nil {
			a.key = t.lit.value
		}
		p.at += 2
	}
	a.parts = p.expression(command)
	return a
}

// expression reads up to a comma, a closing bracket, or the end of a line that
// does not go on.
func (p *parser) expression(command bool) []part {
	if !p.deeper() {
		return nil
	}
	defer func() { p.depth-- }()
	var parts []part
	open := true // an operand is missing
	for t := p.peek(); t.kind != end && !ends(t); t = p.peek() {
		if command && len(parts) > 0 && !open && (t.fresh && !goesOn(t) || t.is("{") || t.kind == word && blockEnds(parts)) {
			return parts
		}
		switch {
		case t.kind == text:
			parts = append(parts, part{lit: t.lit, from: t.from})
			p.next()
		case t.kind == word:
			parts = append(parts, p.operand()...)
		case t.is("{"):
			parts = append(parts, part{call: p.closure(), from: t.from})
		case t.is("(") || t.is("["):
			for _, c := range p.chain(p.group()) {
				parts = append(parts, part{call: c, from: c.from})
			}
		default:
			parts = append(parts, part{name: t.name, from: t.from})
			p.next()
		}
		open = t.kind == sign && !t.is("(") && !t.is("[") && !t.is("{")
	}
	return parts
}

// blockEnds tells whether the last part is a block, after which a word is the
// next statement: } else.
func blockEnds(parts []part) bool {
	c := parts[len(parts)-1].call
	return c != nil && c.block
}

func ends(t token) bool {
	return t.kind == sign && slices.Contains([]string{",", ")", "]", "}", ";"}, t.name)
}

// goesOn tells whether a line that begins so belongs to the one before.
func goesOn(t token) bool {
	return t.kind == sign && slices.Contains([]string{".", "?.", "*.", "+", "?", ":", "?:", "&&", "||", "=="}, t.name)
}

// name reads a name with dots in it.
func (p *parser) name() (string, token) {
	first := p.next()
	name := first.name
	for dot(p.peek()) && p.peekAt(1).kind == word {
		p.next()
		name += "." + p.next().name
	}
	return name, first
}

func dot(t token) bool { return t.is(".") || t.is("?.") || t.is("*.") }

// operand reads a name within an expression, and what it is called with.
func (p *parser) operand() []part {
	name, first := p.name()
	t := p.peek()
	switch {
	case t.is("(") && !t.fresh, t.is("{") && !t.fresh && strings.Contains(name, "."):
		var parts []part
		for _, c := range p.called(name, first) {
			parts = append(parts, part{call: c, from: c.from})
		}
		return parts
	}
	return []part{{name: name, from: first.from}}
}

// called reads the brackets and the block that follow a name, and what is called
// upon the outcome.
func (p *parser) called(name string, first token) []*call {
	c := &call{name: name, from: first.from}
	if t := p.peek(); t.is("(") && !t.fresh {
		p.next()
		c.args, c.brackets = p.args(")"), true
	}
	p.withBody(c)
	return p.chain(c)
}

func (p *parser) withBody(c *call) {
	if t := p.peek(); t.is("{") && !t.fresh {
		b := p.closure()
		c.body, c.block = b.body, true
	}
	c.to = p.all[max(p.at-1, 0)].to
}

// chain reads the calls upon what a call gave: docker.image(x).inside { }.
func (p *parser) chain(c *call) []*call {
	all := []*call{c}
	for dot(p.peek()) && p.peekAt(1).kind == word {
		p.next()
		first := p.next()
		next := &call{name: "." + first.name, from: first.from}
		if t := p.peek(); t.is("(") && !t.fresh {
			p.next()
			next.args, next.brackets = p.args(")"), true
		}
		p.withBody(next)
		all = append(all, next)
	}
	return all
}

// statement reads what begins with a word.
func (p *parser) statement() []*call {
	declared := p.declaration()
	if p.peek().kind != word {
		return nil
	}
	if p.peek().name == "case" {
		for t := p.next(); t.kind != end && !t.is(":") && !p.peek().fresh; {
			t = p.next()
		}
		return nil
	}
	name, first := p.name()
	t := p.peek()
	for t.is("[") && !t.apart && !t.fresh {
		p.group() // an index
		t = p.peek()
	}
	switch {
	case t.is("=") || t.is("+="):
		p.next()
		c := &call{name: "=", target: name, from: first.from}
		c.args = []arg{{from: p.peek().from, parts: p.expression(true)}}
		c.to = p.all[max(p.at-1, 0)].to
		return []*call{c}
	case t.is("(") && !t.fresh, t.is("{") && !t.fresh:
		all := p.called(name, first)
		all[0].function = declared && all[0].block
		return all
	case !t.fresh && (t.kind == text || t.kind == word && t.name != "in" || t.kind == number || t.is("[")):
		return p.command(name, first)
	}
	return []*call{{name: name, from: first.from, to: first.to}}
}

// declaration steps over the words that declare a variable or a function.
func (p *parser) declaration() bool {
	declared := false
	for p.peek().kind == word && p.peekAt(1).kind == word && !p.peekAt(1).fresh && (declares(p.peek().name) || typed(p.peek().name) && (p.peekAt(2).is("=") || p.peekAt(2).is("("))) {
		p.next()
		declared = true
	}
	return declared
}

func declares(w string) bool {
	return slices.Contains([]string{"def", "final", "static", "private", "public", "protected", "void", "int", "boolean", "long", "double", "float"}, w)
}

func typed(w string) bool { return w != "" && w[0] >= 'A' && w[0] <= 'Z' }

// command reads a call without brackets: sh 'make', timeout time: 5.
func (p *parser) command(name string, first token) []*call {
	c := &call{name: name, from: first.from, brackets: true}
	for {
		c.args = append(c.args, p.arg(true))
		if !p.peek().is(",") {
			break
		}
		p.next()
	}
	p.withBody(c)
	return []*call{c}
}

// first is the first text that a call is given without a name, or by one of
// some names.
func (c *call) first(keys ...string) *literal {
	for _, a := range c.args {
		if a.key != "" && !slices.Contains(keys, a.key) {
			continue
		}
		if l := a.literal(); l != nil {
			return l
		}
	}
	return nil
}

// literal is the first text of an argument, in brackets or not.
func (a arg) literal() *literal {
	for _, p := range a.parts {
		if p.lit != nil {
			return p.lit
		}
		if p.call != nil && (p.call.name == "(" || p.call.name == "[") {
			for _, inner := range p.call.args {
				if l := inner.literal(); l != nil && inner.key == "" {
					return l
				}
			}
		}
	}
	return nil
}

// given is the text of a named argument, "" where it has none.
func (c *call) given(key string) (string, int) {
	for _, a := range c.args {
		if a.key == key {
			if l := a.literal(); l != nil {
				return l.value, a.from
			}
		}
		for _, p := range a.parts {
			if p.call != nil && p.call.name == "[" && a.key == "" {
				if s, at := p.call.given(key); s != "" {
					return s, at
				}
			}
		}
	}
	return "", c.from
}

// section is the block of a name within c's.
func (c *call) section(name string) *call {
	for _, b := range c.body {
		if b.name == name {
			return b
		}
	}
	return nil
}

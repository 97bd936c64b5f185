package jenkins

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// kind is what sort of token one is.
type kind uint8

const (
	end kind = iota
	word
	number
	text
	sign
)

// token is one word of a Groovy file.
type token struct {
	kind     kind
	name     string   // of a word or a sign, as written
	lit      *literal // of a text
	from, to int      // bytes of the file
	fresh    bool     // it is the first of its line
	apart    bool     // a space stands before it
}

func (t token) is(s string) bool { return t.kind == sign && t.name == s }

// literal is a text, with the way back to where each byte of it is written.
type literal struct {
	value string
	marks []mark
	// holes are the expressions that the text holds, and the shell variables
	// that stand for them in value.
	holes []hole
	// flat: all of it stands for one place, that of a variable.
	flat bool
}

// mark says that from a byte of a value on, the bytes are those of the file from
// another on.
type mark struct{ value, file int }

// hole is one expression in a text.
type hole struct {
	name    string // of the variable that stands for it
	written string // as it is written, ${} and all
	file    int    // where it begins
}

// at is where a byte of the value is written.
func (l *literal) at(offset int) int {
	i := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].value > offset }) - 1
	if i < 0 {
		return 0
	}
	if l.flat {
		return l.marks[0].file
	}
	return l.marks[i].file + offset - l.marks[i].value
}

// maxTokens bounds one file.
const maxTokens = 200_000

// lexer cuts a file into tokens.
type lexer struct {
	src    string
	at     int
	tokens []token
	fresh  bool
	apart  bool
	over   bool
}

// lex returns the tokens of a file. Whatever the file holds, it ends.
func lex(src string) ([]token, bool) {
	l := &lexer{src: src, fresh: true}
	if strings.HasPrefix(src, "#!") {
		l.skipLine()
	}
	for l.at < len(l.src) {
		if len(l.tokens) >= maxTokens {
			l.over = true
			break
		}
		l.one()
	}
	l.tokens = append(l.tokens, token{kind: end, from: l.at, to: l.at, fresh: true})
	return l.tokens, l.over
}

func (l *lexer) rest() string { return l.src[l.at:] }

func (l *lexer) skipLine() {
	if n := strings.IndexByte(l.rest(), '\n'); n >= 0 {
		l.at += n
		return
	}
	l.at = len(l.src)
}

func (l *lexer) add(t token) {
	t.fresh, t.apart, t.to = l.fresh, l.apart, l.at
	l.tokens = append(l.tokens, t)
	l.fresh, l.apart = false, false
}

// one reads a token, a comment or a space.
func (l *lexer) one() {
	c, rest := l.src[l.at], l.rest()
	switch {
	case c == '\n':
		l.at, l.fresh = l.at+1, true
	case c == ' ' || c == '\t' || c == '\r' || c == '\\':
		l.at, l.apart = l.at+1, true
	case strings.HasPrefix(rest, "//"):
		l.skipLine()
	case strings.HasPrefix(rest, "/*"):
		n := strings.Index(rest[2:], "*/")
		if n < 0 {
			l.at = len(l.src)
			return
		}
		l.at, l.apart = l.at+2+n+2, true
	case letter(c):
		l.word()
	case c >= '0' && c <= '9':
		l.number()
	case c == '\'' || c == '"':
		l.quoted(c)
	case c == '/' && l.operand():
		l.literal(1, "/", '/', true)
	default:
		l.sign()
	}
}

func letter(c byte) bool {
	return c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func (l *lexer) word() {
	if strings.HasPrefix(l.rest(), "$/") {
		l.literal(2, "/$", '$', true)
		return
	}
	from := l.at
	for l.at < len(l.src) && (letter(l.src[l.at]) || digit(l.src[l.at])) {
		l.at++
	}
	l.add(token{kind: word, name: l.src[from:l.at], from: from})
}

func (l *lexer) number() {
	from := l.at
	for l.at < len(l.src) && (letter(l.src[l.at]) || digit(l.src[l.at])) {
		l.at++
	}
	l.add(token{kind: number, name: l.src[from:l.at], from: from})
}

func (l *lexer) sign() {
	from := l.at
	for _, s := range []string{"<=>", "==~", "...", "==", "!=", "<=", ">=", "&&", "||", "->", "?.", "*.", "::", "=~", "+=", "-=", "<<", "?:", "++", "--"} {
		if strings.HasPrefix(l.rest(), s) {
			l.at += len(s)
			l.add(token{kind: sign, name: s, from: from})
			return
		}
	}
	l.at++
	l.add(token{kind: sign, name: l.src[from:l.at], from: from})
}

// operand tells whether a slash begins a pattern: it does where no operand
// stands before it, and the pattern ends on its line.
func (l *lexer) operand() bool {
	line, _, _ := strings.Cut(l.rest()[1:], "\n")
	if !strings.Contains(line, "/") {
		return false
	}
	if len(l.tokens) == 0 {
		return true
	}
	t := l.tokens[len(l.tokens)-1]
	switch t.kind {
	case word:
		return t.name == "return" || t.name == "in" || l.apart && l.at+1 < len(l.src) && l.src[l.at+1] != ' '
	case number, text:
		return false
	}
	return t.name != ")" && t.name != "]" && t.name != "}"
}

// quoted reads a text in quotes, single or three of them.
func (l *lexer) quoted(c byte) {
	q := string(c)
	if three := strings.Repeat(q, 3); strings.HasPrefix(l.rest(), three) {
		l.literal(3, three, c, c == '"')
		return
	}
	l.literal(1, q, c, c == '"')
}

// literal reads a text up to its end, or that of the line where it is of one
// line and never ends.
func (l *lexer) literal(open int, closing string, c byte, holes bool) {
	from := l.at
	b := &builder{lit: &literal{}}
	l.at += open
	single := len(closing) == 1 && c != '/'
	for l.at < len(l.src) && !strings.HasPrefix(l.rest(), closing) {
		if single && l.src[l.at] == '\n' {
			l.add(token{kind: text, lit: b.done(), from: from})
			return
		}
		switch {
		case l.src[l.at] == '\\' && c != '$':
			l.escape(b, c)
		case holes && l.src[l.at] == '$' && l.hole(b):
		case strings.HasPrefix(l.rest(), "\r\n"):
			l.at++
		default:
			b.put(l.src[l.at:l.at+1], l.at)
			l.at++
		}
	}
	l.at = min(l.at+len(closing), len(l.src))
	l.add(token{kind: text, lit: b.done(), from: from})
}

// escape reads a backslash and what follows. In a pattern only a slash needs one.
func (l *lexer) escape(b *builder, c byte) {
	if l.at+1 >= len(l.src) {
		l.at++
		return
	}
	next := l.src[l.at+1]
	if c == '/' && next != '/' {
		b.put(`\`, l.at)
		l.at++
		return
	}
	from := l.at
	l.at += 2
	switch next {
	case 'n':
		b.put("\n", from)
	case 't':
		b.put("\t", from)
	case 'r', 'b', 'f':
		b.put(" ", from)
	case '\n': // the line goes on
	default:
		b.put(string(next), from+1)
	}
}

// maxHole is how long an expression in a text may be, in bytes.
const maxHole = 2048

// hole reads an expression in a text: $name.name or ${ any }.
func (l *lexer) hole(b *builder) bool {
	rest := l.src[l.at:min(len(l.src), l.at+maxHole)]
	n := 0
	if strings.HasPrefix(rest, "${") {
		n = closed(rest)
	} else {
		n = dotted(rest[1:]) + 1
	}
	if n < 2 {
		return false
	}
	written := rest[:n]
	h := hole{name: variable(strings.Trim(written, "${} \t")), written: written, file: l.at}
	b.lit.holes = append(b.lit.holes, h)
	b.put("${"+h.name+"}", l.at)
	l.at += n
	return true
}

// closed is the length of a ${ } with all the braces in it, those of texts not
// counted, or 0.
func closed(s string) int {
	open, quote := 0, byte(0)
	for i := 1; i < len(s); i++ {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == '\'' || s[i] == '"':
			quote = s[i]
		case s[i] == '{':
			open++
		case s[i] == '}':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// dotted is the length of the name at the head of s, dots in it.
func dotted(s string) int {
	n := 0
	for n < len(s) && (s[n] != '$' && letter(s[n]) || n > 0 && digit(s[n]) || n > 0 && s[n] == '.' && n+1 < len(s) && s[n+1] != '$' && letter(s[n+1])) {
		n++
	}
	return n
}

// variable is the shell variable that stands for an expression: env.X is X.
func variable(expr string) string {
	expr = strings.TrimPrefix(expr, "env.")
	if expr == "" || dotted(expr) != len(expr) {
		return "_expression"
	}
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (letter(byte(r)) || digit(byte(r))) {
			return r
		}
		return '_'
	}, expr)
}

// builder makes a literal.
type builder struct {
	lit *literal
	out strings.Builder
}

// put adds bytes that are written at a byte of the file.
func (b *builder) put(s string, file int) {
	n := b.out.Len()
	if k := len(b.lit.marks); k == 0 || b.lit.marks[k-1].file+n-b.lit.marks[k-1].value != file {
		b.lit.marks = append(b.lit.marks, mark{n, file})
	}
	b.out.WriteString(s)
}

func (b *builder) done() *literal {
	b.lit.value = b.out.String()
	return b.lit
}

package script

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// text is a piece of shell text, with the way back to where it is written.
type text struct {
	raw   string // as written
	clean string // the same length, expressions of the CI system covered
	masks []span
	lines []int // where each line begins
	at    ci.Place
	rest  int // the column at which later lines begin
	flat  bool
	// line is the line of the CI file that led here, where the text is of
	// another file: it is what is shown.
	line string
	// file is the name of that other file.
	file string
}

// span is a part of a text, from the first byte to the one after the last.
type span struct{ from, to int }

func newText(s Source) *text {
	t := &text{raw: s.Text, at: s.Place, rest: s.Place.Column, flat: s.Flat}
	t.prepare()
	return t
}

func (t *text) prepare() {
	t.clean, t.masks = mask(t.raw)
	t.lines = append(t.lines, 0)
	for i := 0; i < len(t.raw); i++ {
		if t.raw[i] == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
}

// within returns the part of t from some byte on as a text of its own, whose
// content is exactly raw there.
func (t *text) within(raw string, offset int) *text {
	p := t.place(offset)
	inner := &text{raw: raw, at: p, rest: t.rest, flat: t.flat, line: t.line, file: t.file}
	inner.prepare()
	return inner
}

// beside returns a text that is made from a command of t, and stands where that
// command does.
func (t *text) beside(raw string, at ci.Place) *text {
	inner := &text{raw: raw, at: at, flat: true, line: t.line, file: t.file}
	inner.prepare()
	return inner
}

// place returns where a byte of the text stands in the CI file.
func (t *text) place(offset int) ci.Place {
	p := t.at
	if t.flat {
		return p
	}
	line, found := slices.BinarySearch(t.lines, offset)
	if !found {
		line--
	}
	if line == 0 {
		p.Column += offset
		return p
	}
	p.Line += line
	p.Column = t.rest + offset - t.lines[line]
	return p
}

// written returns a part of the text as it is written.
func (t *text) written(from, to int) string {
	from, to = max(from, 0), min(to, len(t.raw))
	if from >= to {
		return ""
	}
	return t.raw[from:to]
}

// masked tells whether a part of the text covers an expression.
func (t *text) masked(from, to int) bool {
	for _, m := range t.masks {
		if m.from < to && from < m.to {
			return true
		}
	}
	return false
}

// oneLine puts a command on one line, as long as can be shown.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\n\t") || strings.Contains(s, "  ") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\\\r\n", " "), "\\\n", " ")
		s = strings.Join(strings.Fields(s), " ")
	}
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + " ..."
	}
	return s
}

// mask covers the expressions of the CI system with underscores, since they are
// put in before a shell sees the text and most of them are no shell.
func mask(s string) (string, []span) {
	var all []span
	for i := 0; i+3 < len(s); i++ {
		if s[i] != '$' && s[i] != '<' {
			continue
		}
		if end := expression(s, i); end > 0 {
			all = append(all, span{i, end})
			i = end - 1
		}
	}
	if all == nil {
		return s, nil
	}
	b := []byte(s)
	for _, m := range all {
		for i := m.from; i < m.to; i++ {
			b[i] = '_'
		}
	}
	return string(b), all
}

// maxExpression is how long an expression may be, in bytes: without a limit,
// many that never end would each be looked for to the end of the text.
const maxExpression = 1024

// expression returns the end of the expression that begins at i, or 0: ${{ }}
// of GitHub and Azure, $[[ ]] of GitLab, << parameters.x >> of CircleCI.
func expression(s string, i int) int {
	rest := s[i:min(len(s), i+maxExpression)]
	switch {
	case strings.HasPrefix(rest, "${{"):
		if n := closing(rest[3:]); n >= 0 {
			return i + 3 + n + 2
		}
	case strings.HasPrefix(rest, "$[["):
		if n := strings.Index(rest, "]]"); n > 0 && !strings.Contains(rest[:n], "\n") {
			return i + n + 2
		}
	case strings.HasPrefix(rest, "<<"):
		n := strings.Index(rest, ">>")
		if n > 0 && named(strings.TrimSpace(rest[2:n])) {
			return i + n + 2
		}
	}
	return 0
}

// named tells whether s is a value of CircleCI's.
func named(s string) bool {
	scope, name, ok := strings.Cut(s, ".")
	return ok && oneOf(scope, "parameters|pipeline|matrix") && name != "" && !strings.ContainsAny(name, " \n\t")
}

// closing returns where }} stands in the rest of an expression, not in its
// strings, or -1.
func closing(s string) int {
	quoted := false
	for i := 0; i+1 < len(s); i++ {
		switch {
		case s[i] == '\'':
			quoted = !quoted
		case !quoted && s[i] == '}' && s[i+1] == '}':
			return i
		}
	}
	// A quote that is never closed is none.
	return strings.Index(s, "}}")
}

// Expressions returns the bodies of the ${{ }} of a text, in their order.
func Expressions(text string) []string {
	var all []string
	for {
		i := strings.Index(text, "${{")
		if i < 0 {
			return all
		}
		text = text[i+3:]
		n := closing(text[:min(len(text), maxExpression)])
		if n < 0 {
			continue
		}
		all = append(all, strings.TrimSpace(text[:n]))
		text = text[n+2:]
	}
}

// Variables returns the names of the environment variables that the text of s
// refers to, each once, in their order: $X and ${X}, $env:X of PowerShell, %X%
// of cmd, and what python reads by os.environ.
func Variables(s Source) []string {
	v := names{seen: map[string]bool{}}
	clean, _ := mask(s.Text)
	for i := 0; i < len(clean); i++ {
		switch clean[i] {
		case '$':
			i += v.dollar(clean[i+1:])
		case '%':
			if n := word(clean[i+1:]); n > 0 && i+1+n < len(clean) && clean[i+1+n] == '%' {
				v.add(clean[i+1 : i+1+n])
				i += n + 1
			}
		case 'o':
			v.python(clean[i:])
		}
	}
	return v.all
}

// names collects names, each once.
type names struct {
	all  []string
	seen map[string]bool
}

func (v *names) add(name string) {
	if !v.seen[name] {
		v.seen[name] = true
		v.all = append(v.all, name)
	}
}

// dollar reads what follows a $, and returns how many bytes that was.
func (v *names) dollar(s string) int {
	skip := 0
	if strings.HasPrefix(s, "{") {
		skip = 1
		for skip < len(s) && (s[skip] == '!' || s[skip] == '#') {
			skip++
		}
	}
	if rest := s[skip:]; len(rest) > 4 && strings.EqualFold(rest[:4], "env:") {
		skip += 4
	}
	n := word(s[skip:])
	if n > 0 {
		v.add(s[skip : skip+n])
	}
	return skip + n
}

func (v *names) python(s string) {
	for _, head := range []string{"os.environ[", "os.environ.get(", "os.getenv("} {
		rest, ok := strings.CutPrefix(s, head)
		if !ok || len(rest) < 3 || (rest[0] != '"' && rest[0] != '\'') {
			continue
		}
		if n := word(rest[1:]); n > 0 {
			v.add(rest[1 : 1+n])
		}
	}
}

// word returns the length of the name at the head of s.
func word(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

// oneOf tells whether s is one of the words of a list with bars between.
func oneOf(s, list string) bool {
	for from := 0; from <= len(list)-len(s); {
		end := from + len(s)
		if list[from:end] == s && (end == len(list) || list[end] == '|') {
			return s != ""
		}
		next := strings.IndexByte(list[from:], '|')
		if next < 0 {
			return false
		}
		from += next + 1
	}
	return false
}

package script

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// words reads the words of a command, and whatever runs inside them.
func (w *walk) words(all []*syntax.Word) []arg {
	args := make([]arg, 0, len(all))
	for _, one := range all {
		// A function that hands itself "$@" "$@" would double without end.
		if args = w.word(args, one); len(args) > maxWords {
			return args[:maxWords]
		}
	}
	return args
}

// The limits of what variables stand for.
const (
	maxWords = 2_000    // of a command
	maxWord  = 16 << 10 // bytes that a word grows to before no variable is put in
	maxValue = 4 << 10  // bytes of a variable that is kept
)

// word adds what one word stands for: mostly one argument.
func (w *walk) word(args []arg, one *syntax.Word) []arg {
	if len(one.Parts) == 1 {
		switch p := one.Parts[0].(type) {
		case *syntax.Lit:
			return append(args, w.literal(p))
		case *syntax.SglQuoted:
			return append(args, w.single(p))
		case *syntax.ParamExp:
			return w.parameter(args, p, false)
		case *syntax.DblQuoted:
			if len(p.Parts) == 1 {
				if e, ok := p.Parts[0].(*syntax.ParamExp); ok {
					return w.parameter(args, e, true)
				}
			}
		}
	}
	a := arg{at: -1}
	var b strings.Builder
	for _, p := range one.Parts {
		a.fetched += w.part(&b, p, false)
	}
	a.text = b.String()
	if d, ok := one.Parts[0].(*syntax.DblQuoted); ok && len(one.Parts) == 1 && len(d.Parts) > 0 {
		from, to := int(d.Parts[0].Pos().Offset()), int(d.Parts[len(d.Parts)-1].End().Offset())
		if w.src.written(from, to) == a.text {
			a.at = from
		}
	}
	return append(args, a)
}

// literal is a word without quotes or variables.
func (w *walk) literal(l *syntax.Lit) arg {
	from, to := int(l.Pos().Offset()), int(l.End().Offset())
	if len(w.src.masks) > 0 && w.src.masked(from, to) {
		return arg{text: w.src.written(from, to), at: from}
	}
	if !strings.Contains(l.Value, `\`) {
		return arg{text: l.Value, at: from}
	}
	return arg{text: unescape(l.Value, false), at: -1}
}

// single is a word in single quotes.
func (w *walk) single(q *syntax.SglQuoted) arg {
	from, to := int(q.Pos().Offset())+1, int(q.End().Offset())-1
	if q.Dollar {
		return arg{text: w.src.written(from+1, to), at: -1}
	}
	return arg{text: w.src.written(from, to), at: from}
}

// parameter is a word that is one variable.
func (w *walk) parameter(args []arg, p *syntax.ParamExp, quoted bool) []arg {
	if p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*") && w.args != nil && p.Slice == nil {
		return append(args, w.args...)
	}
	value, known := w.expand(p)
	if !known || quoted || !strings.ContainsAny(value, " \t\n") {
		return append(args, arg{text: value, at: -1})
	}
	for _, f := range strings.Fields(value) {
		args = append(args, arg{text: f, at: -1})
	}
	return args
}

// expand returns the value of a variable, or what is written where the value is
// not known.
func (w *walk) expand(p *syntax.ParamExp) (string, bool) {
	written := w.src.written(int(p.Pos().Offset()), int(p.End().Offset()))
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil {
		return written, false
	}
	name := p.Param.Value
	if len(name) == 1 && name[0] >= '1' && name[0] <= '9' {
		if i := int(name[0] - '1'); i < len(w.args) {
			return w.args[i].text, true
		}
		return written, false
	}
	if p.Exp != nil {
		if p.Exp.Word != nil {
			w.words([]*syntax.Word{p.Exp.Word})
		}
		return written, false
	}
	if v, ok := w.vars[name]; ok {
		return v, true
	}
	if v, ok := w.r.Env[name]; ok {
		return v, true
	}
	return written, false
}

// part adds one part of a word, and returns the download that it is the output
// of.
func (w *walk) part(b *strings.Builder, p syntax.WordPart, quoted bool) string {
	from, to := int(p.Pos().Offset()), int(p.End().Offset())
	switch p := p.(type) {
	case *syntax.Lit:
		if w.src.masked(from, to) {
			b.WriteString(w.src.written(from, to))
		} else {
			b.WriteString(unescape(p.Value, quoted))
		}
		return ""
	case *syntax.SglQuoted:
		b.WriteString(w.single(p).text)
		return ""
	case *syntax.DblQuoted:
		fetched := ""
		for _, inner := range p.Parts {
			fetched += w.part(b, inner, true)
		}
		return fetched
	case *syntax.ParamExp:
		value, known := w.expand(p)
		if !known || b.Len() < maxWord {
			b.WriteString(value)
		}
		return ""
	}
	b.WriteString(w.src.written(from, to))
	switch p := p.(type) {
	case *syntax.CmdSubst:
		return w.substitution(p.Stmts)
	case *syntax.ProcSubst:
		return w.substitution(p.Stmts)
	case *syntax.ArithmExp:
		w.inside(p)
	}
	return ""
}

// substitution reads $( ) and <( ), and returns the download that its output is.
func (w *walk) substitution(all []*syntax.Stmt) string {
	before := w.stdout
	w.stdout = ""
	w.apart(func() { w.stmts(all) })
	got := w.stdout
	w.stdout = before
	return got
}

// unescape takes the backslashes off.
func unescape(s string, quoted bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case s[i] == '\n':
		case quoted && !strings.ContainsRune("$`\"\\", rune(s[i])):
			b.WriteByte('\\')
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

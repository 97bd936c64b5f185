package script

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// read reads a text in the language of its shell.
func (w *walk) read(t *text, shell string) {
	if strings.TrimSpace(t.raw) == "" {
		return
	}
	if w.depth >= maxDepth {
		w.gap(t.raw, "text within text within text, too deep to be read", t.at)
		return
	}
	before := w.src
	w.src = t
	w.depth++
	switch language(shell) {
	case "posix":
		w.shell(t, syntax.LangPOSIX, syntax.LangBash)
	case "bash":
		w.shell(t, syntax.LangBash)
	case "python", "node", "ruby", "perl":
		w.program(t, language(shell))
	case "pwsh", "cmd":
		w.lines(t, language(shell))
	default:
		w.gap(oneLine(t.raw), "text of a shell that is not known: "+oneLine(shell), t.at)
		w.lines(t, "bash")
	}
	w.depth--
	w.src = before
}

// language sorts what a CI file names as shell: bash -e {0}, /bin/sh, pwsh.
func language(shell string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(shell)), " ")
	name = strings.TrimSuffix(path.Base(name), ".exe")
	switch {
	case name == "env": // /usr/bin/env bash
		_, rest, _ := strings.Cut(strings.TrimSpace(shell), " ")
		return language(strings.TrimPrefix(rest, "-S "))
	case oneOf(name, ".|bash|zsh|ksh|mksh"):
		return "bash"
	case oneOf(name, "sh|dash|ash|busybox"):
		return "posix"
	case oneOf(name, "pwsh|powershell"):
		return "pwsh"
	case name == "cmd":
		return "cmd"
	case strings.HasPrefix(name, "python"):
		return "python"
	case oneOf(name, "node|ruby|perl"):
		return name
	}
	return name
}

// shell reads a text with the shell parser. A text that none of the variants
// can parse is read line by line, and is a gap.
func (w *walk) shell(t *text, variants ...syntax.LangVariant) {
	if nested(t.clean) {
		w.gap(oneLine(t.raw), "shell text that nests too deep to be parsed", t.at)
		w.lines(t, "bash")
		return
	}
	var failed error
	for _, v := range variants {
		f, err := w.r.state.parser(v).Parse(strings.NewReader(t.clean), "")
		if err == nil {
			w.stmts(f.Stmts)
			return
		}
		failed = err
	}
	where := ""
	if t.file != "" {
		where = t.file + ":"
	}
	w.gap(t.raw, "shell text that does not parse: "+where+failed.Error(), t.at)
	w.lines(t, "bash")
}

// parser returns the parser of a variant, which is made once.
func (s *state) parser(v syntax.LangVariant) *syntax.Parser {
	i := 0
	if v == syntax.LangPOSIX {
		i = 1
	}
	if s.parsers[i] == nil {
		s.parsers[i] = syntax.NewParser(syntax.Variant(v))
	}
	return s.parsers[i]
}

// maxNest is how deep statements may stand within statements.
const maxNest = 1_000

// maxOpen is how many brackets and the like a text may have: the parser calls
// itself for each one that is open, and its stack is not limited.
const maxOpen = 20_000

// nested tells whether a text could nest deeper than a parser should follow.
func nested(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(', '{', '[', '`', '?':
			n++
		case '!', '~', '-', '+', '|', '&':
			// Of arithmetic and of lists: they count where they follow each other.
			if i > 0 && (s[i-1] == s[i] || s[i-1] == ' ') {
				n++
			}
		case 'f', 'e', 'o', 'n', 'l': // if case do while until then else
			if keyword(s, i) {
				n++
			}
		}
	}
	return n > maxOpen
}

func keyword(s string, i int) bool {
	from := i
	for from > 0 && s[from-1] >= 'a' && s[from-1] <= 'z' && i-from < 6 {
		from--
	}
	return oneOf(s[from:i+1], "if|case|do|then|else|while|until|function|time")
}

// stmts reads statements in their order.
func (w *walk) stmts(all []*syntax.Stmt) {
	for _, s := range all {
		w.stmt(s)
	}
}

// stmt reads one statement. What is tested and what follows from the test are
// both read: the audit tells what can happen.
func (w *walk) stmt(s *syntax.Stmt) {
	if w.nest >= maxNest {
		w.gap(w.src.raw, "shell text that nests deeper than is looked at", w.src.at)
		return
	}
	if w.budget <= 0 {
		return // Read says so
	}
	w.nest++
	defer func() { w.nest-- }()
	if c, ok := s.Cmd.(*syntax.CallExpr); ok {
		w.simple(s, c)
		return
	}
	w.compound(s)
	w.redirects(s)
}

// compound reads the parts of a statement that is no simple command.
func (w *walk) compound(s *syntax.Stmt) {
	switch c := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		w.binary(c)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			w.tested(c.Cond)
			w.stmts(c.Then)
		}
	case *syntax.WhileClause:
		w.tested(c.Cond)
		w.stmts(c.Do)
	case *syntax.ForClause:
		w.loop(c)
	case *syntax.CaseClause:
		w.words([]*syntax.Word{c.Word})
		for _, item := range c.Items {
			w.stmts(item.Stmts)
		}
	case *syntax.Block:
		w.stmts(c.Stmts)
	case *syntax.Subshell:
		w.apart(func() { w.stmts(c.Stmts) })
	case *syntax.FuncDecl:
		w.funcs[c.Name.Value] = &function{body: c.Body, src: w.src}
	case *syntax.TimeClause:
		if c.Stmt != nil {
			w.stmt(c.Stmt)
		}
	case *syntax.CoprocClause:
		w.stmt(c.Stmt)
	case *syntax.DeclClause:
		w.assign(c.Args)
	case *syntax.TestClause, *syntax.ArithmCmd, *syntax.LetClause:
		w.inside(c)
	}
}

// tested reads a condition: an expression there is true or false more often
// than it is a command.
func (w *walk) tested(all []*syntax.Stmt) {
	before := w.condition
	w.condition = true
	w.stmts(all)
	w.condition = before
}

// inside reads the commands within an expression.
func (w *walk) inside(n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CmdSubst); ok {
			w.substitution(c.Stmts)
			return false
		}
		return true
	})
}

func (w *walk) loop(c *syntax.ForClause) {
	if it, ok := c.Loop.(*syntax.WordIter); ok {
		w.words(it.Items)
		delete(w.vars, it.Name.Value)
	}
	w.stmts(c.Do)
}

// binary reads a list or a pipeline. Long ones are one node within the other on
// the left side, so they are taken apart first.
func (w *walk) binary(b *syntax.BinaryCmd) {
	piped := b.Op == syntax.Pipe || b.Op == syntax.PipeAll
	parts := []*syntax.Stmt{b.Y}
	left := b.X
	for {
		inner, ok := left.Cmd.(*syntax.BinaryCmd)
		if !ok || (inner.Op == syntax.Pipe || inner.Op == syntax.PipeAll) != piped {
			break
		}
		parts, left = append(parts, inner.Y), inner.X
	}
	parts = append(parts, left)
	if piped {
		w.pipeline(parts)
		return
	}
	for i := len(parts) - 1; i >= 0; i-- {
		w.stmt(parts[i])
	}
}

// pipeline reads the parts of a pipeline, the last one first in the list. What
// a download writes is followed to whoever runs it.
func (w *walk) pipeline(parts []*syntax.Stmt) {
	stdin, here, stdout, outer := w.stdin, w.here, w.stdout, w.pipe
	w.stdout, w.echo = "", ""
	from, to := int(parts[len(parts)-1].Pos().Offset()), int(parts[0].End().Offset())
	w.pipe = &pipe{text: oneLine(w.src.written(from, to)), place: w.src.place(from)}
	for i := len(parts) - 1; i >= 0; i-- {
		w.apart(func() { w.stmt(parts[i]) })
		// A filter hands on what it reads; so does what is not known.
		if w.stdout != "" {
			w.stdin = w.stdout
		}
		w.here, w.echo, w.stdout = w.echo, "", ""
	}
	if w.stdin != stdin {
		stdout += w.stdin
	}
	w.stdin, w.here, w.stdout, w.pipe = stdin, here, stdout, outer
}

// assign reads assignments.
func (w *walk) assign(all []*syntax.Assign) {
	for _, a := range all {
		if a.Array != nil {
			for _, e := range a.Array.Elems {
				if e.Value != nil {
					w.words([]*syntax.Word{e.Value})
				}
			}
		}
		if a.Name == nil || a.Value == nil {
			if a.Value != nil {
				w.words([]*syntax.Word{a.Value})
			}
			continue
		}
		w.put(a.Name.Value, w.joined(a.Value), a.Append)
	}
}

// joined returns a word as one text.
func (w *walk) joined(one *syntax.Word) string {
	var all []string
	for _, a := range w.word(nil, one) {
		all = append(all, a.text)
	}
	return strings.Join(all, " ")
}

// put keeps a variable whose value is known.
func (w *walk) put(name, value string, more bool) {
	value = w.scriptFolder(value)
	if more {
		value = w.vars[name] + value
	}
	if len(value) > maxValue || strings.Contains(value, "$(") || strings.Contains(value, "`") {
		delete(w.vars, name)
		return
	}
	w.vars[name] = value
}

// simple reads one simple command.
func (w *walk) simple(s *syntax.Stmt, e *syntax.CallExpr) {
	w.budget--
	if len(e.Args) == 0 {
		w.assign(e.Assigns)
		w.redirects(s)
		return
	}
	c := w.begin(e)
	args := w.words(e.Args)
	if len(args) == 0 {
		return
	}
	args[0].text = w.known(args[0].text)
	c = c.with(args)
	w.feed(c, s.Redirs)
	w.run(c)
	w.redirects(s)
}

// begin makes the call of a simple command, its words not yet read.
func (w *walk) begin(e *syntax.CallExpr) *call {
	c := &call{at: int(e.Args[0].Pos().Offset())}
	from := c.at
	for _, a := range e.Assigns {
		from = min(from, int(a.Pos().Offset()))
		if a.Name != nil && a.Value != nil {
			if c.env == nil {
				c.env = map[string]string{}
			}
			c.env[a.Name.Value] = w.joined(a.Value)
		}
	}
	w.position(c, w.src.written(from, int(e.End().Offset())))
	if w.site != nil && passedOn(e.Args[0]) {
		c.place, c.text, c.own = w.site.place, w.site.text, w.site.own
	}
	return c
}

// feed says what a command gets by standard input.
func (w *walk) feed(c *call, all []*syntax.Redirect) {
	c.stdin, c.here, c.pipe = w.stdin, w.here, w.pipe
	for _, r := range all {
		switch {
		case r.Hdoc != nil:
			c.heredoc = r.Hdoc
		case r.Op == syntax.WordHdoc && r.Word != nil:
			c.here = w.joined(r.Word)
		}
	}
}

// known puts the value of ${{ env.X }} in, where it is known.
func (w *walk) known(s string) string {
	all := Expressions(s)
	if len(all) != 1 || !strings.HasPrefix(s, "${{") || !strings.HasSuffix(s, "}}") {
		return s
	}
	name, ok := strings.CutPrefix(all[0], "env.")
	if v := w.r.Env[name]; ok && v != "" {
		return v
	}
	return s
}

// passedOn tells whether the word is the words of the caller: "$@". Then the
// command stands where the function is called.
func passedOn(one *syntax.Word) bool {
	parts := one.Parts
	if len(parts) == 1 {
		if q, ok := parts[0].(*syntax.DblQuoted); ok {
			parts = q.Parts
		}
	}
	if len(parts) != 1 {
		return false
	}
	p, ok := parts[0].(*syntax.ParamExp)
	return ok && p.Param != nil && oneOf(p.Param.Value, "@|*|1|2|3")
}

// position says where a command stands, and how it is shown.
func (w *walk) position(c *call, written string) {
	c.place = w.src.place(c.at)
	c.own = oneLine(written)
	c.text = c.own
	if w.src.line != "" {
		c.text = w.src.line
	}
}

// redirects reads what is written to files, and what runs within the names.
func (w *walk) redirects(s *syntax.Stmt) {
	for _, r := range s.Redirs {
		switch {
		case r.Hdoc != nil:
			w.inside(r.Hdoc)
			if file := w.target(s); file != "" {
				w.wrote(s, file, w.body(r.Hdoc))
			}
		case r.Word == nil:
		case r.Op == syntax.RdrOut || r.Op == syntax.AppOut || r.Op == syntax.ClbOut || r.Op == syntax.RdrAll:
			w.wrote(s, w.joined(r.Word), "")
		default:
			w.words([]*syntax.Word{r.Word})
		}
	}
	if len(s.Redirs) == 0 && w.target(s) != "" {
		w.wrote(s, w.target(s), w.here)
	}
}

// target returns the file that a statement writes to, as it is written, or "".
func (w *walk) target(s *syntax.Stmt) string {
	for _, r := range s.Redirs {
		if r.Hdoc == nil && r.Word != nil && (r.Op == syntax.RdrOut || r.Op == syntax.AppOut) {
			return w.unquoted(r.Word)
		}
	}
	c, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(c.Args) < 2 {
		return ""
	}
	if c.Args[0].Lit() != "tee" && (c.Args[0].Lit() != "sudo" || c.Args[1].Lit() != "tee") {
		return ""
	}
	return w.unquoted(c.Args[len(c.Args)-1])
}

// unquoted returns what is written for a word, without the quotes around it.
func (w *walk) unquoted(one *syntax.Word) string {
	return strings.Trim(w.src.written(int(one.Pos().Offset()), int(one.End().Offset())), `"'`)
}

// body returns the text of a heredoc.
func (w *walk) body(h *syntax.Word) string {
	return w.src.written(int(h.Pos().Offset()), int(h.End().Offset()))
}

// uncalled reads the functions that nothing called: they may be by a way that
// is not seen.
func (w *walk) uncalled() {
	for _, name := range sortedNames(w.funcs) {
		if f := w.funcs[name]; !f.called {
			w.apart(func() { w.enter(f, nil) })
		}
	}
}

// enter reads the body of a function.
func (w *walk) enter(f *function, args []arg) {
	if f.active || w.depth >= maxDepth {
		return
	}
	before, src := w.args, w.src
	f.active, f.called, w.args, w.src = true, true, args, f.src
	w.stmt(f.body)
	f.active, w.args, w.src = false, before, src
}

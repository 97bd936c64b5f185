package script

import (
	"maps"
	"slices"
	"strings"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// lines reads a text by its lines, for shells that have no parser here and for
// text that does not parse: it knows quotes, comments and what separates
// commands, no more.
func (w *walk) lines(t *text, lang string) {
	offset := 0
	var held string
	at := 0
	here := ""
	for _, line := range strings.SplitAfter(t.raw, "\n") {
		from := offset
		offset += len(line)
		bare := strings.TrimSpace(line)
		if here != "" { // data between @' and '@
			if strings.HasPrefix(bare, here) {
				here = ""
			}
			continue
		}
		if lang == "pwsh" && (strings.HasSuffix(bare, "@'") || strings.HasSuffix(bare, `@"`)) {
			here = string(bare[len(bare)-1]) + "@"
		}
		if held == "" {
			at = from + len(line) - len(strings.TrimLeft(line, " \t"))
		}
		if more, ok := strings.CutSuffix(bare, continuation(lang)); ok {
			held += more + " "
			continue
		}
		w.line(held+bare, lang, at)
		held = ""
	}
	if held != "" {
		w.line(held, lang, at)
	}
}

func continuation(lang string) string {
	switch lang {
	case "pwsh":
		return "`"
	case "cmd":
		return "^"
	}
	return `\`
}

// line reads the commands of one line.
func (w *walk) line(s, lang string, at int) {
	lower := strings.ToLower(s)
	if s == "" || strings.HasPrefix(s, "#") || lang == "cmd" && (strings.HasPrefix(s, "::") || strings.HasPrefix(lower, "rem ")) {
		return
	}
	if lang == "pwsh" && (strings.Contains(lower, "iex") || strings.Contains(lower, "invoke-expression")) && strings.Contains(lower, "downloadstring") {
		c := &call{name: "iex", at: at}
		w.position(c, s)
		w.fetchedRun(c, quoted(s))
		return
	}
	stdin := w.stdin
	w.stdin = ""
	for _, p := range pieces(s, lang) {
		if !p.piped {
			w.stdin = ""
		}
		w.stdout = ""
		w.piece(p, lang, at)
		w.stdin, w.stdout = w.stdout, ""
	}
	w.stdin = stdin
}

// quoted returns the first text in quotes.
func quoted(s string) string {
	i := strings.IndexAny(s, `"'`)
	if i < 0 {
		return "an address that is not told"
	}
	text, _, _ := strings.Cut(s[i+1:], s[i:i+1])
	return text
}

// piece is one command of a line.
type piece struct {
	words []string
	text  string
	piped bool
}

// piece reads one command of a line.
func (w *walk) piece(p piece, lang string, at int) {
	words := p.words
	for len(words) > 0 && oneOf(strings.ToLower(words[0]), "&|call|if|then|do|else|try|catch|finally|while|foreach|not|return|@|start-process|time|exec|!") {
		words = words[1:]
	}
	if len(words) == 0 || w.budget <= 0 {
		return
	}
	if len(words) > 2 && words[1] == "=" && strings.HasPrefix(words[0], "$") { // $x = command
		words = words[2:]
	}
	if name, value, ok := strings.Cut(words[0], "="); ok && lang == "bash" && len(words) == 1 && word(name) == len(name) {
		w.put(name, value, false)
		return
	}
	args := make([]arg, len(words))
	for i, s := range words {
		args[i] = arg{text: s, at: -1}
	}
	c := &call{at: at, stdin: w.stdin}
	w.position(c, p.text)
	c = c.with(args)
	if lang == "cmd" || lang == "pwsh" {
		c.path = strings.ReplaceAll(c.path, `\`, "/")
	}
	w.run(c)
}

// splitter takes a line apart.
type splitter struct {
	line, lang string
	all        []piece
	cur        piece
	word       strings.Builder
	quoted     bool // the word had quotes, so that it counts even if it is empty
	start      int  // where the current command begins
}

// endWord ends the current word, if there is one.
func (p *splitter) endWord() {
	if p.word.Len() > 0 || p.quoted {
		p.cur.words = append(p.cur.words, p.word.String())
	}
	p.word.Reset()
	p.quoted = false
}

// endCommand ends the current command before the byte at i.
func (p *splitter) endCommand(i int) {
	p.endWord()
	if p.cur.text = strings.TrimSpace(p.line[p.start:i]); len(p.cur.words) > 0 {
		p.all = append(p.all, p.cur)
	}
	p.cur = piece{}
	p.start = i + 1
}

// pieces splits a line into commands and these into words.
func pieces(s, lang string) []piece {
	p := splitter{line: s, lang: lang}
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '"' || ch == '\'' && lang != "cmd":
			i = p.quote(i)
		case ch == ' ' || ch == '\t':
			p.endWord()
		case ch == '#' && p.word.Len() == 0 && lang != "cmd":
			p.endCommand(i)
			return p.all
		case ch == '$' && i+1 < len(s) && (s[i+1] == '{' || s[i+1] == '('):
			n := balanced(s[i+1:])
			p.word.WriteString(s[i : i+1+n])
			i += n
		case strings.IndexByte(";|&(){}", ch) >= 0 && (lang != "cmd" || ch != ';'):
			p.endCommand(i)
			p.cur.piped = ch == '|' && !strings.HasPrefix(s[i+1:], "|") && (i == 0 || s[i-1] != '|')
		default:
			p.word.WriteByte(ch)
		}
	}
	p.endCommand(len(s))
	return p.all
}

// quote adds the text in quotes that begins at i, and returns where it ends.
func (p *splitter) quote(i int) int {
	p.quoted = true
	end := strings.IndexByte(p.line[i+1:], p.line[i])
	if end < 0 {
		p.word.WriteString(p.line[i+1:])
		return len(p.line)
	}
	p.word.WriteString(p.line[i+1 : i+1+end])
	return i + 1 + end
}

// balanced returns the length of a part in brackets at the head of s.
func balanced(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(', '{':
			depth++
		case ')', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

package pipeline

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxFile  = 1 << 20 // bytes of a pipeline file
	maxDepth = 12      // of mappings and lists in each other
)

// parse reads one YAML 1.2 document without the parts of YAML that make one
// text mean two things: no anchors, aliases, merges, tags or directives, no
// second document, no key twice, no character that does not show as itself.
func parse(r *report, data []byte) *yaml.Node {
	if !r.plainText(data) {
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		r.add("E-YAML-EMPTY", mark{1, 1, 1}, "start with version: 1, or remove the file to have the project detected", "the file says nothing")
		return nil
	}
	if err == nil {
		err = dec.Decode(&more)
		if err == nil {
			r.add("E-YAML-DOCUMENTS", mark{more.Line, max(1, more.Column), 1}, "one file is one pipeline", "a second document starts here")
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.add("E-YAML-EMPTY", mark{1, 1, 1}, "", "the file says nothing")
		return nil
	}
	before := len(r.errs)
	r.strict(doc.Content[0], 0)
	if len(r.errs) > before {
		return nil
	}
	return doc.Content[0]
}

// plainText refuses bytes before YAML has a say about them.
func (r *report) plainText(data []byte) bool {
	switch {
	case len(data) > maxFile:
		r.lines = nil
		r.add("E-YAML-SIZE", mark{}, "", "the file has %d bytes; at most %d are read", len(data), maxFile)
		return false
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		r.add("E-YAML-ENCODING", mark{1, 1, 1}, "save the file as UTF-8 without a byte order mark", "the file starts with a byte order mark")
		return false
	case !utf8.Valid(data):
		r.add("E-YAML-ENCODING", r.invalid(data), "save the file as UTF-8", "the file is not UTF-8")
		return false
	}
	before := len(r.errs)
	for i, line := range r.lines {
		r.plainLine(i+1, strings.TrimSuffix(line, "\r"))
	}
	return len(r.errs) == before
}

// invalid finds the first byte that is not UTF-8.
func (r *report) invalid(data []byte) mark {
	at := mark{1, 1, 1}
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		if c == utf8.RuneError && n == 1 {
			break
		}
		at.column++
		if c == '\n' {
			at.line, at.column = at.line+1, 1
		}
		data = data[n:]
	}
	return at
}

func (r *report) plainLine(number int, line string) {
	if strings.HasPrefix(line, "%") {
		r.add("E-YAML-DIRECTIVE", mark{number, 1, 1}, "remove it: the file is YAML 1.2 as it stands", "a YAML directive")
	}
	column := 0
	for _, c := range line {
		column++
		at := mark{number, column, 1}
		switch {
		case c == '\t':
			r.add("E-YAML-TAB", at, `indent with spaces; inside a command write \t in double quotes`, "a tab")
			return
		case hidden(c):
			r.add("E-YAML-CHARACTER", at, "remove it", "character %U does not show as itself", c)
			return
		}
	}
}

// syntax reports what the YAML parser said. Its places count from 0, and its
// lines too where the parser, not the scanner, found the fault.
func (r *report) syntax(err error) {
	at := mark{1, 1, 1}
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var p *yaml.ParserError
	if errors.As(err, &p) {
		msg = p.Message
		if at.line = p.Line; fromParser(msg) || p.Line == 0 {
			at.line++
		}
		at.line, at.column = min(at.line, len(r.lines)), p.Column+1
	}
	r.add("E-YAML-SYNTAX", at, "", "%s", printable(msg))
}

func fromParser(msg string) bool {
	what, ok := strings.CutPrefix(msg, "did not find expected ")
	switch what {
	case "node content", "key", "'-' indicator", "',' or ']'", "',' or '}'", "<document start>", "<stream-start>":
		return ok
	}
	return false
}

// strict walks the nodes and refuses what makes YAML ambiguous.
func (r *report) strict(n *yaml.Node, depth int) {
	at := place(n)
	switch {
	case depth > maxDepth:
		r.add("E-YAML-DEPTH", at, "", "more than %d levels deep", maxDepth)
		return
	case n.Kind == yaml.AliasNode:
		r.add("E-YAML-ALIAS", at, "write the value itself", "an alias, *%s", n.Value)
		return
	case n.Anchor != "":
		r.add("E-YAML-ANCHOR", at, "remove it, and write the value where it is used", "an anchor, &%s", n.Anchor)
		return
	case n.Style&yaml.TaggedStyle != 0:
		r.add("E-YAML-TAG", at, "remove it", "a tag, %s", n.Tag)
		return
	}
	if n.Kind == yaml.MappingNode {
		r.keys(n)
	}
	for _, c := range n.Content {
		r.strict(c, depth+1)
	}
}

// keys refuses keys that are no plain words, or twice in one mapping.
func (r *report) keys(n *yaml.Node) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		first, twice := seen[k.Value]
		switch {
		case k.Kind == yaml.AliasNode || k.Anchor != "":
			// Reported by strict, which sees every key too.
		case k.Kind != yaml.ScalarNode || kindOf(k) != wantString && k.Value != "<<":
			r.add("E-YAML-KEY", place(k), "put it in quotes if it is meant as a word", "a key that is no word")
		case k.Value == "<<":
			r.add("E-YAML-MERGE", place(k), "write out what it stands for", "a merge key")
		case twice:
			r.add("E-YAML-DUPLICATE-KEY", place(k), "", "%q stands here a second time; the first is in line %d", k.Value, first)
		default:
			seen[k.Value] = k.Line
		}
	}
}

// place is where a node stands, and how wide it is on its first line.
func place(n *yaml.Node) mark {
	width := 1
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		first, _, _ := strings.Cut(n.Value, "\n")
		width = max(1, utf8.RuneCountInString(first))
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			width += 2
		}
	}
	return mark{n.Line, max(1, n.Column), width}
}

// The types of a scalar by YAML 1.2's core schema.
const (
	wantString = "a word"
	wantInt    = "a whole number"
	wantBool   = "true or false"
	isNull     = "nothing"
	isFloat    = "a number"
	isMapping  = "a mapping"
	isList     = "a list"
)

// kindOf tells the type of a node. The YAML library resolves some words as YAML
// 1.1 did, so that the core schema (YAML 1.2.2, section 10.3.2) is applied here.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return isMapping
	case yaml.SequenceNode:
		return isList
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return wantString
	}
	return plainKind(n.Value)
}

func plainKind(s string) string {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return isNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return wantBool
	case ".nan", ".NaN", ".NAN":
		return isFloat
	}
	switch strings.TrimLeft(s, "+-") {
	case ".inf", ".Inf", ".INF":
		return isFloat
	}
	return numberKind(s)
}

func numberKind(s string) string {
	if digits, ok := strings.CutPrefix(s, "0o"); ok && all(digits, "01234567") {
		return wantInt
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok && all(digits, "0123456789abcdefABCDEF") {
		return wantInt
	}
	if s[0] == '+' || s[0] == '-' {
		s = s[1:]
	}
	if all(s, "0123456789") {
		return wantInt
	}
	mantissa, exponent, has := strings.Cut(strings.ToLower(s), "e")
	if has {
		if exponent = strings.TrimPrefix(strings.TrimPrefix(exponent, "+"), "-"); !all(exponent, "0123456789") {
			return wantString
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if all(whole+fraction, "0123456789") {
		return isFloat
	}
	return wantString
}

func all(s, chars string) bool { return s != "" && strings.Trim(s, chars) == "" }

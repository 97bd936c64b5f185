// Package tree reads the YAML of CI files: tolerantly, with the place of each
// part, and within limits.
//
// It promises that no file costs more than its limits, whatever its aliases
// stand for, and that what is missing reads as nothing: a frontend asks for
// what it knows and need not check each step of the way. It does not promise
// that the file is valid for its CI system.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// The limits of one file.
const (
	MaxBytes = 2 << 20 // bytes; real CI files have less than 400 KiB
	maxDepth = 100     // levels of nesting, aliases followed
	maxNodes = 400_000 // nodes that are looked at, aliases followed
	maxFlow  = 200     // open brackets, before the parser sees them
)

// Node is one part of a file. The zero Node is one that is not there: it has no
// text, no items and no place.
type Node struct {
	n *yaml.Node
	d *document
}

// document is what all nodes of one file share.
type document struct {
	file  string
	lines []string
	left  int // nodes that may still be looked at
	over  bool
}

// Pair is one key of a mapping, and its value.
type Pair struct {
	Key   Node
	Value Node
}

// Parse reads all documents of a file. An error says where it is no YAML.
func Parse(file string, raw []byte) ([]Node, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("%s has %d bytes: a CI file is read up to %d", file, len(raw), MaxBytes)
	}
	if at := tooDeep(raw); at > 0 {
		return nil, fmt.Errorf("%s:%d: more than %d levels of nesting", file, at, maxFlow)
	}
	d := &document{file: file, lines: strings.Split(string(raw), "\n"), left: maxNodes}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var all []Node
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", file, err)
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			all = append(all, Node{n.Content[0], d})
		}
	}
}

// tooDeep returns the line where a file nests deeper than a parser that calls
// itself should follow, or 0.
func tooDeep(raw []byte) int {
	line, open, indent, fresh := 1, 0, 0, true
	for _, c := range raw {
		switch {
		case c == '\n':
			line, indent, fresh = line+1, 0, true
			continue
		case fresh && (c == ' ' || c == '-' || c == '?'):
			indent++
			continue
		case c == '[' || c == '{':
			open++
		case (c == ']' || c == '}') && open > 0:
			open--
		}
		if fresh = false; open > maxFlow || indent > 4*maxFlow {
			return line
		}
	}
	return 0
}

// real follows aliases. What exceeds the limits is not there, and Over tells.
func (n Node) real() *yaml.Node {
	m := n.n
	for hops := 0; m != nil && m.Kind == yaml.AliasNode; hops++ {
		if m = m.Alias; hops > maxDepth {
			n.d.over = true
			return nil
		}
	}
	if m == nil {
		return nil
	}
	if n.d.left--; n.d.left < 0 {
		n.d.over = true
		return nil
	}
	return m
}

func (n Node) with(m *yaml.Node) Node { return Node{m, n.d} }

// Over tells whether a limit was reached while the file was read: then some of
// it was not looked at.
func (n Node) Over() bool { return n.d != nil && n.d.over }

// Exists tells whether the node is there. A key without a value is there.
func (n Node) Exists() bool { return n.n != nil }

// IsMap tells whether n is a mapping.
func (n Node) IsMap() bool { m := n.real(); return m != nil && m.Kind == yaml.MappingNode }

// IsList tells whether n is a sequence.
func (n Node) IsList() bool { m := n.real(); return m != nil && m.Kind == yaml.SequenceNode }

// IsText tells whether n is a scalar that is not null.
func (n Node) IsText() bool {
	m := n.real()
	return m != nil && m.Kind == yaml.ScalarNode && m.Tag != "!!null"
}

// Tag returns an application's own tag, such as !reference, or "".
func (n Node) Tag() string {
	m := n.real()
	if m == nil || strings.HasPrefix(m.Tag, "!!") {
		return ""
	}
	return m.Tag
}

// Pairs returns the keys of a mapping in their order, those that << merges in
// last and only where the mapping has none of that name.
func (n Node) Pairs() []Pair {
	seen := map[string]bool{}
	return n.pairs(nil, seen, 0)
}

func (n Node) pairs(all []Pair, seen map[string]bool, depth int) []Pair {
	m := n.real()
	if m == nil || m.Kind != yaml.MappingNode || depth > maxDepth {
		return all
	}
	var merged []Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		if k.Value == "<<" && k.Kind == yaml.ScalarNode {
			merged = append(merged, n.with(v))
			continue
		}
		if !seen[k.Value] {
			seen[k.Value] = true
			all = append(all, Pair{n.with(k), n.with(v)})
		}
	}
	for _, v := range merged {
		if v.IsList() {
			for _, one := range v.Items() {
				all = one.pairs(all, seen, depth+1)
			}
			continue
		}
		all = v.pairs(all, seen, depth+1)
	}
	return all
}

// Get returns the value of a key, or of a key below a key.
func (n Node) Get(path ...string) Node {
	for _, key := range path {
		n = n.get(key)
	}
	return n
}

// get looks a key up without making a list of all, unless something is merged in.
func (n Node) get(key string) Node {
	m := n.real()
	if m == nil || m.Kind != yaml.MappingNode {
		return Node{d: n.d}
	}
	merges := false
	for i := 0; i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Value == "<<" && k.Kind == yaml.ScalarNode {
			merges = true
		} else if k.Value == key {
			return n.with(m.Content[i+1])
		}
	}
	if merges {
		for _, p := range n.Pairs() {
			if p.Key.n.Value == key {
				return p.Value
			}
		}
	}
	return Node{d: n.d}
}

// Items returns the items of a sequence.
func (n Node) Items() []Node {
	m := n.real()
	if m == nil || m.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]Node, 0, len(m.Content))
	for _, c := range m.Content {
		all = append(all, n.with(c))
	}
	return all
}

// List returns the items of a sequence, or n alone where it is there and is no
// sequence: many CI systems let one stand for a list of one.
func (n Node) List() []Node {
	if n.IsList() {
		return n.Items()
	}
	if m := n.real(); m == nil || m.Tag == "!!null" {
		return nil
	}
	return []Node{n}
}

// Text returns a scalar as it is written, "" for all else.
func (n Node) Text() string {
	m := n.real()
	if m == nil || m.Kind != yaml.ScalarNode || m.Tag == "!!null" {
		return ""
	}
	return m.Value
}

// Texts returns the texts of List.
func (n Node) Texts() []string {
	var all []string
	for _, i := range n.List() {
		if s := i.Text(); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// True tells whether n is a true of YAML 1.1 or 1.2.
func (n Node) True() bool {
	switch strings.ToLower(n.Text()) {
	case "true", "yes", "on":
		return true
	}
	return false
}

// False tells whether n is there and says no.
func (n Node) False() bool {
	switch strings.ToLower(n.Text()) {
	case "false", "no", "off":
		return true
	}
	return false
}

// Place returns where n stands: for an alias, where it is written out.
func (n Node) Place() ci.Place {
	m := n.real()
	if m == nil {
		return ci.Place{}
	}
	return ci.Place{File: n.d.file, Line: m.Line, Column: m.Column}
}

// Mention returns where n is named: for an alias, where the alias stands.
func (n Node) Mention() ci.Place {
	if n.n == nil {
		return ci.Place{}
	}
	return ci.Place{File: n.d.file, Line: n.n.Line, Column: n.n.Column}
}

// Span returns n's place and its last line.
func (n Node) Span() ci.Span { return ci.Span{Place: n.Place(), End: n.end(0)} }

func (n Node) end(depth int) int {
	m := n.real()
	if m == nil || depth > maxDepth {
		return 0
	}
	last := m.Line
	if m.Kind == yaml.ScalarNode {
		return n.lastLine(m)
	}
	for _, c := range m.Content {
		if c.Kind != yaml.AliasNode {
			last = max(last, n.with(c).end(depth+1))
		}
	}
	return last
}

func (n Node) lastLine(m *yaml.Node) int {
	if m.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return m.Line + strings.Count(strings.TrimRight(m.Value, "\n"), "\n") + 1
	}
	return m.Line
}

// TextPlace returns where the text of a scalar begins: of a block, the line
// below its header, and the column of its indentation.
func (n Node) TextPlace() ci.Place {
	m := n.real()
	if m == nil {
		return ci.Place{}
	}
	p := n.Place()
	if m.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		if m.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			p.Column++
		}
		return p
	}
	// The parser does not tell how deep a block is: its first line does.
	for i := m.Line; i < len(n.d.lines); i++ {
		if rest := strings.TrimLeft(n.d.lines[i], " "); strings.TrimSpace(rest) != "" {
			p.Line, p.Column = i+1, len(n.d.lines[i])-len(rest)+1
			break
		}
	}
	// Blank lines at the head belong to the text.
	p.Line -= len(m.Value) - len(strings.TrimLeft(m.Value, "\n"))
	return p
}

// Folded tells whether the lines of n's text are not those of the file: then
// each line of the text stands for TextPlace.
func (n Node) Folded() bool {
	m := n.real()
	return m != nil && m.Style&yaml.LiteralStyle == 0
}

// Line returns the text of a line of the file, counted from 1.
func (n Node) Line(i int) string {
	if n.d == nil || i < 1 || i > len(n.d.lines) {
		return ""
	}
	return n.d.lines[i-1]
}

// File returns the name of the file.
func (n Node) File() string {
	if n.d == nil {
		return ""
	}
	return n.d.file
}

// ReadAll reads a file up to the limit of one file; what is longer is an error.
func ReadAll(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err == nil && len(raw) > MaxBytes {
		err = fmt.Errorf("more than %d bytes: no CI file is read beyond that", MaxBytes)
	}
	return raw, err
}

// Load reads the first document of a file of a repository.
func Load(repo fs.FS, file string) (Node, error) {
	docs, err := LoadAll(repo, file)
	if err != nil {
		return Node{}, err
	}
	if len(docs) == 0 {
		return Node{}, fmt.Errorf("%s is empty", file)
	}
	return docs[0], nil
}

// LoadAll reads all documents of a file of a repository.
func LoadAll(repo fs.FS, file string) ([]Node, error) {
	if repo == nil {
		return nil, errors.New("no files of the repository are at hand")
	}
	f, err := repo.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read only
	raw, err := ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return Parse(file, raw)
}

package gate

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"go.yaml.in/yaml/v4"
)

// The built-in policies are files like any other.
//
//go:embed policies/*.yaml
var builtin embed.FS

// PolicySchema is the form of a policy document.
const PolicySchema = "sallyport/policy/v1"

// Severity is what a rule that does not hold leads to.
type Severity string

// The severities.
const (
	Deny   Severity = "deny"   // no verdict
	Warn   Severity = "warn"   // shown with the verdict
	Record Severity = "record" // kept in the verdict
)

// PolicyRef names a policy, as a verification summary does.
type PolicyRef struct {
	Name    string        `json:"name"`
	Version int           `json:"version"`
	URI     string        `json:"uri"`
	Digest  digest.Digest `json:"digest"` // of the document; of document and base, one after the other, where it extends one
}

// Policy is a checked and compiled policy. It is safe for concurrent use.
type Policy struct {
	ref   PolicyRef
	rules []compiled
}

// Ref names the policy.
func (p *Policy) Ref() PolicyRef { return p.ref }

// Rules describes the rules, in their order.
func (p *Policy) Rules() []Rule {
	out := make([]Rule, len(p.rules))
	for i := range p.rules {
		out[i] = p.rules[i].Rule
	}
	return out
}

// Rule is one rule of a policy document.
type Rule struct {
	ID       string   `yaml:"id"`
	Message  string   `yaml:"message"` // what is wanted, in words
	Expr     string   `yaml:"expr"`    // CEL, a bool
	Got      string   `yaml:"got"`     // CEL, a string: what was found instead
	Severity Severity `yaml:"severity"`
	Boundary string   `yaml:"rule"` // SP1 to SP9
	Do       string   `yaml:"do"`
}

type document struct {
	Schema  string `yaml:"schema"`
	Name    string `yaml:"name"`
	Version int    `yaml:"version"`
	Extends string `yaml:"extends"`
	Rules   []Rule `yaml:"rules"`
}

const (
	maxPolicy = 256 << 10 // bytes
	maxRules  = 200
)

// PolicyError reports a policy document that is not accepted.
type PolicyError struct {
	File string
	Line int // 0: the whole document
	Err  error
}

// Error says where the document is wrong.
func (e *PolicyError) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	return fmt.Sprintf("policy %s: %v", where, e.Err)
}

// Unwrap returns the reason.
func (e *PolicyError) Unwrap() error { return e.Err }

// Builtin returns the names of the policies that come with the program.
func Builtin() []string { return []string{"default", "strict"} }

// LoadPolicy returns a built-in policy by its name, or reads a policy document
// from a file. The error for a document that is wrong is a *PolicyError.
func LoadPolicy(name string) (*Policy, error) {
	if slices.Contains(Builtin(), name) {
		b, err := builtin.ReadFile("policies/" + name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("read policy %s: %w", name, err)
		}
		return ParsePolicy(name+".yaml", b)
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no policy %q: it is neither default nor strict nor a file: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", name, err)
	}
	return ParsePolicy(filepath.Base(name), b)
}

// ParsePolicy checks and compiles a policy document. file is its name in errors.
func ParsePolicy(file string, b []byte) (*Policy, error) {
	doc, lines, err := parseDocument(b)
	if err != nil {
		return nil, at(file, err)
	}
	sum := digest.Of(b)
	rules := doc.Rules
	if doc.Extends != "" {
		base, raw, err := extended(doc.Extends)
		if err != nil {
			return nil, at(file, err)
		}
		sum = digest.Of(append(slices.Clone(b), raw...))
		rules = append(base, rules...)
		lines = append(make([]int, len(base)), lines...)
	}
	p := &Policy{ref: PolicyRef{Name: doc.Name, Version: doc.Version, URI: uri(b, doc), Digest: sum}}
	if p.rules, err = compile(rules, lines); err != nil {
		return nil, at(file, err)
	}
	return p, nil
}

// uri names built-in policies by where they are published and others by name.
func uri(b []byte, doc document) string {
	version := "@v" + strconv.Itoa(doc.Version)
	own, err := builtin.ReadFile("policies/" + doc.Name + ".yaml")
	if err == nil && bytes.Equal(own, b) {
		return "https://github.com/sallyport/sallyport/policies/" + doc.Name + version
	}
	return "urn:sallyport:policy:" + doc.Name + version
}

func extended(name string) ([]Rule, []byte, error) {
	if !slices.Contains(Builtin(), name) {
		return nil, nil, fmt.Errorf("extends %q: only default and strict can be extended", name)
	}
	raw, err := builtin.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		return nil, nil, err
	}
	doc, _, err := parseDocument(raw)
	return doc.Rules, raw, err
}

type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

func at(file string, err error) error {
	pe := &PolicyError{File: file, Err: err}
	var le *lineError
	if errors.As(err, &le) {
		pe.Line, pe.Err = le.line, le.err
	}
	return pe
}

// nameForm is the form of policy names and rule ids.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// parseDocument reads strict YAML: one document, known keys once, no anchors.
func parseDocument(b []byte) (document, []int, error) {
	var doc document
	if len(b) > maxPolicy {
		return doc, nil, fmt.Errorf("larger than %d bytes", maxPolicy)
	}
	var root yaml.Node
	if err := decodeOne(b, &root, false); err != nil {
		return doc, nil, err
	}
	if err := plainNodes(&root, 0); err != nil {
		return doc, nil, err
	}
	if err := decodeOne(b, &doc, true); err != nil {
		return doc, nil, err
	}
	lines := ruleLines(&root)
	return doc, lines, checkDocument(doc, lines)
}

func decodeOne(b []byte, into any, strict bool) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(strict)
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty")
		}
		return err
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

const maxDepth = 8

func plainNodes(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return &lineError{n.Line, errors.New("nested too deep")}
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return &lineError{n.Line, errors.New("anchors and aliases are not allowed")}
	}
	for _, c := range n.Content {
		if err := plainNodes(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ruleLines returns the line at which each rule stands.
func ruleLines(root *yaml.Node) []int {
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	top := root.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		if top[i].Value != "rules" {
			continue
		}
		var lines []int
		for _, n := range top[i+1].Content {
			lines = append(lines, n.Line)
		}
		return lines
	}
	return nil
}

func checkDocument(doc document, lines []int) error {
	switch {
	case doc.Schema != PolicySchema:
		return fmt.Errorf("schema is %q, not %s", doc.Schema, PolicySchema)
	case !nameForm.MatchString(doc.Name):
		return fmt.Errorf("name %q is not of the form %s", doc.Name, nameForm)
	case doc.Version < 1:
		return errors.New("version is missing: a number from 1")
	case len(doc.Rules) == 0:
		return errors.New("no rules")
	case len(doc.Rules) > maxRules || len(lines) != len(doc.Rules):
		return fmt.Errorf("more than %d rules", maxRules)
	}
	for i, r := range doc.Rules {
		if err := checkRule(r); err != nil {
			return &lineError{lines[i], err}
		}
	}
	return nil
}

func checkRule(r Rule) error {
	switch {
	case !nameForm.MatchString(r.ID):
		return fmt.Errorf("rule id %q is not of the form %s", r.ID, nameForm)
	case r.Expr == "":
		return fmt.Errorf("rule %s has no expr", r.ID)
	case r.Message == "":
		return fmt.Errorf("rule %s has no message", r.ID)
	case r.Severity != Deny && r.Severity != Warn && r.Severity != Record:
		return fmt.Errorf("rule %s: severity %q is not deny, warn or record", r.ID, r.Severity)
	case r.Boundary != "" && boundary.Rule(r.Boundary).Text() == "":
		return fmt.Errorf("rule %s: there is no boundary rule %q", r.ID, r.Boundary)
	}
	return nil
}

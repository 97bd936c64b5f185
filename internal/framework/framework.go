// Package framework maps the rules of the audit, and of the boundary, to the
// controls of published standards, and judges a control by what was found.
//
// The mappings are data with a version, a source and a date (data/*.yaml). It
// promises that a control is shown only when every rule that it is mapped to was
// examined and holds, nothing was left out, and the evidence that it asks for is
// there; and that what files cannot decide is said to be undecidable. It does not
// promise that a control which is shown is fulfilled: each says what it asks
// beyond that (Control.Beyond). Names of controls are those of the standard where
// it has names; texts are our own words.
package framework

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed data/*.yaml
var data embed.FS

// Framework is one published standard, as far as a build-time boundary has to do
// with it.
type Framework struct {
	ID       string    `yaml:"id" json:"id"`
	Title    string    `yaml:"title" json:"title"`
	Version  string    `yaml:"version" json:"version"`
	Source   string    `yaml:"source" json:"source"` // the document that the ids are from
	Date     string    `yaml:"date" json:"date"`     // when they were checked, 2026-11-23
	Controls []Control `yaml:"controls" json:"controls"`
}

// Control is one requirement, or one risk, of a framework.
type Control struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	Text  string `yaml:"text" json:"text"` // what it is about, in our own words
	// Former are its ids in the version before.
	Former []string `yaml:"former" json:"former,omitempty"`
	// Rules are those of the audit (SPA-nnn) and of the boundary (SPn) whose
	// breach breaks it.
	Rules []string `yaml:"rules" json:"rules,omitempty"`
	// Evidence is what of a run it asks for; see Kinds.
	Evidence []string `yaml:"evidence" json:"evidence,omitempty"`
	// Decidable says what it takes to show it.
	Decidable Decidable `yaml:"decidable" json:"decidable"`
	// Why says why neither files nor a run can show it.
	Why string `yaml:"why" json:"why,omitempty"`
	// Beyond is what it asks that is not looked at, also when it is shown.
	Beyond string `yaml:"beyond" json:"beyond,omitempty"`
}

// Decidable says what it takes to show a control.
type Decidable string

// What it takes. A finding breaks a control of each of them.
const (
	ByFiles   Decidable = "files"   // CI files are enough
	ByRun     Decidable = "run"     // it takes evidence of a run
	ByNeither Decidable = "neither" // neither can show it
)

// Kind is one kind of evidence of a run.
type Kind struct {
	ID, About string
}

// Kinds are all kinds of evidence that controls ask for.
func Kinds() []Kind {
	return []Kind{
		{"receipt", "what the probe saw from inside each zone before other people's code ran there; all as it should be"},
		{"materials", "the complete list of what came in, as the gateway recorded it"},
		{"provenance", "a signed statement of what was built, from what, by whom"},
		{"verdict", "the gate's yes for the artifact's digest"},
		{"approvals", "a person's yes for the artifact's digest"},
		{"ledger", "entries of the tamper-evident log, checked while they were read"},
		{"tests", "a test stage that passed, for the artifact's digest"},
		{"rebuild", "a second build in a fresh zone that gave the same bytes"},
		{"scan", "a search for secrets in all that came out, to its end and without a find"},
	}
}

// All returns every framework, by its id.
func All() ([]Framework, error) {
	names, err := fs.Glob(data, "data/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Framework
	for _, n := range names {
		raw, err := data.ReadFile(n)
		if err != nil {
			return nil, err
		}
		f, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Framework) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// parse reads one framework. A key that it does not know, and a control that
// could be shown by nothing or gives no reason, is an error.
func parse(raw []byte) (Framework, error) {
	var f Framework
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return f, err
	}
	for _, c := range f.Controls {
		if err := c.check(); err != nil {
			return f, fmt.Errorf("control %s: %w", c.ID, err)
		}
	}
	return f, nil
}

func (c Control) check() error {
	shown := c.Decidable == ByFiles || c.Decidable == ByRun
	switch {
	case !shown && c.Decidable != ByNeither:
		return fmt.Errorf("decidable is %q: it is files, run or neither", c.Decidable)
	case c.Decidable == ByNeither && (c.Why == "" || len(c.Evidence) > 0):
		return errors.New("what cannot be decided gives a reason, and asks for no evidence")
	case c.Decidable == ByFiles && (len(c.Rules) == 0 || len(c.Evidence) > 0):
		return errors.New("what files decide has rules, and asks for no evidence of a run")
	case c.Decidable == ByRun && len(c.Evidence) == 0:
		return errors.New("what a run decides asks for evidence")
	case shown && (c.Beyond == "" || c.Why != ""):
		return errors.New("what can be shown says what it asks beyond that, and no reason why it cannot")
	}
	return nil
}

// Find returns the framework of that id. Where there is none, the error names
// the ids that could be meant, and all.
func Find(id string) (Framework, error) {
	all, err := All()
	if err != nil {
		return Framework{}, err
	}
	var ids []string
	for _, f := range all {
		if f.ID == id {
			return f, nil
		}
		ids = append(ids, f.ID)
	}
	hint := ""
	if like := alike(id, ids); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "? "
	}
	return Framework{}, fmt.Errorf("no framework %q: %sthere are %s", id, hint, strings.Join(ids, ", "))
}

// alike are the ids that hold a name, or else the one that is spelt most like it.
func alike(name string, ids []string) []string {
	name = strings.ToLower(name)
	if name == "" || len(name) > 64 {
		return nil
	}
	var like []string
	best, nearest := len(name)/3+1, ""
	for _, id := range ids {
		if strings.Contains(id, name) {
			like = append(like, id)
		}
		if d := distance(name, id); d < best {
			best, nearest = d, id
		}
	}
	if len(like) == 0 && nearest != "" {
		return []string{nearest}
	}
	return like
}

// distance counts the letters to change, add or take to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			here := corner
			if a[i] != b[j] {
				here = min(corner, row[j], row[j+1]) + 1
			}
			corner, row[j+1] = row[j+1], here
		}
	}
	return row[len(b)]
}

// Taxon is one control of a framework, as taxonomies of other formats want it.
type Taxon struct {
	Framework string
	ID        string
	Title     string
}

// Taxa returns the controls that a rule belongs to.
func Taxa(all []Framework, rule string) []Taxon {
	var out []Taxon
	for _, f := range all {
		for _, c := range f.Controls {
			if slices.Contains(c.Rules, rule) {
				out = append(out, Taxon{f.ID, c.ID, c.Title})
			}
		}
	}
	return out
}

// Package framework maps the rules of the audit, and of the boundary, to the
// controls of published standards, and judges a control by what was found.
//
// The mappings are data with a version, a source and a date (data/*.yaml). It
// promises that a control is shown only when every rule that it is mapped to was
// examined, none was broken, and nothing was left out; and that what files cannot
// decide is said to be undecidable. Titles are those of the standards; texts are
// our own words.
package framework

import (
	"embed"
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

// Control is one requirement of a framework.
type Control struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	// Rules are those of the audit (SPA-nnn) and of the boundary (SPn) whose
	// breach breaks it.
	Rules []string `yaml:"rules" json:"rules,omitempty"`
	// Evidence is what of a run shows it: receipt, provenance, ledger, verdict,
	// approvals, materials.
	Evidence []string `yaml:"evidence" json:"evidence,omitempty"`
	// Undecidable says why neither files nor a run can decide it; empty: they can.
	Undecidable string `yaml:"undecidable" json:"undecidable,omitempty"`
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
		var f Framework
		if err := yaml.Unmarshal(raw, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Framework) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Find returns the framework of that id.
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
	return Framework{}, fmt.Errorf("no framework %q: there are %s", id, strings.Join(ids, ", "))
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

// Breach is one finding, as far as a framework asks about it.
type Breach struct {
	Rule  string
	Where string // file:line
	Title string
}

// Facts are what is known when a framework is judged.
type Facts struct {
	Breaches []Breach
	Examined []string // the rules that were asked
	Gaps     int      // parts that were not analysed
	// Evidence are the kinds of evidence of a run that are there and were checked;
	// empty: there is no run.
	Evidence []string
}

// State is the answer to one control.
type State string

// The states.
const (
	Broken      State = "broken"      // a rule that it is mapped to is broken
	Shown       State = "shown"       // all that it asks was examined, and holds
	NotShown    State = "not-shown"   // nothing is broken, and something is missing to show it
	Undecidable State = "undecidable" // neither files nor a run can tell
)

// Answer is a control and how it stands.
type Answer struct {
	Control string   `json:"control"`
	Title   string   `json:"title"`
	State   State    `json:"state"`
	By      []string `json:"by"`  // the evidence: findings by file and line, or rules that were examined
	Why     string   `json:"why"` // in one sentence
}

// Report is the answers of one framework: sallyport/report/v1.
type Report struct {
	Schema    string        `json:"schema"`
	Framework string        `json:"framework"`
	Title     string        `json:"title"`
	Version   string        `json:"version"`
	Source    string        `json:"source"`
	Date      string        `json:"date"`
	Totals    map[State]int `json:"totals"`
	Answers   []Answer      `json:"answers"`
}

// Schema names the form of a report.
const Schema = "sallyport/report/v1"

// Judge answers each control of a framework.
func Judge(f Framework, facts Facts) Report {
	r := Report{Schema: Schema, Framework: f.ID, Title: f.Title, Version: f.Version, Source: f.Source, Date: f.Date, Totals: map[State]int{}}
	for _, c := range f.Controls {
		a := answer(c, facts)
		r.Totals[a.State]++
		r.Answers = append(r.Answers, a)
	}
	return r
}

func answer(c Control, facts Facts) Answer {
	a := Answer{Control: c.ID, Title: c.Title, By: []string{}}
	for _, b := range facts.Breaches {
		if slices.Contains(c.Rules, b.Rule) {
			a.By = append(a.By, b.Rule+" "+b.Where+": "+b.Title)
		}
	}
	switch {
	case len(a.By) > 0:
		a.State, a.Why = Broken, fmt.Sprintf("%d findings of rules that it is mapped to", len(a.By))
	case c.Undecidable != "":
		a.State, a.Why = Undecidable, c.Undecidable
	default:
		a.State, a.By, a.Why = standing(c, facts)
	}
	return a
}

// standing is the answer to a control that nothing breaks.
func standing(c Control, facts Facts) (State, []string, string) {
	by := []string{}
	for _, r := range c.Rules {
		if !slices.Contains(facts.Examined, r) && strings.HasPrefix(r, "SPA-") {
			return NotShown, by, "rule " + r + " was not examined"
		}
		by = append(by, r+" holds")
	}
	if facts.Gaps > 0 {
		return NotShown, by, fmt.Sprintf("%d parts were not analysed, so that the rules do not show it", facts.Gaps)
	}
	for _, e := range c.Evidence {
		if !slices.Contains(facts.Evidence, e) {
			return NotShown, by, "it asks for evidence of a run (" + e + "), and there is none: sallyport run, sallyport verify"
		}
		by = append(by, e)
	}
	if len(by) == 0 {
		return NotShown, by, "nothing here speaks of it"
	}
	return Shown, by, "every rule that it is mapped to was examined and holds"
}

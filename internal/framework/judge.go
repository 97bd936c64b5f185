package framework

import (
	"fmt"
	"slices"
	"strings"
)

// Breach is one finding, as far as a framework asks about it. Suppressed ones
// are none.
type Breach struct {
	Rule     string
	Where    string // file:line
	Title    string
	Severity string // empty: not said
}

func (b Breach) String() string {
	s := b.Rule + " " + b.Where + ": " + b.Title
	if b.Severity != "" {
		s += " (" + b.Severity + ")"
	}
	return s
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

// NotAnalysed is the rule that reports what could not be read. It breaks no
// control: it keeps controls from being shown.
const NotAnalysed = "SPA-090"

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
	Text    string   `json:"text"`
	Former  []string `json:"former,omitempty"`
	State   State    `json:"state"`
	By      []string `json:"by"`               // the evidence: findings by file and line; rules that were examined; kinds of evidence of a run
	Why     string   `json:"why"`              // in one line
	Beyond  string   `json:"beyond,omitempty"` // what the control asks that was not looked at
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
	r := Report{
		Schema: Schema, Framework: f.ID, Title: f.Title, Version: f.Version, Source: f.Source, Date: f.Date,
		Totals: map[State]int{}, Answers: []Answer{},
	}
	for _, c := range f.Controls {
		a := answer(c, facts)
		r.Totals[a.State]++
		r.Answers = append(r.Answers, a)
	}
	return r
}

func answer(c Control, facts Facts) Answer {
	a := Answer{Control: c.ID, Title: c.Title, Text: c.Text, Former: c.Former, Beyond: c.Beyond}
	a.By = findings(c, facts)
	if n := len(a.By); n > 0 {
		a.State, a.Why = Broken, count(n, "finding")+" of rules that it is mapped to"
		return a
	}
	by, missing := standing(c, facts)
	a.By = by
	switch {
	case c.Decidable != ByFiles && c.Decidable != ByRun:
		a.State, a.Why = Undecidable, c.Why
	case len(missing) > 0:
		a.State, a.Why = NotShown, strings.Join(missing, "; ")
	default:
		a.State, a.Why = Shown, "every rule and all evidence that it asks for was examined and holds"
	}
	return a
}

// findings are the breaches of a control's rules, each once.
func findings(c Control, facts Facts) []string {
	by := []string{}
	for _, b := range facts.Breaches {
		if b.Rule != NotAnalysed && slices.Contains(c.Rules, b.Rule) && !slices.Contains(by, b.String()) {
			by = append(by, b.String())
		}
	}
	return by
}

// standing is what speaks for a control that nothing breaks, and what is missing
// to show it.
func standing(c Control, facts Facts) (by, missing []string) {
	by = []string{}
	for _, r := range c.Rules {
		if lacks := lack(r, facts); lacks != "" {
			missing = append(missing, lacks)
			continue
		}
		by = append(by, r)
	}
	if n := facts.gaps(); n > 0 {
		missing = append(missing, count(n, "part")+" not analysed, so that the rules do not show it")
	}
	var wanted []string
	for _, e := range c.Evidence {
		if slices.Contains(facts.Evidence, e) {
			by = append(by, e)
			continue
		}
		wanted = append(wanted, e)
	}
	if len(wanted) > 0 {
		missing = append(missing, "it asks for evidence of a run that is not there: "+strings.Join(wanted, ", ")+" (sallyport run, then report --run)")
	}
	if len(by)+len(missing) == 0 {
		missing = append(missing, "nothing here speaks of it")
	}
	return by, missing
}

// gaps counts what was not analysed, at least what a finding says was not.
func (f Facts) gaps() int {
	told := 0
	for _, b := range f.Breaches {
		if b.Rule == NotAnalysed {
			told++
		}
	}
	return max(f.Gaps, told)
}

// lack says why it is not known that a rule holds; empty: it is known.
//
// A rule of the boundary is examined where the graph of a pipeline is checked,
// and by the audit's rules that stand for it. When one of those has a finding, it
// does not hold, although the control may not be mapped to that one.
func lack(rule string, facts Facts) string {
	stands := standIns()[rule]
	for _, b := range facts.Breaches {
		if slices.Contains(stands, b.Rule) {
			return fmt.Sprintf("%s does not hold: %s %s", rule, b.Rule, b.Where)
		}
	}
	if slices.Contains(facts.Examined, rule) || rule == routeRule && slices.Contains(facts.Evidence, "receipt") {
		return ""
	}
	if len(stands) == 0 {
		return "rule " + rule + " was not examined"
	}
	for _, s := range stands {
		if !slices.Contains(facts.Examined, s) {
			return fmt.Sprintf("rule %s was not examined, and %s not either", rule, s)
		}
	}
	return ""
}

// routeRule is the rule about routes to a network. CI files do not tell them; the
// receipt of a zone does, whose probe tries them.
const routeRule = "SP3"

// standIns are the rules of the audit that stand for those of the boundary.
func standIns() map[string][]string {
	return map[string][]string{
		"SP1": {
			"SPA-001", "SPA-002", "SPA-003", "SPA-004", "SPA-005", "SPA-007", "SPA-009",
			"SPA-012", "SPA-013", "SPA-016", "SPA-020", "SPA-022",
		},
		"SP2": {"SPA-008"},
		"SP4": {"SPA-015"},
		"SP5": {"SPA-010", "SPA-011", "SPA-024"},
		"SP6": {"SPA-019", "SPA-023"},
		"SP7": {"SPA-002", "SPA-017", "SPA-021"},
		"SP8": {"SPA-014", "SPA-015", "SPA-018"},
		"SP9": {"SPA-006"},
	}
}

// count words a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

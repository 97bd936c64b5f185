package drill

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Summary counts what became of a suite. A technique is stopped when all of its
// attacks are; one that is bounded at best counts as bounded.
type Summary struct {
	Techniques Count `json:"techniques"` // R01 to R35
	Gateway    Count `json:"gateway"`    // G1 to G15
	Incidents  Count `json:"incidents"`
	Attacks    Count `json:"attacks"` // all of them
}

// Count is a number of each outcome.
type Count struct {
	All     int `json:"all"`
	Stopped int `json:"stopped"`
	Bounded int `json:"bounded"`
	Effect  int `json:"effect"`
	Leaked  int `json:"leaked"`
	NotRun  int `json:"not_run"`
}

func (c *Count) add(o Outcome) {
	c.All++
	switch o {
	case Stopped:
		c.Stopped++
	case Bounded:
		c.Bounded++
	case Effect:
		c.Effect++
	case Leaked:
		c.Leaked++
	default:
		c.NotRun++
	}
}

// Broke says whether something came through.
func (s Summary) Broke() bool { return s.Attacks.Effect+s.Attacks.Leaked > 0 }

// Technique is what became of one technique or incident, in all its replays.
type Technique struct {
	Name    string // R01, G1, or that of an incident
	Title   string // of its first replay
	Outcome Outcome
}

// ByTechnique gives the worst outcome of each, in the order of the suite's names.
func ByTechnique(results []Result) []Technique {
	var out []Technique
	at := map[string]int{}
	for _, r := range results {
		i, known := at[r.Technique]
		if !known {
			at[r.Technique] = len(out)
			out = append(out, Technique{r.Technique, r.Title, r.Outcome})
			continue
		}
		out[i].Outcome = worseOutcome(out[i].Outcome, r.Outcome)
	}
	slices.SortStableFunc(out, func(a, b Technique) int { return cmp.Compare(rank(a.Name), rank(b.Name)) })
	return out
}

// rank orders techniques, then gateway cases, by their numbers, then incidents.
func rank(name string) int {
	for i, letter := range []byte{'R', 'G'} {
		if isNumbered(name, letter) {
			n, err := strconv.Atoi(name[1:])
			if err == nil {
				return 1000*i + n
			}
		}
	}
	return 2000
}

// Unknown says whether something that was asked for could not be told at all: no
// replay of a technique, a gateway case or an incident ran.
func (s Summary) Unknown() bool {
	return s.Techniques.NotRun+s.Gateway.NotRun+s.Incidents.NotRun > 0
}

// Summarize counts.
func Summarize(results []Result) Summary {
	var s Summary
	for _, r := range results {
		s.Attacks.add(r.Outcome)
	}
	for _, t := range ByTechnique(results) {
		switch {
		case isNumbered(t.Name, 'R'):
			s.Techniques.add(t.Outcome)
		case isNumbered(t.Name, 'G'):
			s.Gateway.add(t.Outcome)
		default:
			s.Incidents.add(t.Outcome)
		}
	}
	return s
}

// worseOutcome of two replays of one technique. One that did not run says
// nothing about another that did.
func worseOutcome(a, b Outcome) Outcome {
	rank := []Outcome{NotRun, Stopped, Bounded, Effect, Leaked}
	if slices.Index(rank, a) > slices.Index(rank, b) {
		return a
	}
	return b
}

func isNumbered(technique string, letter byte) bool {
	return len(technique) > 1 && technique[0] == letter && strings.Trim(technique[1:], "0123456789") == ""
}

// Write prints results for people: one line for each attack, what reached
// through, and the count last.
func Write(w io.Writer, subject, isolation string, results []Result, seconds float64) {
	fmt.Fprintf(w, "drill against %s, isolation %s\n\n", subject, isolation)
	for _, r := range results {
		fmt.Fprintf(w, "%-9s %-14s %s\n", r.Outcome, r.ID, r.Title)
		if len(r.Story) > 0 {
			r.tell(w)
		} else {
			for _, s := range r.Stops {
				fmt.Fprintf(w, "          stop     %s\n", s)
			}
		}
		for _, s := range r.Reached {
			fmt.Fprintf(w, "          reached  %s\n", s)
		}
		if r.Bounds != "" && r.Outcome == Bounded {
			fmt.Fprintf(w, "          bound    %s\n", r.Bounds)
		}
		if r.Why != "" {
			fmt.Fprintf(w, "          why      %s\n", r.Why)
		}
	}
	s := Summarize(results)
	fmt.Fprintln(w)
	for _, row := range []struct {
		name string
		c    Count
	}{{"techniques", s.Techniques}, {"gateway", s.Gateway}, {"incidents", s.Incidents}, {"attacks", s.Attacks}} {
		if row.c.All > 0 {
			fmt.Fprintf(w, "%-11s %d of %d stopped%s\n", row.name, row.c.Stopped, row.c.All, row.c.rest())
		}
	}
	fmt.Fprintf(w, "in %.0f s\n", seconds)
}

// tell prints an incident: its story, then link by link what became of it here.
func (r *Result) tell(w io.Writer) {
	for _, line := range r.Story {
		fmt.Fprintf(w, "          | %s\n", line)
	}
	for _, l := range r.Links {
		became := "held"
		switch {
		case !l.Control:
			became = "not shown plainly"
		case !l.Subject && l.Wall != "":
			became = "stopped by " + l.Wall
		case !l.Subject:
			became = "stopped"
		}
		fmt.Fprintf(w, "          %-58s %s\n", l.Name, became)
	}
	fmt.Fprintf(w, "          independent stops: %d\n", len(r.Stops))
}

func (c Count) rest() string {
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{{c.Bounded, "bounded"}, {c.Effect, "effect"}, {c.Leaked, "leaked"}, {c.NotRun, "not-run"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

package drill

import (
	"fmt"
	"slices"
	"strings"
)

// Suite is every case.
func Suite() []Case {
	return slices.Concat(tongueCases(), installCases(), returnCases(), gatewayCases(), incidentCases())
}

// Choose returns the cases of which an attack matches: by the start of its id,
// or by its technique.
func Choose(wanted []string) ([]Case, error) {
	if len(wanted) == 0 {
		return Suite(), nil
	}
	var out []Case
	met := map[string]bool{}
	for _, c := range Suite() {
		var attacks []Attack
		for _, a := range c.Attacks {
			for _, w := range wanted {
				if hasPrefixFold(a.ID, w) || strings.EqualFold(a.Technique, w) {
					attacks = append(attacks, a)
					met[w] = true
					break
				}
			}
		}
		if c.Attacks = attacks; len(attacks) > 0 {
			out = append(out, c)
		}
	}
	for _, w := range wanted {
		if !met[w] {
			return nil, fmt.Errorf("no attack %q", w)
		}
	}
	return out, nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Entry is one attack of a list.
type Entry struct {
	ID        string   `json:"id"`
	Technique string   `json:"technique"`
	Tongue    string   `json:"tongue,omitempty"`
	Title     string   `json:"title"`
	Story     []string `json:"story,omitempty"`
}

// List names the attacks of some cases.
func List(cases []Case) []Entry {
	var out []Entry
	for _, c := range cases {
		for _, a := range c.Attacks {
			out = append(out, Entry{a.ID, a.Technique, c.Tongue, a.Title, a.Story})
		}
	}
	return out
}

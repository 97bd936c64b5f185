package secrets

import (
	"fmt"
	"regexp"
	"time"
)

// Rule knows the shape of one kind of credential. Rules are data; what a regular
// expression cannot say is named in Check.
type Rule struct {
	ID          string
	Description string
	// Keywords, found in any case, lead to the rule: it costs nothing where none
	// of them stands.
	Keywords []string
	// Pattern is matched at the keyword's start. Its first group is the secret;
	// without a group the whole match is.
	Pattern string
	// Before lets the match start up to this many bytes before the keyword.
	Before int
	// Entropy is the least Shannon entropy of the secret, in bits for each byte.
	Entropy float64
	// Check is one more test of the secret: see checks.
	Check string
	// Distinct says that the shape does not occur by chance, so that it counts
	// inside encoded data and in third-party tests too.
	Distinct bool
	// Fixture says that third-party tests are full of made-up ones.
	Fixture bool
}

// window is how far after a keyword a match may reach, but for private keys.
const window = 1 << 10

type compiled struct {
	Rule
	re    *regexp.Regexp
	check check
	reach int
}

// check is a further test of a match.
type check func(m match) bool

type match struct {
	data   []byte // ends where a match may reach
	lo, hi int    // the secret
	now    time.Time
}

func (m match) secret() []byte { return m.data[m.lo:m.hi] }

func compileRules(rules []Rule) ([]compiled, error) {
	known := checks()
	out := make([]compiled, 0, len(rules))
	for _, r := range rules {
		pattern := r.Pattern
		if r.Before == 0 {
			pattern = `\A(?:` + pattern + `)`
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
		c := compiled{Rule: r, re: re, reach: window}
		if r.Check != "" {
			if c.check = known[r.Check]; c.check == nil {
				return nil, fmt.Errorf("rule %s: no check %q", r.ID, r.Check)
			}
		}
		if r.Check == "key" {
			c.reach = ahead
		}
		out = append(out, c)
	}
	return out, nil
}

// match tries the rule where its keyword stands at data[at:].
func (r *compiled) match(data []byte, at, length int, now time.Time) (lo, hi int, ok bool) {
	from := max(0, at-r.Before)
	data = data[:min(len(data), at+length+r.reach)]
	idx := r.re.FindSubmatchIndex(data[from:])
	if idx == nil || from+idx[1] <= at { // nothing, or a text that ends before the keyword
		return 0, 0, false
	}
	m := match{data: data, lo: from + idx[0], hi: from + idx[1], now: now}
	for g := 2; g+1 < len(idx); g += 2 {
		if idx[g] >= 0 {
			m.lo, m.hi = from+idx[g], from+idx[g+1]
			break
		}
	}
	if r.Entropy > 0 && entropy(m.secret()) < r.Entropy {
		return 0, 0, false
	}
	if r.check != nil && !r.check(m) || wellKnown(m.secret()) {
		return 0, 0, false
	}
	return m.lo, m.hi, true
}

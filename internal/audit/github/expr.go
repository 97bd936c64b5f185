package github

import (
	"maps"
	"regexp"
	"strings"
)

// reference finds what an expression takes out of secrets.
var reference = regexp.MustCompile(`(?i)\bsecrets\s*(?:\.\s*([A-Za-z0-9_-]+)|\[\s*'([A-Za-z0-9_-]+)'\s*\]|(\[)|(\)))`)

// expression is one ${{ }} of a text.
type expression struct {
	at   int // where it begins
	body string
}

// expressions returns the ${{ }} of a text.
func expressions(text string) []expression {
	var all []expression
	for at := 0; ; {
		i := strings.Index(text[at:], "${{")
		if i < 0 {
			return all
		}
		body, _, ok := strings.Cut(text[at+i+3:], "}}")
		if !ok {
			return all
		}
		all = append(all, expression{at + i, strings.TrimSpace(body)})
		at += i + 3 + len(body) + 2
	}
}

// secretsIn lists the secrets that expressions of a text refer to, and tells
// whether it takes all of them.
func secretsIn(text string) (names []string, all bool) {
	if !strings.Contains(strings.ToLower(text), "secrets") {
		return nil, false
	}
	for _, e := range expressions(text) {
		n, a := secretsOf(e.body)
		names, all = append(names, n...), all || a
	}
	return names, all
}

// secretsOf is secretsIn of the body of one expression.
func secretsOf(body string) (names []string, all bool) {
	for _, m := range reference.FindAllStringSubmatch(body, -1) {
		switch {
		case m[1] != "":
			names = append(names, m[1])
		case m[2] != "":
			names = append(names, m[2])
		default:
			all = true // toJSON(secrets), secrets[inputs.name]
		}
	}
	return names, all
}

// names are contexts whose value is known, in lower case: inputs.kind. A value
// can be an expression of the caller's.
type names map[string]string

// maxPut bounds a text into which values are put.
const maxPut = 64 << 10

// put puts known values into a text.
func (k names) put(text string) string {
	if len(k) == 0 || !strings.Contains(text, "${{") {
		return text
	}
	var b strings.Builder
	from := 0
	for _, e := range expressions(text) {
		v, ok := k[strings.ToLower(e.body)]
		if !ok || b.Len()+len(v) > maxPut {
			continue
		}
		b.WriteString(text[from:e.at])
		b.WriteString(v)
		from = e.at + strings.Index(text[e.at:], "}}") + 2
	}
	b.WriteString(text[from:])
	return b.String()
}

// with is k and some more, those that are known under the same name last.
func (k names) with(more names) names {
	all := make(names, len(k)+len(more))
	maps.Copy(all, k)
	maps.Copy(all, more)
	return all
}

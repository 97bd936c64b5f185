// Package credential sorts credentials by the name that somebody gave them:
// what a secret called NPM_TOKEN or COSIGN_KEY is good for, and whether
// something short-lived could stand in its place.
//
// A name that it does not know is ci.Unsorted, never ci.Low.
package credential

import (
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// Named returns the classes that a secret of this name is good for, as far as
// the name tells: NPM_TOKEN publishes, COSIGN_KEY signs. At least one.
func Named(name string) []ci.Class {
	words := Words(name)
	if harmless(words) {
		return []ci.Class{ci.Low}
	}
	var classes []ci.Class
	for _, row := range nameTable {
		if slices.ContainsFunc(row.words, func(w string) bool { return has(words, w) }) {
			classes = append(classes, row.class)
		}
	}
	if len(classes) == 0 {
		return []ci.Class{ci.Unsorted}
	}
	return classes
}

// harmless tells whether a name is of a low value whatever else is in it: a
// chat hook, a coverage upload; or an id, a user name, an address.
func harmless(words []string) bool {
	if len(words) == 0 {
		return false
	}
	if slices.ContainsFunc(lowTable, func(w string) bool { return has(words, w) }) {
		return true
	}
	last := words[len(words)-1]
	return slices.Contains(publicTable, last) && !Sensitive(strings.Join(words[:len(words)-1], "_"))
}

// Sensitive tells whether a variable of this name looks like it holds a secret.
func Sensitive(name string) bool {
	words := Words(name)
	return slices.ContainsFunc(sensitiveTable, func(w string) bool { return has(words, w) })
}

// Federated says what short-lived identity can stand in the place of a
// long-lived secret of this name; empty where there is none that is widely
// offered.
func Federated(name string) string {
	words := Words(name)
	if harmless(words) {
		return ""
	}
	for _, f := range federationTable {
		if slices.ContainsFunc(f.words, func(w string) bool { return has(words, w) }) {
			return f.instead
		}
	}
	return ""
}

// Words splits a name where people see words: NpmToken and NPM_TOKEN are NPM,
// TOKEN.
func Words(name string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words, word = append(words, strings.ToUpper(string(word))), nil
		}
	}
	var before rune
	for _, c := range name {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			flush()
		case unicode.IsUpper(c) && unicode.IsLower(before):
			flush()
			word = append(word, c)
		default:
			word = append(word, c)
		}
		before = c
	}
	flush()
	return words
}

// has tells whether a pattern is among words: NPM is that word, DOCKER* a word
// with that beginning, PLAY+STORE two words that follow each other.
func has(words []string, pattern string) bool {
	parts := strings.Split(pattern, "+")
	for i := 0; i+len(parts) <= len(words); i++ {
		if matches(words[i:i+len(parts)], parts) {
			return true
		}
	}
	return false
}

func matches(words, parts []string) bool {
	for i, p := range parts {
		prefix, wild := strings.CutSuffix(p, "*")
		if words[i] != p && (!wild || !strings.HasPrefix(words[i], prefix)) {
			return false
		}
	}
	return true
}

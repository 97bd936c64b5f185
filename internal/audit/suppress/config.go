package suppress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// ConfigFile is where a repository keeps what the audit should know.
const ConfigFile = ".sallyport/audit.yaml"

// Config is that file:
//
//	version: 1
//	profile: strict
//	trusted: [our-other-org, someone/one-action]
//	low: [CODECOV_*, SLACK_WEBHOOK]
//	default_permissions: read
//	ignore:
//	  - { rule: SPA-010, path: .github/workflows/docs.yml, job: docs, reason: read at that tag, until: 2027-01-31 }
type Config struct {
	Version            int
	Profile            string   // default, strict, or empty
	Trusted            []string // owners, or owner/name, whose steps count as the repository's
	Low                []string // patterns of names of secrets that are worth little
	DefaultPermissions string   // of a job's token: read, write, or empty
	Ignore             []Ignore
}

// Ignore is one entry of the configuration that takes findings out of the count.
type Ignore struct {
	Rule   finding.ID
	Path   string    // a pattern, see match; empty: each file
	Job    string    // empty: each job
	Reason string    // never empty
	Until  time.Time // the last day; zero: for ever
	Line   int       // where the entry stands
}

// The limits of a configuration.
const (
	maxConfig   = 1 << 20 // bytes
	maxItems    = 1000    // of one list
	maxWord     = 500     // characters of one value
	maxProblems = 20      // that are told
)

// ParseConfig reads the configuration strictly: what it does not know is an
// error, and each error begins with name:line:column.
func ParseConfig(name string, text []byte) (Config, error) {
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("%s has more than %d bytes", name, maxConfig)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, next yaml.Node
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.Decode(&next); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: more than one document", name)
	}
	r := &reader{name: name}
	if len(doc.Content) != 1 {
		return Config{}, fmt.Errorf("%s:1:1: the file is empty: it begins with version: 1", name)
	}
	c := r.config(doc.Content[0])
	if len(r.problems) > 0 {
		return Config{}, errors.New(strings.Join(r.problems, "\n"))
	}
	return c, nil
}

// reader reads nodes of one file and notes what does not fit.
type reader struct {
	name     string
	problems []string
}

func (r *reader) add(n *yaml.Node, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Sprintf("%s:%d:%d: ", r.name, n.Line, n.Column)+fmt.Sprintf(format, args...))
	}
}

// key is one key of a mapping, and what reads its value.
type key struct {
	name string
	need bool
	read func(*yaml.Node)
}

// mapping reads a mapping that has these keys and no others, each once.
func (r *reader) mapping(n *yaml.Node, keys []key) {
	if n.Kind != yaml.MappingNode {
		r.add(n, "here is to be a mapping with the keys %s", names(keys))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := slices.IndexFunc(keys, func(x key) bool { return x.name == k.Value })
		switch {
		case at < 0 || k.Kind != yaml.ScalarNode:
			r.add(k, "there is no key %s here: there are %s", quoted(k.Value), names(keys))
		case seen[k.Value]:
			r.add(k, "the key %s comes a second time", k.Value)
		default:
			keys[at].read(n.Content[i+1])
		}
		seen[k.Value] = true
	}
	for _, k := range keys {
		if k.need && !seen[k.name] {
			r.add(n, "the key %s is missing", k.name)
		}
	}
}

func names(keys []key) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.name)
	}
	return strings.Join(all, ", ")
}

// word reads one value of text, which check may refuse.
func (r *reader) word(into *string, check func(string) string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
			r.add(n, "here is to be text; put it in quotes if it is")
			return
		}
		s := strings.TrimSpace(n.Value)
		switch {
		case s == "":
			r.add(n, "this is empty")
		case utf8.RuneCountInString(s) > maxWord:
			r.add(n, "this has more than %d characters", maxWord)
		case check != nil && check(s) != "":
			r.add(n, "%s: %s", quoted(s), check(s))
		default:
			*into = s
		}
	}
}

// list reads a list, one item after the other.
func (r *reader) list(item func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) > maxItems {
			r.add(n, "here is to be a list of at most %d items", maxItems)
			return
		}
		for _, c := range n.Content {
			item(c)
		}
	}
}

// words reads a list of texts.
func (r *reader) words(into *[]string, check func(string) string) func(*yaml.Node) {
	return r.list(func(n *yaml.Node) {
		var s string
		if r.word(&s, check)(n); s != "" {
			*into = append(*into, s)
		}
	})
}

func (r *reader) config(n *yaml.Node) Config {
	var c Config
	r.mapping(n, []key{
		{"version", true, func(v *yaml.Node) {
			if c.Version = 1; v.Kind != yaml.ScalarNode || v.Tag != "!!int" || v.Value != "1" {
				r.add(v, "this one reads version 1")
			}
		}},
		{"profile", false, r.word(&c.Profile, oneOf("default", "strict"))},
		{"trusted", false, r.words(&c.Trusted, anOwner)},
		{"low", false, r.words(&c.Low, aNamePattern)},
		{"default_permissions", false, r.word(&c.DefaultPermissions, oneOf("read", "write"))},
		{"ignore", false, r.list(func(v *yaml.Node) { c.Ignore = append(c.Ignore, r.ignore(v)) })},
	})
	return c
}

func (r *reader) ignore(n *yaml.Node) Ignore {
	g := Ignore{Line: n.Line}
	var rule, until string
	r.mapping(n, []key{
		{"rule", true, r.word(&rule, aRule)}, {"path", false, r.word(&g.Path, aPathPattern)}, {"job", false, r.word(&g.Job, nil)},
		{"reason", true, r.word(&g.Reason, nil)}, {"until", false, r.word(&until, aDay)},
	})
	g.Rule = finding.ID(rule)
	if until != "" {
		g.Until, _ = time.Parse(time.DateOnly, until) // aDay has seen it
	}
	return g
}

func oneOf(words ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(words, s) {
			return ""
		}
		return "it is one of " + strings.Join(words, ", ")
	}
}

func aRule(s string) string {
	if _, ok := finding.Find(finding.ID(s)); ok {
		return ""
	}
	return "there is no such rule"
}

func aDay(s string) string {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "this is no day: write 2027-01-31"
	}
	return ""
}

var owner = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*$`)

func anOwner(s string) string {
	if owner.MatchString(s) {
		return ""
	}
	return "this is no owner, nor owner/name"
}

// aNamePattern refuses a pattern that each name fits: one line would switch off
// the audit, without a reason.
func aNamePattern(s string) string {
	if _, err := path.Match(s, ""); err != nil {
		return "this is no pattern"
	}
	if strings.Trim(s, "*?") == "" {
		return "each name fits this"
	}
	return ""
}

func aPathPattern(s string) string {
	for part := range strings.SplitSeq(s, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return "this is no pattern"
		}
	}
	return ""
}

func quoted(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return strconv.QuoteToGraphic(s)
}

// match tells whether a path fits a pattern: each part as of path.Match, and **
// for any number of parts.
func match(pattern, name string) bool {
	parts, segments := strings.Split(pattern, "/"), strings.Split(name, "/")
	fits := make([]bool, len(segments)+1) // fits[j]: the parts so far fit the first j segments
	fits[0] = true
	for _, p := range parts {
		next := make([]bool, len(fits))
		for j := range fits {
			switch {
			case p == "**":
				next[j] = fits[j] || j > 0 && next[j-1]
			case j > 0 && fits[j-1]:
				next[j], _ = path.Match(p, segments[j-1]) // aPathPattern has seen it
			}
		}
		fits = next
	}
	return fits[len(segments)]
}

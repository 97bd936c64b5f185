package boundary

import (
	"fmt"
	"slices"
	"strings"
)

// Authority is one thing that an identity may do: a verb and what it is about,
// such as publish:registry.example/shop. The zero Authority is none.
type Authority struct {
	Verb   Verb
	Object string
}

// Verb is the kind of an Authority.
type Verb string

// The verbs.
const (
	VerbFetch   Verb = "fetch"   // fetch:npm: take packages through the gateway
	VerbSecret  Verb = "secret"  // secret:NAME: know a secret
	VerbSign    Verb = "sign"    // sign:KEY
	VerbPublish Verb = "publish" // publish:REPO
	VerbDeploy  Verb = "deploy"  // deploy:ENV
	VerbReach   Verb = "reach"   // reach:HOST: open a connection
	VerbRun     Verb = "run"     // run:project-code, and nothing else
)

const (
	projectCode  = "project-code"
	maxAuthority = 512
)

// ProjectCode returns the authority to run code that nobody here verified.
func ProjectCode() Authority { return Authority{VerbRun, projectCode} }

// ecosystems are the objects that VerbFetch knows. A closed list, so that an
// expectation with a slip of the pen is refused and not silently met.
func ecosystems() []string {
	return []string{"go", "npm", "pypi", "cargo", "maven", "gem", "nuget", "composer", "oci", "deb"}
}

// ParseAuthority reads verb:object.
func ParseAuthority(s string) (Authority, error) {
	a, err := parseAuthority(s)
	if err == nil && strings.Contains(a.Object, "*") {
		return Authority{}, fmt.Errorf("authority %q: * stands in patterns only", s)
	}
	return a, err
}

func parseAuthority(s string) (Authority, error) {
	verb, object, ok := strings.Cut(s, ":")
	if !ok || object == "" || len(s) > maxAuthority {
		return Authority{}, fmt.Errorf("authority %q is not verb:object, such as publish:registry.example/shop", clip(s))
	}
	for _, c := range []byte(object) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"'`\\<>{}", c) >= 0 {
			return Authority{}, fmt.Errorf("authority %q: %q cannot stand in it", clip(s), c)
		}
	}
	a := Authority{Verb(verb), object}
	switch a.Verb {
	case VerbSecret, VerbSign, VerbPublish, VerbDeploy, VerbReach:
		return a, nil
	case VerbRun:
		if object == projectCode || object == "*" {
			return a, nil
		}
		return Authority{}, fmt.Errorf("authority %q: run knows only run:project-code", clip(s))
	case VerbFetch:
		if slices.Contains(ecosystems(), object) || object == "*" {
			return a, nil
		}
		return Authority{}, fmt.Errorf("authority %q: fetch knows %s", clip(s), strings.Join(ecosystems(), ", "))
	}
	return Authority{}, fmt.Errorf("authority %q: the verbs are fetch, secret, sign, publish, deploy, reach, run", clip(s))
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// String returns verb:object.
func (a Authority) String() string {
	if a == (Authority{}) {
		return ""
	}
	return string(a.Verb) + ":" + a.Object
}

// Release tells whether a is release authority or a secret: what must never be
// where code runs that nobody verified (SP1).
func (a Authority) Release() bool {
	switch a.Verb {
	case VerbSecret, VerbSign, VerbPublish, VerbDeploy:
		return true
	}
	return false
}

// MarshalText gives verb:object.
func (a Authority) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts what MarshalText gives and nothing else.
func (a *Authority) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = Authority{}
		return nil
	}
	p, err := ParseAuthority(string(b))
	if err != nil {
		return err
	}
	*a = p
	return nil
}

// Pattern is an authority, or all with one beginning: reach:*, secret:NPM_*.
type Pattern struct {
	verb   Verb
	prefix string
	any    bool
}

// ParsePattern reads an authority whose object may end in *.
func ParsePattern(s string) (Pattern, error) {
	a, err := parseAuthority(s)
	if err != nil {
		return Pattern{}, err
	}
	prefix, wild := strings.CutSuffix(a.Object, "*")
	if strings.Contains(prefix, "*") {
		return Pattern{}, fmt.Errorf("pattern %q: * stands at the end only", clip(s))
	}
	return Pattern{a.Verb, prefix, wild}, nil
}

// Exactly returns the pattern that matches a alone.
func Exactly(a Authority) Pattern { return Pattern{a.Verb, a.Object, false} }

// Matches tells whether a is one of the pattern's. reach:* (anywhere), held by
// a node, matches every pattern of reach.
func (p Pattern) Matches(a Authority) bool {
	if p.verb != a.Verb {
		return false
	}
	if a.Verb == VerbReach && a.Object == "*" {
		return true
	}
	if p.any {
		return strings.HasPrefix(a.Object, p.prefix)
	}
	return a.Object == p.prefix
}

// String returns the pattern as it was written.
func (p Pattern) String() string {
	s := string(p.verb) + ":" + p.prefix
	if p.any {
		s += "*"
	}
	return s
}

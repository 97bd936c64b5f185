package suppress

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const wholeConfig = `version: 1
profile: strict
trusted: [acme, other-org/one.action]
low: [CODECOV_*, "SLACK_?"]
default_permissions: read
ignore:
  - rule: SPA-010
    path: .github/workflows/**
    job: docs
    reason: read at that tag
    until: 2027-01-31
  - { rule: SPA-001, reason: "accepted" }
`

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestParseConfig(t *testing.T) {
	got, err := ParseConfig("audit.yaml", []byte(wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Version: 1, Profile: "strict", Trusted: []string{"acme", "other-org/one.action"}, Low: []string{"CODECOV_*", "SLACK_?"}, DefaultPermissions: "read",
		Ignore: []Ignore{
			{Rule: "SPA-010", Path: ".github/workflows/**", Job: "docs", Reason: "read at that tag", Until: day("2027-01-31"), Line: 7},
			{Rule: "SPA-001", Reason: "accepted", Line: 12},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// refused are configurations that are no good, and what is said of each.
func refused() [][2]string {
	return [][2]string{
		{"", "a:1:1: the file is empty"},
		{"# nothing\n", "a:1:1: the file is empty"},
		{"profile: strict\n", "a:1:1: the key version is missing"},
		{"version: 2\n", "a:1:10: this one reads version 1"},
		{"version: \"1\"\n", "a:1:10: this one reads version 1"},
		{"version: [1]\n", "a:1:10: this one reads version 1"},
		{"- version\n", "a:1:1: here is to be a mapping"},
		{"version: 1\nignored: []\n", `a:2:1: there is no key "ignored" here: there are version, profile, trusted, low, default_permissions, ignore`},
		{"version: 1\nprofile: loud\n", `a:2:10: "loud": it is one of default, strict`},
		{"version: 1\nprofile: default\nprofile: strict\n", "a:3:1: the key profile comes a second time"},
		{"version: 1\nprofile:\n", "a:2:9: here is to be text"},
		{"version: 1\nprofile: \"\"\n", "a:2:10: this is empty"},
		{"version: 1\ndefault_permissions: none\n", "a:2:22: \"none\": it is one of read, write"},
		{"version: 1\ntrusted: acme\n", "a:2:10: here is to be a list"},
		{"version: 1\ntrusted: [ok, \"not an owner\"]\n", `a:2:15: "not an owner": this is no owner`},
		{"version: 1\ntrusted: [7]\n", "a:2:11: here is to be text; put it in quotes"},
		{"version: 1\nlow: [\"*\"]\n", `a:2:7: "*": each name fits this`},
		{"version: 1\nlow: [\"A[\"]\n", `a:2:7: "A[": this is no pattern`},
		{"version: 1\nignore:\n  - rule: SPA-001\n", "a:3:5: the key reason is missing"},
		{"version: 1\nignore:\n  - rule: SPA-001\n    reason: \" \"\n", "a:4:13: this is empty"},
		{"version: 1\nignore:\n  - reason: x\n", "a:3:5: the key rule is missing"},
		{"version: 1\nignore:\n  - { rule: SPA-999, reason: x }\n", `a:3:13: "SPA-999": there is no such rule`},
		{"version: 1\nignore:\n  - { rule: \"*\", reason: x }\n", `a:3:13: "*": there is no such rule`},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: x, until: soon }\n", `a:3:40: "soon": this is no day`},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: x, until: 2027-02-30 }\n", `a:3:40: "2027-02-30": this is no day`},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: x, until: 2027-01-31T00:00:00Z }\n", "this is no day"},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: x, path: \"a/[b\" }\n", `a:3:39: "a/[b": this is no pattern`},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: x, file: a }\n", `a:3:33: there is no key "file" here: there are rule, path, job, reason, until`},
		{"version: 1\nignore:\n  - SPA-001\n", "a:3:5: here is to be a mapping"},
		{"version: 1\nignore: { rule: SPA-001, reason: x }\n", "a:2:9: here is to be a list"},
		{"version: 1\nignore:\n  - &a { rule: SPA-001, reason: x }\n  - *a\n", "a:4:5: here is to be a mapping"},
		{"version: 1\n--- \nversion: 1\n", "a: more than one document"},
		{"version: 1\n  profile: strict\n", "a: "},
		{"version: 1\nignore:\n  - { rule: SPA-001, reason: \"" + strings.Repeat("x", 501) + "\" }\n", "this has more than 500 characters"},
		{"version: 1\n" + strings.Repeat("#", maxConfig), "a has more than"},
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, c := range refused() {
		got, err := ParseConfig("a", []byte(c[0]))
		if err == nil || !strings.HasPrefix(err.Error(), "a") || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%.200q: got %v, want %q", c[0], err, c[1])
		}
		if !reflect.DeepEqual(got, Config{}) {
			t.Errorf("%.200q: a configuration that is refused came back: %+v", c[0], got)
		}
	}
}

// TestParseConfigTellsAll: not only the first mistake, and not without end.
func TestParseConfigTellsAll(t *testing.T) {
	_, err := ParseConfig("a", []byte("version: 1\nx: 1\ny: 2\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
	_, err = ParseConfig("a", []byte("version: 1\nlow: ["+strings.Repeat("7,", 900)+"]\n"))
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems-1 {
		t.Errorf("got %d lines", strings.Count(fmt.Sprint(err), "\n"))
	}
}

// TestSchema: the schema takes what the parser takes, and refuses what it
// refuses, as far as a schema can say it.
func TestSchema(t *testing.T) {
	beyond := map[string]bool{"there is no such rule": true, "this is no pattern": true, "comes a second time": true, "document": true, "a: ": true, "here is to be a mapping\"": true, "a has more than": true}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("audit.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("audit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(values(t, wholeConfig)); err != nil {
		t.Error(err)
	}
	tried := 0
	for _, r := range refused() {
		v, ok := tryValues(r[0])
		for b := range beyond {
			ok = ok && !strings.Contains(r[1], b)
		}
		if !ok || strings.Contains(r[0], "*a") {
			continue
		}
		if tried++; s.Validate(v) == nil {
			t.Errorf("the schema takes %.200q", r[0])
		}
	}
	if tried < 20 {
		t.Errorf("only %d were tried", tried)
	}
}

func values(t *testing.T, text string) any {
	t.Helper()
	v, ok := tryValues(text)
	if !ok {
		t.Fatalf("no values in %q", text)
	}
	return v
}

// tryValues reads YAML as JSON would have it: a day is text.
func tryValues(text string) (any, bool) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil || len(n.Content) == 0 {
		return nil, false
	}
	return jsonOf(n.Content[0]), true
}

func jsonOf(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = jsonOf(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, jsonOf(c))
		}
		return l
	case yaml.ScalarNode:
		if n.Tag == "!!int" {
			var i int
			if n.Decode(&i) == nil {
				return i
			}
		}
		if n.Tag == "!!null" {
			return nil
		}
	}
	return n.Value
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{".github/workflows/*.yml", ".github/workflows/a.yml", true}, {".github/workflows/*.yml", ".github/workflows/sub/a.yml", false},
		{".github/workflows/*.yml", ".github/workflows/a.yaml", false}, {"**", "a/b/c", true}, {"**/a.yml", "a.yml", true}, {"**/a.yml", "x/y/a.yml", true},
		{"**/a.yml", "x/y/ba.yml", false}, {"x/**", "x", true}, {"x/**", "x/y/z", true}, {"x/**/z", "x/z", true}, {"x/**/z", "x/y/y/z", true}, {"x/**/z", "x/y", false},
		{"a", "a/b", false}, {"a/b", "a", false}, {"*", "a/b", false}, {"a?c", "abc", true},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) is %v", c.pattern, c.name, got)
		}
	}
	hard := strings.Repeat("**/", 300) + "x"
	if match(hard, strings.Repeat("a/", 300)+"y") {
		t.Error("it fits")
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(wholeConfig))
	for _, c := range refused() {
		if len(c[0]) < 1000 {
			f.Add([]byte(c[0]))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig("a", raw)
		if err == nil && c.Version != 1 {
			t.Errorf("%+v", c)
		}
		for _, g := range c.Ignore {
			if strings.TrimSpace(g.Reason) == "" || g.Rule == "" || g.Line == 0 {
				t.Errorf("an entry without a reason, a rule or a line: %+v", g)
			}
		}
	})
}

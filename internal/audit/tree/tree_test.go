package tree

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

func parse(t *testing.T, text string) Node {
	t.Helper()
	docs, err := Parse("f.yml", []byte(text))
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents: %v", len(docs), err)
	}
	return docs[0]
}

func TestGet(t *testing.T) {
	n := parse(t, `
base: &base { a: 1, b: 2 }
more: &more { b: 3, c: 4 }
one: { <<: *base, b: own }
two: { <<: [*more, *base], d: 5 }
alias: *base
list: [x, [y], ~]
single: z
empty:
`)
	for path, want := range map[string]string{
		"one/a": "1", "one/b": "own", "two/b": "3", "two/a": "1", "two/c": "4", "two/d": "5", "alias/b": "2", "single": "z", "empty": "", "nowhere/deep": "", "one/c": "",
	} {
		if got := n.Get(strings.Split(path, "/")...).Text(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	var keys []string
	for _, p := range n.Get("two").Pairs() {
		keys = append(keys, p.Key.Text())
	}
	if !slices.Equal(keys, []string{"d", "b", "c", "a"}) {
		t.Errorf("keys of a merge: %v", keys)
	}
	if !n.Get("empty").Exists() || n.Get("nowhere").Exists() || len(n.Get("empty").List()) != 0 || len(n.Get("single").List()) != 1 {
		t.Error("a key without a value is there and lists nothing; one value lists itself")
	}
	if got := n.Get("list").Texts(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("texts: %v", got)
	}
}

// TestPlaces: findings stand where people look.
func TestPlaces(t *testing.T) {
	n := parse(t, "a: plain\nb: |\n  one\n  two\n\nc: >-\n  three\n  four\nd: \"quoted\"\ne: |\n\n  after a blank\n")
	for key, want := range map[string][3]int{ // line and column of the text, last line
		"a": {1, 4, 1}, "b": {3, 3, 4}, "c": {7, 3, 7}, "d": {9, 5, 9}, "e": {11, 3, 12},
	} {
		v := n.Get(key)
		p := v.TextPlace()
		if p.Line != want[0] || p.Column != want[1] || p.File != "f.yml" {
			t.Errorf("%s begins at %v, want %v", key, p, want)
		}
		if end := v.Span().End; end != want[2] {
			t.Errorf("%s ends in line %d, want %d", key, end, want[2])
		}
	}
	if !n.Get("c").Folded() || n.Get("b").Folded() {
		t.Error("a folded text has other lines than the file, a literal one has not")
	}
}

// TestLimits: a hostile file costs no more than its limits, and says so.
func TestLimits(t *testing.T) {
	for name, text := range map[string]string{
		"ten megabytes":   "a: " + strings.Repeat("x", 10<<20),
		"brackets":        "a: " + strings.Repeat("[", 100_000),
		"indentation":     strings.Repeat("- ", 100_000) + "x",
		"no YAML":         "a: [b",
		"a tab for space": "a:\n\t- b",
	} {
		if _, err := Parse("f.yml", []byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		b.WriteString("a" + strconv.Itoa(i) + ": &a" + strconv.Itoa(i) + " [" + strings.TrimSuffix(strings.Repeat("*a"+strconv.Itoa(i-1)+", ", 10), ", ") + "]\n")
	}
	n := parse(t, b.String())
	count := 0
	var walk func(Node)
	walk = func(m Node) {
		count++
		for _, i := range m.Items() {
			walk(i)
		}
	}
	walk(n.Get("a11"))
	if !n.Over() || count > 2*maxNodes {
		t.Errorf("%d parts of a bomb of aliases were looked at, over: %v", count, n.Over())
	}
}

func TestLoad(t *testing.T) {
	repo := fstest.MapFS{"a.yml": {Data: []byte("x: 1\n---\ny: 2\n")}, "empty.yml": {Data: nil}}
	if all, err := LoadAll(repo, "a.yml"); err != nil || len(all) != 2 || all[1].Get("y").Text() != "2" {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []string{"empty.yml", "nowhere.yml"} {
		if _, err := Load(repo, bad); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if _, err := Load(nil, "a.yml"); err == nil {
		t.Error("no repository was read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: &a [*a]\nb: {<<: *a}\nc: |\n  x\n"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		docs, err := Parse("f.yml", raw)
		if err != nil {
			return
		}
		for _, n := range docs {
			for _, p := range n.Pairs() {
				_, _, _ = p.Value.Span(), p.Value.TextPlace(), p.Value.Texts()
			}
		}
	})
}

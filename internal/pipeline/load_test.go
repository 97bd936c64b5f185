package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/boundary"
)

const vectorDir = "../../spec/vectors/yaml"

type vector struct {
	File   string   `json:"file"`
	Accept bool     `json:"accept"`
	Codes  []string `json:"codes"`
	Line   int      `json:"line"`
	Column int      `json:"column"`
}

func vectors(t testing.TB) []vector {
	data, err := os.ReadFile(filepath.Join(vectorDir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, name string) []byte {
	data, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVectors(t *testing.T) {
	all := vectors(t)
	accepted := 0
	for _, v := range all {
		p, err := Load(FileName, read(t, v.File))
		if v.Accept {
			accepted++
			if err != nil {
				t.Errorf("%s is refused:\n%v", v.File, err)
			} else if cs := boundary.Check(p.Graph("sallyport.local")); len(cs) > 0 {
				t.Errorf("%s has a crossing: %+v", v.File, cs)
			}
			continue
		}
		var errs Errors
		if !errors.As(err, &errs) || p != nil {
			t.Errorf("%s is taken, wants %v", v.File, v.Codes)
			continue
		}
		checkErrors(t, v, errs)
	}
	if len(all) < 60 || len(all)-accepted < 3*accepted {
		t.Errorf("%d vectors, %d accepted: wants at least 60, and 3 refusals to each acceptance", len(all), accepted)
	}
}

func checkErrors(t *testing.T, v vector, errs Errors) {
	t.Helper()
	var codes []string
	found := false
	for _, e := range errs {
		codes = append(codes, e.Code)
		if e.Code == v.Codes[0] && (v.Line == 0 || e.Line == v.Line && e.Column == v.Column) {
			found = true
		}
		if !slices.ContainsFunc(Codes(), func(c Code) bool { return c.Code == e.Code }) {
			t.Errorf("%s: code %s is not listed", v.File, e.Code)
		}
	}
	if v.Line == 0 {
		return
	}
	slices.Sort(codes)
	want := slices.Sorted(slices.Values(v.Codes))
	if !slices.Equal(codes, want) || !found {
		t.Errorf("%s: wants %v at %d:%d, got\n%v", v.File, v.Codes, v.Line, v.Column, errs)
	}
}

func compiled(t testing.TB) *jsonschema.Schema { return compile(t, SchemaID, Schema()) }

func compile(t testing.TB, id string, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource(id, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain turns YAML into JSON values by the core schema.
func plain(t testing.TB, n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, plain(t, c))
		}
		return out
	}
	switch kindOf(n) {
	case isNull:
		return nil
	case wantBool:
		return strings.EqualFold(n.Value, "true")
	case wantInt:
		// Beyond every limit of the format, exactness no longer matters.
		var c count
		if c.within(n.Value, 1<<30) != nil {
			return json.Number("-1")
		}
		return json.Number(itoa(c.n))
	case isFloat:
		return json.Number("0.5")
	}
	return n.Value
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestSchemaAgreesWithParser(t *testing.T) {
	schema := compiled(t)
	agreed := 0
	for _, v := range vectors(t) {
		data := read(t, v.File)
		root := parse(newReport(v.File, data), data)
		if root == nil {
			if v.Accept || level(v.Codes[0]) != LevelText {
				t.Errorf("%s does not even parse", v.File)
			}
			continue
		}
		err := schema.Validate(plain(t, root))
		switch {
		case v.Accept && err != nil:
			t.Errorf("%s: the parser takes it, the schema does not: %v", v.File, err)
		case !v.Accept && level(v.Codes[0]) == LevelShape && err == nil:
			if v.File == "E-YAML-TYPE.version-float.yaml" {
				continue // JSON cannot tell 1.0 from 1
			}
			t.Errorf("%s: the parser refuses it, the schema does not", v.File)
		case !v.Accept && level(v.Codes[0]) == LevelMeaning && err != nil:
			t.Errorf("%s: refused for its meaning, but the schema refuses its shape: %v", v.File, err)
		}
		agreed++
	}
	t.Logf("%d files", agreed)
}

func level(code string) Level {
	for _, c := range Codes() {
		if c.Code == code {
			return c.Level
		}
	}
	return ""
}

func TestEveryCodeHasAVector(t *testing.T) {
	have := map[string]bool{"E-YAML-SIZE": true} // TestSize makes its own
	for _, v := range vectors(t) {
		for _, c := range v.Codes {
			have[c] = true
		}
	}
	for _, c := range Codes() {
		if c.Level != LevelProject && c.Code != "E-MORE" && !have[c.Code] {
			t.Errorf("%s has no vector", c.Code)
		}
		if c.Text == "" {
			t.Errorf("%s is not explained", c.Code)
		}
	}
}

func TestSize(t *testing.T) {
	data := []byte("version: 1\nname: shop\nstages: { build: { run: [make] } }\n#")
	data = append(data, bytes.Repeat([]byte("x"), maxFile-len(data))...)
	if _, err := Load(FileName, data); err != nil {
		t.Errorf("1 MiB is refused: %v", err)
	}
	_, err := Load(FileName, append(data, 'x'))
	var e *Error
	if !errors.As(err, &e) || e.Code != "E-YAML-SIZE" {
		t.Errorf("more than 1 MiB: %v", err)
	}
}

// Files of 1 MiB that are hard for one parser or another: each is judged, and
// quickly enough that a test run does not notice.
func TestHeavyFiles(t *testing.T) {
	for name, unit := range map[string]string{
		"brackets": "[", "braces": "{", "pairs": "{a: ", "dashes": "- ", "questions": "? ", "comments": "#\n", "keys": "a: b\n",
		"quotes": "'", "anchors": "&a ", "blank lines": "\n", "items": "- a\n", "colons": ":\n", "tags": "!a ", "flow": "a,",
	} {
		for _, head := range []string{"", "version: 1\nname: shop\nstages:\n  build:\n    run: ["} {
			if _, err := Load(FileName, []byte(head+strings.Repeat(unit, (maxFile-100)/len(unit)))); err == nil {
				t.Errorf("%s are taken", name)
			}
		}
	}
}

func TestErrorInWords(t *testing.T) {
	_, err := Load(FileName, []byte("version: 1\nname: shop\nstages:\n  build:\n    runn: [make]\n"))
	want := `sallyport.yaml:5:5: E-YAML-UNKNOWN-KEY: there is no key "runn" here
    5 |     runn: [make]
      |     ^~~~
  help: did you mean "run"?`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAllErrorsAreTold(t *testing.T) {
	_, err := Load(FileName, []byte("version: 1\nname: shop\nstages:\n  a: { run: [x] }\n  b: { run: [x] }\n  release: { run: [x] }\n"))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 4 {
		t.Errorf("wants 4 errors, got\n%v", err)
	}
	_, err = Load(FileName, []byte("version: 1\nname: shop\nstages:\n"+strings.Repeat("\t\n", 100)))
	if !errors.As(err, &errs) || len(errs) != maxProblems+1 || errs[maxProblems].Code != "E-MORE" {
		t.Errorf("wants %d errors and one that counts the rest, got %d", maxProblems, len(errs))
	}
}

// A long line is shown around the place, and nothing in it reaches the terminal
// as a command.
func TestSnippet(t *testing.T) {
	long := "name: " + strings.Repeat("x", 300) + " # \u202e \x1b[2J"
	r := newReport("f", []byte(long))
	got := r.snippet(mark{1, 250, 5})
	lines := strings.Split(got, "\n")
	if len(lines) != 2 || len([]rune(lines[0])) > snippetWidth+10 || strings.IndexByte(lines[1], '^') < 20 {
		t.Errorf("got\n%s", got)
	}
	if s := r.snippet(mark{1, 300, 1}); strings.ContainsAny(s, "\x1b\u202e") {
		t.Errorf("hidden characters come through: %q", s)
	}
	if r.snippet(mark{9, 1, 1}) != "" || r.snippet(mark{0, 0, 0}) != "" {
		t.Error("a place that is not there has a snippet")
	}
}

func TestDesignExample(t *testing.T) {
	p, err := Load(FileName, read(t, "ok.design.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := stageNames(p); got != "fetch generate build test verify release" {
		t.Errorf("order: %s", got)
	}
	if n := p.Gateway.Npm; len(n) != 1 || n[0].Dir != "web" || n[0].Lockfile != "web/package-lock.json" || n[0].MinAge != 72*time.Hour {
		t.Errorf("npm: %+v", n)
	}
	if g := p.Gateway.Go; len(g) != 1 || g[0].Dir != "." || g[0].Lockfile != "go.sum" {
		t.Errorf("go: %+v", g)
	}
	release, _ := p.Stage("release")
	if a := release.Approve; a == nil || a.Count != 2 || !a.NotAuthor || a.Expires != 24*time.Hour || release.When.Tag != "v*" {
		t.Errorf("release: %+v", release)
	}
	if id := p.Identities["registry-push"]; id.TTL != 10*time.Minute {
		t.Errorf("identity: %+v", id)
	}
	g := p.Graph("sallyport.local")
	if u := p.Unmet(g); len(u) != 0 {
		t.Errorf("expectations do not hold: %v", u)
	}
}

func stageNames(p *Pipeline) string {
	var names []string
	for _, s := range p.Stages {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

func TestInputsNearestFirst(t *testing.T) {
	p, err := Load(FileName, read(t, "ok.design.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, in := range p.Inputs("test") {
		got = append(got, in.Stage+" "+in.Path)
	}
	want := []string{"build dist/shop", "build web/dist", "generate web/node_modules", "fetch web/node_modules", "fetch $GOMODCACHE"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnmetExpectations(t *testing.T) {
	p, err := Load(FileName, []byte(`version: 1
name: shop
stages:
  build: { run: [make], out: { server: s } }
  verify: { from: [build] }
  release: { from: [verify] }
expect:
  - { zone: build, cannot: run:project-code }
  - { zone: build, can: "sign:*" }
  - { zone: release, can: "sign:*" }
  - { zone: release, cannot: "publish:layout" }
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range p.Unmet(p.Graph("sallyport.local")) {
		got = append(got, u.String())
	}
	want := []string{
		"expected: build cannot run:project-code; but build holds run:project-code",
		"expected: build can sign:*; but build cannot sign: only release and deploy hold such authority; it holds run:project-code",
		"expected: release cannot publish:layout; but release holds publish:layout",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestDigestIsOfTheMeaning(t *testing.T) {
	load := func(s string) *Pipeline {
		p, err := Load(FileName, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := load("version: 1\nname: shop\nstages: { build: { run: [make], env: { A: x, B: y } } }\n")
	b := load("# a comment\nname: shop\nversion: 1\nstages:\n  build:\n    env: { B: y, A: x }\n    run: [make]\n")
	c := load("version: 1\nname: shop\nstages: { build: { run: [make all], env: { A: x, B: y } } }\n")
	if a.Digest() != b.Digest() || a.Digest() == c.Digest() {
		t.Errorf("%s\n%s\n%s", a.Canonical(), b.Canonical(), c.Canonical())
	}
}

func TestGraphInATrustDomainThatIsNone(t *testing.T) {
	p, err := Load(FileName, read(t, "ok.publish-folder.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cs := boundary.Check(p.Graph("Not A Domain")); len(cs) == 0 {
		t.Error("a release without identities is let through")
	}
}

// Two stages that share one credential over zones are the graph's to find.
func TestGraphShowsASharedIdentity(t *testing.T) {
	p, err := Load(FileName, read(t, "ok.publish-two.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	g := p.Graph("sallyport.local")
	for i := range g.Nodes {
		if g.Nodes[i].ID == "build" {
			g.Nodes[i].Holds = append(g.Nodes[i].Holds, boundary.Holding{Authority: boundary.Authority{Verb: boundary.VerbSecret, Object: "x"}, Identity: "push"})
		}
	}
	var rules []string
	for _, c := range boundary.Check(g) {
		rules = append(rules, string(c.Rule))
	}
	if !slices.Contains(rules, "SP1") || !slices.Contains(rules, "SP2") {
		t.Errorf("got %v", rules)
	}
}

func FuzzLoad(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(read(f, v.File))
	}
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Load(FileName, data)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || err.Error() == "" {
				t.Fatalf("an error without words: %#v", err)
			}
			return
		}
		root := parse(newReport(FileName, data), data)
		if err := schema.Validate(plain(t, root)); err != nil {
			t.Fatalf("the parser takes what the schema refuses: %v", err)
		}
		if cs := boundary.Check(p.Graph("sallyport.local")); len(cs) > 0 && cs[0].Rule == "" {
			t.Fatalf("the graph cannot be judged: %s", cs[0].Text)
		}
		p.Unmet(p.Graph("sallyport.local"))
		if p.Digest().IsZero() {
			t.Fatal("no digest")
		}
	})
}

// The most stages and paths that a file may have are still judged quickly.
func TestManyStages(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nname: shop\nstages:\n")
	for i := range maxItems {
		b.WriteString("  s" + itoa(i) + ": { zone: build, run: [make]")
		if i > 0 {
			b.WriteString(", from: [s0")
			for j := 1; j < i; j++ {
				b.WriteString(", s" + itoa(j))
			}
			b.WriteString("]")
		}
		b.WriteString(", keep: [a0")
		for j := 1; j < maxPaths/maxItems; j++ {
			b.WriteString(", a" + itoa(j))
		}
		b.WriteString("] }\n")
	}
	p, err := Load(FileName, []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if cs := boundary.Check(p.Graph("sallyport.local")); len(cs) > 0 {
		t.Errorf("%+v", cs[0])
	}
	more := strings.ReplaceAll(b.String(), "[a0,", "[more, a0,")
	var e *Error
	if _, err := Load(FileName, []byte(more)); !errors.As(err, &e) || e.Code != "E-PATH" {
		t.Errorf("more than %d paths: %v", maxPaths, err)
	}
}

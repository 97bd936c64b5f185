package gate

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

const vectors = "../../spec/vectors/gate/"

type vector struct {
	Name   string `json:"name"`
	Change []struct {
		Path   string `json:"path"`
		Value  any    `json:"value"`
		Remove bool   `json:"remove"`
	} `json:"change"`
	Default []string `json:"default"`
	Strict  []string `json:"strict"`
	Warns   []string `json:"warns"`
	Records []string `json:"records"`
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(vectors + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func goodRun(t testing.TB) *evidence.Run {
	var r evidence.Run
	decode(t, read(t, "run.json"), &r)
	return &r
}

// changed applies a vector's changes to run.json.
func (v vector) changed(t testing.TB) *evidence.Run {
	t.Helper()
	var doc any
	decode(t, read(t, "run.json"), &doc)
	for _, c := range v.Change {
		parts := strings.Split(strings.TrimPrefix(c.Path, "/"), "/")
		at := doc
		for _, p := range parts[:len(parts)-1] {
			at = step(t, at, p)
		}
		last := parts[len(parts)-1]
		switch m := at.(type) {
		case map[string]any:
			if c.Remove {
				delete(m, last)
			} else {
				m[last] = c.Value
			}
		case []any:
			i, err := strconv.Atoi(last)
			if err != nil {
				t.Fatal(err)
			}
			m[i] = c.Value
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var r evidence.Run
	decode(t, b, &r)
	return &r
}

func step(t testing.TB, at any, p string) any {
	switch m := at.(type) {
	case map[string]any:
		return m[p]
	case []any:
		i, err := strconv.Atoi(p)
		if err != nil {
			t.Fatal(err)
		}
		return m[i]
	}
	t.Fatalf("no %s", p)
	return nil
}

func load(t testing.TB, name string) *Policy {
	t.Helper()
	p, err := LoadPolicy(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ids(results []Result) []string {
	out := []string{}
	for _, r := range results {
		out = append(out, r.Rule)
	}
	slices.Sort(out)
	return out
}

func TestVectors(t *testing.T) {
	var cases []vector
	decode(t, read(t, "cases.json"), &cases)
	first := goodRun(t).Artifacts[0]
	refused := map[string]bool{}
	for _, v := range cases {
		for name, want := range map[string][]string{"default": v.Default, "strict": v.Strict} {
			t.Run(name+"/"+v.Name, func(t *testing.T) {
				verdict, err := Decide(load(t, name), v.changed(t), first)
				got := []string{}
				var denied *Denied
				if errors.As(err, &denied) {
					got = ids(denied.Rules)
					checkDenied(t, denied)
				} else if err != nil {
					t.Fatal(err)
				}
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("denied by %v, wanted %v", got, want)
				}
				if verdict.Valid() != (len(want) == 0) {
					t.Errorf("verdict valid %v with %v denying", verdict.Valid(), want)
				}
				if name == "default" && len(want) == 0 {
					compare(t, "warnings", ids(verdict.Warnings()), v.Warns)
					compare(t, "records", ids(verdict.Records()), v.Records)
				}
				for _, r := range got {
					refused[name+" "+r] = true
				}
			})
		}
	}
	// Each rule that can deny has a vector that only it, and what implies it, refuses.
	for _, name := range Builtin() {
		for _, r := range load(t, name).Rules() {
			if r.Severity == Deny && !refused[name+" "+r.ID] {
				t.Errorf("no vector breaks rule %s of %s", r.ID, name)
			}
		}
	}
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s %v, wanted %v", what, got, want)
	}
}

func checkDenied(t *testing.T, d *Denied) {
	t.Helper()
	for _, r := range d.Rules {
		if r.Wanted == "" || r.Got == "" || r.Do == "" {
			t.Errorf("rule %s lacks wanted, got or what to do: %+v", r.Rule, r)
		}
		if !strings.Contains(d.Error(), r.Rule) {
			t.Errorf("the error does not name rule %s: %s", r.Rule, d)
		}
	}
}

func TestVerdictSaysWhatWasDecided(t *testing.T) {
	r, p := goodRun(t), load(t, "default")
	v, err := Decide(p, r, r.Artifacts[1])
	if err != nil {
		t.Fatal(err)
	}
	sum, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if v.Run() != "42" || v.Artifact() != r.Artifacts[1] || v.Evidence() != sum || v.Policy() != p.Ref() || len(v.Results()) != len(p.Rules())+2 {
		t.Errorf("verdict %+v", v)
	}
	if v.Results()[0].Rule = "changed"; v.Results()[0].Rule == "changed" {
		t.Error("a verdict can be changed through Results")
	}
	r.Reason = "changed later"
	if again, _ := r.Digest(); again == v.Evidence() {
		t.Error("changed evidence has the same digest")
	}
}

func TestNoEvidenceNoVerdict(t *testing.T) {
	r := goodRun(t)
	for name, f := range map[string]func() (Verdict, error){
		"no policy":    func() (Verdict, error) { return Decide(nil, r, r.Artifacts[0]) },
		"empty policy": func() (Verdict, error) { return Decide(&Policy{}, r, r.Artifacts[0]) },
		"no run":       func() (Verdict, error) { return Decide(load(t, "default"), nil, r.Artifacts[0]) },
		"no artifact":  func() (Verdict, error) { return Decide(load(t, "default"), r, evidence.Artifact{}) },
		"empty run":    func() (Verdict, error) { return Decide(load(t, "default"), &evidence.Run{}, evidence.Artifact{}) },
	} {
		if v, err := f(); err == nil || v.Valid() {
			t.Errorf("%s: a verdict was given", name)
		}
	}
	if (Verdict{}).Valid() {
		t.Error("the zero verdict is valid")
	}
}

func policyText(rule string) []byte {
	return []byte("schema: sallyport/policy/v1\nname: own\nversion: 1\nrules:\n  - id: one\n    message: m\n    severity: record\n" + rule)
}

// A rule that cannot be evaluated denies, also one that would only be recorded.
func TestRuleThatFailsDenies(t *testing.T) {
	r := goodRun(t)
	for name, expr := range map[string]string{
		"error":    `run.parameters["nothing"] == "x"`,
		"index":    `run.stages[100].name == ""`,
		"cost":     `run.materials.list.all(a, run.materials.list.all(b, run.materials.list.all(c, run.materials.list.all(d, run.materials.list.all(e, run.materials.list.all(f, run.materials.list.all(g, run.materials.list.all(h, run.materials.list.all(i, run.materials.list.all(j, a.purl + b.purl + c.purl != "")))))))))) `,
		"division": `1 / (run.materials.served - 4) == 1`,
	} {
		p, err := ParsePolicy("own.yaml", policyText("    expr: '"+expr+"'\n"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = Decide(p, r, r.Artifacts[0])
		var denied *Denied
		if !errors.As(err, &denied) || denied.Rules[0].Rule != "one" || !strings.Contains(denied.Rules[0].Got, "could not be evaluated") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGotThatFailsStillDenies(t *testing.T) {
	p, err := ParsePolicy("own.yaml", []byte(strings.Replace(string(policyText("    expr: 'false'\n    got: 'run.stages[100].name'\n")), "record", "deny", 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := goodRun(t)
	if _, err := Decide(p, r, r.Artifacts[0]); err == nil {
		t.Error("a rule whose got fails let the artifact pass")
	}
}

func TestPolicyDocuments(t *testing.T) {
	good := string(policyText("    expr: 'true'\n"))
	for name, c := range map[string]struct {
		text, want string
		line       int
	}{
		"empty":          {"", "empty", 0},
		"schema":         {strings.Replace(good, "policy/v1", "policy/v2", 1), "schema", 0},
		"unknown key":    {good + "    sevirity: deny\n", "sevirity", 0},
		"duplicate key":  {good + "    message: other\n", "already", 0},
		"duplicate rule": {good + "  - {id: one, message: m, severity: deny, expr: 'true'}\n", "twice", 9},
		"not bool":       {string(policyText("    expr: run.id\n")), "not a bool", 5},
		"unknown field":  {string(policyText("    expr: run.idd == ''\n")), "undefined field", 5},
		"type error":     {string(policyText("    expr: run.id == 4\n")), "overload", 5},
		"got not string": {string(policyText("    expr: 'true'\n    got: run.stages\n")), "not a string", 5},
		"dyn":            {string(policyText("    expr: dyn(run)\n")), "not a bool", 5},
		"severity":       {strings.Replace(good, "record", "maybe", 1), "severity", 5},
		"no message":     {strings.Replace(good, "    message: m\n", "", 1), "message", 5},
		"alias":          {good + "    do: &a x\n    got: *a\n", "anchors", 9},
		"two documents":  {good + "---\n" + good, "more than one", 0},
		"base":           {good + "extends: /etc/passwd\n", "extends", 0},
		"boundary rule":  {good + "    rule: SP99\n", "SP99", 5},
		"clash in base":  {"schema: sallyport/policy/v1\nname: own\nversion: 1\nextends: default\nrules:\n  - {id: secrets-none, message: m, severity: record, expr: 'true'}\n", "twice", 6},
		"name":           {strings.Replace(good, "name: own", "name: ../x", 1), "name", 0},
		"huge":           {good + "#" + strings.Repeat("x", maxPolicy), "larger", 0},
		"huge expr":      {string(policyText("    expr: '" + strings.Repeat("true && ", 2000) + "true'\n")), "size", 5},
	} {
		_, err := ParsePolicy("own.yaml", []byte(c.text))
		var pe *PolicyError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.want) || c.line > 0 && pe.Line != c.line {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParsePolicy("own.yaml", []byte(good)); err != nil {
		t.Error(err)
	}
	if _, err := LoadPolicy("nowhere.yaml"); err == nil {
		t.Error("a policy that is not there was loaded")
	}
}

func TestExtends(t *testing.T) {
	text := []byte("schema: sallyport/policy/v1\nname: ours\nversion: 3\nextends: default\nrules:\n" +
		"  - {id: from-our-forge, message: from our forge, severity: deny, expr: 'run.source.uri.startsWith(\"git+https://forge.example/\")', got: run.source.uri, do: build from the forge}\n")
	p, err := ParsePolicy("ours.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	base, err := builtin.ReadFile("policies/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := digest.Of(append(slices.Clone(text), base...)); p.Ref().Digest != want || p.Ref().URI != "urn:sallyport:policy:ours@v3" {
		t.Errorf("ref %+v", p.Ref())
	}
	r := goodRun(t)
	_, err = Decide(p, r, r.Artifacts[0])
	var denied *Denied
	if !errors.As(err, &denied) || !slices.Equal(ids(denied.Rules), []string{"from-our-forge"}) {
		t.Errorf("%v", err)
	}
	r.Secrets = append(r.Secrets, evidence.Finding{Rule: "x", Where: "y"})
	_, err = Decide(p, r, r.Artifacts[0])
	if !errors.As(err, &denied) || !slices.Equal(ids(denied.Rules), []string{"from-our-forge", "secrets-none"}) {
		t.Errorf("the base's rules were lost: %v", err)
	}
}

func TestBuiltinRefs(t *testing.T) {
	for _, name := range Builtin() {
		ref := load(t, name).Ref()
		b, err := os.ReadFile("policies/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if ref.Digest != digest.Of(b) || ref.Name != name || ref.URI != "https://github.com/sallyport/sallyport/policies/"+name+"@v1" {
			t.Errorf("%+v", ref)
		}
	}
	copied := t.TempDir() + "/default.yaml"
	b, err := os.ReadFile("policies/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, append(b, "# changed\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if ref := load(t, copied).Ref(); strings.HasPrefix(ref.URI, "https://github.com/sallyport/") {
		t.Errorf("a changed policy names itself %s", ref.URI)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(read(f, "run.json"), 0)
	f.Add([]byte(`{"state":"success","artifacts":[{"name":"a"}]}`), 0)
	policies := []*Policy{load(f, "default"), load(f, "strict")}
	f.Fuzz(func(t *testing.T, b []byte, i int) {
		var r evidence.Run
		if json.Unmarshal(b, &r) != nil {
			return
		}
		var a evidence.Artifact
		if len(r.Artifacts) > 0 {
			a = r.Artifacts[uint(i)%uint(len(r.Artifacts))]
		}
		for _, p := range policies {
			v, err := Decide(p, &r, a)
			if v.Valid() != (err == nil) {
				t.Fatalf("verdict %v with error %v", v.Valid(), err)
			}
			if v.Valid() && (r.State != evidence.Success || a.Digest.IsZero() || !r.SecretsRun) {
				t.Fatalf("a verdict for a run in state %q", r.State)
			}
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	for _, name := range Builtin() {
		b, err := builtin.ReadFile("policies/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(policyText("    expr: run.stages.exists(s, s.name.matches('a+'))\n"))
	r := goodRun(f)
	r.State = evidence.Failed
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy("f.yaml", b)
		if err != nil {
			return
		}
		if v, err := Decide(p, r, r.Artifacts[0]); err == nil || v.Valid() {
			t.Fatal("a policy let a failed run pass")
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p, small := load(b, "default"), goodRun(b)
	large := goodRun(b)
	for range 500 {
		large.Planned = append(large.Planned, small.Planned[:2]...)
		large.Served = append(large.Served, small.Served[:2]...)
	}
	for name, r := range map[string]*evidence.Run{"4 materials": small, "1004 materials": large} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decide(p, r, r.Artifacts[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

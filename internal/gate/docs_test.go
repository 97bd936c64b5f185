package gate

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gate/facts"
)

// The examples of docs/policy.md do what the page says.
func TestPolicyPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```.*?```text\n(.*?)\n```").FindAllStringSubmatch(page, -1)
	if len(examples) < 3 || len(examples) != strings.Count(page, "```yaml") {
		t.Fatalf("%d examples with an outcome", len(examples))
	}
	r := goodRun(t)
	for _, e := range examples {
		p, err := ParsePolicy("page.yaml", []byte(e[1]))
		if err != nil {
			t.Errorf("%v:\n%s", err, e[1])
			continue
		}
		got := "passes"
		if _, err := Decide(p, r, r.Artifacts[0]); err != nil {
			got = err.Error()
		}
		if got != e[2] {
			t.Errorf("policy %s: %s\nthe page says: %s", p.Ref().Name, got, e[2])
		}
	}
	for _, name := range Builtin() {
		for _, rule := range load(t, name).Rules() {
			if !strings.Contains(page, "`"+rule.ID+"`") {
				t.Errorf("the page does not name rule %s of %s", rule.ID, name)
			}
		}
	}
}

// The page names everything that rules can see.
func TestPolicyPageNamesEveryFact(t *testing.T) {
	b, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[facts.Run]().PkgPath() || seen[typ] {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			if name := f.Tag.Get("cel"); name == "" || !strings.Contains(string(b), "."+name+"`") {
				t.Errorf("the page does not name %s of %s", name, typ.Name())
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[facts.Run]())
	walk(reflect.TypeFor[facts.Artifact]())
}

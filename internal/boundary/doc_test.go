package boundary

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write into the page what its examples give")

const page = "../../docs/model.md"

// Each example of docs/model.md is a graph and the crossings of one rule that
// it has, as they are told.
func TestModelPage(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)### (SP[1-9])[^#]*?```json\n(.*?)```\n\n```text\n(.*?)```")
	seen := []string{}
	text := example.ReplaceAllStringFunc(string(data), func(block string) string {
		m := example.FindStringSubmatch(block)
		seen = append(seen, m[1])
		got := told(t, m[1], m[2])
		if got != m[3] && !*update {
			t.Errorf("%s: the page says\n%sit is\n%s", m[1], m[3], got)
		}
		return strings.Replace(block, "```text\n"+m[3], "```text\n"+got, 1)
	})
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 9 {
		id := Rule(fmt.Sprint("SP", i+1))
		if !slices.Contains(seen, string(id)) || !strings.Contains(text, id.Text()) {
			t.Errorf("%s has no example, or not its own words: %q", id, id.Text())
		}
	}
}

func told(t *testing.T, rule, graph string) string {
	var g Graph
	dec := json.NewDecoder(strings.NewReader(graph))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&g); err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	var b strings.Builder
	for _, c := range Check(g) {
		if string(c.Rule) != rule {
			continue
		}
		fmt.Fprintf(&b, "%s  %s\n", c.Rule, c.Text)
		for i, s := range c.Path {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, s.Text)
		}
	}
	return b.String()
}

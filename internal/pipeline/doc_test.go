package pipeline

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Each example of docs/pipeline.md is a whole file. It is taken, its
// expectations hold and it has no crossing; or what follows it is exactly what is
// said about it.
func TestPipelinePage(t *testing.T) {
	const page = "../../docs/pipeline.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```\n(\n```text\n(.*?)```\n)?")
	text := example.ReplaceAllStringFunc(string(data), func(block string) string {
		n++
		m := example.FindStringSubmatch(block)
		p, err := Load(FileName, []byte(m[1]))
		if m[2] == "" {
			if err != nil {
				t.Errorf("example %d is refused:\n%v", n, err)
			} else if g := p.Graph("sallyport.local"); len(boundary.Check(g)) > 0 || len(p.Unmet(g)) > 0 {
				t.Errorf("example %d: crossings %v, unmet %v", n, boundary.Check(g), p.Unmet(g))
			}
			return block
		}
		got := fmt.Sprintln(err)
		if got != m[3] && !*update {
			t.Errorf("example %d: the page says\n%sit is\n%s", n, m[3], got)
		}
		return strings.Replace(block, "```text\n"+m[3], "```text\n"+got, 1)
	})
	if n < 6 {
		t.Errorf("%d examples are found", n)
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The page of the format lists every code, in its own words.
func TestSpecListsCodes(t *testing.T) {
	const page = "../../spec/sallyport-yaml.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| code | refused for | meaning |\n|---|---|---|\n")
	for _, c := range Codes() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", c.Code, c.Level, c.Text)
	}
	if *update {
		text := regexp.MustCompile(`(?s)(CODES|\| code \|.*?\n)\n\n?## Vectors`).ReplaceAllLiteralString(string(data), table.String()+"\n## Vectors")
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !strings.Contains(string(data), table.String()) {
		t.Errorf("%s does not list the codes as they are; run the test with -update", page)
	}
}

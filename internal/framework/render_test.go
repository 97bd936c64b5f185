package framework

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
)

// sample is a report with each state.
func sample() Report {
	f := Framework{ID: "x", Title: "Things", Version: "1", Source: "a book", Date: "2026-11-23", Controls: []Control{
		{ID: "A-1", Title: "first", Text: "about a", Former: []string{"Z-1"}, Rules: []string{"SPA-001"}, Decidable: ByFiles, Beyond: "more of a"},
		{ID: "A-2", Title: "second", Text: "about b", Rules: []string{"SPA-010"}, Decidable: ByFiles, Beyond: "more of b"},
		{ID: "A-3", Title: "third", Text: "about c", Rules: []string{"SPA-011"}, Evidence: []string{"receipt"}, Decidable: ByRun, Beyond: "more of c"},
		{ID: "A-4", Title: "fourth", Text: "about d", Decidable: ByNeither, Why: "not in files"},
	}}
	facts := Facts{Examined: every()}
	for _, at := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		facts.Breaches = append(facts.Breaches, Breach{Rule: "SPA-001", Where: "a.yml:" + at, Title: "npm ci can publish", Severity: "critical"})
	}
	return Judge(f, facts)
}

func TestText(t *testing.T) {
	const want = `Things, 1
source: a book, checked 2026-11-23

broken      A-1            first (formerly Z-1)
                           7 findings of rules that it is mapped to
                           SPA-001 a.yml:1: npm ci can publish (critical)
                           SPA-001 a.yml:2: npm ci can publish (critical)
                           SPA-001 a.yml:3: npm ci can publish (critical)
                           SPA-001 a.yml:4: npm ci can publish (critical)
                           SPA-001 a.yml:5: npm ci can publish (critical)
                           and 2 more
shown       A-2            second
                           every rule and all evidence that it asks for was examined and holds
                           by: SPA-010
                           not looked at: more of b
not-shown   A-3            third
                           it asks for evidence of a run that is not there: receipt (sallyport run, then report --run)
                           nothing against it in: SPA-011
undecidable A-4            fourth
                           not in files

4 controls: 1 broken, 1 shown, 1 not shown, 1 undecidable
`
	var b bytes.Buffer
	if err := Text(&b, sample()); err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}

// TestTextOfLongIds: the column is as wide as the longest id that is not too
// long, which sticks out.
func TestTextOfLongIds(t *testing.T) {
	f := Framework{Controls: []Control{
		{ID: "provenance-authentic", Title: "a", Decidable: ByNeither, Why: "w"},
		{ID: "choose-an-appropriate-build-platform", Title: "b", Decidable: ByNeither, Why: "w"},
		{ID: "4.2", Title: "c", Decidable: ByNeither, Why: "w"},
	}}
	const want = `
undecidable provenance-authentic a
                                 w
undecidable choose-an-appropriate-build-platform b
                                 w
undecidable 4.2                  c
                                 w
`
	if got := write(t, Text, Judge(f, Facts{})); !strings.Contains(got, want) {
		t.Errorf("%s\nwant%s", got, want)
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Things, 1\n\nSource: a book, checked 2026-11-23. 4 controls: 1 broken, 1 shown, 1 not shown, 1 undecidable.\n\n| control |",
		"\n| A-1 | first (formerly Z-1) | broken | 7 findings of rules that it is mapped to | SPA-001 a.yml:1: npm ci can publish (critical); SPA-001 a.yml:2",
		"\n| A-2 | second | shown | every rule and all evidence that it asks for was examined and holds | SPA-010 | more of b |\n",
		"\n| A-4 | fourth | undecidable | not in files |  |  |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h1>Things, 1</h1><p>Source: a book, checked 2026-11-23. 4 controls:",
		`<tr><td>A-1<td>first (formerly Z-1)<br><small>about a</small><td class="broken">broken<td>7 findings of rules that it is mapped to<br>SPA-001 a.yml:1: npm ci can publish (critical)<br>`,
		`<td class="shown">shown<td>every rule and all evidence that it asks for was examined and holds<br>SPA-010<td>more of b</tr>`,
		`default-src 'none'`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestHostileText: titles of findings, and names of files, are text of whoever
// wrote the CI files.
func TestHostileText(t *testing.T) {
	const nasty = "<script>alert(1)</script>\x1b[2J|`x`\r\n::error::y\n##vso[task.z]\u202e\u2028a](javascript:b)\\|c*d*&lt;\"'"
	f := Framework{ID: "x", Controls: []Control{{ID: "a", Rules: []string{"SPA-001"}, Decidable: ByFiles}}}
	r := Judge(f, Facts{Breaches: []Breach{{Rule: "SPA-001", Where: nasty, Title: nasty, Severity: nasty}}})
	plain := write(t, Text, r)
	if bad := regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x{202e}\x{2028}]|##|(?m)^\s*::`).FindString(plain); bad != "" {
		t.Errorf("text lets %q through:\n%s", bad, plain)
	}
	table := write(t, Markdown, r)
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if row := rows[len(rows)-1]; strings.Count(row, "|") != 7 || strings.ContainsAny(row, "<>`[*\\\x1b") {
		t.Errorf("a cell is left: %s", row)
	}
	page := write(t, HTML, r)
	if bad := regexp.MustCompile(`<script|\x1b|\x{202e}|##`).FindString(page); bad != "" {
		t.Errorf("the page lets %q through:\n%s", bad, page)
	}
}

func write(t *testing.T, form func(io.Writer, Report) error, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := form(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriterThatFails(t *testing.T) {
	for name, form := range map[string]func(io.Writer, Report) error{"text": Text, "markdown": Markdown, "html": HTML} {
		if form(full{}, sample()) == nil {
			t.Errorf("%s says nothing of a disk that is full", name)
		}
	}
}

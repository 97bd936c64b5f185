package render

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// nastyText is what a hostile file could hold to be more than text.
const nastyText = "\x1b]0;owned\x07\x1b[2J\r\n::error file=x::owned\n##vso[task.setvariable variable=a]b ##[add-matcher]x ###[error]y" +
	" </script><script>alert(1)</script> <img src=x onerror=alert(1)> ]]> --> \" ' & | `code` **bold** [click](https://evil.example) @everyone $x$ ~~~ %0A %25" +
	" \u202egpj.exe \u200b \u2028 \x00 \xff {{.}} ${{ secrets.X }}"

// hostile is a report each text of which is s; a path has an end.
func hostile(s string) finding.Report {
	path := clip(s, 300)
	k := finding.Credential{File: path, Line: 2, Name: s, Kind: "secret", Can: []string{s}, Enters: s}
	f := finding.Finding{
		Rule: "SPA-001", Severity: finding.Critical, Confidence: finding.Proven, File: path, Line: 1, Domain: s, Title: s, Untrusted: &finding.Untrusted{File: path, Line: 1, Text: s, Why: s}, Credential: &k,
		Others: []finding.Credential{k}, Path: []finding.Step{{Text: s, File: path, Line: 1}, {Text: s}}, Fix: []string{s, s}, Credited: []string{s}, Fingerprint: "f1",
	}
	known := f
	known.Suppressed, known.SuppressedBy, known.File, known.Fingerprint = "known: "+s, "comment", "other", "f2"
	g := finding.Gap{File: path, Line: 1, Job: s, What: s, Why: s}
	return finding.Report{Files: 1, Findings: []finding.Finding{f, known}, Gaps: []finding.Gap{g}, Errors: []finding.Gap{g}, Notes: []finding.Gap{g}}
}

func hostileContext(s string) Context {
	c := context()
	c.Version = s
	c.Source = func(string) []byte { return []byte(s + "\n" + s + "\n") }
	c.Picture = func(string) []byte { return []byte(clip(s, 300)) }
	return c
}

// TestHostile: no text of a file becomes more than text, in any form.
func TestHostile(t *testing.T) {
	for _, s := range []string{nastyText, strings.Repeat(nastyText+" ", 40), strings.Repeat("#", 100), "- a", "1. b", "::error::x", "\n::set-output name=a::b", strings.Repeat("ä", 20_000)} {
		checkForms(t, s)
	}
}

// FuzzForms looks for a text that becomes more than text.
func FuzzForms(f *testing.F) {
	f.Add(nastyText)
	f.Add("npm ci")
	for part := range strings.FieldsSeq(nastyText) {
		f.Add(part)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s != "" { // an empty text is one that is not there
			checkForms(t, s)
		}
	})
}

func checkForms(t *testing.T, s string) {
	t.Helper()
	for _, f := range Formats() {
		var b bytes.Buffer
		if err := f.Render(&b, hostile(s), hostileContext(s)); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		got := b.String()
		noControl(t, f.Name, got)
		if bad := obeyed(f.Name, got); bad != "" {
			t.Errorf("%s: a runner would obey %q", f.Name, bad)
		}
		if b.Len() > 200_000 && f.Name != "json" {
			t.Errorf("%s has %d bytes", f.Name, b.Len())
		}
		switch f.Name {
		case "json", "sarif", "gitlab":
			if !json.Valid(b.Bytes()) {
				t.Errorf("%s is no JSON", f.Name)
			}
		case "github":
			checkCommands(t, s, got)
		case "junit":
			checkXML(t, got)
		case "html":
			checkTags(t, got)
		case "markdown":
			checkMarkdown(t, got)
		}
	}
}

func noControl(t *testing.T, form, got string) {
	t.Helper()
	if !utf8.ValidString(got) {
		t.Errorf("%s is not UTF-8", form)
	}
	for _, r := range got {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("%s lets U+%04X through", form, r)
			return
		}
	}
}

// obeyed is what a runner that reads the output as its log would take for a
// command.
func obeyed(form, got string) string {
	if m := regexp.MustCompile(`(?i)##(vso|teamcity)?\[`).FindString(got); m != "" {
		return m
	}
	for line := range strings.SplitSeq(got, "\n") {
		if form != "github" && strings.HasPrefix(strings.TrimSpace(line), "::") && !strings.HasPrefix(line, "  ::: ") {
			return line
		}
	}
	return ""
}

// checkCommands reads workflow commands as GitHub's runner does.
func checkCommands(t *testing.T, s, got string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != 4 {
		t.Errorf("%d lines, not 4:\n%s", len(lines), got)
	}
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, "::")
		head, message, closed := strings.Cut(rest, "::")
		kind, properties, _ := strings.Cut(head, " ")
		if !ok || !closed || !slices.Contains([]string{"error", "warning", "notice"}, kind) {
			t.Errorf("this is no annotation: %s", line)
			continue
		}
		var names []string
		for p := range strings.SplitSeq(properties, ",") {
			name, value, _ := strings.Cut(p, "=")
			names = append(names, name)
			if name == "file" && unescaped(value) != plain(clip(s, 300)) {
				t.Errorf("the file is %q", unescaped(value))
			}
		}
		if !slices.Equal(names, []string{"file", "line", "title"}) {
			t.Errorf("properties %v in %s", names, line)
		}
		if strings.Contains(s, "%0A") && strings.Contains(message, " %0A ") {
			t.Errorf("%%0A of the text became an end of line: %s", line)
		}
	}
}

func unescaped(s string) string {
	return strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(s)
}

func checkXML(t *testing.T, got string) {
	t.Helper()
	var names []string
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			names = append(names, e.Name.Local)
		}
	}
	if want := []string{"testsuite", "testcase", "failure", "testcase", "skipped", "testcase", "error", "system-out"}; !slices.Equal(names, want) {
		t.Errorf("elements %v, not %v", names, want)
	}
}

// checkTags: the page has the tags and attributes of its template, and no
// other.
func checkTags(t *testing.T, got string) {
	t.Helper()
	tags := regexp.MustCompile(`<[^>]*>?`).FindAllString(got, -1)
	ours := regexp.MustCompile(`^</?(!doctype html|html( lang="en")?|head|meta [-\w"=;:,.' /]+|title|style|body|h1|h2|h3|p( class="quiet")?|table|tr|th|td( class="(critical|high|medium|note|)")?|` +
		`article|span( class="severity critical")?|code|pre|mark|ol|ul( class="quiet")?|li|img alt="[^"<>]*" src="data:image/svg(?:&#43;|\+)xml;base64,[A-Za-z0-9+/=&#;]*")>$`)
	for _, tag := range tags {
		if !ours.MatchString(tag) {
			t.Errorf("the page has the tag %.200s", tag)
		}
	}
}

func checkMarkdown(t *testing.T, got string) {
	t.Helper()
	bare := regexp.MustCompile(`\\.`).ReplaceAllString(got, "")
	for line := range strings.SplitSeq(bare, "\n") {
		if strings.HasPrefix(line, "| critical") && strings.Count(line, "|") != 6 {
			t.Errorf("a row of the table has more columns: %s", line)
		}
	}
	for _, tag := range regexp.MustCompile(`<[^>]*>?`).FindAllString(got, -1) {
		if !slices.Contains([]string{"<details>", "<summary>", "</summary>", "</details>", "<!-- -->"}, tag) {
			t.Errorf("the summary has the tag %s", tag)
		}
	}
	for _, m := range []string{"](", "**", "://", "@e", "~~~", "`code`", "$x$"} {
		outside := regexp.MustCompile(`(?m)^<details>.*$`).ReplaceAllString(bare, "")
		if strings.Contains(outside, m) {
			t.Errorf("%s is left in %s", m, outside)
		}
	}
}

// TestJSONKeeps: what is escaped in JSON is read as it was.
func TestJSONKeeps(t *testing.T) {
	s := strings.ToValidUTF8(nastyText, "?") + "\x7f\u009b\U000e0001"
	var r finding.Report
	if err := json.Unmarshal([]byte(rendered(t, "json", hostile(s), Context{})), &r); err != nil {
		t.Fatal(err)
	}
	if r.Findings[0].Title != s || r.Notes[0].Why != s {
		t.Errorf("%q became %q", s, r.Findings[0].Title)
	}
}

// TestGitLabUnique: GitLab drops an entry whose fingerprint it has seen.
func TestGitLabUnique(t *testing.T) {
	r := sample()
	r.Findings = append(r.Findings, r.Findings[0], r.Findings[0])
	r.Gaps = append(r.Gaps, r.Gaps[0])
	var all []quality
	if err := json.Unmarshal([]byte(rendered(t, "gitlab", r, Context{})), &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, q := range all {
		if seen[q.Fingerprint] {
			t.Errorf("%s comes twice", q.Fingerprint)
		}
		seen[q.Fingerprint] = true
	}
	if all[0].Fingerprint != r.Findings[0].Fingerprint || len(all) != 10 {
		t.Errorf("%d entries, the first %+v", len(all), all[0])
	}
}

// TestGitHubWorstFirst: GitHub shows ten annotations of each kind for a step.
func TestGitHubWorstFirst(t *testing.T) {
	r := sample()
	r.Findings[0].Severity, r.Findings[1].Severity = finding.Note, finding.Critical
	got := rendered(t, "github", r, Context{})
	if !strings.HasPrefix(got, "::error file="+setup) || strings.Index(got, "::warning file=") > strings.Index(got, "::notice file="+release+",line=10") {
		t.Errorf("the worst is not first:\n%s", got)
	}
}

// TestManyTags: GitHub refuses a rule of more than 20 tags.
func TestManyTags(t *testing.T) {
	c := context()
	c.Taxa = func(finding.ID) (all []Taxon) {
		for i := range 40 {
			all = append(all, Taxon{"standard", strings.Repeat("x", i+1), "name"})
		}
		return all
	}
	checkSARIF(t, sarifSchemas(t), rendered(t, "sarif", sample(), c))
}

// TestSummaryBound: a step summary that GitHub would refuse is cut, and says so.
func TestSummaryBound(t *testing.T) {
	r := sample()
	for range 20_000 {
		r.Findings = append(r.Findings, r.Findings[0])
	}
	got := rendered(t, "markdown", r, Context{})
	if len(got) > maxSummary+1000 {
		t.Errorf("%d bytes", len(got))
	}
	for _, want := range []string{" more rows: all of them are in the output", " more findings: all of them are in the output", "suppression: .github"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}

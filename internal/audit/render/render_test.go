package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
)

var update = flag.Bool("update", false, "write what is wanted from what is got")

const (
	release = ".github/workflows/release.yml"
	setup   = ".github/actions/setup/action.yml"
	gitlab  = ".gitlab-ci.yml"
)

// sample is a report with one of each thing that a form can show.
func sample() finding.Report {
	token := finding.Credential{Line: 13, Name: "NPM_TOKEN", Kind: ci.Secret, Can: []string{"publish"}, Enters: "environment of the step"}
	oidc := finding.Credential{Line: 3, Name: "id-token", Kind: ci.OIDC, Can: []string{"publish", "sign"}, Enters: "permissions of the workflow"}
	pypi := finding.Credential{Line: 4, Name: "PYPI_TOKEN", Kind: ci.Secret, Can: []string{"publish"}, Enters: "variables of the project"}
	r := finding.Report{
		Schema: finding.Schema, Files: 3, Unknown: 4,
		Findings: []finding.Finding{
			{
				Rule: "SPA-001", Severity: finding.Critical, Confidence: finding.Proven, System: ci.GitHub, File: release, Line: 10, Domain: "release", JobLine: 5,
				Title:     "Dependency code (npm ci) can publish with NPM_TOKEN",
				Untrusted: &finding.Untrusted{File: release, Line: 10, Text: "npm ci", Why: "npm ci runs the install scripts of every package"}, Credential: &token, Others: []finding.Credential{oidc},
				Path: []finding.Step{
					{Text: "NPM_TOKEN enters by the environment of the step", File: release, Line: 13}, {Text: "npm ci: it runs the install scripts of every package", File: release, Line: 10},
					{Text: "steps of a job share a machine"},
				},
				Fix: []string{"split job release", "or run `npm ci --ignore-scripts`"}, Credited: []string{"harden-runner in block mode"}, Crossing: []boundary.Rule{boundary.SP1},
			},
			{
				Rule: "SPA-001", Severity: finding.High, Confidence: finding.Likely, System: ci.GitHub, File: release, Line: 9, Domain: "release", JobLine: 5, Title: "Dependency code (pip install) can publish with id-token",
				Untrusted: &finding.Untrusted{File: setup, Line: 4, Text: "pip install -r requirements.txt", Why: "it runs setup.py of each package"}, Credential: &oidc,
				Path: []finding.Step{{Text: "pip install", File: setup, Line: 4}, {Text: "id-token enters by the permissions of the workflow", File: release, Line: 3}},
			},
			{
				Rule: "SPA-023", Severity: finding.Medium, Confidence: finding.Proven, System: ci.GitHub, File: release, Line: 13, Domain: "release", JobLine: 5, Title: "NPM_TOKEN is valid until somebody revokes it", Credential: &token,
				Path: []finding.Step{{Text: "NPM_TOKEN enters by the environment of the step", File: release, Line: 13}}, Strict: true,
			},
			{
				Rule: "SPA-017", Severity: finding.Medium, Confidence: finding.Proven, System: ci.GitHub, File: release, Line: 5, Domain: "release", JobLine: 5, Title: "Job release has no protected environment",
				Path: []finding.Step{}, Suppressed: "one person has the key", SuppressedBy: "comment",
			},
			{
				Rule: "SPA-001", Severity: finding.Critical, Confidence: finding.Proven, System: ci.GitLab, File: gitlab, Line: 3, Domain: "publish", JobLine: 1, Title: "Dependency code (pip install) can publish with PYPI_TOKEN",
				Untrusted: &finding.Untrusted{File: gitlab, Line: 3, Text: "pip install build twine", Why: "it runs setup.py of each package"}, Credential: &pypi,
				Path: []finding.Step{{Text: "pip install build twine", File: gitlab, Line: 3}}, Suppressed: "known before: in the baseline", SuppressedBy: "baseline",
			},
		},
		Gaps: []finding.Gap{
			{File: release, Line: 8, Job: "release", What: "octo/flows/a.yml@v1", Why: "a workflow of another repository"}, {File: gitlab, Line: 1, What: "octo/flows/a.yml@v1", Why: "a workflow of another repository"},
		},
		Errors: []finding.Gap{{File: "Jenkinsfile", What: "Jenkinsfile", Why: "Jenkinsfile:3: this is no pipeline"}},
		Notes:  []finding.Gap{{File: release, Line: 7, What: "a suppression", Why: "it does not count: it gives no reason"}},
		Totals: finding.Totals{Files: 3, Jobs: 4, Credentialed: 2, Crossed: 2, Unknown: 4, Suppressed: 2, BySeverity: map[string]int{"critical": 1, "high": 1, "medium": 1}},
	}
	for i := range r.Findings {
		r.Findings[i].Fingerprint = r.Findings[i].Print()
	}
	return r
}

func context() Context {
	return Context{
		Version: "v1.2.3",
		Source: func(file string) []byte {
			raw, err := os.ReadFile(filepath.Join("testdata/repo", file))
			if err != nil {
				return nil
			}
			return raw
		},
		Taxa: func(id finding.ID) []Taxon {
			if id == "SPA-017" {
				return nil
			}
			return []Taxon{
				{"owasp-nhi-2025", "NHI5", "Overprivileged NHI"}, {"owasp-cicd-sec", "CICD-SEC-5", "Insufficient PBAC"}, {"owasp-nhi-2025", "NHI2", "Secret Leakage"},
				{"owasp-nhi-2025", "NHI5", "Overprivileged NHI"},
			}
		},
		Picture: func(string) []byte {
			return []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)
		},
	}
}

func rendered(t testing.TB, form string, r finding.Report, c Context) string {
	t.Helper()
	for _, f := range Formats() {
		if f.Name == form {
			var b bytes.Buffer
			if err := f.Render(&b, r, c); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			return b.String()
		}
	}
	t.Fatalf("there is no form %q", form)
	return ""
}

// TestGolden holds each form to what it gave when somebody looked at it.
func TestGolden(t *testing.T) {
	for _, f := range Formats() {
		t.Run(f.Name, func(t *testing.T) {
			golden(t, filepath.Join("testdata/golden", f.Name+".txt"), rendered(t, f.Name, sample(), context()))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs: look at it, then run the test with -update\n%s", file, got)
	}
}

// TestPure: a form changes nothing in the report, and says the same twice.
func TestPure(t *testing.T) {
	for _, f := range Formats() {
		r := sample()
		r.Errors = append(make([]finding.Gap, 0, 9), r.Errors...) // room that an append would write into
		first := rendered(t, f.Name, r, context())
		if spare := r.Errors[:2]; spare[1].What != "" {
			t.Errorf("%s wrote into the report: %+v", f.Name, spare[1])
		}
		if second := rendered(t, f.Name, r, context()); second != first {
			t.Errorf("%s says something else the second time", f.Name)
		}
	}
}

// TestEmpty: a report of nothing is one in each form.
func TestEmpty(t *testing.T) {
	want := map[string]string{
		"text": "0 findings in 0 files", "json": `"findings": []`, "sarif": `"results": []`, "github": "", "gitlab": "[]\n",
		"junit": `tests="1" failures="0"`, "markdown": "0 findings", "html": "0 findings",
	}
	for _, f := range Formats() {
		got := rendered(t, f.Name, finding.Report{}, Context{})
		if !strings.Contains(got, want[f.Name]) || f.Name == "github" && got != "" {
			t.Errorf("%s of nothing: %q", f.Name, got)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"npm ci": "npm ci", "a\tb": "a b", "a\nb": `a\u000ab`, "\x1b[31mred": `\u001b[31mred`, "\u009b31m": `\u009b31m`, "a\x00": `a\u0000`, "a\xff": `a\ufffd`,
		"safe\u202egpj": `safe\u202egpj`, "zero\u200bwidth": `zero\u200bwidth`, "\u2028": `\u2028`, "größe 中": "größe 中",
		"##vso[task.setvariable]x": `#\#vso[task.setvariable]x`, "###[error]": `#\#\#[error]`, "# comment #1": "# comment #1",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) is %q, not %q", in, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	long := strings.Repeat("x", 50) + "NEEDLE" + strings.Repeat("y", 50)
	for _, c := range []struct {
		line         string
		start, width int
		want, marked string
	}{
		{"short NEEDLE", 6, 6, "short NEEDLE", "NEEDLE"},
		{long, 50, 6, "..." + strings.Repeat("x", 10) + "NEEDLE" + strings.Repeat("y", 18) + "...", "NEEDLE"},
		{"NEEDLE" + long, 0, 6, "NEEDLE" + strings.Repeat("x", 28) + "...", "NEEDLE"},
		{strings.Repeat("x", 100) + "NEEDLE", 100, 6, "..." + strings.Repeat("x", 28) + "NEEDLE", "NEEDLE"},
		{strings.Repeat("é", 100), 0, 100, strings.Repeat("é", 34) + "...", strings.Repeat("é", 34)},
		{strings.Repeat("x", 36) + "NEEDLE" + strings.Repeat("y", 50), 36, 6, "..." + strings.Repeat("x", 10) + "NEEDLE" + strings.Repeat("y", 18) + "...", "NEEDLE"},
	} {
		got, start, width := window(c.line, c.start, c.width, 40)
		if r := []rune(got); got != c.want || string(r[start:start+width]) != c.marked {
			t.Errorf("window(%q, %d, %d) is %q, marked %q; want %q, marked %q", c.line, c.start, c.width, got, string(r[start:start+width]), c.want, c.marked)
		}
	}
}

func TestMark(t *testing.T) {
	for _, c := range []struct{ line, what, want string }{
		{"      - run: npm ci", "npm ci", "npm ci"},
		{"      - run: npm   ci", "npm ci", "npm"}, // as it is written
		{"          TOKEN: ${{ secrets.NPM_TOKEN }}", "NPM_TOKEN", "NPM_TOKEN"},
		{"      - größe: npm ci", "npm ci", "npm ci"},
		{"    make release", "npm ci", "make release"},
		{"    make release", "", "make release"},
		{"", "npm ci", ""},
	} {
		start, width := mark(c.line, c.what)
		r := []rune(c.line)
		if got := string(r[start:min(len(r), start+width)]); got != c.want {
			t.Errorf("mark(%q, %q) is %q, not %q", c.line, c.what, got, c.want)
		}
	}
}

// TestColor: colour comes from the form alone, and only where it is asked for.
func TestColor(t *testing.T) {
	c := context()
	c.Color = true
	got := rendered(t, "text", sample(), c)
	if !strings.Contains(got, "\x1b[1;31mcritical[SPA-001]\x1b[0m ") || !strings.Contains(got, "\x1b[1;31m^^^^^^\x1b[0m npm ci runs") {
		t.Errorf("no colour:\n%s", got)
	}
	for _, form := range []string{"junit", "markdown", "html", "github"} {
		if strings.Contains(rendered(t, form, sample(), c), "\x1b") {
			t.Errorf("%s has escape sequences", form)
		}
	}
}

// TestWidth: no source line is longer than asked for.
func TestWidth(t *testing.T) {
	c := context()
	c.Width = 60
	r := sample()
	r.Findings = r.Findings[4:]
	r.Findings[0].Suppressed = ""
	got := rendered(t, "text", r, c)
	if !strings.Contains(got, "    4 | ...") || !strings.Contains(got, "PYPI_TOKEN") {
		t.Errorf("the line is not cut around the credential:\n%s", got)
	}
	for line := range strings.SplitSeq(got, "\n") {
		if strings.Contains(line, "|") && len(line) > 60+8 && !strings.Contains(line, "^") {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// TestManyGaps: the same thing in many places is one line, and there is an end.
func TestManyGaps(t *testing.T) {
	var r finding.Report
	for i := range 30 {
		r.Gaps = append(r.Gaps, finding.Gap{File: "a.yml", Line: i + 1, What: "octo/orb", Why: "not at hand"}, finding.Gap{File: "b.yml", Line: i + 1, What: strings.Repeat("z", i+1), Why: "unknown"})
	}
	got := rendered(t, "text", r, Context{})
	for _, want := range []string{"not analysed: octo/orb: not at hand (a.yml:1, a.yml:2, a.yml:3 and 27 more places)\n", "19 more that were not analysed, all of them in -o json\n"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

// TestGapsOnce: what SPA-090 reports is not told again.
func TestGapsOnce(t *testing.T) {
	r := finding.Report{
		Findings: []finding.Finding{{Rule: "SPA-090", Severity: finding.Note, File: "a.yml", Line: 3, Title: "not analysed: x: y"}},
		Gaps:     []finding.Gap{{File: "a.yml", Line: 3, What: "x", Why: "y"}, {File: "a.yml", Line: 4, What: "v", Why: "w"}},
	}
	all := remarks(r)
	if len(all) != 1 || all[0].Line != 4 {
		t.Errorf("remarks are %+v", all)
	}
}

// TestByRule: the worst first, and what does not count is counted apart.
func TestByRule(t *testing.T) {
	want := []ruleRow{
		{"SPA-001", "Dependency code can publish", finding.Critical, 2, 1},
		{"SPA-023", "A long-lived secret is used where OIDC would do", finding.Medium, 1, 0},
		{"SPA-017", "A job that publishes, signs or deploys has no protected environment", 0, 0, 1},
	}
	if got := byRule(sample()); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

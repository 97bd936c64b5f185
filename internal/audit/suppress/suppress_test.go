package suppress

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

const flow = "a.yml"

// fileText is a CI file with suppressions in all places.
const fileText = `name: release
on: push # sallyport: ignore[SPA-013] reason=only ours
jobs:
  # sallyport: ignore[SPA-001, SPA-006] reason=split is planned until=2027-01-31
  # a word in between
  release:
    steps:
      - run: npm ci # sallyport: ignore[SPA-005]  reason="read # and understood"
      #sallyport: ignore[SPA-024]
      - run: pip install x
      - run: echo a#sallyport: ignore[SPA-001] reason=no comment
      - run: curl https://sallyport: ignore[SPA-001] reason=no comment
      # sallyport: skip SPA-001
      # sallyport: ignore[SPA-999] reason=x
      # sallyport: ignore[SPA-001] because=x reason=y
      # sallyport: ignore[SPA-001] until=soon reason=x
      # sallyport: ignore[] reason=x
      # sallyport: ignore[SPA-001 reason=x
      # sallyport: ignore[SPA-001] until=2026-12-31 reason=the other order
`

func TestComments(t *testing.T) {
	ids := func(all ...finding.ID) []finding.ID { return all }
	want := []Comment{
		{Line: 2, For: 2, Rules: ids("SPA-013"), Reason: "only ours"},
		{Line: 4, For: 6, Rules: ids("SPA-001", "SPA-006"), Reason: "split is planned", Until: day("2027-01-31")},
		{Line: 8, For: 8, Rules: ids("SPA-005"), Reason: "read # and understood"},
		{Line: 9, For: 10, Rules: ids("SPA-024"), Wrong: "it gives no reason: add reason=..."},
		{Line: 13, For: 13, Wrong: "it is to be: ignore[SPA-001] reason=..."},
		{Line: 14, For: 14, Wrong: `there is no rule "SPA-999"`},
		{Line: 15, For: 15, Rules: ids("SPA-001"), Reason: "y", Wrong: `"because=x" is not reason=... nor until=...`},
		{Line: 16, For: 16, Rules: ids("SPA-001"), Reason: "x", Wrong: `until="soon" is no day: write until=2027-01-31`},
		{Line: 17, For: 17, Wrong: `there is no rule ""`},
		{Line: 18, For: 18, Wrong: "it is to be: ignore[SPA-001] reason=..."},
		{Line: 19, For: 19, Rules: ids("SPA-001"), Reason: "the other order", Until: day("2026-12-31")},
	}
	got := Comments([]byte(fileText))
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("comment %d: got\n%+v, want\n%+v", i, got, want)
		}
	}
}

// TestCommentsOfJenkins: comments there begin with two slashes.
func TestCommentsOfJenkins(t *testing.T) {
	got := Comments([]byte("pipeline {\r\n  // sallyport: ignore[SPA-018] reason=a machine of its own\r\n  agent any // sallyport: ignore[SPA-001] reason=b\r\n}\r\n"))
	if len(got) != 2 || got[0].For != 3 || got[0].Reason != "a machine of its own" || got[1].For != 3 || got[1].Line != 3 || got[1].Wrong != "" {
		t.Errorf("got %+v", got)
	}
}

func TestCommentsLimit(t *testing.T) {
	got := Comments([]byte(strings.Repeat("# sallyport: ignore[SPA-001] reason=x\n", 5000)))
	if len(got) != maxComments+1 || got[maxComments].Wrong != "the file has more than 1000" {
		t.Errorf("%d comments, the last %+v", len(got), got[len(got)-1])
	}
	got = Comments([]byte("# sallyport: ignore[" + strings.Repeat("SPA-001,", 100_000) + "] reason=x\n# sallyport: ignore[SPA-001] reason=" + strings.Repeat("x", 501)))
	if len(got) != 2 || got[0].Wrong != "it names more than 50 rules" || got[1].Wrong != "its reason has more than 500 characters" {
		t.Errorf("got %+v", got)
	}
}

// one is a finding of a path with its job at line 6, its step at line 8 and its
// credential at line 12.
func one() finding.Finding {
	f := finding.Finding{
		Rule: "SPA-001", Severity: finding.Critical, File: flow, Line: 8, JobLine: 6, Domain: "release", Title: "t",
		Untrusted: &finding.Untrusted{Line: 8, Text: "npm ci"}, Credential: &finding.Credential{Line: 12, Name: "NPM_TOKEN"},
	}
	f.Fingerprint = f.Print()
	return f
}

// TestApplyComment: beside which lines a comment counts.
func TestApplyComment(t *testing.T) {
	const yes = "# sallyport: ignore[SPA-001] reason=fine"
	elsewhere := one()
	elsewhere.Untrusted = &finding.Untrusted{File: "b.yml", Line: 3, Text: "npm ci"}
	noJob := one()
	noJob.JobLine = 0
	for _, c := range []struct {
		name string
		f    finding.Finding
		file string
		line int // of the comment
		text string
		want string
	}{
		{"on the line", one(), flow, 8, "x " + yes, "fine"},
		{"above the line", one(), flow, 7, yes, "fine"},
		{"on the job", one(), flow, 6, "x " + yes, "fine"},
		{"above the job", one(), flow, 5, yes, "fine"},
		{"above the credential", one(), flow, 11, yes, "fine"},
		{"on the credential", one(), flow, 12, "x " + yes, "fine"},
		{"on the line above, not alone", one(), flow, 7, "x " + yes, ""},
		{"on the line below", one(), flow, 9, "x " + yes, ""},
		{"in the job, elsewhere", one(), flow, 10, yes, ""},
		{"in another file", one(), "b.yml", 8, yes, ""},
		{"at the step in another file", elsewhere, "b.yml", 3, "x " + yes, "fine"},
		{"another line of that file", elsewhere, "b.yml", 8, "x " + yes, ""},
		{"a file without jobs", noJob, flow, 0, yes, ""},
		{"another rule", one(), flow, 7, "# sallyport: ignore[SPA-002] reason=fine", ""},
		{"no reason", one(), flow, 7, "# sallyport: ignore[SPA-001]", ""},
		{"the last day", one(), flow, 7, yes + " until=2026-12-01", "fine"},
		{"the day after", one(), flow, 7, yes + " until=2026-11-30", ""},
	} {
		text := strings.Repeat("x\n", max(c.line-1, 0)) + c.text + "\n" + strings.Repeat("x\n", 5)
		r := finding.Report{Findings: []finding.Finding{c.f}}
		Apply(&r, Config{}, map[string][]Comment{c.file: Comments([]byte(text))}, Baseline{}, day("2026-12-01"))
		by := ""
		if c.want != "" {
			by = ByComment
		}
		if f := r.Findings[0]; f.Suppressed != c.want || f.SuppressedBy != by {
			t.Errorf("%s: suppressed by %q: %q, want %q", c.name, f.SuppressedBy, f.Suppressed, c.want)
		}
	}
}

func TestApplyConfig(t *testing.T) {
	alsoHigh := one()
	alsoHigh.Others = []finding.Credential{{Name: "AWS_KEY"}}
	for _, c := range []struct {
		name string
		f    finding.Finding
		c    Config
		want string
	}{
		{"the rule", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Reason: "fine"}}}, "fine"},
		{"another rule", one(), Config{Ignore: []Ignore{{Rule: "SPA-002", Reason: "fine"}}}, ""},
		{"the path", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Path: "**/*.yml", Reason: "fine"}}}, "fine"},
		{"another path", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Path: "b/*.yml", Reason: "fine"}}}, ""},
		{"the job", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Job: "release", Reason: "fine"}}}, "fine"},
		{"another job", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Job: "rel", Reason: "fine"}}}, ""},
		{"ran out", one(), Config{Ignore: []Ignore{{Rule: "SPA-001", Reason: "fine", Until: day("2026-11-30")}}}, ""},
		{"low", one(), Config{Low: []string{"CODECOV", "NPM_*"}}, "NPM_TOKEN is worth little: low in .sallyport/audit.yaml"},
		{"not low", one(), Config{Low: []string{"NPM"}}, ""},
		{"low, and another that is not", alsoHigh, Config{Low: []string{"NPM_*"}}, ""},
		{"no credential", finding.Finding{Rule: "SPA-017", File: flow}, Config{Low: []string{"NPM_*"}}, ""},
	} {
		r := finding.Report{Findings: []finding.Finding{c.f}}
		Apply(&r, c.c, nil, Baseline{}, day("2026-12-01"))
		if got := r.Findings[0].Suppressed; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestApplyCounts: the figures say what counts, however often it is asked.
func TestApplyCounts(t *testing.T) {
	other := one()
	other.Rule, other.Severity, other.Domain = "SPA-003", finding.High, "deploy"
	other.Fingerprint = other.Print()
	known := one()
	known.Domain = "old"
	known.Fingerprint = known.Print()
	r := finding.Report{Findings: []finding.Finding{one(), other, known}, Totals: finding.Totals{BySeverity: map[string]int{"critical": 2, "high": 1}}}
	c := Config{Ignore: []Ignore{{Rule: "SPA-001", Job: "release", Reason: "fine"}}}
	for range 2 {
		Apply(&r, c, nil, NewBaseline(finding.Report{Findings: []finding.Finding{known}}), day("2026-12-01"))
		if want := (map[string]int{"high": 1}); !reflect.DeepEqual(r.Totals.BySeverity, want) || r.Totals.Suppressed != 2 {
			t.Errorf("totals %+v", r.Totals)
		}
	}
	if got := r.Findings[2]; got.SuppressedBy != ByBaseline || got.Suppressed == "" {
		t.Errorf("the known one: %+v", got)
	}
	b := NewBaseline(r)
	if len(b.Fingerprints) != 2 || b.Fingerprints[0].Rule != "SPA-003" || b.Fingerprints[1].Job != "old" {
		t.Errorf("a new baseline holds %+v", b)
	}
}

// TestApplyNotes: what cannot be followed is told, with its place.
func TestApplyNotes(t *testing.T) {
	var r finding.Report
	c := Config{Ignore: []Ignore{{Rule: "SPA-001", Reason: "x", Until: day("2020-01-31"), Line: 7}, {Rule: "SPA-001", Reason: "x"}}}
	comments := map[string][]Comment{
		"b.yml": Comments([]byte("\n# sallyport: ignore[SPA-001]\n")),
		"a.yml": Comments([]byte("# sallyport: ignore[SPA-001] reason=x until=2020-01-31\n# sallyport: ignore[SPA-001] reason=x\n")),
	}
	Apply(&r, c, comments, Baseline{}, day("2026-12-01"))
	want := []finding.Gap{
		{File: "a.yml", Line: 1, What: "a suppression", Why: "it does not count: it ran out on 2020-01-31"},
		{File: "b.yml", Line: 2, What: "a suppression", Why: "it does not count: it gives no reason: add reason=..."},
		{File: ConfigFile, Line: 7, What: "a suppression", Why: "it does not count: it ran out on 2020-01-31"},
	}
	if !reflect.DeepEqual(r.Notes, want) {
		t.Errorf("got %+v", r.Notes)
	}
}

func TestBaseline(t *testing.T) {
	b := NewBaseline(finding.Report{Findings: []finding.Finding{one(), one()}})
	raw, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseBaseline(raw)
	if err != nil || !reflect.DeepEqual(got, b) || len(got.Fingerprints) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	moved := one()
	moved.Line, moved.JobLine, moved.Untrusted.Line = 108, 106, 108
	r := finding.Report{Findings: []finding.Finding{moved}}
	Apply(&r, Config{}, nil, got, day("2026-12-01"))
	if r.Findings[0].SuppressedBy != ByBaseline {
		t.Error("a finding that moved is not known any more")
	}
}

func TestParseBaselineRefuses(t *testing.T) {
	const good = `{"schema": "sallyport/baseline/v1", "fingerprints": [{"fingerprint": "0123456789abcdef0123456789abcdef", "rule": "SPA-001", "file": "a", "job": "b"}]}`
	if b, err := ParseBaseline([]byte(good)); err != nil || len(b.Fingerprints) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, c := range [][3]string{
		{"baseline/v1", "baseline/v2", `schema "sallyport/baseline/v2" is not`},
		{`"rule"`, `"rules"`, `unknown field "rules"`},
		{"0123456789abcdef0", "", "entry 1:"},
		{"0123456789abcdef0", "0123456789ABCDEF0", "entry 1:"},
		{good, good + " {}", "something stands after"},
		{good, "", "EOF"},
		{good, "null", `schema "" is not`},
		{good, "{\n  \"schema\": 7}", "2:14: "},
		{good, "{\n  \"schema\" 7}", "2:13: "},
		{good, strings.Repeat(" ", maxBaseline+1), "more than"},
	} {
		if b, err := ParseBaseline([]byte(strings.Replace(good, c[0], c[1], 1))); err == nil || !strings.Contains(err.Error(), c[2]) || b.Fingerprints != nil {
			t.Errorf("%.100q: %+v, %v; want %q", c[1], b, err, c[2])
		}
	}
}

func FuzzComments(f *testing.F) {
	f.Add([]byte(fileText))
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines := strings.Count(string(raw), "\n") + 1
		for _, c := range Comments(raw) {
			if c.Line < 1 || c.For < c.Line || c.For > lines {
				t.Errorf("a comment at %d for %d in %d lines", c.Line, c.For, lines)
			}
			if c.Wrong == "" && (strings.TrimSpace(c.Reason) == "" || len(c.Rules) == 0) {
				t.Errorf("a comment without a reason or a rule counts: %+v", c)
			}
		}
	})
}

func FuzzParseBaseline(f *testing.F) {
	f.Add([]byte(`{"schema": "sallyport/baseline/v1", "fingerprints": [{"fingerprint": "0123456789abcdef0123456789abcdef", "rule": "SPA-001", "file": "a"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := ParseBaseline(raw); err == nil && b.Schema != BaselineSchema {
			t.Errorf("%+v", b)
		}
	})
}

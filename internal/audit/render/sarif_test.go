package render

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// sarifSchemas are what SARIF is held to: our own statement of the part that is
// written, and the standard's whole schema where SARIF_SCHEMA names a copy.
func sarifSchemas(t testing.TB) []*jsonschema.Schema {
	t.Helper()
	files := []string{"testdata/sarif.schema.json"}
	if whole := os.Getenv("SARIF_SCHEMA"); whole != "" {
		files = append(files, whole)
	}
	var all []*jsonschema.Schema
	for _, f := range files {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		s, err := c.Compile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func checkSARIF(t testing.TB, schemas []*jsonschema.Schema, text string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schemas {
		if err := s.Validate(doc); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestSARIFSchema(t *testing.T) {
	schemas := sarifSchemas(t)
	for name, r := range map[string]finding.Report{"sample": sample(), "hostile": hostile(nastyText), "empty": {}} {
		t.Run(name, func(t *testing.T) { checkSARIF(t, schemas, rendered(t, "sarif", r, context())) })
		t.Run(name+" alone", func(t *testing.T) { checkSARIF(t, schemas, rendered(t, "sarif", r, Context{Version: "devel"})) })
	}
}

// TestSARIFSchemaRefuses: the schema is no open door.
func TestSARIFSchemaRefuses(t *testing.T) {
	good := rendered(t, "sarif", sample(), context())
	for _, c := range [][2]string{
		{`"version": "2.1.0"`, `"version": "2.0.0"`}, {`"startLine": 10`, `"startLine": 0`}, {`"level": "error"`, `"level": "critical"`}, {`"inSource"`, `"comment"`},
		{`"ruleIndex": 0`, `"ruleIndex": -1`}, {`"helpUri": "https://github.com/`, `"helpUri": "docs/ `}, {`"uri": ".github/`, `"uri": "%zz.github/`}, {`"name": "DependencyCodeCanPublish"`, `"name": "", "x": ""`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Errorf("there is no %s", c[0])
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if sarifSchemas(t)[0].Validate(doc) == nil {
			t.Errorf("%s is let pass", c[1])
		}
	}
}

type sarifLog struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []struct {
					ID            string
					Relationships []struct {
						Target struct {
							ID            string
							ToolComponent sarifRef
						}
					}
				}
				SupportedTaxonomies []sarifRef
			}
		}
		Taxonomies []struct {
			Name string
			Taxa []struct{ ID string }
		}
		Results []sarifResult
	}
}

type sarifRef struct {
	Name  string
	Index int
}

type sarifResult struct {
	RuleID    string
	RuleIndex int
	Message   struct{ Text string }
	Locations []sarifLocation
	Related   []sarifLocation `json:"relatedLocations"`
	CodeFlows []struct {
		ThreadFlows []struct {
			Locations []struct{ Location sarifLocation }
		}
	}
	PartialFingerprints map[string]string
	Suppressions        []struct{ Kind, Justification string }
}

type sarifLocation struct {
	ID               int
	PhysicalLocation struct {
		ArtifactLocation struct{ URI string }
		Region           struct{ StartLine, StartColumn, EndColumn int }
	}
}

func (l sarifLocation) String() string {
	p := l.PhysicalLocation
	s := p.ArtifactLocation.URI
	for _, n := range []int{p.Region.StartLine, p.Region.StartColumn, p.Region.EndColumn} {
		if n > 0 {
			s += ":" + strconv.Itoa(n)
		}
	}
	return s
}

func parseSARIF(t testing.TB, text string) sarifLog {
	t.Helper()
	var log sarifLog
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	return log
}

// TestSARIFPlaces: where each finding, its credential and its path are.
func TestSARIFPlaces(t *testing.T) {
	log := parseSARIF(t, rendered(t, "sarif", sample(), context()))
	type want struct{ at, related, flow, suppressed string }
	wants := []want{
		{release + ":10:14:20", release + ":13:40:49 " + release + ":3:33:41", release + ":13 " + release + ":10 " + release, ""},
		{setup + ":4:12:43", release + ":3:33:41", setup + ":4 " + release + ":3", ""},
		{release + ":13:40:49", "", "", ""},
		{release + ":5", "", "", "inSource one person has the key"},
		{gitlab + ":3:7:30", gitlab + ":4:54:64", "", "external known before: in the baseline"},
	}
	results := log.Runs[0].Results
	if len(results) != len(wants) {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		var got want
		got.at = r.Locations[0].String()
		for _, l := range r.Related {
			got.related = strings.TrimSpace(got.related + " " + l.String())
		}
		for _, f := range r.CodeFlows {
			for _, l := range f.ThreadFlows[0].Locations {
				got.flow = strings.TrimSpace(got.flow + " " + l.Location.String())
			}
		}
		for _, s := range r.Suppressions {
			got.suppressed = s.Kind + " " + s.Justification
		}
		if got != wants[i] {
			t.Errorf("result %d: got\n%+v, want\n%+v", i, got, wants[i])
		}
		if r.PartialFingerprints["sallyport/v1"] != sample().Findings[i].Print() {
			t.Errorf("result %d: fingerprints %v", i, r.PartialFingerprints)
		}
	}
}

// TestSARIFReferences: each index and each link of a message leads somewhere.
func TestSARIFReferences(t *testing.T) {
	link := regexp.MustCompile(`(?:^|[^\\])\]\(([^)]*)\)`)
	for _, r := range []finding.Report{sample(), hostile(nastyText)} {
		run := parseSARIF(t, rendered(t, "sarif", r, context())).Runs[0]
		rules := run.Tool.Driver.Rules
		for _, x := range run.Results {
			if rules[x.RuleIndex].ID != x.RuleID {
				t.Errorf("%s has index %d, which is %s", x.RuleID, x.RuleIndex, rules[x.RuleIndex].ID)
			}
			for _, m := range link.FindAllStringSubmatch(x.Message.Text, -1) {
				if !slices.ContainsFunc(x.Related, func(l sarifLocation) bool { return strconv.Itoa(l.ID) == m[1] }) {
					t.Errorf("%s links to %q: %s", x.RuleID, m[1], x.Message.Text)
				}
			}
		}
		for _, rule := range rules {
			for _, rel := range rule.Relationships {
				at := run.Taxonomies[rel.Target.ToolComponent.Index]
				has := slices.ContainsFunc(at.Taxa, func(x struct{ ID string }) bool { return x.ID == rel.Target.ID })
				if at.Name != rel.Target.ToolComponent.Name || !has {
					t.Errorf("%s: %+v leads to %+v", rule.ID, rel, at)
				}
			}
		}
	}
	first := parseSARIF(t, rendered(t, "sarif", sample(), context())).Runs[0]
	if want := "[NPM_TOKEN](1) enters by the environment of the step."; !strings.Contains(first.Results[0].Message.Text, want) {
		t.Errorf("the message does not lead to the credential: %s", first.Results[0].Message.Text)
	}
	if n := len(first.Tool.Driver.Rules[0].Relationships); n != 3 {
		t.Errorf("SPA-001 has %d relationships, not 3", n)
	}
}

func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		release: release, "a b/c:d.yml": "a%20b/c%3Ad.yml", "größe.yml": "gr%C3%B6%C3%9Fe.yml", "/etc/x": "etc/x", "a?b#c%d": "a%3Fb%23c%25d", "x\n": "x%0A",
	} {
		if got := uri(in); got != want {
			t.Errorf("uri(%q) is %q, not %q", in, got, want)
		}
	}
}

func TestSeverities(t *testing.T) {
	for s, want := range map[finding.Severity][4]string{
		finding.Critical: {"error", "9.5", "error", "blocker"}, finding.High: {"error", "8.0", "error", "critical"},
		finding.Medium: {"warning", "5.5", "warning", "major"}, finding.Note: {"note", "2.0", "notice", "info"},
	} {
		if got := [4]string{levelOf(s), score(s), annotation(s), weight(s)}; got != want {
			t.Errorf("%s: %v, not %v", s, got, want)
		}
	}
}

package cli

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/boundary"
)

// TestOwnCrossings: each rule of the boundary has a rule of the audit that
// stands for it, and names it.
func TestOwnCrossings(t *testing.T) {
	for _, c := range []boundary.Crossing{
		{Rule: boundary.SP1, Authority: boundary.Authority{Verb: boundary.VerbPublish, Object: "x"}}, {Rule: boundary.SP1, Authority: boundary.Authority{Verb: boundary.VerbSecret, Object: "x"}},
		{Rule: boundary.SP2}, {Rule: boundary.SP3}, {Rule: boundary.SP4}, {Rule: boundary.SP5}, {Rule: boundary.SP6}, {Rule: boundary.SP7}, {Rule: boundary.SP8, What: "a -> b cache x"}, {Rule: boundary.SP9},
	} {
		f := ownFinding(c)
		if _, ok := finding.Find(f.Rule); !ok || f.Severity == 0 || f.Fingerprint == "" {
			t.Errorf("%s: %+v", c.Rule, f)
		}
		if f.Crossing[0] != c.Rule {
			t.Errorf("%s is told as %v", c.Rule, f.Crossing)
		}
	}
}

func TestAuditOwn(t *testing.T) {
	text := "version: 1\nname: x\nstages:\n  build:\n    run: [make]\n    out: { thing: dist/thing }\n  release:\n    from: [build]\n"
	r := finding.Report{Totals: finding.Totals{BySeverity: map[string]int{}}}
	there, err := auditOwn(fstest.MapFS{"sallyport.yaml": {Data: []byte(text)}}, &r)
	if err != nil || !there || r.Files != 1 {
		t.Fatalf("%v, %v, %+v", there, err, r)
	}
	if len(r.Findings) == 0 && len(r.Errors) == 0 {
		t.Error("a release without a verdict is neither found nor refused")
	}
	for _, f := range r.Findings {
		if !strings.HasPrefix(string(f.Rule), "SPA-") {
			t.Errorf("%+v", f)
		}
	}
}

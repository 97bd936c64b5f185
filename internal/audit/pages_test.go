package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/audit/render"
)

const pages = "../../docs/rules"

// TestRulePages holds each rule's page to what the audit does: the example that
// breaks the rule gives the very report of the page, the one that keeps it gives
// none. UPDATE=1 writes the reports anew.
func TestRulePages(t *testing.T) {
	for _, r := range finding.Rules() {
		t.Run(string(r.ID), func(t *testing.T) {
			name := filepath.Join(pages, string(r.ID)+".md")
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := parsePage(string(raw))
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("# %s: %s\n", r.ID, r.Title); !strings.HasPrefix(string(raw), want) {
				t.Errorf("the page begins otherwise than %q", want)
			}
			got := reported(t, r.ID, p.file, p.bad)
			if got == "" {
				t.Fatal("the example that breaks the rule gives no finding")
			}
			if got != p.report && os.Getenv("UPDATE") != "" {
				out := strings.Replace(string(raw), "```text\n"+p.report+"```", "```text\n"+got+"```", 1)
				if err := os.WriteFile(name, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != p.report {
				t.Errorf("the report is\n%s\nthe page has\n%s", got, p.report)
			}
			if safe := reported(t, r.ID, p.safeFile, p.good); safe != "" {
				t.Errorf("the example that keeps the rule gives\n%s", safe)
			}
		})
	}
}

// rulePage is the parts of a page that a program can try.
type rulePage struct{ file, bad, report, safeFile, good string }

func parsePage(text string) (rulePage, error) {
	var p rulePage
	for _, part := range []struct {
		into   *string
		begin  string
		finish string
	}{
		{&p.file, "## Breaks it\n\n`", "`:"}, {&p.bad, "```yaml\n", "```\n"}, {&p.report, "```text\n", "```\n"},
		{&p.safeFile, "## Keeps it\n\n`", "`:"}, {&p.good, "```yaml\n", "```\n"},
	} {
		_, rest, ok := strings.Cut(text, part.begin)
		if !ok {
			return p, fmt.Errorf("no %q", part.begin)
		}
		if *part.into, text, ok = strings.Cut(rest, part.finish); !ok {
			return p, fmt.Errorf("no end of %q", part.begin)
		}
	}
	return p, nil
}

// reported is the text report of one rule's findings in one file.
func reported(t *testing.T, id finding.ID, file, text string) string {
	t.Helper()
	repo := fstest.MapFS{file: {Data: []byte(text)}, "package.json": {Data: []byte(`{"scripts":{"build":"tsc","test":"jest","docs":"typedoc"},"dependencies":{"left":"1"}}`)}}
	r, err := audit.Read(repo, audit.Options{Owner: "acme/shop"})
	if err != nil || len(r.Errors) > 0 || r.Files != 1 {
		t.Fatalf("read: %v, %+v, %d files", err, r.Errors, r.Files)
	}
	report := audit.Report(r.Definitions, r.Errors, r.Files, audit.Strict)
	var kept []finding.Finding
	for _, f := range report.Findings {
		if f.Rule == id {
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	only := finding.Report{Findings: kept}
	var b bytes.Buffer
	source := func(string) []byte { return []byte(text) }
	if err := render.Text(&b, only, render.Context{Source: source}); err != nil {
		t.Fatal(err)
	}
	out, _, _ := strings.Cut(b.String(), "\n\n"+fmt.Sprint(len(kept))+" findings")
	return strings.TrimRight(out, "\n") + "\n"
}

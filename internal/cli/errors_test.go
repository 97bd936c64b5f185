package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/pipeline"
)

// TestErrorsAreDocumented wants each code of the code base in docs/errors.md, and
// no other.
func TestErrorsAreDocumented(t *testing.T) {
	known := map[string]bool{}
	for _, c := range pipeline.Codes() {
		known[c.Code] = true
	}
	for _, from := range []struct{ files, pattern string }{
		{"*.go", `"(E-[A-Z-]+)"`},
		{"../conductor/*.go", `"(E-[A-Z-]+)"`},
		{"../gateway/fault/fault.go", `"(gw-[a-z-]+)"`},
		{"../source/*.go", `"(source\.[a-z-]+)"`},
		{"../image/*.go", `"(image\.[a-z-]+)"`},
		{"../store/*.go", `"(tree\.[a-z-]+)"`},
	} {
		for _, c := range codesIn(t, from.files, from.pattern) {
			known["E-"+strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(c, ".", "-")), "E-")] = true
		}
	}
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(E-[A-Z-]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if slices.Contains(told, m[1]) {
			t.Errorf("%s stands twice in docs/errors.md", m[1])
		}
		told = append(told, m[1])
		if !known[m[1]] {
			t.Errorf("%s is in docs/errors.md, and nothing gives it", m[1])
		}
	}
	for c := range known {
		if !slices.Contains(told, c) {
			t.Errorf("%s is not in docs/errors.md", c)
		}
	}
}

func codesIn(t *testing.T, files, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(files)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s: %v", files, err)
	}
	var out []string
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
			out = append(out, m[1])
		}
	}
	return out
}

package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThreatsNamesTests checks that every test, row and check that
// docs/threats.md names is there: a page that promises what nothing shows is
// worse than none.
func TestThreatsNamesTests(t *testing.T) {
	page, err := os.ReadFile("../docs/threats.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests, suite strings.Builder
	for _, f := range house(t, "internal") {
		if f.test {
			tests.WriteString(f.text)
		}
		if f.dir == "internal/sandbox/sandboxtest" || f.dir == "internal/zoneinit/probe" {
			suite.WriteString(f.text)
		}
	}
	named := 0
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		named++
		if !strings.Contains(tests.String(), "func "+m[1]+"(") {
			t.Errorf("docs/threats.md names %s, which is no test", m[1])
		}
	}
	row := regexp.MustCompile("`((?:file|input|net|family|proc|peer|power|space|mount|call|device)\\.[a-z0-9.-]+)`")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		named++
		if !strings.Contains(suite.String(), `"`+m[1]+`"`) && !composed(suite.String(), m[1]) {
			t.Errorf("docs/threats.md names %s, which the suite does not try", m[1])
		}
	}
	if named < 80 {
		t.Errorf("only %d names were found: the test shows nothing", named)
	}
}

// composed tells whether a row's name is put together in the suite from the group
// and a word.
func composed(suite, name string) bool {
	group, word, _ := strings.Cut(name, ".")
	return strings.Contains(suite, `"`+group+`." +`) && strings.Contains(suite, `"`+word+`"`)
}

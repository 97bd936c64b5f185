package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name, in       string
		passed, failed int
		wants          []string
	}{
		{"pass", `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1}
`, 1, 0, []string{"ok   p", "1 passed, 0 failed, 0 not run"}},
		{"fail shows its output", `{"Action":"output","Package":"p","Test":"TestA","Output":"wanted 1\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`, 0, 1, []string{"wanted 1", "0 passed, 1 failed"}},
		{"skip says why", `{"Action":"output","Package":"p","Test":"TestA","Output":"    x_test.go:3: not run: needs root\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
`, 0, 0, []string{"not run: p TestA: x_test.go:3: not run: needs root", "0 passed, 0 failed, 1 not run"}},
		{"a build that broke is a failure", `{"Action":"build-output","ImportPath":"p","Output":"undefined: x\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`, 0, 1, []string{"undefined: x", "0 passed, 1 failed"}},
		{"nothing ran", ``, 0, 0, []string{"no test ran"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(tt.in)); err != nil {
				t.Fatal(err)
			}
			s.close()
			if s.passed != tt.passed || s.failed != tt.failed {
				t.Errorf("passed %d failed %d, wanted %d and %d", s.passed, s.failed, tt.passed, tt.failed)
			}
			for _, w := range tt.wants {
				if !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q:\n%s", w, out.String())
				}
			}
		})
	}
}

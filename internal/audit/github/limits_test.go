package github

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// files is a repository of one workflow, w.yml, and some more files.
func files(workflow string, more ...string) fs.FS {
	repo := fstest.MapFS{"w.yml": {Data: []byte(workflow)}}
	for i := 0; i+1 < len(more); i += 2 {
		repo[more[i]] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	return repo
}

// TestLimits: what refers to itself, or to much, ends soon and says that not
// all was read.
func TestLimits(t *testing.T) {
	chain := func(n int) []string { // each action uses the next nine times
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("a%d/action.yml", i), "runs: {steps: ["+strings.Repeat(fmt.Sprintf("{uses: ./a%d},", i+1), 100)+"]}")
		}
		return all
	}
	calls := func(file string, n int) string {
		var b strings.Builder
		b.WriteString("on: push\njobs:\n")
		for i := range n {
			fmt.Fprintf(&b, "  j%d: {uses: ./%s}\n", i, file)
		}
		return b.String()
	}
	for name, row := range map[string]struct {
		repo fs.FS
		gap  string
	}{
		"an action of itself":     {files("jobs: {a: {steps: [{uses: ./a}]}}", "a/action.yml", "runs: {steps: [{uses: ./a},{uses: ./a}]}"), "in a circle"},
		"actions of actions":      {files("jobs: {a: {steps: [{uses: ./a0}]}}", chain(5)...), "more than is looked at"},
		"actions five deep":       {files("jobs: {a: {steps: [{uses: ./a0}]}}", chain(6)[:12]...), "more than is looked at"},
		"a workflow of itself":    {files(calls("w.yml", 9)), "in a circle"},
		"workflows of workflows":  {files(calls("1.yml", 60), "1.yml", calls("2.yml", 60), "2.yml", calls("3.yml", 60), "3.yml", "jobs: {a: {steps: []}}"), "more than is looked at"},
		"steps beside themselves": {files("jobs: {a: {steps: [&s {parallel: [*s, *s, *s]}]}}"), "neither runs nor uses"},
		"many steps by aliases":   {files("x: &s {run: echo}\ny: &l [" + strings.Repeat("*s,", 5000) + "]\njobs: {" + strings.Repeat("", 0) + jobsOf(40) + "}"), "looked at"},
		"text by aliases":         {files("x: &s {run: \"" + strings.Repeat("npm ci; ", 30_000) + "\"}\njobs: {a: {steps: [" + strings.Repeat("*s,", 500) + "]}}"), "more than is looked at"},
		"inputs that grow":        {files("jobs: {a: {steps: [{uses: ./a0}]}}", growing()...), ""},
		"artifacts and their use": {files("jobs: {a: {steps: [" + strings.Repeat("{uses: actions/download-artifact@v4, with: {path: x}},", 3000) + "{run: \"" + strings.Repeat("a b c;", 100_000) + "\"}]}}"), "looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			d, err := Read(row.repo, "w.yml", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if row.gap != "" && !slices.ContainsFunc(d.Gaps, func(g ci.Gap) bool { return strings.Contains(g.Why, row.gap) }) {
				t.Errorf("no gap says %q", row.gap)
			}
			if len(d.Gaps) > 60_000 {
				t.Errorf("%d gaps", len(d.Gaps))
			}
		})
	}
}

func jobsOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "j%d: {steps: *l},", i)
	}
	return b.String()
}

// growing are actions that hand twice what they were given to the next.
func growing() []string {
	var all []string
	for i := range 5 {
		all = append(all, fmt.Sprintf("a%d/action.yml", i), "inputs: {x: {default: yyyyyyyyyy}}\nruns: {steps: [{uses: ./a"+fmt.Sprint(i+1)+", with: {x: \""+strings.Repeat("${{ inputs.x }}", 5000)+"\"}}]}")
	}
	return all
}

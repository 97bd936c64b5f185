package script

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sallyport/sallyport/internal/audit/ci"
)

// hostile are texts that try to cost more than they should.
func hostile() map[string]string {
	n := 60_000
	return map[string]string{
		"brackets":      strings.Repeat("(", n),
		"braces":        strings.Repeat("{ ", n),
		"substitutions": strings.Repeat("$(", n),
		"ticks":         strings.Repeat("`a ", n),
		"quoted":        strings.Repeat(`"$(`, n),
		"if":            strings.Repeat("if ", n),
		"case":          strings.Repeat("case x in a) ", n/4),
		"arithmetic":    "$((" + strings.Repeat("-", 4*n) + "1))",
		"minus":         "$((" + strings.Repeat("- ", 2*n) + "1))",
		"not":           "[[ " + strings.Repeat("! ", 2*n) + "x ]]",
		"ternary":       "$((" + strings.Repeat("1?", 2*n) + "1))",
		"power":         "$((" + strings.Repeat("1**", n) + "1))",
		"and":           strings.Repeat("a && ", n/2) + "a",
		"pipe":          strings.Repeat("a | ", n/2) + "a",
		"expressions":   strings.Repeat("${{", n),
		"expressions2":  strings.Repeat("${{ '", n/2) + "}}",
		"heredocs":      strings.Repeat("a <<E\n", n/4),
		"parameters":    strings.Repeat("${a:-", n/2),
		"doubling":      "a=xx\n" + strings.Repeat("a=$a$a$a$a\n", 1000) + "echo " + strings.Repeat("$a", 1000),
		"functions":     "f0() { npm ci; }\n" + doublingFunctions(40),
		"words":         "f() { f \"$@\" \"$@\"; }\nf a",
		"words2":        "set -- a b\n" + strings.Repeat("set -- \"$@\" \"$@\"\n", 60),
		"tee":           strings.Repeat("tee $(", 200) + strings.Repeat(")", 200),
		"eval":          "x='eval \"$x\"'\neval \"$x\"",
		"long":          strings.Repeat("npm ci\n", 30_000),
		"trap":          strings.Repeat("trap '", 50) + "x",
		"bytes":         strings.Repeat("\x00\xff", n),
		"brace words":   "echo " + strings.Repeat("{a,", n/3),
		"extglob":       strings.Repeat("@(a|", n/3),
	}
}

func doublingFunctions(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "f%d() { f%d; f%d; }\n", i, i-1, i-1)
	}
	return b.String()
}

func TestHostile(t *testing.T) {
	for name, text := range hostile() {
		for _, shell := range []string{"bash", "pwsh"} {
			start := time.Now()
			r := &Reader{}
			r.Read(Source{Text: text, Shell: shell})
			if d := time.Since(start); d > 3*time.Second {
				t.Errorf("%s of %s took %v", name, shell, d)
			}
		}
	}
}

func TestHostileFiles(t *testing.T) {
	repo := fstest.MapFS{
		"Makefile":        {Data: []byte("A=" + strings.Repeat("$(B)", 900) + "\nB=" + strings.Repeat("$(C)", 900) + "\nC=" + strings.Repeat("$(A)", 900) + "\nall:\n\techo $(A)\n" + strings.Repeat("\t$(MAKE) all\n", 50))},
		"package.json":    {Data: []byte(`{"scripts": {"a": "npm run a && npm run a"}, "x": ` + strings.Repeat("[", 20_000))},
		"b/package.json":  {Data: []byte(`{"scripts": {"a": "npm run a && npm run a"}}`)},
		"self.sh":         {Data: []byte("bash self.sh\nbash self.sh\n. ./self.sh")},
		".goreleaser.yml": {Data: []byte("before: &a\n  hooks: [*a, *a]")},
	}
	r := &Reader{Repo: repo}
	start := time.Now()
	f := r.Read(Source{Text: "make all\nnpm run a\ncd b && npm run a\ncd .. && ./self.sh\ngoreleaser release\n. ../../../etc/passwd"})
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	if len(f.Gaps) == 0 {
		t.Error("no gap for files that name themselves")
	}
}

// TestLimitsAreGaps says what was not read.
func TestLimitsAreGaps(t *testing.T) {
	for text, why := range map[string]string{
		strings.Repeat("# x\n", maxText):                                           "shell text of more than 256 KiB",
		strings.Repeat("(", maxOpen+1):                                             "shell text that nests too deep to be parsed",
		strings.Repeat("x\n", maxCommands+1):                                       "shell text that runs more commands than are looked at",
		strings.Repeat("if x; then ", 1200) + "x; " + strings.Repeat("fi; ", 1200): "shell text that nests deeper than is looked at",
	} {
		r := &Reader{}
		if f := r.Read(Source{Text: text}); len(f.Gaps) != 1 || f.Gaps[0].Why != why {
			t.Errorf("%s: got %v", why, f.Gaps)
		}
	}
}

func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/read/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range a.Files {
			f.Add(string(part.Data), "bash")
			f.Add(string(part.Data), "pwsh")
		}
	}
	f.Add(lineText(events), "")
	f.Add(actLines, "sh")
	f.Add(minted, "cmd")
	f.Fuzz(func(t *testing.T, text, shell string) {
		defer time.AfterFunc(10*time.Second, func() { panic("more than ten seconds") }).Stop()
		repo := fstest.MapFS{"Makefile": {Data: []byte(text)}, "package.json": {Data: []byte(text)}, "x.sh": {Data: []byte(text)}, ".goreleaser.yml": {Data: []byte(text)}, "tox.ini": {Data: []byte(text)}}
		lines := strings.Count(text, "\n") + 1
		s := Source{Text: text, Shell: shell, Place: ci.Place{File: "ci.yml", Line: 1, Column: 1}}
		Variables(s)
		Expressions(text)
		r := &Reader{Repo: repo}
		for _, s := range []Source{s, {Text: "make\nnpm run build\nbash x.sh\ngoreleaser release\ntox -e x", Shell: "bash", Continues: true}} {
			for _, e := range r.Read(s).Events {
				if e.Tier == 0 || e.Why == "" || strings.Contains(e.Text, "\n") || s.Place.Line == 1 && (e.Where.Line < 1 || e.Where.Line > lines || e.Where.Column < 1) {
					t.Errorf("%+v", e)
				}
			}
		}
	})
}

// BenchmarkRead reads a common step.
func BenchmarkRead(b *testing.B) {
	text := "set -e\nsudo apt-get update\nsudo apt-get install -y jq\nif [ \"$X\" = 1 ]; then\n  npm ci\n  npm run build -- --x ${{ inputs.y }}\nfi\nfor f in dist/*; do\n  gh release upload v1 \"$f\" || exit 1\ndone\necho \"a=$(git rev-parse HEAD)\" >> $GITHUB_OUTPUT\n"
	b.ReportAllocs()
	for range b.N {
		r := &Reader{}
		for range 5 {
			r.Read(Source{Text: text, Shell: "bash"})
		}
	}
}

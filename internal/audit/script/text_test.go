package script

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"no", nil},
		{"a ${{ x }} b ${{y}}", []string{"x", "y"}},
		{"${{ format('}}', z) }}", []string{"format('}}', z)"}},
		{"${{ it's }}", []string{"it's"}},
		{"${{ open", nil},
		{"$ { { x } }", nil},
	} {
		if got := Expressions(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"no $ 5% 100%", nil},
		{`echo $A "${B}" ${C:-x} ${#D} ${!E} $A`, []string{"A", "B", "C", "D", "E"}},
		{"$env:F ${env:G}", []string{"F", "G"}},
		{"%H% %I J%", []string{"H"}},
		{`os.environ["K"]; os.environ.get('L'); os.getenv("M")`, []string{"K", "L", "M"}},
		{"${{ secrets.N }} $[[ inputs.O ]]", nil},
		{"$1 $? $@ $$", nil},
		{"$", nil},
		{"${", nil},
		{"${env:", []string{"env"}},
	} {
		if got := Variables(Source{Text: c.text}); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

// TestPlaces holds the place of a command to the place of the text: a block
// moves every column, a plain scalar the first line's, a folded one all to its
// beginning.
func TestPlaces(t *testing.T) {
	at := ci.Place{File: "ci.yml", Line: 10, Column: 9}
	for _, c := range []struct {
		name string
		s    Source
		want []ci.Place
	}{
		{"block", Source{Text: "npm ci\n  yarn install", Place: at}, []ci.Place{{File: "ci.yml", Line: 10, Column: 9}, {File: "ci.yml", Line: 11, Column: 11}}},
		{"one line", Source{Text: "cd x && npm ci", Place: at}, []ci.Place{{File: "ci.yml", Line: 10, Column: 17}}},
		{"flat", Source{Text: "npm ci\nyarn install", Place: at, Flat: true}, []ci.Place{at, at}},
		{"blank lines", Source{Text: "\n\n npm ci", Place: at}, []ci.Place{{File: "ci.yml", Line: 12, Column: 10}}},
		{"within", Source{Text: "x\nbash -c 'y\n npm ci'", Place: at}, []ci.Place{{File: "ci.yml", Line: 12, Column: 10}}},
		{"heredoc", Source{Text: "bash <<E\n  npm ci\n  yarn install\nE", Place: at}, []ci.Place{{File: "ci.yml", Line: 11, Column: 11}, {File: "ci.yml", Line: 12, Column: 11}}},
		{"CRLF", Source{Text: "x\r\nnpm ci\r\n", Place: at}, []ci.Place{{File: "ci.yml", Line: 11, Column: 9}}},
		{"expression of two lines", Source{Text: "x ${{ a ||\n b }}\nnpm ci", Place: at}, []ci.Place{{File: "ci.yml", Line: 12, Column: 9}}},
		{"letters of more bytes", Source{Text: "echo é && npm ci", Place: at}, []ci.Place{{File: "ci.yml", Line: 10, Column: 20}}},
	} {
		r := &Reader{}
		var got []ci.Place
		for _, e := range r.Read(c.s).Events {
			got = append(got, e.Where)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestContinues keeps folder, variables and functions between texts of the same
// shell, and forgets them between texts of different ones.
func TestContinues(t *testing.T) {
	for _, same := range []bool{true, false} {
		r := &Reader{}
		r.Read(Source{Text: "T=npm\nf() { $T ci; }\ncd x"})
		got := len(r.Read(Source{Text: "f", Continues: same}).Events)
		if want := map[bool]int{true: 1, false: 0}[same]; got != want {
			t.Errorf("same shell %v: %d events, want %d", same, got, want)
		}
	}
}

func TestShells(t *testing.T) {
	for shell, want := range map[string]string{
		"": "bash", "bash": "bash", "bash -euo pipefail {0}": "bash", "/bin/sh -e": "posix", "sh": "posix", "/usr/bin/env bash": "bash", "/usr/bin/env -S bash -e": "bash",
		"pwsh": "pwsh", "PowerShell": "pwsh", "cmd": "cmd", "cmd.exe": "cmd", "python3": "python", "zsh": "bash", "node {0}": "node", "fish": "fish",
	} {
		if got := language(shell); got != want {
			t.Errorf("%q: got %s, want %s", shell, got, want)
		}
	}
	r := &Reader{}
	f := r.Read(Source{Text: "npm ci", Shell: "fish"})
	if len(f.Events) != 1 || len(f.Gaps) != 1 {
		t.Errorf("a shell that is not known: %d events, %d gaps, want 1 and 1", len(f.Events), len(f.Gaps))
	}
}

// TestDir reads files where the step runs; a folder that cannot be told has
// none.
func TestDir(t *testing.T) {
	repo := fstest.MapFS{"web/package.json": {Data: []byte(`{"scripts": {"x": "node x"}}`)}}
	for dir, want := range map[string]int{"web": 0, "./web/": 0, "": 1, "${{ matrix.dir }}": 1, "../..": 1} {
		r := &Reader{Repo: repo}
		if got := len(r.Read(Source{Text: "npm run x", Dir: dir}).Events); got != want {
			t.Errorf("%q: %d events, want %d", dir, got, want)
		}
	}
}

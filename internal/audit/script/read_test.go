package script

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sallyport/sallyport/internal/audit/ci"
)

// TestRead reads the texts of each file in its order with one reader, and
// compares what they do. A head line "shell: x" says the shell.
func TestRead(t *testing.T) {
	files, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, want := replay(a, nil)
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// replay reads the texts of an archive, and returns what they do and what they
// should.
func replay(a *txtar.Archive, watch func(string, int)) (got, want string) {
	repo := fstest.MapFS{}
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, "repo/"); ok {
			repo[name] = &fstest.MapFile{Data: f.Data}
		}
	}
	r := &Reader{Repo: repo, watch: watch}
	head, _, _ := strings.Cut(string(a.Comment), "\n")
	shell, found := strings.CutPrefix(head, "shell: ")
	if !found {
		shell = "bash"
	}
	var all []string
	for _, f := range a.Files {
		switch f.Name {
		case "read":
			s := Source{Text: string(f.Data), Shell: shell, Place: ci.Place{File: "ci.yml", Line: 1, Column: 1}}
			all = append(all, render(r.Read(s)))
		case "want":
			want = string(f.Data)
		}
	}
	return strings.Join(all, "--\n"), want
}

package github

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/citest"
)

func TestRead(t *testing.T) {
	citest.Run(t, func(repo fs.FS, file string) (ci.Definition, error) {
		return Read(repo, file, Options{Owner: "acme/shop", Trusted: []string{"friend"}})
	})
}

func TestOwns(t *testing.T) {
	for p, want := range map[string]bool{
		".github/workflows/a.yml": true, ".github/workflows/a.yaml": true, ".github/workflows/a.txt": false,
		".github/workflows/sub/a.yml": false, "x/.github/workflows/a.yml": false, ".github/dependabot.yml": false,
	} {
		if Owns(p) != want {
			t.Errorf("%s: %v", p, !want)
		}
	}
}

// TestDefaultPermissions: what a token may do where no file says it is an
// option's to say, and is told as assumed.
func TestDefaultPermissions(t *testing.T) {
	repo := fstest.MapFS{"w.yml": {Data: []byte("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: npm ci\n")}}
	for option, want := range map[string]int{"": 0, "read": 0, "write": 11} {
		d, err := Read(repo, "w.yml", Options{DefaultPermissions: option})
		if err != nil {
			t.Fatal(err)
		}
		all := d.Jobs[0].Credentials
		if len(all) != want {
			t.Errorf("%q: %d credentials", option, len(all))
		}
		for _, c := range all {
			if !c.Assumed || c.Kind == ci.OIDC {
				t.Errorf("%q: %+v", option, c)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		raw, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(txtar.Parse(raw).Files[0].Data)
	}
	f.Add([]byte("on: &a [*a]\njobs: {a: {steps: [{uses: ./}]}}"))
	f.Add([]byte("jobs: {a: {uses: ./w.yml}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		repo := fstest.MapFS{"w.yml": {Data: raw}, "action.yml": {Data: raw}}
		_, _ = Read(repo, "w.yml", Options{}) // any answer will do, a panic or a hang will not
	})
}

// TestDefaultsOfActions: what a workflow sets for its own commands does not hold
// for those of an action.
func TestDefaultsOfActions(t *testing.T) {
	const text = "on: push\ndefaults: { run: { shell: python, working-directory: web } }\njobs:\n  a:\n    steps:\n      - uses: ./x\n      - run: npm ci\n"
	d, err := Read(files(text, "x/action.yml", "runs:\n  steps:\n    - run: sh go.sh\n", "go.sh", "npm ci\n", "web/go.sh", "cargo test\n"), "w.yml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	of := d.Jobs[0].Steps
	if len(of[0].Events) != 1 || of[0].Events[0].Ecosystem != "npm" {
		t.Errorf("the action's step: %+v", of[0].Events)
	}
	if len(of[1].Events) != 0 {
		t.Errorf("python text read as shell text: %+v", of[1].Events)
	}
}

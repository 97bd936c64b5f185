package tekton

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
		return Read(repo, file, Options{Owner: "acme/app", Trusted: []string{"registry.example/own"}})
	})
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		repo, file := fstest.MapFS{".tekton/w.yml": {Data: raw}, ".tekton/x.yml": {Data: raw}}, ".tekton/w.yml"
		_, _ = Read(repo, file, Options{}) // any answer will do, a panic or a hang will not
	})
}

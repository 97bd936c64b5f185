package jenkins

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
	citest.Run(t, func(repo fs.FS, file string) (ci.Definition, error) { return Read(repo, file, Options{}) })
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
		repo := fstest.MapFS{"Jenkinsfile": {Data: raw}}
		_, _ = Read(repo, "Jenkinsfile", Options{}) // any answer will do, a panic or a hang will not
	})
}

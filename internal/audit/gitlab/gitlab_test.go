package gitlab

import (
	"io/fs"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/citest"
)

func read(repo fs.FS, file string) (ci.Definition, error) { return Read(repo, file, "acme/shop", nil) }

func TestRead(t *testing.T) { citest.Run(t, read) }

func FuzzRead(f *testing.F) { citest.Fuzz(f, read) }

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/release"
)

// checkOut refuses an --out that would mix a result with other files.
func checkOut(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return usagef("--out %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() == release.TrustedRootFile {
			return nil
		}
	}
	if len(entries) > 0 {
		return usagef("--out %s: the directory is not empty, and not from an earlier run", dir)
	}
	return nil
}

// copyOut writes src to a new file of dir, which appears whole or not at all.
func copyOut(dir, name string, mode fs.FileMode, src io.Reader) error {
	tmp, err := os.CreateTemp(dir, ".sallyport-")
	if err != nil {
		return fmt.Errorf("export %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, src)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", name, err)
	}
	return nil
}

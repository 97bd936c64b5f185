package sandboxtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// InitFile is the variable that names a built init for a test process that
// cannot build one.
const InitFile = "SALLYPORT_TEST_INIT"

// BuildInit gives the program of a zone's first process, built from the sources
// as they are, so that no test runs a stale one. A package of tests wants it
// once: sync.OnceValues(sandboxtest.BuildInit).
func BuildInit() ([]byte, error) {
	if name := os.Getenv(InitFile); name != "" {
		return os.ReadFile(name)
	}
	if err := readSources(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sallyport-init-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := filepath.Join(dir, "zoneinit")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", name,
		"github.com/sallyport/sallyport/cmd/zoneinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the zone's init: %w: %s", err, out)
	}
	return os.ReadFile(name)
}

// readSources reads the init's sources, so that go test knows that a cached
// result depends on them.
func readSources() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	for _, dir := range []string{"internal/zoneinit", "internal/zoneinit/wire", "internal/zoneinit/probe", "cmd/zoneinit"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no sources in %s: %w", dir, err)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// moduleRoot is the nearest directory with a go.mod: tests run in the directory
// of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod here or above")
		}
		dir = up
	}
}

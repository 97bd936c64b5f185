package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/release"
	"github.com/sallyport/sallyport/internal/sign"
)

// releaser is the release room as the conductor sees it. It remembers what was
// promoted, for --out.
type releaser struct {
	room *release.Releaser
	done release.Promotion
}

// openReleaser opens the one room with a way to a key.
func openReleaser(p paths, log *ledger.Log) (*releaser, error) {
	authority, err := sign.Open(p.keys, sign.Options{Log: log, TrustDomain: conductor.TrustDomain})
	if err != nil {
		return nil, fmt.Errorf("open the signing keys: %w", err)
	}
	if err := os.WriteFile(p.root, authority.TrustedRoot(), 0o644); err != nil {
		return nil, fmt.Errorf("write trusted root: %w", err)
	}
	room, err := release.Open(release.Options{Authority: authority, Ledger: log, Repository: p.release, TrustDomain: conductor.TrustDomain})
	if err != nil {
		return nil, fmt.Errorf("open the release repository: %w", err)
	}
	return &releaser{room: room}, nil
}

// Release signs and promotes what has a verdict, and copies the layout to the
// folders that the stage names.
func (r *releaser) Release(ctx context.Context, in conductor.Release) (*conductor.Promoted, error) {
	var folders []string
	for _, p := range in.Stage.Publish {
		if !strings.HasPrefix(p.OCI, ".") && !strings.HasPrefix(p.OCI, "/") {
			return nil, &problem{Code: codeNoRegistry, Exit: exitUsage, What: "this version publishes to folders, not to registries: " + p.OCI,
				Rule: ruleText(boundary.SP5), Next: "publish to a folder (oci: ./layout), and push it with: oras cp --from-oci-layout ./layout:TAG " + p.OCI}
		}
		folders = append(folders, p.OCI)
	}
	done, err := r.room.Release(ctx, in.Run, in.Verdicts, release.ContentFunc(in.Open))
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if err := copyLayout(done.Layout, f); err != nil {
			return nil, err
		}
	}
	r.done = done
	out := &conductor.Promoted{Layout: done.Layout, Bundles: map[string]string{}}
	for _, a := range done.Artifacts {
		out.Bundles[a.Name] = a.Bundle
	}
	return out, nil
}

// copyLayout copies an OCI image layout, the index last: a reader of the copy
// never finds a name without its blobs.
func copyLayout(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "index.json" || strings.HasPrefix(d.Name(), ".") && rel != "." {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		return copyInto(path, filepath.Dir(target), d.Name())
	})
	if err == nil {
		err = copyInto(filepath.Join(from, "index.json"), to, "index.json")
	}
	if err != nil {
		return fmt.Errorf("copy layout to %s: %w", to, err)
	}
	return nil
}

func copyInto(file, dir, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyOut(dir, name, 0o644, f)
}

// export hands a promotion out: into a new directory first, so that one that is
// cut short leaves what was there as it was.
func (r *releaser) export(dir string, res *runResult) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(abs), ".sallyport-out-")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := r.room.Export(r.done, tmp); err != nil {
		return err
	}
	if err := moveFiles(tmp, abs); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	res.Out = dir
	return nil
}

func moveFiles(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
	}
	return errors.Join(errs...)
}

package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
)

// Files of an export that are not of one artifact.
const (
	TrustedRootFile   = "trusted_root.json"
	ProvenanceKeyFile = "provenance.pub"
	ReleaseKeyFile    = "release.pub"
)

// bundleFiles are the files about one artifact: all statements in one file, one
// bundle on each line, and those that stock tools are given by themselves.
func (it *item) bundleFiles() map[string][]byte {
	name := fileName(it.artifact.Name)
	files := map[string][]byte{}
	var all bytes.Buffer
	for _, s := range it.signed {
		all.Write(s.bundle.data)
		all.WriteByte('\n')
		switch s.statement.Type {
		case provenance.TypeProvenance:
			files[name+".provenance.sigstore.json"] = s.bundle.data
			files[name+".provenance.plain.sigstore.json"] = s.plain
		case provenance.TypeSummary:
			files[name+".vsa.sigstore.json"] = s.bundle.data
			files[name+".vsa.plain.sigstore.json"] = s.plain
		}
	}
	files[name+".sigstore.jsonl"] = all.Bytes()
	return files
}

// writeBundles writes the statements of a run as files: a directory that is
// there whole or not at all.
func (r *Releaser) writeBundles(dir string, items []*item) error {
	files := map[string][]byte{
		TrustedRootFile: r.o.Authority.TrustedRoot(), ProvenanceKeyFile: r.o.Authority.PublicKey(sign.Provenance), ReleaseKeyFile: r.o.Authority.PublicKey(sign.Release),
	}
	for _, it := range items {
		for name, data := range it.bundleFiles() {
			files[name] = data
		}
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	if err := sweep(parent); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	temp, err := os.MkdirTemp(parent, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	defer os.RemoveAll(temp)
	for name, data := range files {
		if err := writeFile(filepath.Join(temp, name), data); err != nil {
			return fmt.Errorf("write bundles: %w", err)
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	// What is there is of a release that was never promoted.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	return syncDir(parent)
}

// Export copies a promotion into dir, for handing out: each artifact under its
// name, and the files of its bundles directory beside it. What an earlier export
// has left is replaced; in any other directory no file is.
func (r *Releaser) Export(p Promotion, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	_, err := os.Lstat(filepath.Join(dir, TrustedRootFile))
	ours := err == nil
	entries, err := os.ReadDir(p.Bundles)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(p.Bundles, e.Name()), filepath.Join(dir, e.Name()), digest.Digest{}, 0o644, ours); err != nil {
			return err
		}
	}
	for _, a := range p.Artifacts {
		from := filepath.Join(p.Layout, "blobs", "sha256", a.Digest.Hex())
		if err := copyFile(from, filepath.Join(dir, fileName(a.Name)), a.Digest, 0o755, ours); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies and, where want is known, refuses other bytes.
func copyFile(from, to string, want digest.Digest, mode fs.FileMode, replace bool) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer in.Close()
	if st, err := os.Lstat(to); err == nil && (!replace || !st.Mode().IsRegular()) {
		return same(in, from, to)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("export: %w", err)
	}
	err = writeFrom(to, func(w io.Writer) error {
		d, _, err := digest.FromReader(io.TeeReader(in, w))
		if err == nil && !want.IsZero() && d != want {
			err = fmt.Errorf("%s has become %s", from, d)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return os.Chmod(to, mode)
}

func same(in io.Reader, from, to string) error {
	old, err := os.Open(to)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer old.Close()
	a, _, err := digest.FromReader(in)
	if err != nil {
		return err
	}
	b, _, err := digest.FromReader(old)
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("export: %s is there and is not %s: %w", to, filepath.Base(from), fs.ErrExist)
	}
	return nil
}

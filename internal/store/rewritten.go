package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// Rewrite is a file of a tree that a zone wrote to, in its layer above it.
type Rewrite struct {
	Path string // in the tree
	How  Change
}

// Change is what became of a file.
type Change string

// The changes. A file that was opened for writing and has its old content was
// touched: put back, or given another time or mode.
const (
	Changed Change = "changed"
	Touched Change = "touched"
	Removed Change = "removed"
)

// Rewritten lists the files of a tree below prefix that the layer in upper
// covers or hides: overlayfs copies a file up when it is first opened for
// writing, and marks a directory that was made anew. What the layer adds beside
// them is not looked at, so the work is bounded by the tree, not by what a zone
// left. Paths in declared, which were taken out of the layer before, are left
// out. No process that could write to upper may be alive.
func (s *Store) Rewritten(ctx context.Context, upper string, tree digest.Digest, prefix string, declared []string) ([]Rewrite, error) {
	entries, err := s.Manifest(tree)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*Entry, len(entries))
	for i := range entries {
		known[entries[i].Path] = &entries[i]
	}
	var out []Rewrite
	err = filepath.WalkDir(filepath.Join(upper, prefix), func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p == filepath.Join(upper, prefix) {
			return fs.SkipAll // nothing was written there
		}
		rel := strings.TrimPrefix(p, upper+"/")
		if errors.Is(err, fs.ErrPermission) { // closed to us, by whoever wrote it
			out = append(out, Rewrite{rel, Changed})
			return fs.SkipDir
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		e, ok := known[rel]
		switch {
		case d.IsDir() && (rel == prefix || ok && e.isDir()):
			hidden, err := hiddenBelow(upper, rel, entries, declared)
			out = append(out, hidden...)
			return err
		case !ok && d.IsDir():
			return fs.SkipDir
		case !ok:
			return nil
		}
		how, err := compareUpper(p, d, e)
		out = append(out, Rewrite{rel, how})
		if err == nil && d.IsDir() {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for rewritten files: %w", err)
	}
	return out, nil
}

// hiddenBelow lists the files of a tree that a directory of the layer hides: it
// was removed and made anew, and does not have them.
func hiddenBelow(upper, dir string, entries []Entry, declared []string) ([]Rewrite, error) {
	fd, err := openDir(filepath.Join(upper, dir))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if opaque, err := overlayMark(fd); err != nil || !opaque {
		return nil, err
	}
	var out []Rewrite
	for i := range entries {
		e := &entries[i]
		if e.isDir() || !strings.HasPrefix(e.Path, dir+"/") || within(declared, e.Path) {
			continue
		}
		_, err := os.Lstat(filepath.Join(upper, e.Path))
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
			out = append(out, Rewrite{e.Path, Removed})
		case err != nil && !errors.Is(err, fs.ErrPermission): // the walk says what is closed to us
			return nil, err
		}
	}
	return out, nil
}

func within(declared []string, p string) bool {
	return slices.ContainsFunc(declared, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") })
}

// compareUpper compares what a layer has in the place of an entry.
func compareUpper(p string, d fs.DirEntry, e *Entry) (Change, error) {
	switch mode := d.Type(); {
	case mode&fs.ModeCharDevice != 0:
		return Removed, nil // how overlayfs marks it
	case mode&fs.ModeSymlink != 0 && e.Kind == Link:
		if to, err := os.Readlink(p); err != nil || to != e.Target {
			return Changed, err
		}
		return Touched, nil
	case !mode.IsRegular() || !e.isFile():
		return Changed, nil
	}
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return Changed, nil
	}
	if err != nil {
		return Changed, err
	}
	defer f.Close()
	got, _, err := digest.FromReader(io.LimitReader(f, e.Size+1))
	if err != nil || got != e.Digest {
		return Changed, err
	}
	return Touched, nil
}

func (e *Entry) isFile() bool { return e.Kind == File || e.Kind == Executable }
func (e *Entry) isDir() bool  { return e.Kind == Dir || e.Kind == Opaque }

package secrets

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Tree scans every file of a directory: names, link targets and contents. Links
// are not followed, and anything that is not a file, a directory or a link is an
// error. The caller sees to it that nothing changes the tree meanwhile.
func (s *Scanner) Tree(ctx context.Context, where, dir string) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	defer root.Close()
	w := s.walk(ctx)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		return w.node(root, joined(where, path), path, d)
	})
	if err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	return w.report, nil
}

func (w *walk) node(root *os.Root, p place, path string, d fs.DirEntry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	target := ""
	if d.Type() == fs.ModeSymlink {
		t, err := root.Readlink(path)
		if err != nil {
			return err
		}
		target = t
	}
	parent := p
	if name := w.named(place{name: "tree"}, path, target); name.name != clean("tree!"+path) {
		p.name = clean(name.name)
	}
	switch {
	case d.IsDir(), d.Type() == fs.ModeSymlink:
		return nil
	case d.Type() == fs.ModeDevice|fs.ModeCharDevice && isRemoval(d):
		return nil
	case !d.Type().IsRegular():
		return fmt.Errorf("%s is %s: neither file, directory nor link", parent.name, d.Type())
	}
	if w.report.Files >= w.limits.Entries {
		w.incomplete(p, fmt.Sprintf("more than %d files: the rest was not read", w.limits.Entries))
		return fs.SkipAll
	}
	f, err := root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.file(p, f)
}

// isRemoval tells the mark by which a layer of an overlay says that a name of
// the layers below it is gone: a character device with the number zero.
func isRemoval(d fs.DirEntry) bool {
	info, err := d.Info()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Rdev == 0
}

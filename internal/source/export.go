package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	maxDepth = 100
	maxNotes = 50
	maxLink  = 4096 // bytes of a link's target
)

// writer writes the files of a git tree below one directory. Names and links
// come from the repository and are not trusted: os.Root keeps every write
// inside, whatever links were written before.
type writer struct {
	dir   string
	root  *os.Root
	files int
	bytes int64
	notes []string
}

func newWriter(dir string, l Limits) (*writer, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write source: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("write source: %w", err)
	}
	return &writer{dir: dir, root: root, files: l.Files, bytes: l.Bytes}, nil
}

func (w *writer) tree(ctx context.Context, t *object.Tree) error {
	return w.level(ctx, t, ".", 0)
}

func (w *writer) level(ctx context.Context, t *object.Tree, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%+q: more than %d directories deep", dir, maxDepth)
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkEntry(e.Name); err != nil {
			return err
		}
		if w.files--; w.files < 0 {
			return errors.New("too many files")
		}
		if err := w.entry(ctx, t, e, path.Join(dir, e.Name), depth); err != nil {
			return err
		}
	}
	return nil
}

// checkEntry refuses names that git itself refuses to check out.
func checkEntry(name string) error {
	if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name %+q in a tree", name)
	}
	return nil
}

func (w *writer) entry(ctx context.Context, t *object.Tree, e *object.TreeEntry, rel string, depth int) error {
	switch e.Mode {
	case filemode.Dir:
		sub, err := t.Tree(e.Name)
		if err != nil {
			return fmt.Errorf("directory %+q: %w", rel, err)
		}
		if err := w.root.Mkdir(rel, 0o755); err != nil {
			return err
		}
		return w.level(ctx, sub, rel, depth+1)
	case filemode.Submodule:
		w.note(fmt.Sprintf("%+q: a submodule; its files are not in this repository", rel))
		return nil
	case filemode.Symlink:
		return w.link(t, e, rel)
	case filemode.Regular, filemode.Deprecated:
		return w.file(t, e, rel, 0o644)
	case filemode.Executable:
		return w.file(t, e, rel, 0o755)
	}
	return fmt.Errorf("%+q: unknown mode %s", rel, e.Mode)
}

func (w *writer) note(s string) {
	if len(w.notes) < maxNotes {
		w.notes = append(w.notes, s)
	}
}

func (w *writer) open(t *object.Tree, e *object.TreeEntry, rel string, most int64) (io.ReadCloser, error) {
	f, err := t.TreeEntryFile(e)
	if err != nil {
		return nil, fmt.Errorf("file %+q: %w", rel, err)
	}
	if f.Size > most {
		return nil, fmt.Errorf("%+q: %d bytes, of which at most %d are taken", rel, f.Size, most)
	}
	r, err := f.Reader()
	if err != nil {
		return nil, fmt.Errorf("file %+q: %w", rel, err)
	}
	return r, nil
}

func (w *writer) link(t *object.Tree, e *object.TreeEntry, rel string) error {
	r, err := w.open(t, e, rel, maxLink)
	if err != nil {
		return err
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, maxLink))
	if err != nil {
		return fmt.Errorf("link %+q: %w", rel, err)
	}
	return w.root.Symlink(string(target), rel)
}

func (w *writer) file(t *object.Tree, e *object.TreeEntry, rel string, mode os.FileMode) error {
	r, err := w.open(t, e, rel, w.bytes)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := w.root.OpenFile(rel, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(r, w.bytes+1))
	if w.bytes -= n; err == nil && w.bytes < 0 {
		err = fmt.Errorf("%+q: the files are too large together", rel)
	}
	return errors.Join(err, f.Close())
}

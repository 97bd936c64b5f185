package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

const (
	maxEntries  = 300_000 // files and folders that are looked at
	maxLevels   = 32      // of folders
	maxManifest = 8 << 20 // bytes of a manifest
	maxHeader   = 256 << 10
)

// tree is a foreign directory: an index of its names, and bounded reads. Links
// are never followed, and special files never opened.
type tree struct {
	root    *os.Root
	entries map[string][]entry // folder -> what is in it, sorted
	names   []string           // all folders, sorted, parents first
	count   int
}

type entry struct {
	name string
	dir  bool
	file bool // a regular file
}

func (t *tree) close() { t.root.Close() }

// walk lists a folder and those below it. Folders that hold other people's
// files, or none of the project's, are noted and not entered.
func (t *tree) walk(dir string, level int) error {
	f, err := t.root.Open(dir)
	if err != nil {
		return fmt.Errorf("look at the project: %w", err)
	}
	list, err := f.ReadDir(maxEntries + 1 - t.count)
	f.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("look at the project: %w", err)
	}
	if t.count += len(list); t.count > maxEntries {
		return &Error{Code: "E-PROJECT-LIMIT", File: dir, Msg: fmt.Sprintf("more than %d files", maxEntries), Hint: "write a " + FileName}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	t.names = append(t.names, dir)
	for _, e := range list {
		// A name that cannot be written in one line of text names nothing here.
		if !utf8.ValidString(e.Name()) || strings.ContainsFunc(e.Name(), hidden) {
			continue
		}
		t.entries[dir] = append(t.entries[dir], entry{e.Name(), e.IsDir(), e.Type().IsRegular()})
	}
	for _, e := range t.entries[dir] {
		if !e.dir || level >= maxLevels || e.name == "node_modules" || e.name == "vendor" || e.name[0] == '.' {
			continue
		}
		if err := t.walk(path.Join(dir, e.name), level+1); err != nil {
			return err
		}
	}
	return nil
}

// dirs lists the folders that were entered.
func (t *tree) dirs() []string { return t.names }

// has tells whether a regular file is there. It answers for the folders that
// were not entered too.
func (t *tree) has(name string) bool {
	if list, ok := t.entries[path.Dir(name)]; ok {
		return slices.ContainsFunc(list, func(e entry) bool { return e.name == path.Base(name) && e.file })
	}
	st, err := t.root.Lstat(name)
	return err == nil && st.Mode().IsRegular()
}

// exists tells whether anything is there.
func (t *tree) exists(name string) bool {
	_, err := t.root.Lstat(name)
	return err == nil
}

// list names what is in a folder, bounded, also of one that was not entered.
func (t *tree) list(dir string) []entry {
	if list, ok := t.entries[dir]; ok {
		return list
	}
	f, err := t.root.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	found, err := f.ReadDir(1000)
	if err != nil {
		return nil
	}
	var out []entry
	for _, e := range found {
		out = append(out, entry{e.Name(), e.IsDir(), e.Type().IsRegular()})
	}
	return out
}

// read returns a whole manifest, or an error when it is too large.
func (t *tree) read(name string) ([]byte, error) {
	b, err := t.head(name, maxManifest+1)
	if err != nil {
		return nil, projectFile(name, "cannot be read: %s", plainError(err))
	}
	if len(b) > maxManifest {
		return nil, projectFile(name, "is larger than %d MiB", maxManifest>>20)
	}
	return b, nil
}

// head returns the first bytes of a regular file.
func (t *tree) head(name string, most int64) ([]byte, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

var errNotRegular = errors.New("it is not a regular file")

// open opens a regular file that no link leads to. Without blocking, since a
// pipe could have taken the file's place since it was listed.
func (t *tree) open(name string) (*os.File, error) {
	st, err := t.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !now.Mode().IsRegular() {
		f.Close()
		return nil, errNotRegular
	}
	return f, nil
}

// plainError words an error without the path, which is told beside it.
func plainError(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

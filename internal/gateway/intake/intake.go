// Package intake reads files of a project that nobody has verified: inside the
// project's tree only, regular files only, bounded in size. A link that leaves
// the tree, a pipe or a device is an error, never waited for.
package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Tree is a project's directory.
type Tree struct{ root *os.Root }

// Open opens a project's directory.
func Open(dir string) (*Tree, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "open the project", err)
	}
	return &Tree{r}, nil
}

// Close lets the directory go.
func (t *Tree) Close() { _ = t.root.Close() }

// Clean makes a path of the project canonical: slashes, relative to the root,
// never above it.
func Clean(name string) (string, error) {
	c := path.Clean(strings.ReplaceAll(name, "\\", "/"))
	if path.IsAbs(c) || c == ".." || strings.HasPrefix(c, "../") || strings.ContainsRune(c, 0) {
		return "", fault.New(fault.ForeignHost, fmt.Sprintf("path %q lies outside the project", fault.Clean(name)))
	}
	return c, nil
}

// Read returns a file's bytes. The error is fs.ErrNotExist where there is none.
func (t *Tree) Read(name string, limit int64) ([]byte, error) {
	clean, err := Clean(name)
	if err != nil {
		return nil, err
	}
	f, err := t.root.OpenFile(clean, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "open a file of the project", err).At(clean)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, fault.New(fault.Lockfile, "not a regular file").At(clean)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "read", err).At(clean)
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.Limit, fmt.Sprintf("larger than %d bytes", limit)).At(clean)
	}
	return b, nil
}

// Exists tells whether something has that name inside the tree.
func (t *Tree) Exists(name string) bool {
	clean, err := Clean(name)
	if err != nil {
		return false
	}
	_, err = t.root.Stat(clean)
	return err == nil
}

// Lines turns offsets into line numbers. Offsets must be asked for in order.
type Lines struct {
	b    []byte
	at   int
	line int
}

// NewLines counts in b.
func NewLines(b []byte) *Lines { return &Lines{b: b, line: 1} }

// At returns the line, from 1, that holds the byte at off.
func (l *Lines) At(off int64) int {
	to := min(int(off), len(l.b))
	if to > l.at {
		l.line += bytes.Count(l.b[l.at:to], []byte{'\n'})
		l.at = to
	}
	return l.line
}

// maxGlob bounds the folders that one pattern can name.
const maxGlob = 2000

// Glob lists the folders that match a pattern inside the tree.
func (t *Tree) Glob(pattern string) ([]string, error) {
	clean, err := Clean(pattern)
	if err != nil {
		return nil, err
	}
	list, err := fs.Glob(t.root.FS(), clean)
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "pattern "+clean, err)
	}
	if len(list) > maxGlob {
		return nil, fault.New(fault.Limit, fmt.Sprintf("pattern %s names more than %d folders", clean, maxGlob))
	}
	return list, nil
}

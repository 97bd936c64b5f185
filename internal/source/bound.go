package source

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
)

var errTooLarge = errors.New("the repository is larger than what is taken")

// bounded is a file system on which only so many bytes can be written: a server
// can send a pack without end.
type bounded struct {
	billy.Filesystem
	left *atomic.Int64
}

func bound(fs billy.Filesystem, bytes int64) billy.Filesystem {
	b := bounded{Filesystem: fs, left: new(atomic.Int64)}
	b.left.Store(bytes)
	return b
}

func (b bounded) wrap(f billy.File, err error) (billy.File, error) {
	if err != nil {
		return nil, err
	}
	return boundedFile{f, b.left}, nil
}

// Create makes a file whose bytes count.
func (b bounded) Create(name string) (billy.File, error) { return b.wrap(b.Filesystem.Create(name)) }

// OpenFile opens a file whose bytes count.
func (b bounded) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	return b.wrap(b.Filesystem.OpenFile(name, flag, perm))
}

// TempFile makes a file whose bytes count.
func (b bounded) TempFile(dir, prefix string) (billy.File, error) {
	return b.wrap(b.Filesystem.TempFile(dir, prefix))
}

// Chroot keeps the bound.
func (b bounded) Chroot(path string) (billy.Filesystem, error) {
	fs, err := b.Filesystem.Chroot(path)
	if err != nil {
		return nil, err
	}
	return bounded{fs, b.left}, nil
}

type boundedFile struct {
	billy.File
	left *atomic.Int64
}

// Write writes while there is room.
func (f boundedFile) Write(p []byte) (int, error) {
	if f.left.Add(-int64(len(p))) < 0 {
		return 0, errTooLarge
	}
	return f.File.Write(p)
}

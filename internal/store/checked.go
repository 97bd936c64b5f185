package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
)

// checked is a file that is hashed while it is read.
type checked struct {
	f    *os.File
	h    hash.Hash
	want digest.Digest
}

func newChecked(f *os.File, want digest.Digest) *checked {
	return &checked{f: f, h: sha256.New(), want: want}
}

// Read reads on and compares at the end.
func (c *checked) Read(b []byte) (int, error) {
	n, err := c.f.Read(b)
	c.h.Write(b[:n])
	if errors.Is(err, io.EOF) && digest.Digest(c.h.Sum(nil)) != c.want {
		return n, fmt.Errorf("file of a tree: %w", ErrTampered)
	}
	return n, err
}

// Close closes the file.
func (c *checked) Close() error { return c.f.Close() }

func sortLocated(l []Located) {
	slices.SortFunc(l, func(a, b Located) int { return strings.Compare(a.Path, b.Path) })
}

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
)

// Pruned is what Prune removed.
type Pruned struct {
	Trees, Blobs, Records int
}

// Prune removes trees, blobs and records that were neither written nor used
// since before, and that keep does not name. A stage whose memory is gone runs
// again.
func (s *Store) Prune(before time.Time, keep func(digest.Digest) bool) (Pruned, error) {
	var p Pruned
	var errs []error
	for _, path := range s.old("trees/*", before) {
		if d, err := digest.Parse("sha256:" + filepath.Base(path)); err == nil && !keep(d) {
			errs = append(errs, s.DropTree(d))
			p.Trees++
		}
	}
	for _, path := range s.old("blobs/*/*", before) {
		if d, err := digest.Parse("sha256:" + filepath.Base(path)); err == nil && !keep(d) {
			errs = append(errs, os.Remove(path))
			p.Blobs++
		}
	}
	for _, path := range s.old("records/*/*", before) {
		errs = append(errs, os.Remove(path))
		p.Records++
	}
	if err := errors.Join(errs...); err != nil {
		return p, fmt.Errorf("prune: %w", err)
	}
	return p, nil
}

func (s *Store) old(pattern string, before time.Time) []string {
	paths, _ := filepath.Glob(filepath.Join(s.dir, pattern))
	var out []string
	for _, p := range paths {
		if st, err := os.Lstat(p); err == nil && st.ModTime().Before(before) {
			out = append(out, p)
		}
	}
	return out
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/digest"
)

// maxRecord bounds a record that is read back, in bytes.
const maxRecord = 16 << 20

// PutRecord keeps a small fact under a key, replacing an older one.
func (s *Store) PutRecord(kind string, key digest.Digest, body []byte) error {
	dir, err := s.stage("record")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tmp, p := filepath.Join(dir, "record"), s.recordPath(kind, key)
	sum := digest.Of(body)
	if _, _, err := writeBlob(tmp, io.MultiReader(bytes.NewReader(sum[:]), bytes.NewReader(body))); err != nil {
		return diskFull(fmt.Errorf("keep %s record: %w", kind, err))
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return diskFull(fmt.Errorf("keep %s record: %w", kind, err))
	}
	if err := os.Rename(tmp, p); err != nil {
		return fmt.Errorf("keep %s record: %w", kind, err)
	}
	return nil
}

// Record returns what PutRecord kept: ErrNotFound when there is none,
// ErrTampered when it is not whole.
func (s *Store) Record(kind string, key digest.Digest) ([]byte, error) {
	f, err := os.Open(s.recordPath(kind, key))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s record: %w", kind, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s record: %w", kind, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("%s record: %w", kind, err)
	}
	if len(b) < digest.Size || len(b) > maxRecord || digest.Of(b[digest.Size:]) != digest.Digest(b[:digest.Size]) {
		return nil, fmt.Errorf("%s record %s: %w", kind, key.Short(), ErrTampered)
	}
	return b[digest.Size:], nil
}

// DropRecord forgets a record, if there is one.
func (s *Store) DropRecord(kind string, key digest.Digest) {
	os.Remove(s.recordPath(kind, key))
}

func (s *Store) recordPath(kind string, key digest.Digest) string {
	return filepath.Join(s.dir, "records", safeName(kind), key.Hex())
}

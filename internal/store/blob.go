package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/digest"
)

func (s *Store) blobPath(d digest.Digest) string {
	h := d.Hex()
	return filepath.Join(s.dir, "blobs", h[:2], h)
}

// PutBlob keeps what r gives until its end and returns its name and size.
func (s *Store) PutBlob(r io.Reader) (digest.Digest, int64, error) {
	dir, err := s.stage("blob")
	if err != nil {
		return digest.Digest{}, 0, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "blob")
	d, n, err := writeBlob(tmp, r)
	if err != nil {
		return digest.Digest{}, 0, diskFull(fmt.Errorf("keep blob: %w", err))
	}
	if err := s.commitBlob(tmp, d); err != nil {
		return digest.Digest{}, 0, diskFull(fmt.Errorf("keep blob %s: %w", d.Short(), err))
	}
	s.mark(s.blobs, d)
	return d, n, nil
}

func writeBlob(path string, r io.Reader) (digest.Digest, int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return digest.Digest{}, 0, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return digest.Digest(h.Sum(nil)), n, err
}

// commitBlob renames a synced file to its name. An older file of that name is
// replaced: should it have been tampered with, it is mended by this.
func (s *Store) commitBlob(tmp string, d digest.Digest) error {
	p := s.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return err
	}
	if err := os.Rename(tmp, p); err != nil {
		return err
	}
	return syncDir(filepath.Dir(p))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// OpenBlob opens the blob named d for reading. Its bytes are hashed at the first
// open in a process: ErrTampered when they differ, ErrNotFound when there is none.
func (s *Store) OpenBlob(d digest.Digest) (*os.File, error) {
	f, err := os.Open(s.blobPath(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	if s.marked(s.blobs, d) {
		return f, nil
	}
	if err := checkBlob(f, d); err != nil {
		f.Close()
		return nil, err
	}
	s.mark(s.blobs, d)
	return f, nil
}

func checkBlob(f *os.File, d digest.Digest) error {
	got, _, err := digest.FromReader(f)
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	if got != d {
		return fmt.Errorf("blob %s has the content of %s: %w", d, got, ErrTampered)
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// HasBlob tells whether a file of that name is kept. It reads nothing.
func (s *Store) HasBlob(d digest.Digest) bool {
	_, err := os.Lstat(s.blobPath(d))
	return err == nil
}

func (s *Store) mark(m map[digest.Digest]bool, d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m[d] = true
}

func (s *Store) marked(m map[digest.Digest]bool, d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m[d]
}

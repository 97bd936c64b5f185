package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// Tree names a tree in the store and says how large it is.
type Tree struct {
	Digest  digest.Digest
	Entries int
	Bytes   int64
	Skipped []string // what Ingest left out, and why; empty for adopted trees
}

// maxManifest bounds a manifest that is read back, in bytes.
const maxManifest = 512 << 20

func (s *Store) treeDir(d digest.Digest) string { return filepath.Join(s.dir, "trees", d.Hex()) }

// TreePath returns the directory that holds the tree named d, to be mounted
// read-only. Call Check before.
func (s *Store) TreePath(d digest.Digest) string { return filepath.Join(s.treeDir(d), "root") }

// HasTree tells whether a tree of that name is kept. It compares nothing.
func (s *Store) HasTree(d digest.Digest) bool {
	_, err := os.Lstat(s.TreePath(d))
	return err == nil
}

// Manifest returns the entries of a tree in the order of their paths.
func (s *Store) Manifest(d digest.Digest) ([]Entry, error) {
	b, err := s.manifest(d)
	if err != nil {
		return nil, err
	}
	entries, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w: %w", d, err, ErrTampered)
	}
	return entries, nil
}

// manifest reads the manifest of a tree and compares it with the tree's name.
func (s *Store) manifest(d digest.Digest) ([]byte, error) {
	b, err := readBounded(filepath.Join(s.treeDir(d), "manifest"), maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("tree %s: %w", d, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", d, err)
	}
	if digest.Of(b) != d {
		return nil, fmt.Errorf("manifest of tree %s: %w", d, ErrTampered)
	}
	return b, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", path, st.Size(), limit)
	}
	b := make([]byte, st.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}

// commit gives a finished staging directory, which holds root, its name. What
// is there already stays, unless it was tampered with.
func (s *Store) commit(ctx context.Context, staging string, entries []Entry) (Tree, error) {
	t := Tree{Entries: len(entries)}
	for i := range entries {
		t.Bytes += entries[i].Size
	}
	var err error
	if t.Digest, err = s.writeManifest(staging, entries); err != nil {
		return Tree{}, diskFull(fmt.Errorf("keep tree: %w", err))
	}
	if s.HasTree(t.Digest) {
		err := s.Check(ctx, t.Digest)
		if err == nil {
			return t, RemoveTree(staging)
		}
		if !errors.Is(err, ErrTampered) {
			return Tree{}, err
		}
		if err := s.DropTree(t.Digest); err != nil {
			return Tree{}, err
		}
	}
	if err := s.place(staging, t.Digest); err != nil {
		return Tree{}, diskFull(fmt.Errorf("keep tree %s: %w", t.Digest.Short(), err))
	}
	s.mark(s.trees, t.Digest)
	return t, nil
}

// place renames staging to its name; another process may have been faster.
func (s *Store) place(staging string, d digest.Digest) error {
	err := os.Rename(staging, s.treeDir(d))
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		return RemoveTree(staging)
	}
	return err
}

// writeManifest writes the manifest and the index beside root.
func (s *Store) writeManifest(staging string, entries []Entry) (digest.Digest, error) {
	f, err := os.OpenFile(filepath.Join(staging, "manifest"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16)
	if err := encode(w, entries); err != nil {
		return digest.Digest{}, err
	}
	if err := w.Flush(); err != nil {
		return digest.Digest{}, err
	}
	if err := f.Close(); err != nil {
		return digest.Digest{}, err
	}
	return digest.Digest(h.Sum(nil)), s.writeIndex(staging, entries)
}

// writeIndex writes the boot id and the inode and change time of each entry.
func (s *Store) writeIndex(dir string, entries []Entry) error {
	return os.WriteFile(filepath.Join(dir, "index"), s.index(entries), 0o600)
}

func (s *Store) index(entries []Entry) []byte {
	b := make([]byte, 0, len(s.boot)+1+16*len(entries))
	b = append(append(b, s.boot...), '\n')
	for i := range entries {
		b = binary.LittleEndian.AppendUint64(b, entries[i].ino)
		b = binary.LittleEndian.AppendUint64(b, uint64(entries[i].ctime))
	}
	return b
}

// Check tells whether the tree named d is whole: ErrNotFound, ErrTampered or
// nil. Once in a process it compares inode, size and change time of each entry
// with the index; when those differ or are of another boot, it hashes.
func (s *Store) Check(ctx context.Context, d digest.Digest) error {
	if s.marked(s.trees, d) {
		return nil
	}
	if !s.HasTree(d) {
		return fmt.Errorf("tree %s: %w", d, ErrNotFound)
	}
	want, err := s.Manifest(d)
	if err != nil {
		return err
	}
	if !s.unchanged(ctx, d, want) {
		if err := s.rehash(ctx, d); err != nil {
			return err
		}
	}
	now := time.Now()
	os.Chtimes(s.treeDir(d), now, now) // for Prune
	s.mark(s.trees, d)
	return nil
}

// unchanged compares a tree with its index without reading a file.
func (s *Store) unchanged(ctx context.Context, d digest.Digest, want []Entry) bool {
	index, err := readBounded(filepath.Join(s.treeDir(d), "index"), maxManifest)
	if err != nil {
		return false
	}
	got, err := s.list(ctx, d)
	if err != nil || len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i].Path != want[i].Path || got[i].Size != want[i].Size {
			return false
		}
	}
	return bytes.Equal(index, s.index(got))
}

// list walks a tree by stat alone.
func (s *Store) list(ctx context.Context, d digest.Digest) ([]Entry, error) {
	root, err := openDir(s.TreePath(d))
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	record := func(k *worker, rel string, st *unix.Stat_t) {
		e := Entry{Path: rel, ino: st.Ino, ctime: st.Ctim.Nano()}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			e.Size = st.Size
		}
		k.entries = append(k.entries, e)
	}
	return walk(ctx, &walker{root: root, limits: unlimited(),
		enter: func(k *worker, fd int, rel string) error {
			var st unix.Stat_t
			err := unix.Fstat(fd, &st)
			record(k, rel, &st)
			return err
		},
		visit: func(k *worker, dir int, rel string, e dirent) error {
			var st unix.Stat_t
			err := unix.Fstatat(dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW)
			record(k, rel, &st)
			return err
		}})
}

// unlimited are the limits for what was bounded when it came in.
func unlimited() Limits {
	return Limits{Entries: 1 << 30, Bytes: 1 << 60, File: 1 << 60, Depth: 1 << 20}
}

// rehash reads a whole tree, compares it with its name and writes a new index.
func (s *Store) rehash(ctx context.Context, d digest.Digest) error {
	root, err := openDir(s.TreePath(d))
	if err != nil {
		return err
	}
	defer unix.Close(root)
	seal := &sealer{owner: s.owner, allow: []string{"/"}}
	entries, err := walk(ctx, &walker{root: root, limits: unlimited(), enter: seal.enter, visit: seal.visit})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("tree %s: %w: %w", d, err, ErrTampered)
	}
	h := sha256.New()
	if err := encode(h, entries); err != nil {
		return err
	}
	if digest.Digest(h.Sum(nil)) != d {
		return fmt.Errorf("tree %s: %w", d, ErrTampered)
	}
	return s.writeIndex(s.treeDir(d), entries)
}

// DropTree removes a tree from the store.
func (s *Store) DropTree(d digest.Digest) error {
	s.mu.Lock()
	delete(s.trees, d)
	s.mu.Unlock()
	dir, err := s.stage("drop")
	if err != nil {
		return err
	}
	if err := os.Rename(s.treeDir(d), filepath.Join(dir, "tree")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop tree %s: %w", d.Short(), err)
	}
	return RemoveTree(dir)
}

// Epoch is the modification time of everything in a tree, in seconds of Unix
// time: 2000-01-01. Stages get it as SOURCE_DATE_EPOCH.
const Epoch = 946684800

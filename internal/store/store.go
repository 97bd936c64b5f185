// Package store keeps bytes and trees by digest.
//
// Only the controller writes here. A blob is an immutable file; a tree is a
// directory whose canonical manifest has the tree's digest. A tree that a zone
// made is adopted by rename, not copied: the zone's processes are gone by then,
// its entries are checked (regular files, directories, links that stay inside;
// bounded in number, size and depth) and hashed by descriptor.
//
// On disk:
//
//	blobs/ab/<hex>           one blob, named by its SHA-256
//	trees/<hex>/root         one tree; root is what a zone is shown
//	trees/<hex>/manifest     its canonical manifest, whose SHA-256 is <hex>
//	trees/<hex>/index        inode and change time of each entry, to see tampering
//	records/<kind>/<hex>     small facts of the controller's, by key
//	work/<name>/             what one live process has not finished; locked by it
//
// Names in blobs and trees appear by one rename, so a reader never sees half of
// one. Blobs and records are synced before that rename. Trees are not, since a
// stage can make them again: a tree that an earlier boot of the machine wrote
// is hashed anew before its first use. In each process the first use of a tree
// compares its index, the first use of a blob its bytes; what differs is
// ErrTampered. The index does not help against someone who can set the clock or
// write the raw disk.
package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// ErrTampered reports that bytes on disk are not what their name says.
var ErrTampered = errors.New("stored content was changed on disk")

// ErrDiskFull reports that the file system has no room left. What was being
// written is gone.
var ErrDiskFull = errors.New("disk full")

// ErrNotFound reports a digest or record that the store does not hold.
var ErrNotFound = errors.New("not in the store")

// Owner is the host identity that zone processes run under. Trees and scratch
// directories belong to it. The zero Owner changes no ownership.
type Owner struct {
	UID, GID int
}

// Store is an open store. Its methods can be called at the same time.
type Store struct {
	dir   string
	owner Owner
	work  string // this process's own directory under work/
	lock  *os.File
	boot  string // boot id of the running kernel

	mu    sync.Mutex
	blobs map[digest.Digest]bool // verified by this process
	trees map[digest.Digest]bool
	seq   int
}

// Open opens the store in dir, makes it when there is none, and removes what
// dead processes left unfinished.
func Open(dir string, o Owner) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	s := &Store{dir: dir, owner: o, blobs: map[digest.Digest]bool{}, trees: map[digest.Digest]bool{}}
	if err := s.makeDirs(); err != nil {
		return nil, diskFull(fmt.Errorf("open store %s: %w", dir, err))
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s.boot = strings.TrimSpace(string(boot))
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("open store %s: clean up after a dead process: %w", dir, err)
	}
	if err := s.claimWork(); err != nil {
		return nil, diskFull(fmt.Errorf("open store %s: %w", dir, err))
	}
	return s, nil
}

func (s *Store) makeDirs() error {
	for _, d := range []string{"", "blobs", "trees", "records", "work"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// recover removes the work directories whose lock nobody holds. A directory
// without a lock file is one whose owner died before it made one, or is about
// to: claimWork takes the lock on the parent for that moment.
func (s *Store) recover() error {
	gate, err := s.lockWork()
	if err != nil {
		return err
	}
	defer gate.Close()
	names, err := os.ReadDir(filepath.Join(s.dir, "work"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if !n.IsDir() {
			continue
		}
		p := filepath.Join(s.dir, "work", n.Name())
		if f, err := os.OpenFile(filepath.Join(p, "lock"), os.O_RDWR, 0); err == nil {
			held := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			f.Close()
			if held != nil {
				continue
			}
		}
		if err := RemoveTree(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lockWork() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "work", ".gate"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

func (s *Store) claimWork() error {
	gate, err := s.lockWork()
	if err != nil {
		return err
	}
	defer gate.Close()
	var b [8]byte
	rand.Read(b[:])
	s.work = filepath.Join(s.dir, "work", hex.EncodeToString(b[:]))
	if err := os.Mkdir(s.work, 0o700); err != nil {
		return err
	}
	s.lock, err = os.OpenFile(filepath.Join(s.work, "lock"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// Close removes what this process left unfinished and gives the store back.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	err := RemoveTree(s.work)
	s.lock.Close()
	s.lock = nil
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// Scratch makes an empty directory on the store's file system that belongs to
// the zone's owner. It is gone when the process closes the store or dies.
func (s *Store) Scratch(name string) (string, error) {
	dir, err := s.stage(name)
	if err != nil {
		return "", err
	}
	return dir, s.own(dir)
}

// stage makes a new directory of this process's, never used before.
func (s *Store) stage(name string) (string, error) {
	s.mu.Lock()
	s.seq++
	n := s.seq
	s.mu.Unlock()
	dir := filepath.Join(s.work, fmt.Sprintf("%d-%s", n, safeName(name)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", diskFull(fmt.Errorf("make scratch directory: %w", err))
	}
	return dir, nil
}

func safeName(name string) string {
	clean := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}
	return strings.Map(clean, strings.ToLower(name[:min(len(name), 60)]))
}

// own gives path to the zone's owner.
func (s *Store) own(path string) error {
	if s.owner == (Owner{}) {
		return nil
	}
	if err := os.Lchown(path, s.owner.UID, s.owner.GID); err != nil {
		return fmt.Errorf("give to uid %d: %w", s.owner.UID, err)
	}
	return nil
}

// diskFull makes an error that says ErrDiskFull out of one that means it.
func diskFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// Workspace is where a zone writes: the upper and work directories of an
// overlay, on the store's file system, so that what is adopted is renamed.
type Workspace struct {
	Dir   string // holds both
	Upper string
	Work  string
}

// Workspace makes an empty one that belongs to the zone's owner.
func (s *Store) Workspace(name string) (Workspace, error) {
	dir, err := s.Scratch(name)
	if err != nil {
		return Workspace{}, err
	}
	w := Workspace{Dir: dir, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, d := range []string{w.Upper, w.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return Workspace{}, diskFull(fmt.Errorf("make workspace: %w", err))
		}
		if err := s.own(d); err != nil {
			return Workspace{}, err
		}
	}
	return w, nil
}

// Room tells how many bytes the store's file system has left.
func (s *Store) Room() int64 {
	var st unix.Statfs_t
	if unix.Statfs(s.dir, &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

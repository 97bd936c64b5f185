package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// AdoptSpec says which part of a zone's overlay becomes a tree.
type AdoptSpec struct {
	Stage  string   // for refusals
	Upper  string   // the overlay's upper directory, on the store's file system
	Paths  []string // relative to Upper; what does not exist there adds nothing
	Box    string   // where Upper was mounted inside: links to it stay inside
	Links  []string // further absolute places that links may lead to: the read-only toolchains
	Limits Limits

	// Modified is the modification time of everything in the tree, in seconds of
	// Unix time; zero: Epoch. It has no part in the tree's digest.
	Modified int64
}

// Adopt makes a tree of the declared paths by renaming them out of the upper
// directory. No process that could write there may be alive. The error is a
// *Refused when something in it is not taken; then nothing is kept.
//
// The tree is a layer: it holds what the zone changed, with marks for what it
// removed, and means something only above the layers that the zone was given.
func (s *Store) Adopt(ctx context.Context, a AdoptSpec) (Tree, error) {
	staging, err := s.stage("adopt")
	if err != nil {
		return Tree{}, err
	}
	t, err := s.adopt(ctx, a, staging)
	if err != nil {
		err = errors.Join(err, RemoveTree(staging))
		return Tree{}, diskFull(err)
	}
	return t, nil
}

func (s *Store) adopt(ctx context.Context, a AdoptSpec, staging string) (Tree, error) {
	seal := &sealer{stage: a.Stage, owner: s.owner, allow: a.Links, box: a.Box, modified: a.Modified}
	root := filepath.Join(staging, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return Tree{}, fmt.Errorf("adopt: %w", err)
	}
	if err := seal.take(a, root); err != nil {
		return Tree{}, err
	}
	fd, err := openDir(root)
	if err != nil {
		return Tree{}, err
	}
	defer unix.Close(fd)
	if err := seal.settleRoot(fd); err != nil {
		return Tree{}, err
	}
	w := &walker{root: fd, limits: a.Limits.orDefault(), enter: seal.enter, visit: seal.visit, mend: true}
	entries, err := walk(ctx, w)
	if err != nil {
		return Tree{}, seal.named(err)
	}
	return s.commit(ctx, staging, entries)
}

func (s *sealer) settleRoot(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return s.normalise(fd, &st, 0o755)
}

// take renames the declared paths from the upper directory to root.
func (s *sealer) take(a AdoptSpec, root string) error {
	from, err := openDir(a.Upper)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, err := openDir(root)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	for _, p := range outermost(a.Paths) {
		if err := checkPath(p); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		if err := s.takeOne(from, to, p); err != nil {
			return err
		}
	}
	return nil
}

// outermost leaves out paths that lie below others.
func outermost(paths []string) []string {
	sorted := slices.Clone(paths)
	for i := range sorted {
		sorted[i] = path.Clean(sorted[i])
	}
	slices.Sort(sorted)
	var out []string
	for _, p := range sorted {
		under := func(q string) bool { return p == q || strings.HasPrefix(p, q+"/") }
		if !slices.ContainsFunc(out, under) {
			out = append(out, p)
		}
	}
	return out
}

// takeOne renames one path and makes the directories above it. When one of
// those hides the layers below, so does what is taken.
func (s *sealer) takeOne(from, to int, p string) error {
	src, dst := from, to
	opaque := false
	parts := strings.Split(p, "/")
	defer func() { closeUnless(src, from); closeUnless(dst, to) }()
	for i, part := range parts[:len(parts)-1] {
		down, mark, err := s.descend(src, part, strings.Join(parts[:i+1], "/"))
		if err != nil {
			return err
		}
		if down < 0 {
			return s.gone(src, dst, parts[i:])
		}
		opaque = opaque || mark
		closeUnless(src, from)
		src = down
		if down, err = makeDir(dst, part); err != nil {
			return err
		}
		closeUnless(dst, to)
		dst = down
	}
	return s.rename(src, dst, parts[len(parts)-1], opaque)
}

func closeUnless(fd, keep int) {
	if fd != keep {
		unix.Close(fd)
	}
}

// descend opens one directory on the way; -1 when there is none.
func (s *sealer) descend(dir int, name, rel string) (int, bool, error) {
	fd, err := openOwn(dir, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return -1, false, nil // nothing was written there, or the parent itself is gone
	}
	if errors.Is(err, unix.ELOOP) {
		return -1, false, s.refuse("tree.link-out", rel, "is a link on the way to a declared path")
	}
	if err != nil {
		return -1, false, fmt.Errorf("open %+q: %w", rel, err)
	}
	mark, err := overlayMark(fd)
	if err != nil {
		unix.Close(fd)
		return -1, false, s.refuse("tree.attribute", rel, err.Error())
	}
	return fd, mark, nil
}

// gone handles a declared path above which a name is missing: it was not
// touched, or, where overlayfs marks the name as removed, it went with it.
func (s *sealer) gone(src, dst int, rest []string) error {
	var st unix.Stat_t
	err := unix.Fstatat(src, rest[0], &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		return nil
	}
	at := dst
	defer func() { closeUnless(at, dst) }()
	for _, part := range rest[:len(rest)-1] {
		down, err := makeDir(at, part)
		if err != nil {
			return err
		}
		closeUnless(at, dst)
		at = down
	}
	if err := unix.Mknodat(at, rest[len(rest)-1], unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("mark %+q as removed: %w", rest[len(rest)-1], err)
	}
	return nil
}

func makeDir(dir int, name string) (int, error) {
	if err := unix.Mkdirat(dir, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make directory %+q: %w", name, err)
	}
	return openOwn(dir, name)
}

func (s *sealer) rename(src, dst int, name string, opaque bool) error {
	var st unix.Stat_t
	err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stat %+q: %w", name, err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDir && st.Mode&0o700 != 0o700 {
		// A rename writes "..", which needs the right to write the directory.
		if err := unix.Fchmodat(src, name, 0o755, 0); err != nil {
			return fmt.Errorf("settle %+q: %w", name, err)
		}
	}
	if err := unix.Renameat(src, name, dst, name); err != nil {
		return fmt.Errorf("take %+q: %w", name, err)
	}
	if !opaque || !isDir {
		return nil
	}
	fd, err := openOwn(dst, name)
	if err != nil {
		return fmt.Errorf("open %+q: %w", name, err)
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, "user.overlay.opaque", []byte("y"), 0)
}

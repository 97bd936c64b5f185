package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
)

// limits bound an unpacked image. The zero value is of no use: see standard.
type limits struct {
	entries int64 // of all layers
	bytes   int64 // of all tar archives
	depth   int   // of a path
}

func standard() limits { return limits{entries: 1_000_000, bytes: 8 << 30, depth: 64} }

// The bounds of names: those of Linux.
const (
	maxPath = 4095
	maxName = 255
)

// maxLinks bounds the links that are followed on the way to one entry.
const maxLinks = 40

// The names by which a layer takes away what those below it have.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	reserved = ".wh..wh." // and other names of the file system that invented them
)

// tree is an image while it is unpacked. Every path is resolved here, as it
// would be with the tree as the root of a machine; os.Root is the wall behind.
type tree struct {
	root *os.Root
	left limits

	made    map[string]bool // what the present layer has made, and the directories above it
	at, dir string          // the directory of the last entry, as it is written and as it is
}

// unpack applies layers, the lowest first.
func (t *tree) unpack(ctx context.Context, from Blobs, layers []layer) error {
	for i, l := range layers {
		if err := t.layer(ctx, from, l); err != nil {
			return fmt.Errorf("unpack layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return nil
}

// layer unpacks one layer and compares it with both of its digests. What was
// unpacked before a digest turns out wrong is thrown away with the tree.
func (t *tree) layer(ctx context.Context, from Blobs, l layer) error {
	blob, err := from.Blob(ctx, l.digest, l.size)
	if err != nil {
		return err
	}
	defer blob.Close()
	stored := &sum{in: &exact{in: blob, left: l.size}, h: sha256.New()}
	in := io.Reader(bufio.NewReaderSize(stored, 64<<10))
	if l.gzipped {
		// Content without a header is an error of gzip's, not an empty layer.
		if in, err = gzip.NewReader(in); err != nil {
			return errors.Join(stored.matches(l.digest), &Error{Code: CodeRefused, What: "the layer is no gzip archive", Err: err})
		}
	}
	plain := &sum{in: &bounded{ctx: ctx, in: in, left: &t.left.bytes}, h: sha256.New()}
	err = t.archive(plain)
	if err == nil {
		_, err = io.Copy(io.Discard, plain) // what stands behind the end of the archive
	}
	// A digest that is wrong says more than what became of the wrong bytes.
	if changed := stored.matches(l.digest); changed != nil {
		return changed
	}
	if err != nil {
		return err
	}
	if got := plain.digest(); got != l.plain {
		return &Error{Code: CodeDigest, What: fmt.Sprintf("layer %s is %s unpacked, the image's configuration says %s", l.digest, got, l.plain)}
	}
	return nil
}

func (t *tree) archive(in io.Reader) error {
	t.made = map[string]bool{}
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return malformed(err)
		}
		if t.left.entries--; t.left.entries < 0 {
			return refused("too many entries")
		}
		if err := t.entry(h, r); err != nil {
			return err
		}
	}
}

// malformed keeps our own errors apart from those of the archive's form.
func malformed(err error) error {
	var own *Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Code: CodeRefused, What: "the layer cannot be read", Err: err}
}

// entry unpacks one entry.
func (t *tree) entry(h *tar.Header, content io.Reader) error {
	name, err := t.check(h.Name)
	if err != nil || name == "." {
		return err
	}
	dir, err := t.parent(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	if strings.HasPrefix(base, whiteout) {
		return t.takeAway(dir, base)
	}
	full := path.Join(dir, base)
	if err := t.makeRoom(full, h.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = t.directory(full)
	case tar.TypeReg:
		err = t.file(full, h, content)
	case tar.TypeSymlink:
		err = t.symlink(full, h.Linkname)
	case tar.TypeLink:
		err = t.link(full, h.Linkname)
	default:
		return refused("%q is no file, directory or link, but of the kind %q", name, h.Typeflag)
	}
	if err != nil {
		return err
	}
	for p := full; p != "." && !t.made[p]; p = path.Dir(p) {
		t.made[p] = true
	}
	return nil
}

// check refuses names that lead anywhere but down.
func (t *tree) check(name string) (string, error) {
	if name == "" || len(name) > maxPath || path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", refused("%q is no name for a file of an image", clip(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || len(part) > maxName {
			return "", refused("%q is no name for a file of an image", clip(name))
		}
	}
	clean := path.Clean(name)
	if strings.Count(clean, "/") >= t.left.depth {
		return "", refused("%q lies deeper than %d directories", clip(name), t.left.depth)
	}
	return clean, nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// parent gives the directory that a path stands for, made where it is not there.
func (t *tree) parent(dir string) (string, error) {
	if dir == t.at && t.dir != "" {
		return t.dir, nil
	}
	real, err := t.resolve(dir, true)
	if err != nil {
		return "", err
	}
	t.at, t.dir = dir, real
	return real, nil
}

// resolve follows the links of a path within the tree, as a process would whose
// root it is: an absolute one starts at the tree, and none leads above it.
func (t *tree) resolve(dir string, create bool) (string, error) {
	real, links := ".", 0
	todo := strings.Split(dir, "/")
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..": // of a link
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, part)
		info, err := t.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && create:
			if err := t.mkdir(next); err != nil {
				return "", err
			}
			real = next
		case err != nil:
			return "", err
		case info.IsDir():
			real = next
		case info.Mode().Type() == fs.ModeSymlink:
			to, err := t.root.Readlink(next)
			if err != nil {
				return "", err
			}
			if links++; links > maxLinks || len(to) > maxPath {
				return "", refused("%q: too many links", clip(dir))
			}
			if path.IsAbs(to) {
				real = "."
			}
			todo = append(strings.Split(to, "/"), todo...)
		default:
			return "", refused("%q: %q is no directory", clip(dir), next)
		}
		if len(todo) > maxPath || strings.Count(real, "/") >= t.left.depth {
			return "", refused("%q lies too deep", clip(dir))
		}
	}
	return real, nil
}

// mkdir makes a directory that everybody may enter, whatever our umask says: the
// zone's user is another one.
func (t *tree) mkdir(name string) error {
	if err := t.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return t.root.Chmod(name, 0o755)
}

// makeRoom takes away what an entry replaces. A layer that says two things of
// one name is refused: readers differ in which of them counts.
func (t *tree) makeRoom(full string, isDir bool) error {
	info, err := t.root.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if isDir && info.IsDir() {
		return nil
	}
	if t.made[full] {
		return refused("%q stands twice in one layer", full)
	}
	return t.remove(full)
}

func (t *tree) remove(full string) error {
	t.dir = "" // it may have been below, or by way of what goes
	return t.root.RemoveAll(full)
}

// takeAway applies a whiteout: to what the layers below have, never to what the
// same layer makes.
func (t *tree) takeAway(dir, base string) error {
	if base == opaque {
		return t.empty(dir)
	}
	if strings.HasPrefix(base, reserved) {
		return nil
	}
	name := strings.TrimPrefix(base, whiteout)
	if name == "" || name == "." || name == ".." {
		return refused("the whiteout %q names no file", base)
	}
	return t.hide(path.Join(dir, name))
}

// hide removes a path, but for what the present layer made of it.
func (t *tree) hide(full string) error {
	if !t.made[full] {
		return t.remove(full)
	}
	info, err := t.root.Lstat(full)
	if err != nil || !info.IsDir() {
		return err
	}
	return t.empty(full)
}

// empty removes what is in a directory, but for what the present layer made.
func (t *tree) empty(dir string) error {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := t.hide(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) directory(full string) error {
	if err := t.mkdir(full); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// file writes a file. Its mode says only whether it is a program: no bit gives
// anybody another one's rights.
func (t *tree) file(full string, h *tar.Header, content io.Reader) error {
	if h.Size < 0 || h.Size > t.left.bytes {
		return tooLarge()
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := t.root.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(malformedOr(err), f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return t.root.Chtimes(full, h.ModTime, h.ModTime)
}

func malformedOr(err error) error {
	var system *fs.PathError
	if err == nil || errors.As(err, &system) {
		return err // of the disk, not of the archive
	}
	return malformed(err)
}

// symlink makes a link. Where it leads is data: it is followed in a zone, whose
// root the tree is, and by resolve.
func (t *tree) symlink(full, to string) error {
	if to == "" || len(to) > maxPath || strings.ContainsRune(to, 0) {
		return refused("the link %q leads nowhere", full)
	}
	t.dir = ""
	return t.root.Symlink(to, full)
}

// link makes a further name of a file of the image.
func (t *tree) link(full, to string) error {
	name, err := t.check(to)
	if err != nil {
		return err
	}
	dir, err := t.resolve(path.Dir(name), false)
	if err != nil {
		return &Error{Code: CodeRefused, What: fmt.Sprintf("the hard link %q leads nowhere", full), Err: err}
	}
	from := path.Join(dir, path.Base(name))
	info, err := t.root.Lstat(from)
	if err != nil || !info.Mode().IsRegular() {
		return &Error{Code: CodeRefused, What: fmt.Sprintf("the hard link %q leads to no file of the image", full), Err: err}
	}
	return t.root.Link(from, full)
}

// exact reads as many bytes as there have to be.
type exact struct {
	in   io.Reader
	left int64
}

// Read gives an error at an end that comes too late or too early.
func (e *exact) Read(p []byte) (int, error) {
	n, err := e.in.Read(p)
	if e.left -= int64(n); e.left < 0 {
		return 0, &Error{Code: CodeDigest, What: "a blob of the image is changed", Err: errTooLong}
	}
	if err == io.EOF && e.left > 0 {
		err = &Error{Code: CodeDigest, What: "a blob of the image is changed", Err: io.ErrUnexpectedEOF}
	}
	return n, err
}

// sum hashes what is read.
type sum struct {
	in io.Reader
	h  hash.Hash
}

// Read reads and hashes.
func (s *sum) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.h.Write(p[:n])
	return n, err
}

func (s *sum) digest() digest.Digest { return digest.Digest(s.h.Sum(nil)) }

// matches reads to the end and compares.
func (s *sum) matches(want digest.Digest) error {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	if got := s.digest(); got != want {
		return &Error{Code: CodeDigest, What: fmt.Sprintf("blob %s of the image is changed: it is %s", want, got)}
	}
	return nil
}

// bounded ends a reader when too much came, or when nobody waits any more.
type bounded struct {
	ctx  context.Context
	in   io.Reader
	left *int64
}

// Read reads within the bound.
func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.in.Read(p)
	if *b.left -= int64(n); *b.left < 0 {
		return 0, tooLarge()
	}
	return n, err
}

func tooLarge() error {
	return refused("too large: more than the bytes that an image may have unpacked")
}

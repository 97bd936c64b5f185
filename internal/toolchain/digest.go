package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// treeDigest is the digest over the names, kinds and contents of everything in
// some parts of a directory. When stat says the same of all files as before, it
// is recalled.
func (f Finder) treeDigest(ctx context.Context, root string, parts []string) (digest.Digest, error) {
	files, err := listFiles(root, parts)
	if err != nil {
		return digest.Digest{}, err
	}
	key, err := fingerprint(files)
	if err != nil {
		return digest.Digest{}, err
	}
	if d, ok := f.recallDigest(key); ok {
		return d, nil
	}
	d, err := hashFiles(ctx, root, files)
	if err == nil {
		f.keep("digest", key, d.String())
	}
	return d, err
}

// fileDigest is the digest over the contents of some files.
func (f Finder) fileDigest(first string, more ...string) (digest.Digest, error) {
	files := append([]string{first}, more...)
	key, err := fingerprint(files)
	if err != nil {
		return digest.Digest{}, err
	}
	if d, ok := f.recallDigest(key); ok {
		return d, nil
	}
	d, err := hashFiles(context.Background(), "/", files)
	if err == nil {
		f.keep("digest", key, d.String())
	}
	return d, err
}

func (f Finder) recallDigest(key digest.Digest) (digest.Digest, bool) {
	v, ok := f.recall("digest", key)
	if !ok {
		return digest.Digest{}, false
	}
	d, err := digest.Parse(v)
	return d, err == nil
}

// listFiles lists files and links in lexical order; parts that are missing are
// left out, since distributions ship different ones.
func listFiles(root string, parts []string) ([]string, error) {
	var files []string
	for _, p := range parts {
		top := filepath.Join(root, p)
		if !exists(top) {
			continue
		}
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.Type().IsRegular() || d.Type() == fs.ModeSymlink) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// fingerprint is a digest over what lstat says of files, not what is in them.
func fingerprint(files []string) (digest.Digest, error) {
	h := sha256.New()
	var b []byte
	for _, p := range files {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return digest.Digest{}, &os.PathError{Op: "stat", Path: p, Err: err}
		}
		b = append(append(b[:0], p...), 0)
		for _, n := range []uint64{st.Dev, st.Ino, uint64(st.Mode), uint64(st.Size), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())} {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		h.Write(b)
	}
	return digest.Digest(h.Sum(nil)), nil
}

// hashFiles reads the files, several at a time, and hashes their digests in order.
func hashFiles(ctx context.Context, root string, files []string) (digest.Digest, error) {
	sums := make([][32]byte, len(files))
	buffers := sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, p := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := buffers.Get().(*[]byte)
			defer buffers.Put(b)
			return hashOne(p, &sums[i], *b)
		})
	}
	if err := g.Wait(); err != nil {
		return digest.Digest{}, err
	}
	h := sha256.New()
	for i, p := range files {
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return digest.Digest{}, err
		}
		fmt.Fprintf(h, "%x %s\x00", sums[i], rel)
	}
	return digest.Digest(h.Sum(nil)), nil
}

func hashOne(path string, out *[32]byte, buf []byte) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	h := sha256.New()
	if st.Mode()&fs.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "link %s", to)
		h.Sum(out[:0])
		return nil
	}
	if err := hashContent(h, path, buf); err != nil {
		return err
	}
	h.Sum(out[:0])
	return nil
}

func hashContent(h hash.Hash, path string, buf []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// The wrapper hides ReadFrom and WriteTo, which would allocate a buffer each.
	_, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf)
	return err
}

package image

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// Store keeps unpacked images in a directory of its own:
//
//	<hex>.<arch>/root         the files
//	<hex>.<arch>/about.json   what the image is, and what stat says of the files
//	new-*                     one that is being unpacked, under lock
type Store struct{ Dir string }

// kept is about.json.
type kept struct {
	Image
	From string        `json:"from"` // package URL by which it was asked for when it was unpacked
	Seal digest.Digest `json:"seal"`
}

// Open gives an image, unpacked now or before.
func (s Store) Open(ctx context.Context, ref Ref, from Blobs) (*Image, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of images: %w", err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	home := filepath.Join(s.Dir, ref.Digest.Hex()+"."+runtime.GOARCH)
	k, err := load(home)
	switch {
	case err != nil: // there is none, or it is not what was unpacked
		if err := s.replace(ctx, home, ref, from); err != nil {
			return nil, err
		}
		if k, err = load(home); err != nil {
			return nil, err
		}
	case k.From != ref.PURL():
		// The evidence will name this place: it has to have the image, too.
		if _, err := read(ctx, from, ref.Digest); err != nil {
			return nil, fmt.Errorf("image %s: %w", ref, err)
		}
	}
	img := &k.Image
	img.Ref, img.Root = ref, filepath.Join(home, "root")
	return img, nil
}

// lock waits until nobody else unpacks.
func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock images: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock images: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// replace unpacks an image beside its place and moves it there whole. What a
// process left that died over it is removed.
func (s Store) replace(ctx context.Context, home string, ref Ref, from Blobs) error {
	old, err := filepath.Glob(filepath.Join(s.Dir, "new-*"))
	if err != nil {
		return fmt.Errorf("look for left images: %w", err)
	}
	for _, dir := range append(old, home) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what is left of an image: %w", err)
		}
	}
	dir, err := os.MkdirTemp(s.Dir, "new-")
	if err != nil {
		return fmt.Errorf("make directory for image: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := unpackInto(ctx, dir, ref, from); err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	if err := os.Rename(dir, home); err != nil {
		return fmt.Errorf("keep image: %w", err)
	}
	return nil
}

func unpackInto(ctx context.Context, dir string, ref Ref, from Blobs) error {
	c, err := read(ctx, from, ref.Digest)
	if err != nil {
		return err
	}
	files := filepath.Join(dir, "root")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(files)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Chmod(".", 0o755); err != nil {
		return err
	}
	t := tree{root: root, left: standard()}
	if err := t.unpack(ctx, from, c.layers); err != nil {
		return err
	}
	k := kept{From: ref.PURL(), Image: Image{Manifest: c.manifest, Platform: own(), Path: c.searchPath()}}
	if k.Seal, err = seal(files); err != nil {
		return err
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "about.json"), b, 0o600)
}

var errChanged = errors.New("the unpacked image was changed on disk")

// load reads an image that was kept. A changed one is none.
func load(home string) (*kept, error) {
	b, err := os.ReadFile(filepath.Join(home, "about.json"))
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, err
	}
	now, err := seal(filepath.Join(home, "root"))
	if err != nil {
		return nil, err
	}
	if now != k.Seal || k.Seal.IsZero() {
		return nil, errChanged
	}
	return &k, nil
}

// seal is the digest over what lstat says of all files below a directory.
func seal(dir string) (digest.Digest, error) {
	h := sha256.New()
	var b []byte
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: p, Err: err}
		}
		b = append(append(b[:0], p[len(dir):]...), 0)
		for _, n := range []uint64{st.Ino, uint64(st.Mode), uint64(st.Size), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())} { //nolint:gosec // hashed, not counted with
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		h.Write(b)
		return nil
	})
	return digest.Digest(h.Sum(nil)), err
}

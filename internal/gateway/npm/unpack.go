package npm

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Bounds of an unpacked tarball.
const (
	maxFiles = 100_000
	maxBytes = 2 << 30
	maxRatio = 250       // unpacked to packed, beyond the first ratioFrom bytes
	ratioMin = 128 << 20 // small archives may be as dense as they like
	maxDepth = 100
)

// unpack writes a package's tarball into dst, without the archive's top folder.
// Links are left out, as npm leaves them out; devices, absolute names and names
// that climb are refused. Nothing in the archive can name a place outside dst:
// every file is opened below it by the kernel's own rules.
func unpack(r io.Reader, dst string) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return fault.Wrap(fault.Store, "unpack", err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return fault.Wrap(fault.Store, "unpack", err)
	}
	defer root.Close()
	packed := &counter{r: bufio.NewReaderSize(r, 64<<10)}
	zr, err := gzip.NewReader(packed)
	if err != nil {
		return fault.Wrap(fault.Archive, "read the tarball", err)
	}
	u := &unpacker{root: root, tr: tar.NewReader(&bounded{zr, packed, 0})}
	if err := u.run(); err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return f
		}
		return fault.Wrap(fault.Archive, "read the tarball", err)
	}
	if u.files == 0 {
		return fault.New(fault.Archive, "the tarball holds no file")
	}
	return nil
}

// counter counts the packed bytes that were read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded ends the reading when more comes out than a package can be.
type bounded struct {
	r      io.Reader
	packed *counter
	n      int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.n > maxBytes {
		return n, fault.New(fault.Limit, fmt.Sprintf("the tarball unpacks to more than %d bytes", int64(maxBytes)))
	}
	if b.n > ratioMin && b.n/maxRatio > b.packed.n {
		return n, fault.New(fault.Limit, fmt.Sprintf("the tarball unpacks to more than %d times its size", maxRatio))
	}
	return n, err
}

type unpacker struct {
	root  *os.Root
	tr    *tar.Reader
	count int
	files int
}

func (u *unpacker) run() error {
	for {
		h, err := u.tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if u.count++; u.count > maxFiles {
			return fault.New(fault.Limit, fmt.Sprintf("the tarball has more than %d entries", maxFiles))
		}
		name, err := inner(h.Name)
		if err != nil {
			return err
		}
		if err := u.entry(h, name); err != nil {
			return err
		}
	}
}

// inner strips the top folder and refuses names that mean another place.
func inner(name string) (string, error) {
	bad := fault.New(fault.Archive, fmt.Sprintf("name %q in the tarball", fault.Clean(name)))
	if path.IsAbs(name) || strings.ContainsAny(name, "\x00\\") || len(name) > 4096 {
		return "", bad
	}
	for _, elem := range strings.Split(name, "/") {
		if elem == ".." {
			return "", bad
		}
	}
	clean := path.Clean(name)
	_, rest, _ := strings.Cut(clean, "/")
	if strings.Count(rest, "/") > maxDepth {
		return "", fault.New(fault.Limit, "the tarball is nested too deeply")
	}
	return rest, nil
}

func (u *unpacker) entry(h *tar.Header, name string) error {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeXGlobalHeader, tar.TypeGNUSparse:
		return nil // folders come with their files
	default:
		return fault.New(fault.Archive, fmt.Sprintf("%q in the tarball is no file (type %q)", fault.Clean(h.Name), h.Typeflag))
	}
	if name == "" {
		return nil // beside the top folder: npm drops it as well
	}
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return fault.Wrap(fault.Archive, "unpack", err)
		}
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return fault.Wrap(fault.Archive, "unpack", err)
	}
	_, err = io.Copy(f, u.tr)
	u.files++
	return errors.Join(err, f.Close())
}

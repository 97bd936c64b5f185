package conductor

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

const (
	maxDiffers  = 100      // files that are named
	maxMembers  = 300_000  // of one archive
	maxExpanded = 16 << 30 // bytes of one archive, unpacked
)

// differing names what differs between two builds of an artifact: the members
// of archives, else the artifact itself and where it begins to.
func (r *run) differing(ctx context.Context, a evidence.Artifact, second digest.Digest) ([]string, error) {
	one, err := r.Store.OpenBlob(a.Digest)
	if err != nil {
		return nil, err
	}
	defer one.Close()
	two, err := r.Store.OpenBlob(second)
	if err != nil {
		return nil, err
	}
	defer two.Close()
	x, okX := members(ctx, one)
	y, okY := members(ctx, two)
	if !okX || !okY {
		return []string{fmt.Sprintf("%s (from byte %d)", a.Path, firstDifference(one, two))}, nil
	}
	out := compareMembers(x, y)
	if len(out) == 0 {
		out = []string{a.Path + " (order, times or modes inside the archive)"}
	}
	return out, nil
}

func compareMembers(x, y map[string][32]byte) []string {
	var out []string
	for name, sum := range x {
		switch other, ok := y[name]; {
		case !ok:
			out = append(out, name+" (only in the first)")
		case other != sum:
			out = append(out, name)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			out = append(out, name+" (only in the second)")
		}
	}
	slices.Sort(out)
	if len(out) > maxDiffers {
		out = append(out[:maxDiffers], fmt.Sprintf("and %d more", len(out)-maxDiffers))
	}
	return out
}

// members hashes the members of an archive; ok is false for what is none, or
// not one that can be read to its end within bounds.
func members(ctx context.Context, f *os.File) (map[string][32]byte, bool) {
	var head [262]byte
	n, _ := f.ReadAt(head[:], 0)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false
	}
	switch h := head[:n]; {
	case n == len(head) && string(h[257:262]) == "ustar":
		return tarMembers(ctx, bufio.NewReader(f))
	case n > 2 && h[0] == 0x1f && h[1] == 0x8b:
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, false
		}
		return tarMembers(ctx, z)
	case n > 4 && string(h[:4]) == "PK\x03\x04":
		return zipMembers(ctx, f)
	}
	return nil, false
}

func tarMembers(ctx context.Context, r io.Reader) (map[string][32]byte, bool) {
	out := map[string][32]byte{}
	left := int64(maxExpanded)
	t := tar.NewReader(io.LimitReader(r, maxExpanded))
	for ctx.Err() == nil && len(out) < maxMembers {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, true
		}
		if err != nil {
			return nil, false
		}
		s := sha256.New()
		fmt.Fprintf(s, "%c %s\n", h.Typeflag, h.Linkname)
		n, err := io.Copy(s, io.LimitReader(t, left))
		if left -= n; err != nil || left <= 0 {
			return nil, false
		}
		out[harmless([]byte(h.Name))] = [32]byte(s.Sum(nil))
	}
	return nil, false
}

func zipMembers(ctx context.Context, f *os.File) (map[string][32]byte, bool) {
	st, err := f.Stat()
	if err != nil {
		return nil, false
	}
	z, err := zip.NewReader(f, st.Size())
	if err != nil || len(z.File) > maxMembers {
		return nil, false
	}
	out := map[string][32]byte{}
	left := int64(maxExpanded)
	for _, m := range z.File {
		if ctx.Err() != nil {
			return nil, false
		}
		in, err := m.Open()
		if err != nil {
			return nil, false
		}
		s := sha256.New()
		n, err := io.Copy(s, io.LimitReader(in, left))
		in.Close()
		if left -= n; err != nil || left <= 0 {
			return nil, false
		}
		out[harmless([]byte(m.Name))] = [32]byte(s.Sum(nil))
	}
	return out, true
}

// firstDifference is the offset of the first byte that differs.
func firstDifference(a, b *os.File) int64 {
	a.Seek(0, io.SeekStart)
	b.Seek(0, io.SeekStart)
	x, y := bufio.NewReaderSize(a, 1<<16), bufio.NewReaderSize(b, 1<<16)
	for n := int64(0); ; n++ {
		p, err1 := x.ReadByte()
		q, err2 := y.ReadByte()
		if p != q || err1 != nil || err2 != nil {
			return n
		}
	}
}

package store

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
)

// PackTar writes what layers show below sub as a tar archive that depends on
// nothing but names, kinds and content: sorted, uid and gid 0, time 0, modes
// 0644 and 0755. Names are relative to sub. Links that lead out of sub, or are
// absolute, are refused: whoever unpacks the archive has no tree around it.
func (s *Store) PackTar(ctx context.Context, w io.Writer, layers []digest.Digest, sub string) error {
	found, err := s.Merge(ctx, layers, sub)
	if err != nil {
		return fmt.Errorf("pack %s: %w", sub, err)
	}
	t := tar.NewWriter(w)
	for i := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := below(found[i].Path, sub)
		if name == "" {
			continue
		}
		if err := s.packOne(t, &found[i], name); err != nil {
			return fmt.Errorf("pack %+q: %w", found[i].Path, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", sub, err)
	}
	return nil
}

func below(p, sub string) string {
	if sub = path.Clean(sub); sub == "." {
		return p
	}
	if p == sub {
		return ""
	}
	return strings.TrimPrefix(p, sub+"/")
}

func (s *Store) packOne(t *tar.Writer, l *Located, name string) error {
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: time.Unix(0, 0)}
	switch l.Kind {
	case Dir, Opaque:
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		return t.WriteHeader(h)
	case Link:
		if why := (&sealer{}).linkOut(name, l.Target); why != "" {
			return &Refused{Code: "tree.link-out", Path: name, Why: why}
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, l.Target, 0o777
		return t.WriteHeader(h)
	}
	if l.Kind == Executable {
		h.Mode = 0o755
	}
	h.Typeflag, h.Size = tar.TypeReg, l.Size
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	f, err := s.Open(*l)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

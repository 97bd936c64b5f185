package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sallyport/sallyport/internal/digest"
)

// Bounds of what is read.
const (
	maxRoot     = 1 << 20
	maxBundles  = 256 << 20 // bytes of all bundles of one artifact
	maxCount    = 64        // bundles of one artifact
	maxIndex    = 64 << 20
	maxManifest = 4 << 20
)

const (
	typeArtifact = "application/vnd.sallyport.artifact.v1"
	typeBundle   = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// subject is what is verified: the digest of its bytes, as read, and the bundles
// that came with it.
type subject struct {
	name    string
	digest  digest.Digest
	named   digest.Digest // what the layout says that the digest is; zero for a file
	bundles [][]byte
}

func load(ctx context.Context, req Request) (*subject, error) {
	path, tag := req.Artifact, ""
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if dir, t, ok := cutTag(path); ok {
			path, tag = dir, t
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	if st.IsDir() {
		return loadLayout(ctx, path, tag)
	}
	if tag != "" {
		return nil, fmt.Errorf("%w: %s is no OCI image layout", ErrRequest, shown(path))
	}
	return loadFile(ctx, path, req.Bundle)
}

func cutTag(path string) (dir, tag string, ok bool) {
	i := strings.LastIndexByte(path, ':')
	if i <= 0 || strings.ContainsRune(path[i:], '/') {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

func loadFile(ctx context.Context, path, bundle string) (*subject, error) {
	d, err := hash(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	if bundle == "" {
		bundle = path + ".sigstore.jsonl"
	}
	b, err := readBounded(bundle, maxBundles)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	lines, err := split(b)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", shown(bundle), err)
	}
	return &subject{name: filepath.Base(path), digest: d, bundles: lines}, nil
}

// split takes JSON lines apart. A single bundle may be spread over many lines.
func split(b []byte) ([][]byte, error) {
	if json.Valid(b) {
		return [][]byte{b}, nil
	}
	var out [][]byte
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(out) == maxCount {
			return nil, fmt.Errorf("%w: more than %d bundles", ErrRequest, maxCount)
		}
		out = append(out, line)
	}
	return out, nil
}

func hash(ctx context.Context, path string) (digest.Digest, error) {
	f, err := openRegular(path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	d, _, err := digest.FromReader(&until{ctx, f})
	return d, err
}

type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// layout is an OCI image layout that somebody else wrote.
type layout struct {
	dir   string
	index ocispec.Index
}

func loadLayout(ctx context.Context, dir, tag string) (*subject, error) {
	l := &layout{dir: dir}
	b, err := readBounded(filepath.Join(dir, ocispec.ImageIndexFile), maxIndex)
	if err != nil {
		return nil, fmt.Errorf("OCI image layout: %w", err)
	}
	if err := json.Unmarshal(b, &l.index); err != nil {
		return nil, fmt.Errorf("%w: OCI image layout %s: %w", ErrRequest, shown(dir), err)
	}
	d, err := l.find(tag)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := l.decode(d, &m); err != nil {
		return nil, err
	}
	if m.ArtifactType != typeArtifact || len(m.Layers) != 1 {
		return nil, fmt.Errorf("%w: %s is not the manifest of one artifact", ErrRequest, shown(d.Digest.String()))
	}
	named, err := digest.Parse(m.Layers[0].Digest.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	got, err := hash(ctx, l.path(named))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	sub := &subject{name: shown(m.Annotations[ocispec.AnnotationTitle]), digest: got, named: named}
	return sub, l.referrers(d, sub)
}

func (l *layout) path(d digest.Digest) string {
	return filepath.Join(l.dir, "blobs", "sha256", d.Hex())
}

// find returns the artifact manifest that tag names, or the only one.
func (l *layout) find(tag string) (ocispec.Descriptor, error) {
	var found []ocispec.Descriptor
	var tags []string
	for _, d := range l.index.Manifests {
		name := d.Annotations[ocispec.AnnotationRefName]
		if d.ArtifactType != typeArtifact || name == "" {
			continue
		}
		tags = append(tags, shown(name))
		if (tag == "" || name == tag) && !slices.ContainsFunc(found, func(o ocispec.Descriptor) bool { return o.Digest == d.Digest }) {
			found = append(found, d)
		}
	}
	slices.Sort(tags)
	if len(tags) > 20 {
		tags = append(tags[:20], "...")
	}
	if len(found) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: tag %q names %d artifacts; the layout has %s", ErrRequest, shown(tag), len(found), strings.Join(tags, ", "))
	}
	if found[0].MediaType == ocispec.MediaTypeImageIndex {
		return ocispec.Descriptor{}, fmt.Errorf("%w: tag %q names several artifacts: take one of %s", ErrRequest, shown(tag), strings.Join(tags, ", "))
	}
	return found[0], nil
}

// decode reads a small blob, whose bytes have to have the digest they are asked
// for by.
func (l *layout) decode(d ocispec.Descriptor, into any) error {
	b, err := l.read(d, maxManifest)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: blob %s: %w", ErrRequest, shown(d.Digest.String()), err)
	}
	return nil
}

func (l *layout) read(d ocispec.Descriptor, limit int64) ([]byte, error) {
	name, err := digest.Parse(d.Digest.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	b, err := readBounded(l.path(name), limit)
	if err != nil {
		return nil, err
	}
	if digest.Of(b) != name {
		return nil, fmt.Errorf("%w: blob %s holds other bytes", ErrRequest, name)
	}
	return b, nil
}

// referrers collects the bundles that refer to manifest d.
func (l *layout) referrers(d ocispec.Descriptor, sub *subject) error {
	left := int64(maxBundles)
	for _, r := range l.index.Manifests {
		if r.ArtifactType != typeBundle {
			continue
		}
		var m ocispec.Manifest
		if err := l.decode(r, &m); err != nil {
			return err
		}
		if m.Subject == nil || m.Subject.Digest != d.Digest || len(m.Layers) != 1 {
			continue
		}
		if len(sub.bundles) == maxCount {
			return fmt.Errorf("%w: more than %d statements refer to the artifact", ErrRequest, maxCount)
		}
		b, err := l.read(m.Layers[0], left)
		if err != nil {
			return err
		}
		left -= int64(len(b))
		sub.bundles = append(sub.bundles, b)
	}
	return nil
}

package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"

	"github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sallyport/sallyport/internal/digest"
)

// The bounds of what is read of an image.
const (
	maxDocument = 4 << 20 // bytes of an index, a manifest or a configuration
	maxIndex    = 512     // images of an index
	maxLayers   = 128
	maxLayer    = 8 << 30 // bytes of a layer as it is stored
)

// The media types that are read: OCI's, and those that Docker had before.
const (
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Accept lists the media types of manifests, as a request to a registry names
// them.
func Accept() string {
	return strings.Join([]string{v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, dockerManifest, dockerIndex}, ", ")
}

// layer is one layer of an image.
type layer struct {
	digest  digest.Digest // as it is stored
	size    int64
	gzipped bool
	plain   digest.Digest // of the tar archive in it
}

// contents is what an image says of itself.
type contents struct {
	manifest digest.Digest
	config   v1.Image
	layers   []layer
}

// read reads an image's documents: an index where it has one, the manifest and
// the configuration.
func read(ctx context.Context, from Blobs, d digest.Digest) (contents, error) {
	c := contents{manifest: d}
	b, err := document(ctx, from.Manifest, d, 0)
	if err != nil {
		return c, err
	}
	kind, err := kindOf(b)
	if err != nil {
		return c, err
	}
	if kind == v1.MediaTypeImageIndex || kind == dockerIndex {
		chosen, err := choose(b)
		if err != nil {
			return c, err
		}
		if c.manifest, err = digest.Parse(string(chosen.Digest)); err != nil {
			return c, refused("the index of image %s: %v", d, err)
		}
		if b, err = document(ctx, from.Manifest, c.manifest, chosen.Size); err != nil {
			return c, err
		}
		if kind, err = kindOf(b); err != nil {
			return c, err
		}
	}
	if kind != v1.MediaTypeImageManifest && kind != dockerManifest {
		return c, refused("image %s is of the media type %q", c.manifest, kind)
	}
	return c, c.take(ctx, from, b)
}

// document reads a small blob whole, compared with its digest and, where it is
// known, its size.
func document(ctx context.Context, open func(context.Context, digest.Digest, int64) (io.ReadCloser, error), d digest.Digest, size int64) ([]byte, error) {
	if size < 0 || size > maxDocument {
		return nil, refused("document %s of %d bytes: at most %d", d, size, maxDocument)
	}
	in, err := open(ctx, d, size)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d, err)
	}
	switch got := digest.Of(b); {
	case len(b) > maxDocument:
		return nil, refused("document %s: more than %d bytes", d, maxDocument)
	case got != d:
		return nil, &Error{Code: CodeDigest, What: fmt.Sprintf("blob %s of the image is changed: it is %s", d, got)}
	case size != 0 && int64(len(b)) != size:
		return nil, &Error{Code: CodeDigest, What: fmt.Sprintf("blob %s of the image has %d bytes, its manifest says %d", d, len(b), size)}
	}
	return b, nil
}

// kindOf is a document's media type. One that does not say it is known by what
// it holds; one that could be both is refused.
func kindOf(b []byte) (string, error) {
	var head struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
		Layers        []json.RawMessage `json:"layers"`
		Config        json.RawMessage   `json:"config"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return "", &Error{Code: CodeRefused, What: "the image's manifest cannot be read", Err: err}
	}
	index := head.Manifests != nil
	switch {
	case head.SchemaVersion != 2:
		return "", refused("the image's manifest is of schema %d, not 2", head.SchemaVersion)
	case index && (head.Layers != nil || head.Config != nil):
		return "", refused("the image is an index and a manifest at once")
	case head.MediaType != "":
		return head.MediaType, nil
	case index:
		return v1.MediaTypeImageIndex, nil
	}
	return v1.MediaTypeImageManifest, nil
}

// choose finds the image of an index that is for this machine.
func choose(b []byte) (v1.Descriptor, error) {
	var index v1.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return v1.Descriptor{}, &Error{Code: CodeRefused, What: "the image's index cannot be read", Err: err}
	}
	if len(index.Manifests) > maxIndex {
		return v1.Descriptor{}, refused("an index of %d images: at most %d", len(index.Manifests), maxIndex)
	}
	var have []string
	if len(index.Manifests) == 1 && index.Manifests[0].Platform == nil {
		return index.Manifests[0], nil // its configuration says what it is for
	}
	for _, m := range index.Manifests {
		if m.Platform == nil {
			continue
		}
		if fits(*m.Platform) {
			return m, nil
		}
		have = append(have, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	return v1.Descriptor{}, &Error{Code: CodePlatform, What: fmt.Sprintf("the image is for %s, this machine is %s", strings.Join(have, ", "), own())}
}

// fits tells whether a platform is this machine's. Of the variants of a
// processor only those are taken that every one of its kind runs.
func fits(p v1.Platform) bool {
	return p.OS == "linux" && p.Architecture == runtime.GOARCH && (p.Variant == "" || p.Variant == "v1" || p.Architecture == "arm64" && p.Variant == "v8")
}

func own() string { return "linux/" + runtime.GOARCH }

// take reads the manifest, and the configuration that it names.
func (c *contents) take(ctx context.Context, from Blobs, b []byte) error {
	var m v1.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return &Error{Code: CodeRefused, What: "the image's manifest cannot be read", Err: err}
	}
	if n := len(m.Layers); n == 0 || n > maxLayers {
		return refused("an image of %d layers: from 1 to %d", n, maxLayers)
	}
	d, err := digest.Parse(string(m.Config.Digest))
	if err != nil {
		return refused("the image's configuration: %v", err)
	}
	text, err := document(ctx, from.Blob, d, m.Config.Size)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &c.config); err != nil {
		return &Error{Code: CodeRefused, What: "the image's configuration cannot be read", Err: err}
	}
	if !fits(c.config.Platform) {
		return &Error{Code: CodePlatform, What: fmt.Sprintf("the image is for %s/%s, this machine is %s", c.config.OS, c.config.Architecture, own())}
	}
	return c.takeLayers(m.Layers)
}

// takeLayers checks each layer's description against the configuration's.
func (c *contents) takeLayers(all []v1.Descriptor) error {
	plain := c.config.RootFS.DiffIDs
	if len(plain) != len(all) {
		return refused("the image has %d layers, and its configuration names %d", len(all), len(plain))
	}
	for i, l := range all {
		d, err := digest.Parse(string(l.Digest))
		if err != nil {
			return refused("layer %d: %v", i, err)
		}
		p, err := digest.Parse(string(plain[i]))
		if err != nil {
			return refused("layer %d, unpacked: %v", i, err)
		}
		if l.Size < 0 || l.Size > maxLayer {
			return refused("layer %d has %d bytes: at most %d", i, l.Size, int64(maxLayer))
		}
		switch l.MediaType {
		case v1.MediaTypeImageLayer, v1.MediaTypeImageLayerGzip, dockerLayer:
		default:
			return refused("layer %d is of the media type %q: tar and tar+gzip are read", i, l.MediaType)
		}
		c.layers = append(c.layers, layer{d, l.Size, l.MediaType != v1.MediaTypeImageLayer, p})
	}
	return nil
}

// searchPath is PATH of the configuration: the clean absolute places of it, or
// the usual ones.
func (c *contents) searchPath() []string {
	var out []string
	for _, kv := range c.config.Config.Env {
		value, ok := strings.CutPrefix(kv, "PATH=")
		if !ok || len(value) > 4096 || strings.ContainsRune(value, 0) {
			continue
		}
		out = nil
		for dir := range strings.SplitSeq(value, ":") {
			if path.IsAbs(dir) {
				out = append(out, path.Clean(dir))
			}
		}
	}
	if out == nil {
		return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	return out
}

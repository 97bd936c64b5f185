package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sallyport/sallyport/internal/digest"
)

// Layout is an OCI image layout: a directory with oci-layout, index.json, and
// blobs by their digests.
type Layout string

// Manifest opens a manifest or an index.
func (l Layout) Manifest(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	return l.Blob(ctx, d, size)
}

// Blob opens a blob. A link in the layout leads to no place outside of it.
func (l Layout) Blob(_ context.Context, d digest.Digest, _ int64) (io.ReadCloser, error) {
	root, err := l.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openRegular(root, "blobs/sha256/"+d.Hex())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: CodeMissing, What: fmt.Sprintf("layout %s has no blob %s", string(l), d)}
	}
	if err != nil {
		return nil, &Error{Code: CodeMissing, What: fmt.Sprintf("layout %s: read blob %s", string(l), d), Err: err}
	}
	return f, nil
}

// open opens the directory, and checks that it is a layout.
func (l Layout) open() (*os.Root, error) {
	root, err := os.OpenRoot(string(l))
	if err != nil {
		return nil, &Error{Code: CodeMissing, What: "no image layout", Err: err}
	}
	var v v1.ImageLayout
	if err := readJSON(root, v1.ImageLayoutFile, &v); err != nil || v.Version != v1.ImageLayoutVersion {
		root.Close()
		return nil, &Error{Code: CodeMissing, What: fmt.Sprintf("%s is no OCI image layout of version %s", string(l), v1.ImageLayoutVersion), Err: err}
	}
	return root, nil
}

// openRegular opens what is a file, without waiting for the other end of
// something that is none.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: %s", name, info.Mode().Type())
	}
	return root.Open(name)
}

func readJSON(root *os.Root, name string, v any) error {
	f, err := openRegular(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// lookUp finds the digest that a tag of a layout stands for; without a tag, that
// of its only image. It serves an error's words: nothing is used by it.
func lookUp(dir, tag string) (digest.Digest, bool) {
	root, err := Layout(dir).open()
	if err != nil {
		return digest.Digest{}, false
	}
	defer root.Close()
	var index v1.Index
	if readJSON(root, v1.ImageIndexFile, &index) != nil {
		return digest.Digest{}, false
	}
	var found []digest.Digest
	for _, m := range index.Manifests {
		d, err := digest.Parse(string(m.Digest))
		if err == nil && (tag == "" || m.Annotations[v1.AnnotationRefName] == tag) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return digest.Digest{}, false
	}
	return found[0], true
}

package release

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
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"golang.org/x/sys/unix"

	ocidigest "github.com/opencontainers/go-digest"
)

// Types and annotations in a layout.
const (
	TypeArtifact  = "application/vnd.sallyport.artifact.v1"
	typeBundle    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	NoteRun       = "dev.sallyport.run"
	NoteEvidence  = "dev.sallyport.evidence"
	NotePredicate = "dev.sigstore.bundle.predicateType"
	noteContent   = "dev.sigstore.bundle.content"
)

const maxIndex = 64 << 20

// blob is bytes that have a place in a layout.
type blob struct {
	mediaType string
	data      []byte
	digest    digest.Digest
}

func newBlob(mediaType string, data []byte) blob {
	return blob{mediaType: mediaType, data: data, digest: digest.Of(data)}
}

func emptyConfig() blob { return newBlob(typeEmpty, []byte("{}")) }

func (b blob) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.mediaType, Digest: ocidigest.Digest(b.digest.String()), Size: int64(len(b.data))}
}

func jsonBlob(mediaType string, v any) (blob, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return blob{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return newBlob(mediaType, data), nil
}

// artifactManifest is the manifest that stands for one artifact of one run. It
// is made before anything is signed, so that statements can name it.
func artifactManifest(run *evidence.Run, a evidence.Artifact, sum digest.Digest) (blob, error) {
	mediaType := a.MediaType
	if strings.Count(mediaType, "/") != 1 || strings.ContainsAny(mediaType, " ;,\n") {
		mediaType = "application/octet-stream"
	}
	notes := map[string]string{NoteRun: run.ID, NoteEvidence: sum.String(), ocispec.AnnotationTitle: a.Name}
	for k, v := range map[string]string{
		ocispec.AnnotationSource: run.Source.URI, ocispec.AnnotationRevision: run.Source.Commit, ocispec.AnnotationVersion: run.Source.Ref,
	} {
		if v != "" {
			notes[k] = v
		}
	}
	return jsonBlob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: TypeArtifact,
		Config: emptyConfig().descriptor(),
		Layers: []ocispec.Descriptor{{
			MediaType: mediaType, Digest: ocidigest.Digest(a.Digest.String()), Size: a.Size,
			Annotations: map[string]string{ocispec.AnnotationTitle: fileName(a.Name)},
		}},
		Annotations: notes,
	})
}

// referrerManifest ties a bundle to the manifest it is about, in the form that
// cosign looks for.
func referrerManifest(subject blob, s *signed) (blob, error) {
	sub := subject.descriptor()
	return jsonBlob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: typeBundle,
		Config: emptyConfig().descriptor(), Layers: []ocispec.Descriptor{s.bundle.descriptor()}, Subject: &sub,
		Annotations: map[string]string{noteContent: "dsse-envelope", NotePredicate: s.statement.Type},
	})
}

// layout is an OCI image layout, locked against other writers.
type layout struct {
	dir   string
	lock  *os.File
	index index
}

// openLayout makes the layout where there is none, takes its lock and clears
// away what a crash has left half-written.
func openLayout(dir string) (*layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, fmt.Errorf("open release layout: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open release layout: %w", err)
	}
	l := &layout{dir: dir, lock: lock}
	if err := l.prepare(); err != nil {
		l.close()
		return nil, fmt.Errorf("open release layout %s: %w", dir, err)
	}
	return l, nil
}

func (l *layout) prepare() error {
	if err := unix.Flock(int(l.lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	for _, d := range []string{l.dir, filepath.Join(l.dir, "blobs", "sha256")} {
		if err := sweep(d); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(l.dir, ocispec.ImageLayoutFile)); errors.Is(err, fs.ErrNotExist) {
		text := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
		if err := writeFile(filepath.Join(l.dir, ocispec.ImageLayoutFile), text); err != nil {
			return err
		}
	}
	return l.index.load(filepath.Join(l.dir, ocispec.ImageIndexFile))
}

// close gives up the lock.
func (l *layout) close() { _ = l.lock.Close() }

func (l *layout) blobPath(d digest.Digest) string {
	return filepath.Join(l.dir, "blobs", "sha256", d.Hex())
}

// put writes a blob unless it is there and whole.
func (l *layout) put(b blob) error {
	path := l.blobPath(b.digest)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.data) {
		return nil
	}
	return writeFile(path, b.data)
}

// copy brings an artifact's bytes in and hashes them on the way. They get their
// name only when they are the ones that the verdict is about.
func (l *layout) copy(ctx context.Context, a evidence.Artifact, c Content) error {
	if old, err := os.Open(l.blobPath(a.Digest)); err == nil {
		d, _, err := digest.FromReader(&until{ctx, old})
		_ = old.Close()
		if err == nil && d == a.Digest {
			return nil
		}
	}
	f, err := c.Open(a.Digest)
	if err != nil {
		return fmt.Errorf("promote %s: %w", a.Name, err)
	}
	defer f.Close()
	err = writeFrom(l.blobPath(a.Digest), func(w io.Writer) error {
		d, n, err := digest.FromReader(io.TeeReader(&until{ctx, f}, w))
		if err == nil && (d != a.Digest || n != a.Size) {
			err = fmt.Errorf("the content has become %s: %w", d, ErrVerdict)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("promote %s: %w", a.Name, err)
	}
	return nil
}

// commit makes next the index. Everything it names is on the disk by now.
func (l *layout) commit(next index, before func() error) error {
	data, err := json.MarshalIndent(next.Index, "", "  ")
	if err != nil {
		return fmt.Errorf("encode index: %w", err)
	}
	if err := syncDir(filepath.Join(l.dir, "blobs", "sha256")); err != nil {
		return err
	}
	path := filepath.Join(l.dir, ocispec.ImageIndexFile)
	if err := writeFromWith(path, func(w io.Writer) error { _, err := w.Write(data); return err }, before); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	l.index = next
	return nil
}

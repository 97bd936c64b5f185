package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// index is a layout's index.json.
type index struct{ ocispec.Index }

func (x *index) load(path string) error {
	x.Index = ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return err
	}
	if len(b) > maxIndex {
		return fmt.Errorf("index is larger than %d bytes", maxIndex)
	}
	if err := json.Unmarshal(b, &x.Index); err != nil {
		return fmt.Errorf("parse index: %w", err)
	}
	if x.SchemaVersion != 2 {
		return fmt.Errorf("index has schema version %d, not 2", x.SchemaVersion)
	}
	return nil
}

func (x *index) clone() index {
	next := *x
	next.Manifests = slices.Clone(x.Manifests)
	return next
}

// tagged returns the descriptor that a tag names.
func (x *index) tagged(tag string) (ocispec.Descriptor, bool) {
	for _, d := range x.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			return d, true
		}
	}
	return ocispec.Descriptor{}, false
}

func (x *index) holds(d ocispec.Descriptor) bool {
	return slices.ContainsFunc(x.Manifests, func(o ocispec.Descriptor) bool { return o.Digest == d.Digest })
}

// add lists an artifact's manifest and all that refers to it. Referrers have to
// be listed: readers of a layout find them through the index alone.
func (x *index) add(it *item, tag string, ownTag bool) {
	d := it.manifest.descriptor()
	d.ArtifactType = TypeArtifact
	if ownTag {
		x.name(d, tag)
	} else if !x.holds(d) {
		x.Manifests = append(x.Manifests, d)
	}
	for _, s := range it.signed {
		r := s.referrer.descriptor()
		r.ArtifactType = typeBundle
		r.Annotations = map[string]string{NotePredicate: s.statement.Type}
		if !x.holds(r) {
			x.Manifests = append(x.Manifests, r)
		}
	}
}

// name gives d a tag. An entry for d without a tag becomes the tagged one.
func (x *index) name(d ocispec.Descriptor, tag string) {
	named := d
	named.Annotations = maps.Clone(d.Annotations)
	if named.Annotations == nil {
		named.Annotations = map[string]string{}
	}
	named.Annotations[ocispec.AnnotationRefName] = tag
	for i, o := range x.Manifests {
		if o.Digest == d.Digest && o.Annotations[ocispec.AnnotationRefName] == "" {
			x.Manifests[i] = named
			return
		}
	}
	x.Manifests = append(x.Manifests, named)
}

// tag names the promotion as a whole: one artifact's manifest, or an index of
// several. A tag that names something else is never moved: the run's own tag must be
// free, one of the source's ref stays with the first.
func (x *index) tag(l *layout, p *Promotion, items []*item) error {
	whole := items[0].manifest.descriptor()
	whole.ArtifactType = TypeArtifact
	if len(items) > 1 {
		list := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, ArtifactType: TypeArtifact}
		for _, it := range items {
			d := it.manifest.descriptor()
			d.ArtifactType = TypeArtifact
			d.Annotations = map[string]string{ocispec.AnnotationTitle: it.artifact.Name}
			list.Manifests = append(list.Manifests, d)
		}
		b, err := jsonBlob(ocispec.MediaTypeImageIndex, list)
		if err != nil {
			return err
		}
		if err := l.put(b); err != nil {
			return err
		}
		whole = b.descriptor()
		whole.ArtifactType = TypeArtifact
	}
	var tags []string
	for i, tag := range p.Tags {
		old, taken := x.tagged(tag)
		switch {
		case taken && old.Digest == whole.Digest:
		case taken && i == 0:
			return fmt.Errorf("promote run %s: tag %s names %s already", p.Run, tag, old.Digest)
		case taken:
			p.Kept = append(p.Kept, tag)
			continue
		default:
			x.name(whole, tag)
		}
		tags = append(tags, tag)
	}
	p.Tags = tags
	return nil
}

// promoted tells whether the layout holds the promotion already: each manifest
// is listed with statements that refer to it.
func (l *layout) promoted(p *Promotion, items []*item) (bool, error) {
	whole, taken := l.index.tagged(p.Tags[0])
	if !taken {
		return false, nil
	}
	for _, it := range items {
		if !l.index.holds(it.manifest.descriptor()) {
			return false, fmt.Errorf("promote run %s: its tag names another release", p.Run)
		}
		if _, err := os.Stat(l.blobPath(it.artifact.Digest)); err != nil {
			return false, nil
		}
	}
	p.Resumed = true
	var tags []string
	for _, t := range p.Tags {
		if d, ok := l.index.tagged(t); ok && d.Digest == whole.Digest {
			tags = append(tags, t)
			continue
		}
		p.Kept = append(p.Kept, t)
	}
	p.Tags = tags
	return true, nil
}

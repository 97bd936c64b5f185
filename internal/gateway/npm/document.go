package npm

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// abbreviated is the media type of a document with what an install needs.
const abbreviated = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"

// maxVersions bounds the versions of one document, maxVersionDoc one of them.
const (
	maxVersions   = 100_000
	maxVersionDoc = 4 << 20
)

// parts says what of a document is wanted: each is called for every version,
// the maps are filled from "time" and "dist-tags". What is nil is passed over.
type parts struct {
	each  func(version string, raw json.RawMessage) error
	times map[string]time.Time
	tags  map[string]string
}

// document fetches a package's document and reads it version by version, so
// that a large one never stands in memory as a whole.
func (s *Service) document(ctx context.Context, name, accept string, want parts) error {
	f, err := s.fetchDocument(ctx, name, accept)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := readDocument(f, want); err != nil {
		var fl *fault.Error
		if errors.As(err, &fl) {
			return fl
		}
		return fault.Wrap(fault.UpstreamDown, "read the registry's document of "+name, err)
	}
	return nil
}

// fetchDocument brings a document into a file that has no name any more.
func (s *Service) fetchDocument(ctx context.Context, name, accept string) (*os.File, error) {
	f, err := os.CreateTemp("", "sallyport-npm-")
	if err != nil {
		return nil, fault.Wrap(fault.Store, "keep a registry's document", err)
	}
	_ = os.Remove(f.Name()) // the descriptor is enough, and nothing stays behind
	to := &fileSink{f}
	path := strings.Replace(name, "/", "%2f", 1)
	if err := s.client.Download(ctx, upstream.Request{Site: s.conf.For(name), Path: path, Accept: accept, Limit: maxDocument}, to); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, fault.Wrap(fault.Store, "keep a registry's document", err)
	}
	return f, nil
}

type fileSink struct{ *os.File }

func (s *fileSink) Reset() error {
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.Truncate(0)
}

func readDocument(r io.Reader, want parts) error {
	p := &lockParser{dec: json.NewDecoder(bufio.NewReaderSize(r, 64<<10))}
	return p.object(func(key string) error {
		switch {
		case key == "versions" && want.each != nil:
			return p.versions(want.each)
		case key == "time" && want.times != nil:
			return p.table(func(version, text string) {
				if t, err := time.Parse(time.RFC3339, text); err == nil {
					want.times[version] = t
				}
			})
		case key == "dist-tags" && want.tags != nil:
			return p.table(func(tag, version string) { want.tags[tag] = version })
		}
		return p.skip()
	})
}

func (p *lockParser) versions(each func(string, json.RawMessage) error) error {
	n := 0
	return p.object(func(version string) error {
		if n++; n > maxVersions {
			return fault.New(fault.Limit, fmt.Sprintf("more than %d versions", maxVersions))
		}
		var raw json.RawMessage
		if err := p.dec.Decode(&raw); err != nil {
			return err
		}
		if len(raw) > maxVersionDoc {
			return fault.New(fault.Limit, fmt.Sprintf("version %s takes %d bytes", version, len(raw)))
		}
		return each(version, raw)
	})
}

// table reads an object of texts; other values are passed over, as "time" has
// an object for packages that were unpublished.
func (p *lockParser) table(each func(key, text string)) error {
	n := 0
	return p.object(func(key string) error {
		var raw json.RawMessage
		if err := p.dec.Decode(&raw); err != nil {
			return err
		}
		if n++; n > maxVersions {
			return fault.New(fault.Limit, fmt.Sprintf("more than %d entries", maxVersions))
		}
		var text string
		if json.Unmarshal(raw, &text) == nil {
			each(key, text)
		}
		return nil
	})
}

// skip passes over one value without keeping it.
func (p *lockParser) skip() error {
	depth := 0
	for {
		t, err := p.dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// fromShasum makes a promise of the SHA-1 that old versions have.
func fromShasum(text string) (Integrity, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != newHash("sha1").Size() {
		return Integrity{}, errors.New("the registry gives no integrity value")
	}
	return Integrity{"sha1", string(raw)}, nil
}

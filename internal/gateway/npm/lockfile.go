package npm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/intake"
)

// Limits of foreign files.
const (
	maxLockfile = 64 << 20
	maxEntries  = 100_000
	maxManifest = 4 << 20
	maxKey      = 4096
)

// lockfile is what is read of package-lock.json, versions 2 and 3.
type lockfile struct {
	name    string
	version int
	entries []entry
	byKey   map[string]int
}

// entry is one member of "packages". Fields that old clients wrote with odd
// types are read leniently: what is not a text is no text.
type entry struct {
	key  string
	line int
	raw  map[string]json.RawMessage
}

func (e *entry) text(field string) string {
	var s string
	if json.Unmarshal(e.raw[field], &s) != nil {
		return ""
	}
	return s
}

func (e *entry) is(field string) bool {
	var b bool
	return json.Unmarshal(e.raw[field], &b) == nil && b
}

func (e *entry) texts(field string) []string {
	var list []string
	if json.Unmarshal(e.raw[field], &list) != nil {
		return nil
	}
	return list
}

func (e *entry) table(field string) map[string]string {
	var t map[string]string
	if json.Unmarshal(e.raw[field], &t) != nil {
		return nil
	}
	return t
}

// installed tells whether the entry stands in a node_modules folder; other
// entries are folders of the project itself.
func (e *entry) installed() bool {
	return strings.HasPrefix(e.key, "node_modules/") || strings.Contains(e.key, "/node_modules/")
}

// packageName is the name that a registry knows: the folder's, or for an alias
// the one in the entry.
func (e *entry) packageName() string {
	if n := e.text("name"); n != "" {
		return n
	}
	const dir = "node_modules/"
	return e.key[strings.LastIndex(e.key, dir)+len(dir):]
}

// parseLockfile reads "lockfileVersion" and "packages" token by token. Unlike
// encoding/json alone it refuses duplicate names, of which two readers may each
// take another one.
func parseLockfile(name string, b []byte) (*lockfile, error) {
	p := &lockParser{dec: json.NewDecoder(bytes.NewReader(b)), lines: intake.NewLines(b), lock: &lockfile{name: name, byKey: map[string]int{}}}
	if err := p.document(); err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, f
		}
		at := fmt.Sprintf("%s:%d", name, p.lines.At(p.dec.InputOffset()))
		return nil, fault.Wrap(fault.Lockfile, "read the lockfile", err).At(at).Mend("npm install --package-lock-only")
	}
	return p.lock, p.lock.supported()
}

func (l *lockfile) supported() error {
	switch {
	case l.version == 2 || l.version == 3:
		return nil
	case l.version == 1 || l.version == 0:
		return fault.New(fault.Lockfile, "lockfile version 1 lacks what is needed to check it").At(l.name).
			Mend("npm install --package-lock-only --lockfile-version 3, and commit it")
	}
	return fault.New(fault.Lockfile, fmt.Sprintf("lockfile version %d is not known", l.version)).At(l.name)
}

type lockParser struct {
	dec   *json.Decoder
	lines *intake.Lines
	lock  *lockfile
}

func (p *lockParser) document() error {
	seen := map[string]bool{}
	err := p.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q stands twice", fault.Clean(key))
		}
		seen[key] = true
		switch key {
		case "lockfileVersion":
			return p.dec.Decode(&p.lock.version)
		case "packages":
			return p.object(p.entry)
		}
		var skip json.RawMessage
		return p.dec.Decode(&skip)
	})
	if err != nil {
		return err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// object calls each for every name; each consumes the value.
func (p *lockParser) object(each func(key string) error) error {
	t, err := p.dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.New("wanted an object")
	}
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok || len(key) > maxKey {
			return errors.New("a name is too long")
		}
		if err := each(key); err != nil {
			return err
		}
	}
	_, err = p.dec.Token()
	return err
}

func (p *lockParser) entry(key string) error {
	if _, twice := p.lock.byKey[key]; twice {
		return fmt.Errorf("%q stands twice", fault.Clean(key))
	}
	if len(p.lock.entries) >= maxEntries {
		return fault.New(fault.Limit, fmt.Sprintf("more than %d packages", maxEntries)).At(p.lock.name)
	}
	e := entry{key: key, line: p.lines.At(p.dec.InputOffset())}
	e.raw = map[string]json.RawMessage{}
	err := p.object(func(field string) error {
		if _, twice := e.raw[field]; twice {
			return fmt.Errorf("%q stands twice in %q", fault.Clean(field), fault.Clean(key))
		}
		var v json.RawMessage
		if err := p.dec.Decode(&v); err != nil {
			return err
		}
		e.raw[field] = v
		return nil
	})
	p.lock.byKey[key] = len(p.lock.entries)
	p.lock.entries = append(p.lock.entries, e)
	return err
}

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// Located is an entry as a stack of layers shows it, and the layer it is in.
type Located struct {
	Entry
	Layer digest.Digest
}

// Merge lists what a stack of layers, topmost first, shows at sub and below it,
// in the order of paths: what overlayfs would show to a zone. It is empty when
// there is nothing.
func (s *Store) Merge(ctx context.Context, layers []digest.Digest, sub string) ([]Located, error) {
	m := merger{sub: path.Clean(sub), seen: map[string]bool{}, hides: map[string]bool{}}
	for _, layer := range layers {
		if err := s.Check(ctx, layer); err != nil {
			return nil, err
		}
		b, err := s.manifest(layer)
		if err != nil {
			return nil, err
		}
		entries, err := m.relevant(b)
		if err != nil {
			return nil, fmt.Errorf("tree %s: %w: %w", layer, err, ErrTampered)
		}
		m.add(layer, entries)
		if m.closed {
			break
		}
	}
	sortLocated(m.out)
	return m.out, nil
}

// merger lays one layer below another.
type merger struct {
	sub    string
	seen   map[string]bool // shown, or removed, by a layer above
	hides  map[string]bool // hides everything below it in lower layers
	closed bool            // something above sub hides all lower layers
	out    []Located
}

// relevant parses the entries above and below sub alone: a layer can have a
// hundred thousand, and an artifact is mostly one file.
func (m *merger) relevant(b []byte) ([]Entry, error) {
	if m.sub == "." {
		return parse(b)
	}
	rest, _ := bytes.CutPrefix(b, []byte(manifestHead))
	var out []Entry
	for line := range bytes.Lines(rest) {
		p := pathOf(line)
		if !bytes.HasPrefix(p, []byte(m.sub)) && !bytes.HasPrefix([]byte(m.sub), p) {
			continue
		}
		e, err := parseLine(string(bytes.TrimSuffix(line, []byte{'\n'})))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// pathOf finds the path in a line of a manifest without parsing it.
func pathOf(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if len(line) < 3 {
		return nil
	}
	p := line[2:]
	switch Kind(line[0]) {
	case File, Executable:
		if i := bytes.IndexByte(p, ' '); i >= 0 && len(p) > i+2*digest.Size+2 {
			return p[i+2*digest.Size+2:]
		}
		return nil
	case Link:
		if i := bytes.IndexByte(p, 0); i >= 0 {
			return p[:i]
		}
	}
	return p
}

func (m *merger) add(layer digest.Digest, entries []Entry) {
	var hides []string
	for i := range entries {
		e := &entries[i]
		if m.above(e.Path) {
			m.closed = m.closed || e.Kind != Dir
			continue
		}
		if !m.within(e.Path) || m.hidden(e.Path) {
			continue
		}
		if e.Kind != Dir {
			hides = append(hides, e.Path)
		}
		if !m.seen[e.Path] {
			m.seen[e.Path] = true
			if e.Kind != Whiteout {
				m.out = append(m.out, Located{Entry: *e, Layer: layer})
			}
		}
	}
	for _, h := range hides { // an entry hides lower layers, not its own
		m.hides[h] = true
	}
}

func (m *merger) above(p string) bool { return m.sub != "." && strings.HasPrefix(m.sub, p+"/") }

func (m *merger) within(p string) bool {
	return m.sub == "." || p == m.sub || strings.HasPrefix(p, m.sub+"/")
}

func (m *merger) hidden(p string) bool {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if m.hides[d] {
			return true
		}
	}
	return false
}

// Open opens a file that Merge found. Its content is compared with its digest
// while it is read: the last Read returns ErrTampered instead of io.EOF.
func (s *Store) Open(l Located) (io.ReadCloser, error) {
	if l.Kind != File && l.Kind != Executable {
		return nil, &Refused{Code: "tree.device", Path: l.Path, Why: "is not a regular file"}
	}
	root, err := openDir(s.TreePath(l.Layer))
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := openBeneath(root, l.Path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %+q: %w", l.Path, err)
	}
	return newChecked(os.NewFile(uintptr(fd), l.Path), l.Digest), nil
}

// Export writes what layers show below sub as plain files into dst, which it
// makes. Links are written as they are; none is followed.
func (s *Store) Export(ctx context.Context, layers []digest.Digest, sub, dst string) error {
	found, err := s.Merge(ctx, layers, sub)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dst, 0o755); err != nil {
		return diskFull(fmt.Errorf("export %s: %w", sub, err))
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return fmt.Errorf("export %s: %w", sub, err)
	}
	defer root.Close()
	for i := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := below(found[i].Path, sub)
		if name == "" {
			continue
		}
		if err := s.exportOne(root, &found[i], name); err != nil {
			return diskFull(fmt.Errorf("export %+q: %w", found[i].Path, err))
		}
	}
	return nil
}

func (s *Store) exportOne(root *os.Root, l *Located, name string) error {
	switch l.Kind {
	case Dir, Opaque:
		return root.Mkdir(name, 0o755)
	case Link:
		return root.Symlink(l.Target, name)
	}
	mode := os.FileMode(0o644)
	if l.Kind == Executable {
		mode = 0o755
	}
	in, err := s.Open(*l)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

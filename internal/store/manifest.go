package store

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/digest"
)

// Kind is what an entry of a tree is.
type Kind byte

// The kinds. Whiteout and Opaque are what a stage removed from the layers below:
// one name, or all that a directory held.
const (
	File       Kind = 'f'
	Executable Kind = 'x'
	Dir        Kind = 'd'
	Opaque     Kind = 'o'
	Link       Kind = 'l'
	Whiteout   Kind = 'w'
)

// Entry is one name in a tree. Path is relative to the root, with slashes.
type Entry struct {
	Path   string
	Kind   Kind
	Size   int64         // of a file, in bytes
	Digest digest.Digest // of a file's content
	Target string        // of a link

	ino   uint64
	ctime int64 // nanoseconds
	mtime int64 // of a directory's file that is taken in
}

const manifestHead = "sallyport/tree/v1\n"

// maxPath bounds a path in a tree, in bytes.
const maxPath = 3500

// encode writes the canonical manifest: a head line, then one line for each
// entry in the order of paths as bytes.
//
//	f 12 <hex> path      x 12 <hex> path     regular file, and one that is executable
//	d path               o path              directory, and one that hides those below
//	l path NUL target    w path              symbolic link, and a name that was removed
//
// Modes are 0644, or 0755 for directories and executables; owner, times and
// extended attributes are no part of a tree.
func encode(w io.Writer, entries []Entry) error {
	if _, err := io.WriteString(w, manifestHead); err != nil {
		return err
	}
	buf := make([]byte, 0, 256)
	for i := range entries {
		buf = entries[i].append(buf[:0])
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

func (e *Entry) append(b []byte) []byte {
	b = append(b, byte(e.Kind), ' ')
	if e.Kind == File || e.Kind == Executable {
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, ' ')
		for _, c := range e.Digest {
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
		b = append(b, ' ')
	}
	b = append(b, e.Path...)
	if e.Kind == Link {
		b = append(b, 0)
		b = append(b, e.Target...)
	}
	return append(b, '\n')
}

const hexDigits = "0123456789abcdef"

// parse reads a canonical manifest and refuses anything else: paths out of
// order, twice, or with parts that lead elsewhere.
func parse(b []byte) ([]Entry, error) {
	rest, ok := bytes.CutPrefix(b, []byte(manifestHead))
	if !ok {
		return nil, fmt.Errorf("manifest: no %q", strings.TrimSpace(manifestHead))
	}
	entries := make([]Entry, 0, bytes.Count(rest, []byte{'\n'}))
	for n := 2; len(rest) > 0; n++ {
		line, after, ok := bytes.Cut(rest, []byte{'\n'})
		if !ok {
			return nil, fmt.Errorf("manifest line %d: cut off", n)
		}
		e, err := parseLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("manifest line %d: %w", n, err)
		}
		if len(entries) > 0 && entries[len(entries)-1].Path >= e.Path {
			return nil, fmt.Errorf("manifest line %d: out of order", n)
		}
		entries, rest = append(entries, e), after
	}
	return entries, nil
}

func parseLine(line string) (Entry, error) {
	var e Entry
	if len(line) < 3 || line[1] != ' ' {
		return e, fmt.Errorf("no kind")
	}
	e.Kind, e.Path = Kind(line[0]), line[2:]
	var err error
	switch e.Kind {
	case File, Executable:
		err = e.parseFile(line[2:])
	case Link:
		var ok bool
		if e.Path, e.Target, ok = strings.Cut(e.Path, "\x00"); !ok || e.Target == "" || strings.Contains(e.Target, "\x00") {
			err = fmt.Errorf("link without one target")
		}
	case Dir, Opaque, Whiteout:
	default:
		err = fmt.Errorf("unknown kind %q", line[0])
	}
	if err != nil {
		return e, err
	}
	return e, checkPath(e.Path)
}

func (e *Entry) parseFile(s string) error {
	size, s, ok := strings.Cut(s, " ")
	if !ok || len(s) < 2*digest.Size+2 || s[2*digest.Size] != ' ' {
		return fmt.Errorf("file without size, digest and path")
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
		return fmt.Errorf("size %q", size)
	}
	d, err := digest.Parse("sha256:" + s[:2*digest.Size])
	if err != nil {
		return err
	}
	e.Size, e.Digest, e.Path = n, d, s[2*digest.Size+1:]
	return nil
}

// checkPath refuses a path that is not relative, clean and printable as UTF-8.
func checkPath(p string) error {
	if p == "" || len(p) > maxPath {
		return fmt.Errorf("path of %d bytes", len(p))
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("path %q is not clean", p)
		}
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses a name that would be misread where names are listed.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return &Refused{Code: "tree.name", Path: name, Why: "name is not valid UTF-8"}
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f {
			return &Refused{Code: "tree.name", Path: name, Why: "name holds a newline or another control character"}
		}
	}
	return nil
}

func sortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
}

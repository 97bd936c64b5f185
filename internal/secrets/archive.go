package secrets

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

type format uint8

const (
	plain format = iota
	gzipped
	bzipped
	tarred
	zipped
)

// sniff tells a format by its first 512 bytes.
func sniff(head []byte) format {
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		return gzipped
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 4 && head[4] == 0x31:
		return bzipped
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return zipped
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return tarred
	}
	return plain
}

// errBudget ends the reading of an archive that expands beyond the limit.
var errBudget = errors.New("expands beyond the limit")

// item scans a stream, and what is packed inside it.
func (w *walk) item(p place, r io.Reader, depth int) error {
	k := w.sink(p)
	defer k.release()
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	f := sniff(head)
	if f != plain && depth >= w.limits.Depth {
		w.incomplete(p, fmt.Sprintf("archives nested deeper than %d", w.limits.Depth))
		f = plain
	}
	in := &broken{r: br}
	if err := w.unpack(p, f, io.TeeReader(in, k), k, depth); err != nil {
		return err
	}
	if in.err != nil {
		return in.err
	}
	if _, err := k.ReadFrom(in); err != nil {
		return err
	}
	k.finish()
	return nil
}

// unpack reads the inside of an archive. Errors of the archive's own form are
// not reported: its bytes were scanned as they are, and nobody else can unpack it
// either.
func (w *walk) unpack(p place, f format, r io.Reader, k *sink, depth int) error {
	var err error
	switch f {
	case gzipped:
		var z *gzip.Reader
		if z, err = gzip.NewReader(r); err == nil {
			err = w.item(p.inside("gzip"), &metered{w: w, r: z}, depth+1)
		}
	case bzipped:
		err = w.item(p.inside("bzip2"), &metered{w: w, r: bzip2.NewReader(r)}, depth+1)
	case tarred:
		err = w.tar(p, tar.NewReader(r), k, depth)
		k.finish()
		k.place = p
	case zipped:
		err = w.spool(p, r, depth)
	}
	switch {
	case errors.Is(err, errBudget):
		w.incomplete(p, fmt.Sprintf("expands to more than %d bytes", w.limits.Expanded))
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	}
	return nil
}

// tar follows the entries of an archive whose raw bytes flow into k, so that
// headers and padding are scanned as well. Only entries that are archives
// themselves are read a second time.
func (w *walk) tar(p place, t *tar.Reader, k *sink, depth int) error {
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.entry(p); err != nil {
			return err
		}
		in := w.named(p, h.Name, h.Linkname)
		k.finish()
		k.place = in
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := w.packed(in, t, depth); err != nil {
			return err
		}
	}
}

// packed scans one entry's inside where it is an archive. Its bytes themselves
// are scanned by the caller.
func (w *walk) packed(in place, r io.Reader, depth int) error {
	br := bufio.NewReaderSize(r, 4096)
	head, _ := br.Peek(512)
	if sniff(head) == plain {
		return nil
	}
	return w.damaged(w.item(in, &metered{w: w, r: br}, depth+1))
}

// damaged passes on the errors that concern the whole scan. An entry that is
// damaged is no reason to leave the others unread.
func (w *walk) damaged(err error) error {
	if errors.Is(err, errBudget) || w.ctx.Err() != nil {
		return err
	}
	return nil
}

// entry counts one file of a tree or archive.
func (w *walk) entry(p place) error {
	w.report.Files++
	if w.report.Files > w.limits.Entries {
		w.incomplete(p, fmt.Sprintf("more than %d files", w.limits.Entries))
		return errors.New("too many files")
	}
	return w.ctx.Err()
}

// spool reads a zip that is inside a stream into memory.
func (w *walk) spool(p place, r io.Reader, depth int) error {
	b, err := io.ReadAll(io.LimitReader(r, w.limits.Spool+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > w.limits.Spool {
		w.incomplete(p, fmt.Sprintf("a zip of more than %d bytes inside a stream is not opened", w.limits.Spool))
		return nil
	}
	return w.zip(p, bytes.NewReader(b), int64(len(b)), depth)
}

func (w *walk) zip(p place, r io.ReaderAt, size int64, depth int) error {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, f := range z.File {
		if err := w.entry(p); err != nil {
			return err
		}
		in := w.named(p, f.Name, f.Comment)
		if f.Flags&1 != 0 {
			w.incomplete(in, "encrypted")
			continue
		}
		if err := w.zipEntry(in, f, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) zipEntry(in place, f *zip.File, depth int) error {
	rc, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		w.incomplete(in, fmt.Sprintf("compression method %d is not known", f.Method))
		return nil
	}
	if err != nil {
		return w.damaged(err)
	}
	defer rc.Close()
	return w.damaged(w.item(in, &metered{w: w, r: rc}, depth+1))
}

// file scans a regular file. Unlike a stream it can be read at random, so a zip
// is opened wherever in it the directory stands (an archive behind a program).
func (w *walk) file(p place, f *os.File) error {
	w.report.Files++
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("not a regular file: %s", st.Mode().Type())
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if !hasDirectory(f, st.Size()) {
		return w.item(p, f, 0)
	}
	k := w.sink(p)
	defer k.release()
	if _, err := k.ReadFrom(f); err != nil {
		return err
	}
	k.finish()
	if sniff(head[:n]) == tarred || sniff(head[:n]) == gzipped {
		if err := w.item(p, io.NewSectionReader(f, 0, st.Size()), 0); err != nil {
			return err
		}
	}
	return w.unzip(p, f, st.Size())
}

func (w *walk) unzip(p place, f *os.File, size int64) error {
	in := &brokenAt{r: f}
	err := w.zip(p, in, size, 0)
	switch {
	case in.err != nil:
		return in.err
	case errors.Is(err, errBudget):
		w.incomplete(p, fmt.Sprintf("expands to more than %d bytes", w.limits.Expanded))
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	}
	return nil
}

// hasDirectory looks for the end record of a zip where readers look for it.
func hasDirectory(f *os.File, size int64) bool {
	tail := make([]byte, min(size, 66<<10))
	n, err := f.ReadAt(tail, size-int64(len(tail)))
	return (err == nil || err == io.EOF) && bytes.Contains(tail[:n], []byte("PK\x05\x06"))
}

// named scans a name (and a link's target or a comment) and returns the place it
// stands for. A name that itself holds a secret is not repeated.
func (w *walk) named(p place, name, other string) place {
	in := p.inside(name)
	before := len(w.report.Findings)
	for _, text := range []string{name, other} {
		v := view{w: w, place: place{name: clean(p.name + "!(a file name)")}, data: []byte(text), line: -1}
		v.scan(0, len(text))
	}
	if len(w.report.Findings) > before {
		in.name = clean(p.name + "!(a file whose name is withheld)")
	}
	return in
}

// metered counts what archives expand to.
type metered struct {
	w *walk
	r io.Reader
}

func (m *metered) Read(b []byte) (int, error) {
	if m.w.expanded > m.w.limits.Expanded {
		return 0, errBudget
	}
	n, err := m.r.Read(b)
	m.w.expanded += int64(n)
	return n, err
}

// broken remembers an error of the stream below, so that it is not taken for an
// error in an archive's form.
type broken struct {
	r   io.Reader
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

type brokenAt struct {
	r   io.ReaderAt
	err error
}

func (b *brokenAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// joined is the place of a file in a tree.
func joined(where, path string) place {
	name := clean(strings.TrimSuffix(where, "/") + "/" + path)
	return place{name: name, third: thirdPartyTest(name)}
}

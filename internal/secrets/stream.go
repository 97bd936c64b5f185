package secrets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// The window of a stream: a keyword is looked at when ahead bytes after it (or
// the end) are there, and back bytes before it are kept.
const (
	block = 256 << 10
	ahead = 16 << 10
	back  = 1 << 10
)

// place is where bytes stand: a name, and archive entries inside it.
type place struct {
	name  string
	third bool // tests and documentation of somebody else's package
}

func (p place) inside(entry string) place {
	name := clean(p.name + "!" + entry)
	return place{name: name, third: p.third || thirdPartyTest(name)}
}

// walk is the state of one scan.
type walk struct {
	*Scanner
	ctx      context.Context
	report   Report
	seen     map[string]bool
	expanded int64
}

func (s *Scanner) walk(ctx context.Context) *walk {
	return &walk{Scanner: s, ctx: ctx, seen: map[string]bool{}}
}

func (w *walk) incomplete(p place, why string) {
	if len(w.report.Incomplete) < 100 {
		w.report.Incomplete = append(w.report.Incomplete, p.name+": "+why)
	}
}

// found records a match once for each place and rule.
func (w *walk) found(p place, rule string, line int, secret []byte) {
	print := w.fingerprint(secret)
	key := rule + "\x00" + print + "\x00" + p.name
	if w.seen[key] {
		return
	}
	if len(w.report.Findings) >= w.limits.Findings {
		if !w.seen[""] {
			w.seen[""] = true
			w.incomplete(p, fmt.Sprintf("more than %d findings: the rest is not listed", w.limits.Findings))
		}
		return
	}
	w.seen[key] = true
	w.report.Findings = append(w.report.Findings, evidence.Finding{Rule: rule, Where: p.name, Line: line, Print: print})
}

// sink scans what is written to it.
type sink struct {
	w     *walk
	place place
	buf   []byte
	done  int // buf[:done] was scanned; the rest waits for more
	lines int // newlines before buf
	text  bool
	first bool
}

func (w *walk) sink(p place) *sink {
	return &sink{w: w, place: p, buf: w.buffer(), first: true}
}

// buffer takes a window from the pool: a scan of a tree opens many sinks.
func (s *Scanner) buffer() []byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, back+block+ahead)
}

func (k *sink) release() {
	if k.buf != nil {
		b := k.buf[:0]
		k.w.buffers.Put(&b)
		k.buf = nil
	}
}

// Write takes more of the stream.
func (k *sink) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := copy(k.buf[len(k.buf):cap(k.buf)], p)
		k.buf = k.buf[:len(k.buf)+n]
		p = p[n:]
		if len(k.buf) == cap(k.buf) {
			if err := k.advance(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// ReadFrom takes all of r, without a second buffer.
func (k *sink) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	for {
		n, err := r.Read(k.buf[len(k.buf):cap(k.buf)])
		k.buf = k.buf[:len(k.buf)+n]
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if len(k.buf) == cap(k.buf) {
			if err := k.advance(); err != nil {
				return total, err
			}
		}
	}
}

// advance scans what has enough bytes after it and moves the rest to the front.
func (k *sink) advance() error {
	if err := k.w.ctx.Err(); err != nil {
		return err
	}
	to := len(k.buf) - ahead
	k.look(to)
	keep := max(0, to-back)
	k.lines += bytes.Count(k.buf[:keep], []byte{'\n'})
	k.buf = append(k.buf[:0], k.buf[keep:]...)
	k.done = to - keep
	return nil
}

// finish scans what is left. The sink can be used again, for another place.
func (k *sink) finish() {
	k.look(len(k.buf))
	k.buf, k.done, k.lines, k.first = k.buf[:0], 0, 0, true
}

// look scans buf[done:to].
func (k *sink) look(to int) {
	if to <= k.done {
		return
	}
	if k.first {
		k.text = bytes.IndexByte(k.buf[:min(len(k.buf), 8000)], 0) < 0
		k.first = false
	}
	k.w.report.Bytes += int64(to - k.done)
	v := view{w: k.w, place: k.place, data: k.buf, line: -1}
	if k.text {
		v.line = k.lines
	}
	v.scan(k.done, to)
	k.done = to
}

// view is bytes in memory that are looked at: a window of a stream, or something
// decoded from one.
type view struct {
	w      *walk
	place  place
	data   []byte
	line   int  // newlines before data; -1: not a text
	nested int  // how many encodings deep
	bare   bool // decoded: only rules that cannot match by chance
}

// scan looks at data[from:to]; what follows is context.
func (v *view) scan(from, to int) {
	limit := min(len(v.data), to+v.w.auto.longest)
	v.w.auto.scan(v.data[from:limit], func(t target, end int) {
		if start := from + end - t.length; start < to {
			v.hit(t, start)
		}
	})
	if v.nested < maxNested {
		v.runs(from, to)
	}
}

func (v *view) hit(t target, start int) {
	switch t.kind {
	case hitValue:
		if val := &v.w.values[t.index]; val.at(v.data, start) {
			v.w.found(v.place, val.rule, v.lineOf(start), val.raw)
		}
	case hitRule:
		r := &v.w.rules[t.index]
		if !r.Distinct && (v.bare || v.place.third) || r.Fixture && v.place.third {
			return
		}
		if lo, hi, ok := r.match(v.data, start, t.length, v.w.now); ok {
			v.w.found(v.place, r.ID, v.lineOf(lo), v.data[lo:hi])
		}
	case hitGzip:
		v.inflate(start)
	}
}

func (v *view) lineOf(at int) int {
	if v.line < 0 {
		return 0
	}
	return v.line + bytes.Count(v.data[:at], []byte{'\n'}) + 1
}

// clean makes a name fit for a report: one line, no control characters, bounded.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u202e' || r == '\ufffd' || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, name)
	if len(name) > 400 {
		name = name[:200] + "..." + name[len(name)-190:]
	}
	return strings.ToValidUTF8(name, "?")
}

// thirdPartyTest tells whether a path lies in the tests, the examples or the
// documentation of a package that came from a registry: those hold keys and
// passwords made up for show.
func thirdPartyTest(path string) bool {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '!' })
	inPackage := false
	for i, p := range parts {
		switch p {
		case "node_modules":
			inPackage = true
		case "mod":
			inPackage = inPackage || i > 0 && parts[i-1] == "pkg"
		case "test", "tests", "__tests__", "testdata", "fixtures", "fixture", "example", "examples", "spec", "docs", "test-utils":
			if inPackage {
				return true
			}
		}
	}
	return inPackage && (strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".d.ts"))
}

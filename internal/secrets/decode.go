package secrets

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
)

const (
	gzipMagic   = "\x1f\x8b\x08"
	maxNested   = 3       // encodings inside encodings
	minRun      = 32      // characters; shorter ones are found as variants
	maxRun      = 8 << 10 // characters decoded at once
	maxInflated = 256 << 10
)

// Classes of bytes in an encoded run.
const (
	classHex = 1 << iota
	class64
	classBreak // a line end inside a wrapped run
)

func runClasses() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = classHex | class64
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', c == '+', c == '/', c == '-', c == '_':
			t[c] = class64
		case c == '\n', c == '\r':
			t[c] = classBreak
		}
	}
	return t
}

// runs decodes the long base64 and hexadecimal runs in data[from:to]. Any run of
// minRun characters holds one of the bytes that are probed.
func (v *view) runs(from, to int) {
	d, classes := v.data, &v.w.classes
	for i := from + minRun - 1; i < to; {
		if classes[d[i]]&class64 == 0 {
			i += minRun
			continue
		}
		lo, hi := i, i+1
		for lo > 0 && i-lo < back && classes[d[lo-1]]&class64 != 0 {
			lo--
		}
		for hi < len(d) && hi-lo < maxRun && classes[d[hi]]&class64 != 0 {
			hi++
		}
		if hi-lo < minRun {
			i = hi + minRun
			continue
		}
		hi = v.wrapped(lo, hi)
		v.run(lo, hi)
		if hi-lo >= maxRun {
			i = hi // the next round overlaps this one by back
			continue
		}
		i = hi + minRun
	}
}

// wrapped extends a run over the lines that follow it, as long as they are full.
func (v *view) wrapped(lo, hi int) int {
	d, classes := v.data, &v.w.classes
	for width := hi - lo; hi < len(d) && hi-lo < maxRun; {
		next := hi
		for next < len(d) && next < hi+2 && classes[d[next]]&classBreak != 0 {
			next++
		}
		end := next
		for end < len(d) && end-next < width && end-lo < maxRun && classes[d[end]]&class64 != 0 {
			end++
		}
		if next == hi || end == next {
			return hi
		}
		hi = end
		if end-next < width {
			return hi
		}
	}
	return hi
}

// run decodes one run at each alignment and looks at what it holds.
func (v *view) run(lo, hi int) {
	text, hexed := v.w.squeeze(v.data[lo:hi])
	if len(text) < minRun {
		return
	}
	line := v.line
	if line >= 0 {
		line += bytes.Count(v.data[:lo], []byte{'\n'})
	}
	look := func(decoded []byte) {
		inner := view{w: v.w, place: v.place, data: decoded, line: -1, nested: v.nested + 1, bare: true}
		inner.scan(0, len(decoded))
	}
	if hexed {
		for shift := range 2 {
			t := text[shift:]
			out := make([]byte, len(t)/2)
			n, _ := hex.Decode(out, t[:len(t)/2*2])
			look(out[:n])
		}
	}
	for shift := range 4 {
		t := text[shift:]
		if len(t)%4 == 1 { // the last group may be of two or three characters: one or two bytes
			t = t[:len(t)-1]
		}
		out := make([]byte, base64.RawStdEncoding.DecodedLen(len(t)))
		n, _ := base64.RawStdEncoding.Decode(out, t)
		look(out[:n])
	}
}

// squeeze drops line ends and turns the URL alphabet into the standard one.
func (s *Scanner) squeeze(run []byte) (text []byte, hexed bool) {
	text = make([]byte, 0, len(run))
	hexed = true
	for _, c := range run {
		switch {
		case s.classes[c]&classBreak != 0:
			continue
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		}
		hexed = hexed && s.classes[c]&classHex != 0
		text = append(text, c)
	}
	return text, hexed
}

// inflate looks into a gzip stream that begins in the middle of other bytes, as
// far as the window reaches.
func (v *view) inflate(start int) {
	if v.nested >= maxNested {
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(v.data[start:]))
	if err != nil {
		return
	}
	// What was inflated before an error is looked at too: the window may cut the
	// stream short.
	out, _ := io.ReadAll(io.LimitReader(z, maxInflated))
	inner := view{w: v.w, place: v.place, data: out, line: -1, nested: v.nested + 1, bare: true}
	inner.scan(0, len(out))
}

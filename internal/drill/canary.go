package drill

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
)

// Source is where a canary lay: a hit names the leak.
type Source string

// The places that hold a canary of their own.
const (
	Env      Source = "env"
	Npmrc    Source = "npmrc"
	AWS      Source = "aws"
	SSH      Source = "ssh"
	Kube     Source = "kube"
	Docker   Source = "docker"
	Process  Source = "process"
	Memory   Source = "memory"
	Metadata Source = "metadata"
	Release  Source = "release"
)

func sources() []Source {
	return []Source{Env, Npmrc, AWS, SSH, Kube, Docker, Process, Memory, Metadata, Release}
}

// kit holds one random token of 96 bits for each source.
type kit map[Source]string

func newKit() kit {
	k := kit{}
	for _, s := range sources() {
		k[s] = token()
	}
	return k
}

// token is 96 random bits, in letters that survive every encoding unchanged.
func token() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "dr" + hex.EncodeToString(b[:])
}

// find names the sources whose token is in the bytes.
func (k kit) find(b []byte) []Source {
	var out []Source
	for _, view := range views(b) {
		for s, t := range k {
			if bytes.Contains(view, []byte(t)) && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Bounds of the oracle: what is larger is searched as it is.
const (
	maxDepth   = 3
	maxUnpack  = 8 << 20
	maxEncoded = 4 << 20
)

var (
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}={0,2}`)
	hexRun    = regexp.MustCompile(`(?:[0-9a-fA-F]{2}[.\s]?){12,}`)
	notHex    = regexp.MustCompile(`[^0-9a-fA-F]`)
	lineEnds  = regexp.MustCompile(`[\r\n]+`)
)

// views are the bytes and what they decode to: base64 and hex, up to three times
// over, gzip, and each of those reversed.
func views(b []byte) [][]byte {
	all := [][]byte{b}
	for level, depth := all, 0; depth < maxDepth; depth++ {
		var next [][]byte
		for _, v := range level {
			next = append(next, decode(v)...)
		}
		if len(next) == 0 {
			break
		}
		all = append(all, next...)
		level = next
	}
	for _, v := range all[:len(all):len(all)] {
		r := slices.Clone(v)
		slices.Reverse(r)
		all = append(all, r)
		all = append(all, decode(r)...)
	}
	return all
}

// decode opens one layer of whatever is encoded in the bytes.
func decode(b []byte) [][]byte {
	var out [][]byte
	if z, ok := gunzip(b); ok {
		out = append(out, z)
	}
	if len(b) > maxEncoded {
		return out
	}
	joined := lineEnds.ReplaceAll(b, nil) // base64 of many tools comes in lines
	for _, text := range [][]byte{b, joined} {
		out = append(out, decodeRuns(text)...)
	}
	return out
}

func decodeRuns(text []byte) [][]byte {
	var whole []byte
	for _, run := range base64Run.FindAll(text, -1) {
		run = standard(bytes.TrimRight(run, "="))
		for skip := range 4 { // a run may begin in the middle of a group
			if skip >= len(run) {
				break
			}
			part := run[skip:]
			if len(part)%4 == 1 {
				part = part[:len(part)-1]
			}
			d := make([]byte, base64.RawStdEncoding.DecodedLen(len(part)))
			n, _ := base64.RawStdEncoding.Decode(d, part)
			whole = append(append(whole, d[:n]...), '\n')
		}
	}
	var out [][]byte
	if len(whole) > 0 {
		out = append(out, whole)
	}
	var plain []byte
	for _, run := range hexRun.FindAll(text, -1) {
		digits := notHex.ReplaceAll(run, nil)
		d := make([]byte, len(digits)/2)
		n, _ := hex.Decode(d, digits[:len(digits)/2*2])
		plain = append(append(plain, d[:n]...), '\n')
	}
	if len(plain) > 0 {
		out = append(out, plain)
	}
	return out
}

// gunzip unpacks from the first gzip header on, as far as it goes.
func gunzip(b []byte) ([]byte, bool) {
	at := bytes.Index(b, []byte{0x1f, 0x8b, 8})
	if at < 0 {
		return nil, false
	}
	z, err := gzip.NewReader(bytes.NewReader(b[at:]))
	if err != nil {
		return nil, false
	}
	out, _ := io.ReadAll(io.LimitReader(z, maxUnpack)) // what was read before an error counts
	return out, len(out) > 0
}

// standard turns base64 for addresses into the ordinary alphabet.
func standard(run []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(run, []byte("-"), []byte("+")), []byte("_"), []byte("/"))
}

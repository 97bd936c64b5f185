// Package digest names bytes: the SHA-256 that artifacts, trees, policies and
// evidence are known by everywhere in Sallyport.
//
// The text form is the OCI one, "sha256:" and 64 lower-case hexadecimal digits.
// No other algorithm is accepted as a name; checksums in an ecosystem's own
// form (SRI, Go's h1) are checked at the gateway and recorded beside the name.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Size is the length of a Digest in bytes.
const Size = sha256.Size

const prefix = "sha256:"

// ErrSyntax reports a text that is not the canonical form of a digest.
var ErrSyntax = errors.New("digest is not sha256: and 64 lower-case hexadecimal digits")

// Digest is the SHA-256 of some bytes. The zero value names nothing.
type Digest [Size]byte

// Of returns the digest of b.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// OfString returns the digest of s.
func OfString(s string) Digest { return sha256.Sum256([]byte(s)) }

// FromReader reads r to its end and returns the digest and the count of bytes.
func FromReader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return Digest{}, n, fmt.Errorf("hash: %w", err)
	}
	return Digest(h.Sum(nil)), n, nil
}

// Parse reads the canonical text form. It refuses other algorithms, upper
// case and other lengths, so that one digest has one name.
func Parse(s string) (Digest, error) {
	var d Digest
	h, ok := strings.CutPrefix(s, prefix)
	if !ok || len(h) != 2*Size || strings.ToLower(h) != h {
		return d, fmt.Errorf("%q: %w", clip(s), ErrSyntax)
	}
	if _, err := hex.Decode(d[:], []byte(h)); err != nil {
		return Digest{}, fmt.Errorf("%q: %w", clip(s), ErrSyntax)
	}
	return d, nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100]
	}
	return s
}

// String returns the canonical text form.
func (d Digest) String() string { return prefix + d.Hex() }

// Hex returns the 64 hexadecimal digits alone, as in-toto's DigestSet wants them.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hexadecimal digits, for people.
func (d Digest) Short() string { return d.Hex()[:12] }

// IsZero tells whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText gives the canonical form, or the empty text for the zero Digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText accepts what MarshalText gives and nothing else.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	p, err := Parse(string(b))
	if err != nil {
		return err
	}
	*d = p
	return nil
}

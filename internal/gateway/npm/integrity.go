package npm

import (
	"crypto/sha1" //nolint:gosec // old lockfiles pin with it, and npm accepts it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// Integrity is one promise in the form of Subresource Integrity: the strongest
// of those that a lockfile gives.
type Integrity struct {
	Algorithm string // sha512, sha384, sha256, sha1
	Sum       string // raw bytes
}

// strength orders the algorithms. SHA-1 is last: a collision can be made for
// it, a second file for a given value cannot; old lockfiles have nothing else.
var strength = map[string]int{"sha512": 4, "sha384": 3, "sha256": 2, "sha1": 1}

// maxIntegrity bounds the text of a promise.
const maxIntegrity = 4096

// ParseIntegrity reads a Subresource Integrity value and keeps the strongest
// promise in it. Two different promises of the same strength are refused.
func ParseIntegrity(text string) (Integrity, error) {
	var best Integrity
	if len(text) > maxIntegrity {
		return best, errors.New("integrity value is too long")
	}
	for _, word := range strings.Fields(text) {
		word, _, _ = strings.Cut(word, "?") // options, which nobody defined
		alg, enc, ok := strings.Cut(word, "-")
		raw, err := base64.StdEncoding.Strict().DecodeString(enc)
		if !ok || err != nil || strength[alg] == 0 || len(raw) != newHash(alg).Size() {
			return Integrity{}, fmt.Errorf("%.60q is not an integrity value", word)
		}
		next := Integrity{alg, string(raw)}
		if best.Algorithm == alg && best != next {
			return Integrity{}, errors.New("two different values of " + alg)
		}
		if strength[alg] > strength[best.Algorithm] {
			best = next
		}
	}
	if best.Algorithm == "" {
		return best, errors.New("no integrity value")
	}
	return best, nil
}

// String gives the canonical form.
func (i Integrity) String() string {
	if i.Algorithm == "" {
		return ""
	}
	return i.Algorithm + "-" + base64.StdEncoding.EncodeToString([]byte(i.Sum))
}

// IsZero tells whether nothing is promised.
func (i Integrity) IsZero() bool { return i.Algorithm == "" }

func newHash(alg string) hash.Hash {
	switch alg {
	case "sha512":
		return sha512.New()
	case "sha384":
		return sha512.New384()
	case "sha256":
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // see strength
}

// holds compares a finished hash with the promise.
func (i Integrity) holds(h hash.Hash) error {
	sum := h.Sum(nil)
	if subtle.ConstantTimeCompare(sum, []byte(i.Sum)) == 1 {
		return nil
	}
	return fmt.Errorf("wanted %s, got %s", i, Integrity{i.Algorithm, string(sum)})
}

// check hashes a file.
func (i Integrity) check(f *os.File) error {
	h := newHash(i.Algorithm)
	if err := hashInto(h, f); err != nil {
		return err
	}
	return i.holds(h)
}

func hashInto(h hash.Hash, r io.Reader) error {
	_, err := io.Copy(h, r)
	return err
}

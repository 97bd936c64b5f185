package evidence

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport/sallyport/internal/digest"
)

// Canonical returns the run's JSON form by which its evidence is known: the
// same run gives the same bytes, also after it was read back from them.
func (r *Run) Canonical() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode evidence of run %s: %w", r.ID, err)
	}
	return b, nil
}

// Digest names the run's evidence: the SHA-256 of Canonical.
func (r *Run) Digest() (digest.Digest, error) {
	b, err := r.Canonical()
	if err != nil {
		return digest.Digest{}, err
	}
	return digest.Of(b), nil
}

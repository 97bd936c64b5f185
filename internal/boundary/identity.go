package boundary

import (
	"fmt"
	"strings"
	"time"
)

// Identity is a name that authority is given to, and how long it lasts.
type Identity struct {
	// ID is the SPIFFE ID of a workload, or the name of a credential.
	ID string `json:"id"`
	// Revoked: it ends with its stage, whatever TTL says.
	Revoked  bool          `json:"revoked,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"` // 0: nobody knows, or for ever
	Audience string        `json:"audience,omitempty"`
	Where    Place         `json:"where,omitzero"`
}

// outlives tells whether i can be used after its stage has ended.
func (i Identity) outlives() bool {
	return !i.Revoked && (i.TTL <= 0 || i.TTL > Grace)
}

const (
	spiffeScheme    = "spiffe://"
	maxSPIFFE       = 2048 // bytes of a whole ID
	maxTrustDomain  = 255  // bytes of a trust domain name
	spiffeLower     = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	spiffePathChars = spiffeLower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// SPIFFE returns spiffe://trust-domain/project/zone/stage, the identity of one
// stage, checked against the SPIFFE ID specification (section 2: at most 2048
// bytes; trust domain in lower case, digits, dots, dashes, underscores; path
// segments without empty, dot and dot-dot ones).
func SPIFFE(trustDomain, project string, z Zone, stage string) (string, error) {
	if z < Fetch || z > Deploy {
		return "", fmt.Errorf("spiffe id of stage %q: %s is no zone", clip(stage), z)
	}
	for _, segment := range []string{project, stage} {
		// A slash would make one name look like zone and stage of another.
		if strings.Contains(segment, "/") {
			return "", fmt.Errorf("spiffe id: %q has a slash", clip(segment))
		}
	}
	id := spiffeScheme + trustDomain + "/" + project + "/" + z.String() + "/" + stage
	return id, CheckSPIFFE(id)
}

// CheckSPIFFE tells whether id is a SPIFFE ID.
func CheckSPIFFE(id string) error {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok || len(id) > maxSPIFFE {
		return fmt.Errorf("spiffe id %q: wants %s and at most %d bytes", clip(id), spiffeScheme, maxSPIFFE)
	}
	domain, path, hasPath := strings.Cut(rest, "/")
	if domain == "" || len(domain) > maxTrustDomain || !only(domain, spiffeLower) {
		return fmt.Errorf("spiffe id %q: trust domain wants 1 to %d of a-z 0-9 . - _", clip(id), maxTrustDomain)
	}
	if !hasPath {
		return nil
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || !only(segment, spiffePathChars) {
			return fmt.Errorf("spiffe id %q: path segment %q is empty, . or .., or has more than letters, digits and . - _ in it", clip(id), clip(segment))
		}
	}
	return nil
}

func only(s, chars string) bool {
	return strings.Trim(s, chars) == ""
}

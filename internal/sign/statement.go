package sign

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
)

const (
	maxStatement  = 16 << 20
	maxSubjects   = 1024 // the limit of Sigstore's clients
	statementType = "https://in-toto.io/Statement/v1"
)

// Predicate types that belong to one role alone. What is not named here (SBOM,
// test results, scans) either may sign.
const (
	predicateProvenance = "https://slsa.dev/provenance/"
	predicateVSA        = "https://slsa.dev/verification_summary/"
	predicateRelease    = "https://in-toto.io/attestation/release/"
)

// expectation is what a signed statement must verify as.
type expectation struct {
	subject   digest.Digest
	predicate string
}

// statement is the part of an in-toto statement that signing looks at.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// segment is one part of a SPIFFE path.
var segment = regexp.MustCompile(`^[A-Za-z0-9._-]{1,255}$`)

func checkRequest(r Request, domain string) (expectation, error) {
	if err := checkIdentity(r.Identity, domain); err != nil {
		return expectation{}, err
	}
	s, d, err := parseStatement(r.Statement)
	if err != nil {
		return expectation{}, err
	}
	if owner := predicateOwner(s.PredicateType); owner != 0 && owner != r.Role {
		return expectation{}, fmt.Errorf("%s is for the %s key, not the %s key: %w", s.PredicateType, owner, r.Role, ErrRequest)
	}
	return expectation{subject: d[0], predicate: s.PredicateType}, nil
}

func predicateOwner(predicateType string) Role {
	switch {
	case strings.HasPrefix(predicateType, predicateProvenance):
		return Provenance
	case strings.HasPrefix(predicateType, predicateVSA), strings.HasPrefix(predicateType, predicateRelease):
		return Release
	}
	return 0
}

// checkIdentity requires spiffe://<domain>/<project>/release/<signer>: no other
// zone signs, and no other domain is ours to name.
func checkIdentity(identity, domain string) error {
	u, err := url.Parse(identity)
	if err != nil || u.String() != identity || len(identity) > 2048 {
		return fmt.Errorf("identity %.100q is not a SPIFFE ID: %w", identity, ErrRequest)
	}
	path, ok := strings.CutPrefix(identity, "spiffe://"+domain+"/")
	if !ok {
		return fmt.Errorf("identity %.100q is not of trust domain %s: %w", identity, domain, ErrRequest)
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 || parts[len(parts)-2] != "release" {
		return fmt.Errorf("identity %.100q is not of the release zone: %w", identity, ErrRequest)
	}
	for _, p := range parts {
		if !segment.MatchString(p) || p == "." || p == ".." {
			return fmt.Errorf("identity %.100q is not a SPIFFE ID: %w", identity, ErrRequest)
		}
	}
	return nil
}

// parseStatement reads an in-toto statement v1 whose subjects all have a
// SHA-256, and returns those.
func parseStatement(b []byte) (statement, []digest.Digest, error) {
	var s statement
	if len(b) > maxStatement {
		return s, nil, fmt.Errorf("statement of %d bytes is larger than %d: %w", len(b), maxStatement, ErrRequest)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, nil, fmt.Errorf("parse statement: %w: %w", ErrRequest, err)
	}
	if s.Type != statementType || s.PredicateType == "" {
		return s, nil, fmt.Errorf("not an in-toto statement v1: %w", ErrRequest)
	}
	if len(s.Subject) == 0 || len(s.Subject) > maxSubjects {
		return s, nil, fmt.Errorf("statement has %d subjects: %w", len(s.Subject), ErrRequest)
	}
	digests := make([]digest.Digest, len(s.Subject))
	for i, sub := range s.Subject {
		d, err := digest.Parse("sha256:" + sub.Digest["sha256"])
		if err != nil {
			return s, nil, fmt.Errorf("subject %d: %w: %w", i, ErrRequest, err)
		}
		digests[i] = d
	}
	return s, digests, nil
}

// Package provenance says what was built, from what and by whom: in-toto
// statements about one artifact, and bills of materials, made from the evidence
// of a run.
//
// Every field comes from what the controller observed itself; nothing is read
// from a file that a tainted stage wrote. The statements are SLSA provenance v1,
// SLSA verification summary v1, in-toto test-result v0.1 and SCAI v0.3, CycloneDX
// 1.6 and SPDX 2.3. The same evidence gives the same bytes (RFC 8785).
//
// Nothing is signed here, and no claim is made that the mode of the run cannot
// hold: a run on one's own machine is SLSA Build level 1, whatever its isolation.
package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	statementv1 "github.com/in-toto/attestation/go/v1"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// BuildType is the type of every build that a pipeline of zones makes.
const BuildType = "https://github.com/sallyport/sallyport/buildtypes/pipeline@v1"

// VerifierID is who gives the verification summaries of local runs.
const VerifierID = "https://github.com/sallyport/sallyport/verifier/local@v1"

// The predicate types.
const (
	TypeProvenance = "https://slsa.dev/provenance/v1"
	TypeSummary    = "https://slsa.dev/verification_summary/v1"
	TypeTestResult = "https://in-toto.io/attestation/test-result/v0.1"
	TypeSCAI       = "https://in-toto.io/attestation/scai/v0.3"
	TypeCycloneDX  = "https://cyclonedx.org/bom"
	TypeSPDX       = "https://spdx.dev/Document"
)

// Statement is an in-toto statement v1 in canonical JSON.
type Statement struct {
	Type string // predicate type
	JSON []byte
}

// Subject is a second name for an artifact: the OCI manifest that carries it.
type Subject struct {
	Name   string
	Digest digest.Digest
}

// ErrEvidence reports evidence of which nothing can be said.
var ErrEvidence = errors.New("evidence is not fit for a statement")

// check refuses evidence of runs that did not succeed and of artifacts that are
// not the run's. The gate did so before; a second look costs nothing.
func check(r *evidence.Run, a evidence.Artifact) error {
	switch {
	case r == nil || r.State != evidence.Success:
		return fmt.Errorf("the run did not succeed: %w", ErrEvidence)
	case a.Digest.IsZero() || !slices.Contains(r.Artifacts, a):
		return fmt.Errorf("artifact %q is not of run %s: %w", a.Name, r.ID, ErrEvidence)
	case r.Isolation.BuilderID == "":
		return fmt.Errorf("run %s has no builder id: %w", r.ID, ErrEvidence)
	}
	return nil
}

// state wraps a predicate into a statement about a.
func state(a evidence.Artifact, also []Subject, predicateType string, predicate []byte) (Statement, error) {
	var s structpb.Struct
	if err := protojson.Unmarshal(predicate, &s); err != nil {
		return Statement{}, fmt.Errorf("make %s statement: %w", predicateType, err)
	}
	subjects := []*statementv1.ResourceDescriptor{{Name: valid(a.Name), Digest: map[string]string{"sha256": a.Digest.Hex()}}}
	for _, o := range also {
		subjects = append(subjects, &statementv1.ResourceDescriptor{Name: valid(o.Name), Digest: map[string]string{"sha256": o.Digest.Hex()}})
	}
	st := &statementv1.Statement{
		Type:          statementv1.StatementTypeUri,
		Subject:       subjects,
		PredicateType: predicateType,
		Predicate:     &s,
	}
	if err := st.Validate(); err != nil {
		return Statement{}, fmt.Errorf("make %s statement: %w", predicateType, err)
	}
	b, err := Canonical(st)
	if err != nil {
		return Statement{}, err
	}
	return Statement{Type: predicateType, JSON: b}, nil
}

// Canonical returns m as JSON in the form of RFC 8785.
func Canonical(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	if b, err = jsoncanonicalizer.Transform(b); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return b, nil
}

// valid makes names fit for JSON: a file's name can be any bytes.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

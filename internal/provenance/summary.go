package provenance

import (
	"fmt"
	"time"

	scai "github.com/in-toto/attestation/go/predicates/scai/v0"
	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	statementv1 "github.com/in-toto/attestation/go/v1"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// SlsaVersion is the version of SLSA that levels are of.
const SlsaVersion = "1.1"

// Policy names the policy that an artifact has passed.
type Policy struct {
	URI    string
	Digest digest.Digest
}

// Summary returns the SLSA verification summary v1 of an artifact that passed.
// inputs are the statements it rests on, named by the digest of their bytes: the
// payload that both forms of a bundle carry.
func Summary(r *evidence.Run, a evidence.Artifact, p Policy, at time.Time, inputs []Statement, also ...Subject) (Statement, error) {
	if err := check(r, a); err != nil {
		return Statement{}, err
	}
	if p.URI == "" || p.Digest.IsZero() || len(inputs) == 0 {
		return Statement{}, fmt.Errorf("a summary needs a policy and what it rests on: %w", ErrEvidence)
	}
	s := &vsa.VerificationSummary{
		Verifier:           &vsa.VerificationSummary_Verifier{Id: VerifierID},
		TimeVerified:       timestamppb.New(at),
		ResourceUri:        ResourceURI(r, a),
		Policy:             &vsa.VerificationSummary_Policy{Uri: p.URI, Digest: map[string]string{"sha256": p.Digest.Hex()}},
		VerificationResult: "PASSED",
		VerifiedLevels:     Levels(r, a),
		SlsaVersion:        SlsaVersion,
	}
	for _, in := range inputs {
		s.InputAttestations = append(s.InputAttestations, &vsa.VerificationSummary_InputAttestation{
			Uri: in.Type, Digest: map[string]string{"sha256": digest.Of(in.JSON).Hex()},
		})
	}
	b, err := Canonical(s)
	if err != nil {
		return Statement{}, err
	}
	return state(a, also, TypeSummary, b)
}

// ResourceURI is the name under which an artifact is verified: a package URL of
// type generic.
func ResourceURI(r *evidence.Run, a evidence.Artifact) string {
	version := r.Source.Ref
	if version == "" {
		version = r.ID
	}
	return genericPURL(r.Project+"/"+a.Name, version)
}

// TestResult returns the in-toto test result of a, or nothing where no tests ran
// for it.
func TestResult(r *evidence.Run, a evidence.Artifact, also ...Subject) (Statement, bool, error) {
	if err := check(r, a); err != nil {
		return Statement{}, false, err
	}
	if !r.Tested(a) {
		return Statement{}, false, nil
	}
	t := &testresult.TestResult{Result: "PASSED", PassedTests: []string{valid(r.Tests.Stage)}}
	for i := range r.Stages {
		if s := &r.Stages[i]; s.Name == r.Tests.Stage {
			t.Configuration = append(t.Configuration, configuration(s, r.Tests))
		}
	}
	if len(t.Configuration) == 0 {
		t.Configuration = []*statementv1.ResourceDescriptor{{Name: "stage/" + valid(r.Tests.Stage)}}
	}
	b, err := Canonical(t)
	if err != nil {
		return Statement{}, false, err
	}
	s, err := state(a, also, TypeTestResult, b)
	return s, err == nil, err
}

func configuration(s *evidence.Stage, t *evidence.Tests) *statementv1.ResourceDescriptor {
	notes := map[string]any{"zone": s.Zone.String(), "identity": valid(s.Identity)}
	if t.Total > 0 {
		notes["tests"] = float64(t.Total)
	}
	rd := &statementv1.ResourceDescriptor{Name: "stage/" + valid(s.Name), Annotations: annotations(notes)}
	if !s.Log.IsZero() {
		rd.Digest = map[string]string{"sha256": s.Log.Hex()}
	}
	return rd
}

// Attributes returns a SCAI report of what was shown about a, each attribute
// with the evidence of the run.
func Attributes(r *evidence.Run, a evidence.Artifact, also ...Subject) (Statement, error) {
	if err := check(r, a); err != nil {
		return Statement{}, err
	}
	sum, err := r.Digest()
	if err != nil {
		return Statement{}, err
	}
	rep := &scai.AttributeReport{Producer: &statementv1.ResourceDescriptor{Uri: r.Isolation.BuilderID}}
	for _, level := range Levels(r, a) {
		rep.Attributes = append(rep.Attributes, &scai.AttributeAssertion{
			Attribute: level, Evidence: product("evidence", typeEvidence, sum),
		})
	}
	if err := rep.Validate(); err != nil {
		return Statement{}, fmt.Errorf("make attribute report: %w", err)
	}
	b, err := Canonical(rep)
	if err != nil {
		return Statement{}, err
	}
	return state(a, also, TypeSCAI, b)
}

package release

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
)

// The last segments of the signers' SPIFFE IDs.
const (
	ProvenanceSigner = "provenance"
	SummarySigner    = "signer"
)

// signed is one statement with its signatures.
type signed struct {
	statement provenance.Statement
	role      sign.Role
	identity  string
	plain     []byte
	bundle    blob // the full bundle
	referrer  blob // the manifest that ties it to the artifact
}

// attest makes and signs all statements of all artifacts. They share one wait
// for the log's checkpoint.
func (r *Releaser) attest(ctx context.Context, run *evidence.Run, items []*item) error {
	makers, err := r.identity(run.Project, ProvenanceSigner)
	if err != nil {
		return err
	}
	signer, err := r.identity(run.Project, SummarySigner)
	if err != nil {
		return err
	}
	var reqs []sign.Request
	for _, it := range items {
		statements, err := r.statements(run, it)
		if err != nil {
			return err
		}
		for _, s := range statements {
			one := signed{statement: s, role: sign.Provenance, identity: makers}
			if s.Type == provenance.TypeSummary {
				one.role, one.identity = sign.Release, signer
			}
			it.signed = append(it.signed, one)
			reqs = append(reqs, sign.Request{Role: one.role, Identity: one.identity, Statement: s.JSON})
		}
	}
	bundles, err := r.o.Authority.AttestAll(ctx, reqs)
	if err != nil {
		return fmt.Errorf("release run %s: %w", run.ID, err)
	}
	if len(bundles) != len(reqs) {
		return fmt.Errorf("release run %s: %d of %d statements were signed", run.ID, len(bundles), len(reqs))
	}
	n := 0
	for _, it := range items {
		for i := range it.signed {
			it.signed[i].bundle, it.signed[i].plain = newBlob(typeBundle, bundles[n].Full), bundles[n].Plain
			n++
		}
	}
	return r.logSignatures(run, items)
}

// statements are all that is said about one artifact; the summary comes last
// and rests on the others.
func (r *Releaser) statements(run *evidence.Run, it *item) ([]provenance.Statement, error) {
	a := it.artifact
	also := provenance.Subject{Name: a.Name + " (OCI manifest)", Digest: it.manifest.digest}
	var out []provenance.Statement
	for _, f := range []func(*evidence.Run, evidence.Artifact, ...provenance.Subject) (provenance.Statement, error){
		provenance.Build, provenance.CycloneDXStatement, provenance.SPDXStatement, provenance.Attributes,
	} {
		s, err := f(run, a, also)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	tests, ran, err := provenance.TestResult(run, a, also)
	if err != nil {
		return nil, err
	}
	if ran {
		out = append(out, tests)
	}
	policy := provenance.Policy{URI: it.verdict.Policy().URI, Digest: it.verdict.Policy().Digest}
	summary, err := provenance.Summary(run, a, policy, r.o.Clock().UTC(), out, also)
	if err != nil {
		return nil, err
	}
	return append(out, summary), nil
}

// logSignatures records who signed what. It does not wait: the promotion that
// follows does, for all of them.
func (r *Releaser) logSignatures(run *evidence.Run, items []*item) error {
	for _, it := range items {
		for _, s := range it.signed {
			e := ledger.Entry{
				Type: ledger.Signature, Run: run.ID, Identity: s.identity, Time: r.o.Clock().UTC(),
				Subjects: []digest.Digest{it.artifact.Digest}, Data: digest.Of(s.statement.JSON),
				Facts: map[string]string{"predicate": s.statement.Type, "key": s.role.String(), "bundle": s.bundle.digest.String()},
			}
			if err := r.o.Ledger.AppendAsync(e); err != nil {
				return fmt.Errorf("log signature: %w", err)
			}
		}
	}
	return nil
}

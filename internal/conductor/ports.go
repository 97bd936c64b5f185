package conductor

import (
	"context"
	"io"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/secrets"
)

// Ledger is the tamper-evident log.
type Ledger interface {
	AppendAsync(e ledger.Entry) error
	Flush(ctx context.Context) error
}

// Scanner looks for secrets.
type Scanner interface {
	Reader(ctx context.Context, where string, r io.Reader) (secrets.Report, error)
	Log(ctx context.Context, where string, r io.Reader) (secrets.Report, error)
	Tree(ctx context.Context, where, dir string) (secrets.Report, error)
}

// Releaser signs and promotes. The conductor has no other way to a key, and
// nothing to hand to it but verdicts.
type Releaser interface {
	Release(ctx context.Context, r Release) (*Promoted, error)
}

// Release is what a Releaser is given.
type Release struct {
	Run      *evidence.Run
	Verdicts []gate.Verdict
	Stage    pipeline.Stage // when, approvals and places, as the pipeline says
	Open     func(digest.Digest) (io.ReadCloser, error)
}

// Promoted is what a Releaser did.
type Promoted struct {
	Layout  string            `json:"layout,omitempty"`  // directory of the OCI image layout
	Index   digest.Digest     `json:"index,omitzero"`    // what was promoted there
	Bundles map[string]string `json:"bundles,omitempty"` // artifact -> file with its provenance bundle
}

// Decision is what the gate said about one artifact.
type Decision struct {
	Artifact string         `json:"artifact"`
	Digest   digest.Digest  `json:"digest"`
	Policy   gate.PolicyRef `json:"policy"`
	Passed   bool           `json:"passed"`
	Denied   []gate.Result  `json:"denied,omitempty"`   // rules that refuse
	Warnings []gate.Result  `json:"warnings,omitempty"` // rules that do not hold and are shown
	Records  []gate.Result  `json:"records,omitempty"`  // rules that do not hold and are kept
}

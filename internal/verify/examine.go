package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
)

// The signers in the release zone.
const (
	provenanceSigner = "provenance"
	summarySigner    = "signer"
)

// kind is one type of statement that is looked at.
type kind struct {
	name     string // the first part of its checks' names
	typ      string
	signer   string
	required bool
}

func kinds() []kind {
	return []kind{
		{"provenance", provenance.TypeProvenance, provenanceSigner, true},
		{"summary", provenance.TypeSummary, summarySigner, true},
		{"cyclonedx", provenance.TypeCycloneDX, provenanceSigner, true},
		{"spdx", provenance.TypeSPDX, provenanceSigner, true},
		{"tests", provenance.TypeTestResult, provenanceSigner, false},
		{"scai", provenance.TypeSCAI, provenanceSigner, false},
	}
}

// examination is one Check at work.
type examination struct {
	req      Request
	who      identity
	verifier *sign.Verifier
	subject  *subject
	verified map[string]*sign.Verified // by predicate type; only those that hold
	report   Report
}

func (x *examination) add(name, wanted, got string, ok bool) {
	if got == "" {
		got = "nothing"
	}
	x.report.Checks = append(x.report.Checks, Result{Name: name, Wanted: shown(wanted), Got: shown(got), OK: ok})
}

// run makes all checks. A check that cannot be made because an earlier one
// failed is not listed: the earlier one has decided.
func (x *examination) run() {
	x.verified = map[string]*sign.Verified{}
	if !x.subject.named.IsZero() {
		x.add("artifact.digest", x.subject.named.String(), x.subject.digest.String(), x.subject.named == x.subject.digest)
	}
	x.signatures()
	p, ok := x.provenance()
	if ok {
		x.sources(p)
		x.receipts(p)
	}
	if s, ok := x.summary(); ok {
		x.inputs(s)
		x.levels(s, p)
	}
	x.tests()
	if p != nil {
		x.bills(p)
	}
	x.report.Outcome = Passed
	if len(x.report.Checks) == 0 || len(x.report.Failures()) > 0 {
		x.report.Outcome = Failed
	}
}

// signatures verifies each bundle, and that there is one of each required type.
func (x *examination) signatures() {
	byType := map[string][][]byte{}
	for i, b := range x.subject.bundles {
		typ, err := predicateType(b)
		if err != nil {
			x.add(fmt.Sprintf("bundle.%d", i+1), "a Sigstore bundle with an in-toto statement", err.Error(), false)
			continue
		}
		byType[typ] = append(byType[typ], b)
	}
	for _, k := range kinds() {
		found := byType[k.typ]
		delete(byType, k.typ)
		switch {
		case len(found) == 0 && k.required:
			x.add(k.name, "a statement "+k.typ, "none", false)
		case len(found) > 1:
			x.add(k.name, "one statement "+k.typ, fmt.Sprintf("%d", len(found)), false)
		case len(found) == 1:
			x.signature(k, found[0])
		}
	}
	foreign := make([]string, 0, len(byType))
	for typ := range byType {
		foreign = append(foreign, typ)
	}
	if slices.Sort(foreign); len(foreign) > 0 {
		x.add("others", "not looked at", strings.Join(foreign, ", "), true)
	}
}

func (x *examination) signature(k kind, b []byte) {
	v, steps, err := x.verifier.Verify(b, x.who.want(x.subject.digest, k.typ, k.signer))
	failed := false
	for _, s := range steps {
		x.add(k.name+"."+s.Name, s.Wanted, s.Got, s.OK)
		failed = failed || !s.OK
	}
	if err != nil {
		if !failed {
			x.add(k.name+".bundle", "verifies", err.Error(), false)
		}
		return
	}
	x.verified[k.typ] = v
}

// predicateType looks into a bundle before it is verified, to know what to ask
// of it. Nothing is believed of what it finds.
func predicateType(b []byte) (string, error) {
	var bundle struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(b, &bundle); err != nil {
		return "", fmt.Errorf("not a bundle: %w", err)
	}
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(bundle.Envelope.Payload, &s); err != nil {
		return "", fmt.Errorf("no statement: %w", err)
	}
	if s.PredicateType == "" {
		return "", fmt.Errorf("a statement without a type")
	}
	return s.PredicateType, nil
}

// statementDigest is the name by which a summary rests on a statement.
func statementDigest(v *sign.Verified) digest.Digest { return digest.Of(v.Statement) }

// project is the project that the signer's SPIFFE ID names.
func project(v *sign.Verified) string {
	parts := strings.Split(strings.TrimPrefix(v.Identity, "spiffe://"), "/")
	if len(parts) < 4 {
		return ""
	}
	return parts[1]
}

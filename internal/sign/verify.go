package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

const (
	maxBundle = 32 << 20
	maxRoot   = 1 << 20
)

// ErrRefused reports a bundle that does not hold; the steps say where.
var ErrRefused = errors.New("bundle refused")

// Want is what a bundle must prove. Artifact, PredicateType and, for full
// bundles, Issuer with Identity or IdentityPattern are required: a check that was
// left out would look like one that passed.
type Want struct {
	Identity        string // exact SPIFFE ID, or
	IdentityPattern string // regular expression that the whole SPIFFE ID must match
	Issuer          string
	Artifact        digest.Digest // one of the statement's subjects
	PredicateType   string
}

// VerifyOptions is a Want with the trusted root to measure by.
type VerifyOptions struct {
	TrustedRoot []byte // Sigstore trusted_root.json, from elsewhere than the bundle
	Want
}

// Step is one thing that was checked, in words for a user.
type Step struct {
	Name   string `json:"name"`
	Wanted string `json:"wanted"`
	Got    string `json:"got"`
	OK     bool   `json:"ok"`
}

// Verified is what a bundle has proved. It exists only for bundles that hold.
type Verified struct {
	Statement     []byte // the in-toto statement, byte for byte as signed
	PredicateType string
	Subjects      []digest.Digest
	Identity      string    // of the signer; empty for a plain bundle
	Issuer        string    // who vouches for Identity
	Time          time.Time // of the timestamp; zero for a plain bundle
	Log           string    // origin of the log; empty for a plain bundle
	LogIndex      uint64
	Checkpoint    string // signed note; worth keeping, see ledger.Verify
}

// Verifier checks full bundles against one trusted root, offline. It is safe
// for concurrent use.
type Verifier struct {
	material root.TrustedMaterial
	sigstore *verify.Verifier
	log      map[string]string // log id in hexadecimal to origin
}

// NewVerifier reads a trusted root.
func NewVerifier(trustedRoot []byte) (*Verifier, error) {
	if len(trustedRoot) > maxRoot {
		return nil, fmt.Errorf("trusted root of %d bytes is larger than %d", len(trustedRoot), maxRoot)
	}
	material, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	if err := usable(material); err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	v, err := verify.NewVerifier(material,
		verify.WithSignedCertificateTimestamps(1),
		verify.WithSignedTimestamps(1),
		verify.WithTransparencyLog(1),
		verify.WithoutStatementPredicate())
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	origins := map[string]string{}
	for id, l := range material.RekorLogs() {
		u, err := url.Parse(l.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("trusted root: log address: %w", err)
		}
		origins[id] = u.Hostname()
	}
	return &Verifier{material: material, sigstore: v, log: origins}, nil
}

// usable refuses a root with which nothing could be verified, and one that holds
// a certificate chain without its root.
func usable(m *root.TrustedRoot) error {
	if len(m.FulcioCertificateAuthorities()) == 0 || len(m.TimestampingAuthorities()) == 0 ||
		len(m.RekorLogs()) == 0 || len(m.CTLogs()) == 0 {
		return errors.New("lacks a certificate authority, timestamp authority, log or CT log")
	}
	for _, ca := range m.FulcioCertificateAuthorities() {
		if f, ok := ca.(*root.FulcioCertificateAuthority); !ok || f.Root == nil {
			return errors.New("certificate authority without a root")
		}
	}
	for _, ca := range m.TimestampingAuthorities() {
		if t, ok := ca.(*root.SigstoreTimestampingAuthority); !ok || t.Root == nil {
			return errors.New("timestamp authority without a root")
		}
	}
	return nil
}

// Verify checks one full bundle: see Verifier.Verify.
func Verify(raw []byte, o VerifyOptions) (*Verified, []Step, error) {
	v, err := NewVerifier(o.TrustedRoot)
	if err != nil {
		return nil, nil, err
	}
	return v.Verify(raw, o.Want)
}

// Verify checks a full bundle: its form, its place in the log, the timestamp, the
// certificate at that time, the SCT, the signature, who signed, for which
// artifact, and what is said. The steps name each, also when the answer is no:
// then the error wraps ErrRefused and Verified is nil.
func (v *Verifier) Verify(raw []byte, w Want) (*Verified, []Step, error) {
	policy, err := w.policy()
	if err != nil {
		return nil, nil, err
	}
	p, err := parseBundle(raw, true)
	if err != nil {
		return nil, []Step{formatStep(err)}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	res, err := v.sigstore.Verify(p.bundle, policy)
	if err == nil {
		err = p.strict(w)
	}
	if err != nil {
		steps := v.diagnose(p, w, err)
		return nil, steps, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	got := p.verified(v, res)
	return got, got.steps(w), nil
}

// policy turns a Want into sigstore-go's policy, and refuses one with a hole.
func (w Want) policy() (verify.PolicyBuilder, error) {
	none := verify.PolicyBuilder{}
	if w.Artifact.IsZero() || w.PredicateType == "" || w.Issuer == "" {
		return none, errors.New("verification needs an artifact, a predicate type and an issuer")
	}
	if (w.Identity == "") == (w.IdentityPattern == "") {
		return none, errors.New("verification needs an identity or an identity pattern")
	}
	pattern := ""
	if w.IdentityPattern != "" {
		if _, err := regexp.Compile(w.IdentityPattern); err != nil {
			return none, fmt.Errorf("identity pattern: %w", err)
		}
		pattern = `^(?:` + w.IdentityPattern + `)$`
	}
	id, err := verify.NewShortCertificateIdentity(w.Issuer, "", w.Identity, pattern)
	if err != nil {
		return none, fmt.Errorf("identity: %w", err)
	}
	return verify.NewPolicy(verify.WithArtifactDigest("sha256", w.Artifact[:]), verify.WithCertificateIdentity(id)), nil
}

// parsed is a bundle of the right form, not yet verified.
type parsed struct {
	bundle    *bundle.Bundle
	payload   []byte
	statement statement
	subjects  []digest.Digest
}

// parseBundle reads a bundle of the one form that we make: v0.3, a DSSE envelope
// with one signature, and, if full, one certificate, log entry and timestamp.
func parseBundle(raw []byte, full bool) (*parsed, error) {
	if len(raw) > maxBundle {
		return nil, fmt.Errorf("bundle of %d bytes is larger than %d", len(raw), maxBundle)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("parse bundle: %w", err)
	}
	env, m := b.GetDsseEnvelope(), b.GetVerificationMaterial()
	stamps := m.GetTimestampVerificationData().GetRfc3161Timestamps()
	switch {
	case b.GetMediaType() != bundleMediaType:
		return nil, fmt.Errorf("bundle is %.100q, not %s", b.GetMediaType(), bundleMediaType)
	case env == nil || env.GetPayloadType() != payloadType:
		return nil, errors.New("bundle holds no in-toto statement")
	case len(env.GetSignatures()) != 1:
		return nil, fmt.Errorf("bundle has %d signatures, not one", len(env.GetSignatures()))
	case full && m.GetCertificate() == nil:
		return nil, errors.New("bundle has no certificate")
	case full && len(m.GetTlogEntries()) != 1:
		return nil, fmt.Errorf("bundle has %d log entries, not one", len(m.GetTlogEntries()))
	case full && len(stamps) != 1:
		return nil, fmt.Errorf("bundle has %d timestamps, not one", len(stamps))
	case !full && (m.GetPublicKey() == nil || len(m.GetTlogEntries())+len(stamps) > 0):
		return nil, errors.New("bundle is not a plain one: it must name a public key and hold nothing else")
	}
	s, subjects, err := parseStatement(env.GetPayload())
	if err != nil {
		return nil, err
	}
	return &parsed{bundle: &b, payload: env.GetPayload(), statement: s, subjects: subjects}, nil
}

// strict adds what sigstore-go leaves open: the predicate type, and that the
// log record shown is the one that was logged, byte for byte.
func (p *parsed) strict(w Want) error {
	if p.statement.PredicateType != w.PredicateType {
		return fmt.Errorf("statement says %.200q, not %s", p.statement.PredicateType, w.PredicateType)
	}
	return p.recordMatches()
}

func (p *parsed) recordMatches() error {
	m := p.bundle.GetVerificationMaterial()
	want, err := signatureRecord(m.GetCertificate().GetRawBytes(), p.bundle.GetDsseEnvelope().GetSignatures()[0].GetSig(), p.payload)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, m.GetTlogEntries()[0].GetCanonicalizedBody()) {
		return errors.New("the log record in the bundle is not about this signature")
	}
	return nil
}

func (p *parsed) verified(v *Verifier, res *verify.VerificationResult) *Verified {
	entry := p.bundle.GetVerificationMaterial().GetTlogEntries()[0]
	return &Verified{
		Statement: p.payload, PredicateType: p.statement.PredicateType, Subjects: p.subjects,
		Identity: res.Signature.Certificate.SubjectAlternativeName,
		Issuer:   res.Signature.Certificate.Issuer,
		Time:     res.VerifiedTimestamps[0].Timestamp.UTC(),
		Log:      v.log[hex.EncodeToString(entry.GetLogId().GetKeyId())],
		LogIndex: uint64(entry.GetLogIndex()), Checkpoint: entry.GetInclusionProof().GetCheckpoint().GetEnvelope(),
	}
}

// VerifyPlain checks a plain bundle with a public key in PEM: form, signature,
// artifact and predicate type. It can say nothing about when and by whom.
func VerifyPlain(raw, publicKey []byte, w Want) (*Verified, []Step, error) {
	if w.Artifact.IsZero() || w.PredicateType == "" {
		return nil, nil, errors.New("verification needs an artifact and a predicate type")
	}
	material, der, err := keyMaterial(publicKey)
	if err != nil {
		return nil, nil, err
	}
	p, err := parseBundle(raw, false)
	if err != nil {
		return nil, []Step{formatStep(err)}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	steps, err := p.checkPlain(material, keyHint(der), w)
	if err != nil {
		return nil, steps, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &Verified{Statement: p.payload, PredicateType: p.statement.PredicateType, Subjects: p.subjects}, steps, nil
}

func (p *parsed) checkPlain(material root.TrustedMaterial, hint string, w Want) ([]Step, error) {
	steps := []Step{formatStep(nil)}
	named := p.bundle.GetVerificationMaterial().GetPublicKey().GetHint()
	steps = append(steps, Step{"key", hint, named, named == hint})
	v, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps(), verify.WithoutStatementPredicate())
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	_, err = v.Verify(p.bundle, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithKey()))
	steps = append(steps, Step{"signature", "by the key", said("valid", err), err == nil},
		p.artifactStep(w), p.predicateStep(w))
	for _, s := range steps {
		if !s.OK {
			return steps, fmt.Errorf("%s: wanted %s, got %s", s.Name, s.Wanted, s.Got)
		}
	}
	return steps, nil
}

func (w Want) identity() string {
	if w.Identity != "" {
		return w.Identity
	}
	return "like " + w.IdentityPattern
}

// certificateOf returns the parsed leaf of a full bundle.
func (p *parsed) certificateOf() (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(p.bundle.GetVerificationMaterial().GetCertificate().GetRawBytes())
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return c, nil
}

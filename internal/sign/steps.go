package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// steps words a verification that has passed.
func (g *Verified) steps(w Want) []Step {
	at := g.Time.Format(time.RFC3339)
	return []Step{
		formatStep(nil),
		{"log", "in a trusted log", fmt.Sprintf("record %d of %s", g.LogIndex, g.Log), true},
		{"timestamp", "by a trusted authority", at, true},
		{"certificate", "by a trusted authority, valid at the timestamp", "valid at " + at, true},
		{"sct", "by a trusted CT key", "valid", true},
		{"signature", "by the certificate's key", "valid", true},
		{"identity", w.identity(), g.Identity, true},
		{"issuer", w.Issuer, g.Issuer, true},
		{"artifact", w.Artifact.String(), w.Artifact.String(), true},
		{"predicate", w.PredicateType, g.PredicateType, true},
	}
}

// diagnose finds out what is wrong with a bundle that was refused with cause:
// each step is checked for itself, so that all failures show and not the first
// alone. It never turns the refusal into anything else.
func (v *Verifier) diagnose(p *parsed, w Want, cause error) []Step {
	entry := p.bundle.GetVerificationMaterial().GetTlogEntries()[0]
	_, logErr := verify.VerifyTlogEntry(p.bundle, v.material, 1, false)
	if logErr == nil {
		logErr = p.recordMatches()
	}
	origin := v.log[hex.EncodeToString(entry.GetLogId().GetKeyId())]
	stamps, tsErr := verify.VerifySignedTimestampWithThreshold(p.bundle, v.material, 1)
	at := time.Time{}
	if tsErr == nil {
		at = stamps[0].Time
	}
	leaf, certErr := p.certificateOf()
	if certErr == nil && tsErr != nil {
		certErr = errors.New("not checked, there is no trusted time") // a zero time would mean now
	}
	var chains [][]*x509.Certificate
	if certErr == nil {
		chains, certErr = verify.VerifyLeafCertificate(at, leaf, v.material)
	}
	sctErr := errors.New("not checked, the certificate is not trusted")
	if certErr == nil {
		sctErr = verify.VerifySignedCertificateTimestamp(chains, 1, v.material)
	}
	steps := []Step{
		formatStep(nil),
		judge("log", "in a trusted log", fmt.Sprintf("record %d of %s", entry.GetLogIndex(), origin), logErr),
		judge("timestamp", "by a trusted authority", at.UTC().Format(time.RFC3339), tsErr),
		judge("certificate", "by a trusted authority, valid at the timestamp", "valid", certErr),
		judge("sct", "by a trusted CT key", "valid", sctErr),
		judge("signature", "by the certificate's key", "valid", v.signature(p)),
	}
	steps = append(steps, signerSteps(leaf, w)...)
	steps = append(steps, p.artifactStep(w), p.predicateStep(w))
	if !slices.ContainsFunc(steps, func(s Step) bool { return !s.OK }) {
		steps = append(steps, judge("bundle", "verifies as a whole", "", cause))
	}
	return steps
}

func (v *Verifier) signature(p *parsed) error {
	content, err := p.bundle.SignatureContent()
	if err != nil {
		return err
	}
	material, err := p.bundle.VerificationContent()
	if err != nil {
		return err
	}
	return verify.VerifySignature(content, material, v.material)
}

// signerSteps compares who the certificate names with who is wanted.
func signerSteps(leaf *x509.Certificate, w Want) []Step {
	got := certificate.Summary{SubjectAlternativeName: "nobody"}
	if leaf != nil {
		if s, err := certificate.SummarizeCertificate(leaf); err == nil {
			got = s
		}
	}
	pattern := ""
	if w.IdentityPattern != "" {
		pattern = `^(?:` + w.IdentityPattern + `)$`
	}
	m, err := verify.NewSANMatcher(w.Identity, pattern)
	if err == nil {
		err = m.Verify(got)
	}
	return []Step{
		{"identity", w.identity(), got.SubjectAlternativeName, err == nil},
		{"issuer", w.Issuer, got.Issuer, got.Issuer == w.Issuer},
	}
}

func (p *parsed) artifactStep(w Want) Step {
	got := p.subjects[0].String()
	if slices.Contains(p.subjects, w.Artifact) {
		got = w.Artifact.String()
	}
	if len(p.subjects) > 1 {
		got = fmt.Sprintf("%s and %d more", got, len(p.subjects)-1)
	}
	return Step{"artifact", w.Artifact.String(), got, slices.Contains(p.subjects, w.Artifact)}
}

func (p *parsed) predicateStep(w Want) Step {
	got := fmt.Sprintf("%.200s", p.statement.PredicateType)
	return Step{"predicate", w.PredicateType, got, p.statement.PredicateType == w.PredicateType}
}

func formatStep(err error) Step {
	return judge("format", "Sigstore bundle v0.3 with an in-toto statement", "as wanted", err)
}

func judge(name, wanted, got string, err error) Step {
	return Step{Name: name, Wanted: wanted, Got: said(got, err), OK: err == nil}
}

func said(good string, err error) string {
	if err == nil {
		return good
	}
	return fmt.Sprintf("%.300s", err)
}

// keyMaterial trusts one P-256 public key in PEM, without a limit of time.
func keyMaterial(pemKey []byte) (root.TrustedMaterial, []byte, error) {
	block, _ := pem.Decode(pemKey)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, nil, errors.New("not a public key in PEM")
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("parse public key: %w", err)
	}
	if ec, ok := k.(*ecdsa.PublicKey); !ok || ec.Curve != elliptic.P256() {
		return nil, nil, errors.New("not an ECDSA P-256 public key")
	}
	v, err := signature.LoadVerifier(k, crypto.SHA256)
	if err != nil {
		return nil, nil, fmt.Errorf("load public key: %w", err)
	}
	key := root.NewExpiringKey(v, time.Time{}, time.Time{})
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return key, nil }), block.Bytes, nil
}

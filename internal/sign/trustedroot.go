package sign

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// makeTrustedRoot describes the authority in Sigstore's trusted_root.json. All of
// it is valid from when the certificate authority was made.
func (a *Authority) makeTrustedRoot() ([]byte, error) {
	from, until := a.pki.root.NotBefore, a.pki.root.NotAfter
	pub, err := logPublicKey(a.log.VerifierKey())
	if err != nil {
		return nil, err
	}
	id, err := logID(a.log.VerifierKey())
	if err != nil {
		return nil, err
	}
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{
			Root: a.pki.root, Intermediates: []*x509.Certificate{a.pki.inter},
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://ca." + a.domain,
		}},
		map[string]*root.TransparencyLog{hex.EncodeToString(a.pki.ctLogID[:]): {
			BaseURL: "https://ct." + a.domain, ID: a.pki.ctLogID[:], ValidityPeriodStart: from,
			HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256, PublicKey: a.pki.ctK.Public(),
		}},
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{
			Root: a.pki.root, Leaf: a.pki.tsa,
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://tsa." + a.domain,
		}},
		map[string]*root.TransparencyLog{hex.EncodeToString(id): {
			BaseURL: "https://" + a.logKey.Name(), ID: id, ValidityPeriodStart: from,
			HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA512, PublicKey: pub,
		}})
	if err != nil {
		return nil, fmt.Errorf("make trusted root: %w", err)
	}
	b, err := tr.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("make trusted root: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, fmt.Errorf("make trusted root: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// logPublicKey takes the Ed25519 key out of a signed note's verifier key.
func logPublicKey(vkey string) (ed25519.PublicKey, error) {
	fields := strings.SplitN(vkey, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 1 {
		return nil, errors.New("log key is not an Ed25519 note key")
	}
	return ed25519.PublicKey(raw[1:]), nil
}

// logID is the log's id in bundles: the whole hash of which a signed note
// carries the first four bytes (C2SP signed-note).
func logID(vkey string) ([]byte, error) {
	pub, err := logPublicKey(vkey)
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(vkey, "+")
	sum := sha256.Sum256(append([]byte(origin+"\n\x01"), pub...))
	return sum[:], nil
}

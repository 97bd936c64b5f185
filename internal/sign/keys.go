package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/sign/keyfile"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Files in the directory of keys.
const (
	rootKey         = "ca-root.key"
	rootCert        = "ca-root.crt"
	intermediateKey = "ca-intermediate.key"
	interCert       = "ca-intermediate.crt"
	tsaKey          = "tsa.key"
	tsaCert         = "tsa.crt"
	ctKey           = "ct.key"
	provenanceFile  = "provenance.key"
	releaseFile     = "release.key"
	lockName        = ".sign.lock"
)

// payloadType is DSSE's type of an in-toto statement.
const payloadType = "application/vnd.in-toto+json"

// keys holds the two signing keys. They have distinct types, so that code
// written for one does not compile with the other.
type keys struct {
	provenance provenanceKey
	release    releaseKey
}

type provenanceKey struct{ signingKey }

type releaseKey struct{ signingKey }

// signer is the one place where a role becomes a key.
func (k *keys) signer(r Role) (signingKey, error) {
	switch r {
	case Provenance:
		return k.provenance.signingKey, nil
	case Release:
		return k.release.signingKey, nil
	}
	return signingKey{}, fmt.Errorf("role %d: %w", r, ErrRequest)
}

// openKeys reads or makes all keys and certificates of a directory, under one
// lock: a second process that starts now waits and finds them.
func openKeys(dir, domain string, now time.Time) (*keys, *pki, error) {
	d, err := keyfile.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	release, err := d.Lock(lockName)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	p, err := openPKI(d, domain, now)
	if err != nil {
		return nil, nil, err
	}
	prov, err := d.ECDSA(provenanceFile)
	if err != nil {
		return nil, nil, err
	}
	rel, err := d.ECDSA(releaseFile)
	if err != nil {
		return nil, nil, err
	}
	if prov.Equal(rel) {
		return nil, nil, fmt.Errorf("%s and %s are the same key", d.Path(provenanceFile), d.Path(releaseFile))
	}
	return &keys{provenanceKey{signingKey{prov}}, releaseKey{signingKey{rel}}}, p, nil
}

// signingKey is a DSSE signer over an ECDSA P-256 key.
type signingKey struct{ *ecdsa.PrivateKey }

// Sign implements dsse.Signer.
func (k signingKey) Sign(_ context.Context, pae []byte) ([]byte, error) {
	sum := sha256.Sum256(pae)
	sig, err := ecdsa.SignASN1(rand.Reader, k.PrivateKey, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// KeyID implements dsse.Signer. It is empty: which key signed is said by the
// bundle's verification material, and a second answer could only disagree.
func (k signingKey) KeyID() (string, error) { return "", nil }

// Public returns the public half.
func (k signingKey) Public() crypto.PublicKey { return k.PrivateKey.Public() }

func (k signingKey) publicDER() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic("marshal P-256 public key: " + err.Error()) // cannot happen: the curve is known
	}
	return der
}

func (k signingKey) publicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.publicDER()})
}

// keyHint is the name of a public key in a plain bundle: the base64 of the
// SHA-256 of its PKIX form, as sigstore-go makes it.
func keyHint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// signEnvelope returns the signature of the statement's DSSE envelope.
func signEnvelope(ctx context.Context, key signingKey, statement []byte) ([]byte, error) {
	s, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	env, err := s.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	sig, err := base64.StdEncoding.DecodeString(env.Signatures[0].Sig)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

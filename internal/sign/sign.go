// Package sign holds the keys, and makes and checks what they sign.
//
// A statement (in-toto, in a DSSE envelope) is signed once and handed out as
// two Sigstore bundles v0.3:
//
//   - the full bundle carries a certificate of ten minutes with the signer's
//     SPIFFE ID and an embedded SCT, an RFC 3161 timestamp, and an inclusion proof
//     in our own log with its checkpoint. Stock cosign (3.1 and later) and
//     @sigstore/verify (4 and later) accept it offline with the trusted root that
//     TrustedRoot returns, with no check turned off.
//   - the plain bundle names the public key and holds nothing else, for older
//     clients, which cannot read the log's entries.
//
// Certificate authority, timestamp authority and log live in one directory of
// keys on one machine. So the full bundle proves that this installation signed,
// when it says it did, and put it on its log; it does not prove the time against
// the owner of that directory. Verification takes the trusted root as an input and
// never from the thing that is verified.
package sign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"golang.org/x/mod/sumdb/note"
)

// Role says which of the two signing keys is meant. They are different keys:
// who can make provenance cannot release, and the other way round.
type Role uint8

// The roles.
const (
	Provenance Role = iota + 1 // says how an artifact was made
	Release                    // says that an artifact may be used
)

// String returns the name of the role.
func (r Role) String() string {
	switch r {
	case Provenance:
		return "provenance"
	case Release:
		return "release"
	}
	return "no role"
}

// Log is what a signer needs of the transparency log. ledger.Log is one.
type Log interface {
	// Include appends records, waits for a signed checkpoint that covers all of
	// them, and returns the proof for each, in order.
	Include(ctx context.Context, records [][]byte) ([]*inclusion.Proof, error)
	// VerifierKey is the log's public key in the signed note form, which holds
	// the log's origin: a host name.
	VerifierKey() string
}

// Options says whose authority is opened.
type Options struct {
	Log         Log
	TrustDomain string           // default sallyport.local
	Clock       func() time.Time // default time.Now
}

// Authority signs. It is the one value in the program that leads to the signing
// keys; only the release room is handed it.
type Authority struct {
	keys    *keys
	pki     *pki
	log     Log
	logKey  note.Verifier
	domain  string
	clock   func() time.Time
	root    []byte
	checker *Verifier
}

// Request is one statement to sign.
type Request struct {
	Role      Role
	Identity  string // SPIFFE ID of the signer: spiffe://<trust domain>/<project>/release/<signer>
	Statement []byte // in-toto Statement v1, JSON
}

// Bundles is one signature in two forms, each a Sigstore bundle v0.3 in JSON.
type Bundles struct {
	Full  []byte // certificate, timestamp, log entry
	Plain []byte // public key hint alone
}

// ErrRequest reports a statement or identity that is not signed for its form.
var ErrRequest = errors.New("will not sign")

// Open opens the authority whose keys are in dir, and makes them on first use.
func Open(dir string, o Options) (*Authority, error) {
	if o.Log == nil {
		return nil, errors.New("open signing authority: no log")
	}
	if o.TrustDomain == "" {
		o.TrustDomain = "sallyport.local"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	logKey, err := inclusion.Verifier(o.Log.VerifierKey())
	if err != nil {
		return nil, err
	}
	k, p, err := openKeys(dir, o.TrustDomain, o.Clock())
	if err != nil {
		return nil, err
	}
	a := &Authority{keys: k, pki: p, log: o.Log, logKey: logKey, domain: o.TrustDomain, clock: o.Clock}
	if a.root, err = a.makeTrustedRoot(); err != nil {
		return nil, err
	}
	if a.checker, err = NewVerifier(a.root); err != nil {
		return nil, err
	}
	return a, nil
}

// Issuer is the OIDC issuer that the certificates name.
func (a *Authority) Issuer() string { return "https://" + a.domain }

// TrustedRoot returns what a stranger needs to check full bundles: Sigstore's
// trusted_root.json with our certificate authority, log, CT key and timestamp
// authority. It is the same bytes on each call.
func (a *Authority) TrustedRoot() []byte { return bytes.Clone(a.root) }

// PublicKey returns the role's public key in PEM, for checking plain bundles,
// or nil for no role.
func (a *Authority) PublicKey(r Role) []byte {
	k, err := a.keys.signer(r)
	if err != nil {
		return nil
	}
	return k.publicPEM()
}

// Attest signs one statement.
func (a *Authority) Attest(ctx context.Context, r Role, identity string, statement []byte) (Bundles, error) {
	all, err := a.AttestAll(ctx, []Request{{Role: r, Identity: identity, Statement: statement}})
	if err != nil {
		return Bundles{}, err
	}
	return all[0], nil
}

// AttestAll signs several statements, which share the wait for the log's next
// checkpoint. Either all are returned or none; each full bundle has been verified
// against the trusted root before.
func (a *Authority) AttestAll(ctx context.Context, reqs []Request) ([]Bundles, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	b := batch{a: a, now: a.clock().UTC(), certs: map[holder]leafCertificate{}}
	for i, r := range reqs {
		if err := b.sign(ctx, r); err != nil {
			return nil, fmt.Errorf("sign statement %d of %d: %w", i+1, len(reqs), err)
		}
	}
	// The log comes last: what it holds is signed and complete, and no bundle
	// leaves here before the log vouches for it.
	proofs, err := a.log.Include(ctx, b.records)
	if err != nil {
		return nil, fmt.Errorf("log signatures: %w", err)
	}
	out := make([]Bundles, len(b.signed))
	for i, s := range b.signed {
		if out[i], err = a.assemble(s, proofs[s.record]); err != nil {
			return nil, fmt.Errorf("bundle statement %d of %d: %w", i+1, len(reqs), err)
		}
	}
	return out, nil
}

// batch gathers what one AttestAll signs and logs.
type batch struct {
	a       *Authority
	now     time.Time
	certs   map[holder]leafCertificate
	records [][]byte
	signed  []signed
}

// holder is who a certificate is for: one key under one identity.
type holder struct {
	role     Role
	identity string
}

// signed is a statement with all its proof but the log's.
type signed struct {
	holder
	key       signingKey
	cert      leafCertificate
	statement []byte
	signature []byte
	timestamp []byte
	record    int // which of the batch's records is this signature's
	want      expectation
}

func (b *batch) sign(ctx context.Context, r Request) error {
	key, err := b.a.keys.signer(r.Role)
	if err != nil {
		return err
	}
	want, err := checkRequest(r, b.a.domain)
	if err != nil {
		return err
	}
	cert, err := b.certificate(holder{r.Role, r.Identity}, key)
	if err != nil {
		return err
	}
	sig, err := signEnvelope(ctx, key, r.Statement)
	if err != nil {
		return err
	}
	stamp, err := b.a.pki.timestamp(sig, b.now)
	if err != nil {
		return err
	}
	record, err := signatureRecord(cert.der, sig, r.Statement)
	if err != nil {
		return err
	}
	b.signed = append(b.signed, signed{
		holder: holder{r.Role, r.Identity}, key: key, cert: cert, statement: r.Statement,
		signature: sig, timestamp: stamp, record: len(b.records), want: want,
	})
	b.records = append(b.records, record)
	return nil
}

// certificate issues the holder's certificate, once in a batch. Its SCT is a
// promise to log it, which is kept in the same batch.
func (b *batch) certificate(h holder, key signingKey) (leafCertificate, error) {
	if c, ok := b.certs[h]; ok {
		return c, nil
	}
	c, err := b.a.pki.issue(key.Public(), h.identity, b.a.Issuer(), b.now)
	if err != nil {
		return leafCertificate{}, err
	}
	b.certs[h] = c
	b.records = append(b.records, c.record)
	return c, nil
}

package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sallyport/sallyport/internal/sign/keyfile"
)

const (
	authorityYears = 10
	leafLife       = 10 * time.Minute
	// authorityLead lets a clock that is set back a little still sign.
	authorityLead = time.Hour
)

// Object identifiers of certificates and timestamps.
var (
	oidIssuer  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}    // Fulcio: OIDC issuer, a DER UTF8String
	oidEKU     = asn1.ObjectIdentifier{2, 5, 29, 37}                     // extended key usage
	oidStamper = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}        // time stamping
	oidPolicy  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}       // timestamp policy, as Sigstore's own authority names it
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3} // RFC 6962: not a certificate yet
	oidSCTs    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2} // RFC 6962: list of SCTs
	asn1Null   = []byte{5, 0}
)

// pki is the local certificate authority, timestamp authority and CT key.
type pki struct {
	root    *x509.Certificate
	inter   *x509.Certificate
	interK  *ecdsa.PrivateKey
	tsa     *x509.Certificate
	tsaK    *ecdsa.PrivateKey
	ctK     *ecdsa.PrivateKey
	ctLogID [sha256.Size]byte
}

// leafCertificate is a leaf with the record that keeps its SCT's promise.
type leafCertificate struct {
	der    []byte
	record []byte
}

// openPKI reads or makes the authorities. The caller holds the directory's lock.
func openPKI(d *keyfile.Dir, domain string, now time.Time) (*pki, error) {
	k := map[string]*ecdsa.PrivateKey{}
	for _, name := range []string{rootKey, intermediateKey, tsaKey, ctKey} {
		key, err := d.ECDSA(name)
		if err != nil {
			return nil, err
		}
		k[name] = key
	}
	p := &pki{interK: k[intermediateKey], tsaK: k[tsaKey], ctK: k[ctKey]}
	ctDER, err := x509.MarshalPKIXPublicKey(p.ctK.Public())
	if err != nil {
		return nil, fmt.Errorf("encode CT key: %w", err)
	}
	p.ctLogID = sha256.Sum256(ctDER)
	id := hex.EncodeToString(p.ctLogID[:4])
	from := now.UTC().Truncate(time.Second).Add(-authorityLead)
	if p.root, err = authority(d, rootCert, template(domain, "root "+id, from), nil, k[rootKey], k[rootKey]); err != nil {
		return nil, err
	}
	inter := template(domain, "intermediate "+id, from)
	inter.MaxPathLen, inter.MaxPathLenZero = 0, true
	inter.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	if p.inter, err = authority(d, interCert, inter, p.root, p.interK, k[rootKey]); err != nil {
		return nil, err
	}
	stamper, err := tsaTemplate(domain, "timestamps "+id, from)
	if err != nil {
		return nil, err
	}
	if p.tsa, err = authority(d, tsaCert, stamper, p.root, p.tsaK, k[rootKey]); err != nil {
		return nil, err
	}
	return p, nil
}

func template(domain, name string, from time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{domain}, CommonName: "Sallyport " + name},
		NotBefore: from, NotAfter: from.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// tsaTemplate differs from a CA's: RFC 3161 wants an end-entity certificate
// whose only extended key usage is time stamping, critical.
func tsaTemplate(domain, name string, from time.Time) (*x509.Certificate, error) {
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{oidStamper})
	if err != nil {
		return nil, fmt.Errorf("encode key usage: %w", err)
	}
	t := template(domain, name, from)
	t.IsCA, t.MaxPathLen = false, -1
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtraExtensions = []pkix.Extension{{Id: oidEKU, Critical: true, Value: eku}}
	return t, nil
}

// authority reads or makes one certificate of the directory; parent nil means
// self-signed. A certificate that is not for its key file is refused.
func authority(d *keyfile.Dir, name string, t, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	b, err := d.LoadOrMake(name, func() ([]byte, error) {
		if parent == nil {
			parent = t
		}
		der, err := create(t, parent, key.Public(), signer)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s is not a certificate in PEM", d.Path(name))
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", d.Path(name), err)
	}
	if !key.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("%s is not for the key beside it", d.Path(name))
	}
	return c, nil
}

func create(t, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	var err error
	if t.SerialNumber == nil {
		if t.SerialNumber, err = serial(); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("create certificate: %w", err)
	}
	return der, nil
}

// serial returns 120 random bits that are not zero (RFC 5280 section 4.1.2.2).
func serial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// issue makes a certificate of ten minutes for a SPIFFE ID. Precertificate and
// certificate are the same but for one extension, as RFC 6962 section 3.1 has it.
func (p *pki) issue(pub crypto.PublicKey, identity, issuer string, now time.Time) (leafCertificate, error) {
	id, err := url.Parse(identity)
	if err != nil {
		return leafCertificate{}, fmt.Errorf("identity: %w", err)
	}
	iss, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		return leafCertificate{}, fmt.Errorf("encode issuer: %w", err)
	}
	n, err := serial()
	if err != nil {
		return leafCertificate{}, err
	}
	from := now.Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber: n, NotBefore: from, NotAfter: from.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		URIs: []*url.URL{id},
	}
	own := pkix.Extension{Id: oidIssuer, Value: iss}
	t.ExtraExtensions = []pkix.Extension{own, {Id: oidPoison, Critical: true, Value: asn1Null}}
	pre, err := create(t, p.inter, pub, p.interK)
	if err != nil {
		return leafCertificate{}, err
	}
	list, err := p.promise(pre, now)
	if err != nil {
		return leafCertificate{}, err
	}
	t.ExtraExtensions = []pkix.Extension{own, {Id: oidSCTs, Value: list}}
	der, err := create(t, p.inter, pub, p.interK)
	if err != nil {
		return leafCertificate{}, err
	}
	record, err := certificateRecord(pre, p.ctLogID, now)
	return leafCertificate{der: der, record: record}, err
}

// timestamp returns an RFC 3161 response over the SHA-256 of a signature.
func (p *pki) timestamp(signature []byte, now time.Time) ([]byte, error) {
	if now.Before(p.tsa.NotBefore) || now.After(p.tsa.NotAfter) {
		return nil, errors.New("the clock is outside the life of the timestamp authority")
	}
	sum := sha256.Sum256(signature)
	n, err := serial()
	if err != nil {
		return nil, err
	}
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: now,
		SerialNumber: n, Policy: oidPolicy, Accuracy: time.Second, AddTSACertificate: true,
	}
	b, err := ts.CreateResponseWithOpts(p.tsa, p.tsaK, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	return b, nil
}

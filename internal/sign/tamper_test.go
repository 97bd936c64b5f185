package sign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"github.com/sallyport/sallyport/internal/sign/signtest"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	testIdentity  = "spiffe://sallyport.local/shop/release/provenance"
	testPredicate = "https://slsa.dev/provenance/v1"
)

// bench is a victim's authority with one good bundle, and a stranger's.
type bench struct {
	a, stranger *Authority
	log         *ledger.Log
	statement   []byte
	artifact    []byte
	earlier     string // checkpoint of the log before the bundle
	good        *protobundle.Bundle
	plain       []byte
}

func newAuthority(t testing.TB) (*Authority, *ledger.Log) {
	t.Helper()
	dir := t.TempDir()
	log, err := ledger.Open(filepath.Join(dir, "ledger"), ledger.Options{Keys: filepath.Join(dir, "keys")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	a, err := Open(filepath.Join(dir, "keys"), Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{artifact: []byte("an artifact\n")}
	b.a, b.log = newAuthority(t)
	b.stranger, _ = newAuthority(t)
	sum := sha256.Sum256(b.artifact)
	b.statement = fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"shop","digest":{"sha256":"%s"}}],"predicateType":"%s","predicate":{"buildDefinition":{"buildType":"x"}}}`,
		hex.EncodeToString(sum[:]), testPredicate)
	attest(t, b.a, b.statement)
	cp, err := b.log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	b.earlier = cp.Note
	made := attest(t, b.a, b.statement)
	b.good, b.plain = decode(t, made.Full), made.Plain
	return b
}

func attest(t testing.TB, a *Authority, statement []byte) Bundles {
	t.Helper()
	made, err := a.Attest(t.Context(), Provenance, testIdentity, statement)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func decode(t testing.TB, raw []byte) *protobundle.Bundle {
	t.Helper()
	var b protobundle.Bundle
	if err := protojson.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// resign makes a bundle that is right in everything, but for a certificate and a
// timestamp of the caller's choice.
func (b *bench) resign(t *testing.T, der []byte, at time.Time) *protobundle.Bundle {
	t.Helper()
	key := b.a.keys.provenance.signingKey
	sig := must[[]byte](t)(signEnvelope(t.Context(), key, b.statement))
	record := must[[]byte](t)(signatureRecord(der, sig, b.statement))
	proofs := must[[]*inclusion.Proof](t)(b.log.Include(t.Context(), [][]byte{record}))
	out := proto.Clone(b.good).(*protobundle.Bundle)
	out.GetDsseEnvelope().Signatures[0].Sig = sig
	out.VerificationMaterial.GetCertificate().RawBytes = der
	out.VerificationMaterial.TlogEntries[0] = must[*protorekor.TransparencyLogEntry](t)(b.a.logEntry(proofs[0]))
	out.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp = must[[]byte](t)(b.a.pki.timestamp(sig, at))
	return out
}

// leafWith issues a certificate of the given authority without going through
// issue, so that it can be wrong.
func leafWith(t *testing.T, p *pki, pub *ecdsa.PublicKey, extra ...pkix.Extension) []byte {
	t.Helper()
	id := must[*url.URL](t)(url.Parse(testIdentity))
	now := time.Now().UTC().Truncate(time.Second)
	return must[[]byte](t)(create(&x509.Certificate{
		NotBefore: now, NotAfter: now.Add(leafLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, URIs: []*url.URL{id},
		ExtraExtensions: extra,
	}, p.inter, pub, p.interK))
}

// issuerExtension is Fulcio's, as issue makes it: tag, length, text.
func issuerExtension(issuer string) pkix.Extension {
	return pkix.Extension{Id: oidIssuer, Value: append([]byte{0x0c, byte(len(issuer))}, issuer...)}
}

// tampering is one way to be wrong; step is where ours must notice.
type tampering struct {
	name, step string
	do         func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle
	ask        func(c *signtest.Case) // or the question is another one
}

func change(f func(b *bench, p *protobundle.Bundle)) func(*testing.T, *bench, *protobundle.Bundle) *protobundle.Bundle {
	return func(_ *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
		f(b, p)
		return p
	}
}

func entryOf(p *protobundle.Bundle) *protorekor.TransparencyLogEntry {
	return p.GetVerificationMaterial().GetTlogEntries()[0]
}

func stampOf(p *protobundle.Bundle) *protocommon.RFC3161SignedTimestamp {
	return p.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps()[0]
}

func contentTamperings() []tampering {
	return []tampering{
		{name: "payload byte", step: "signature", do: change(func(_ *bench, p *protobundle.Bundle) {
			env := p.GetDsseEnvelope()
			env.Payload = bytes.Replace(env.Payload, []byte(`"x"`), []byte(`"y"`), 1)
		})},
		{name: "signature byte", step: "signature", do: change(func(_ *bench, p *protobundle.Bundle) {
			p.GetDsseEnvelope().Signatures[0].Sig[20] ^= 1
		})},
		{name: "signature of another key", step: "signature", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			p.GetDsseEnvelope().Signatures[0].Sig = must[[]byte](t)(signEnvelope(t.Context(), b.a.keys.release.signingKey, b.statement))
			return p
		}},
		{name: "other artifact", step: "artifact", ask: func(c *signtest.Case) {
			c.Artifact = c.Artifact + ".other"
			c.SHA256 = digest.OfString("another artifact\n").Hex()
		}},
		{name: "other identity wanted", step: "identity", ask: func(c *signtest.Case) {
			c.Identity = "spiffe://sallyport.local/shop/release/release"
		}},
		{name: "other issuer wanted", step: "issuer", ask: func(c *signtest.Case) { c.Issuer = "https://elsewhere.example" }},
		{name: "other predicate type wanted", step: "predicate", ask: func(c *signtest.Case) {
			c.PredicateType = "https://slsa.dev/verification_summary/v1"
		}},
	}
}

func logTamperings() []tampering {
	return []tampering{
		{name: "log entry removed", step: "format", do: change(func(_ *bench, p *protobundle.Bundle) {
			p.VerificationMaterial.TlogEntries = nil
		})},
		{name: "inclusion proof removed", step: "format", do: change(func(_ *bench, p *protobundle.Bundle) {
			entryOf(p).InclusionProof = nil
		})},
		{name: "forged inclusion proof", step: "log", do: change(func(_ *bench, p *protobundle.Bundle) {
			entryOf(p).InclusionProof.Hashes[0][5] ^= 1
		})},
		{name: "other index", step: "log", do: change(func(_ *bench, p *protobundle.Bundle) {
			entryOf(p).LogIndex--
			entryOf(p).InclusionProof.LogIndex--
		})},
		{name: "swapped checkpoint", step: "log", do: change(func(b *bench, p *protobundle.Bundle) {
			entryOf(p).InclusionProof.Checkpoint.Envelope = b.earlier
		})},
		{name: "checkpoint of another key", step: "log", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			_, other, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			cp := entryOf(p).InclusionProof.Checkpoint
			text, sigs, _ := strings.Cut(cp.Envelope, "\n\n")
			line := strings.Fields(sigs)
			raw := must[[]byte](t)(base64.StdEncoding.DecodeString(line[2]))
			forged := append(raw[:4:4], ed25519.Sign(other, []byte(text+"\n"))...)
			cp.Envelope = fmt.Sprintf("%s\n\n— %s %s\n", text, line[1], base64.StdEncoding.EncodeToString(forged))
			return p
		}},
		{name: "entry of another log", step: "log", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			proofs := must[[]*inclusion.Proof](t)(b.stranger.log.Include(t.Context(), [][]byte{entryOf(p).CanonicalizedBody}))
			p.VerificationMaterial.TlogEntries[0] = must[*protorekor.TransparencyLogEntry](t)(b.stranger.logEntry(proofs[0]))
			return p
		}},
		{name: "entry of another signature", step: "log", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			p.VerificationMaterial.TlogEntries[0] = entryOf(decode(t, attest(t, b.a, b.statement).Full))
			return p
		}},
	}
}

func trustTamperings() []tampering {
	return []tampering{
		{name: "timestamp removed", step: "format", do: change(func(_ *bench, p *protobundle.Bundle) {
			p.VerificationMaterial.TimestampVerificationData = nil
		})},
		{name: "timestamp of another signature", step: "timestamp", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			stampOf(p).SignedTimestamp = must[[]byte](t)(b.a.pki.timestamp([]byte("another"), time.Now()))
			return p
		}},
		{name: "timestamp of another authority", step: "timestamp", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			stampOf(p).SignedTimestamp = must[[]byte](t)(b.stranger.pki.timestamp(p.GetDsseEnvelope().Signatures[0].Sig, time.Now()))
			return p
		}},
		{name: "timestamp after the certificate", step: "certificate", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			return b.resign(t, p.VerificationMaterial.GetCertificate().RawBytes, time.Now().Add(time.Hour))
		}},
		{name: "timestamp before the certificate", step: "certificate", do: func(t *testing.T, b *bench, p *protobundle.Bundle) *protobundle.Bundle {
			return b.resign(t, p.VerificationMaterial.GetCertificate().RawBytes, time.Now().Add(-time.Minute))
		}},
		{name: "certificate of another authority", step: "certificate", do: func(t *testing.T, b *bench, _ *protobundle.Bundle) *protobundle.Bundle {
			c := must[leafCertificate](t)(b.stranger.pki.issue(b.a.keys.provenance.Public(), testIdentity, b.a.Issuer(), time.Now()))
			return b.resign(t, c.der, time.Now())
		}},
		{name: "certificate of another identity", step: "identity", do: func(t *testing.T, b *bench, _ *protobundle.Bundle) *protobundle.Bundle {
			c := must[leafCertificate](t)(b.a.pki.issue(b.a.keys.provenance.Public(), testIdentity+"x", b.a.Issuer(), time.Now()))
			return b.resign(t, c.der, time.Now())
		}},
		{name: "certificate of another key", step: "signature", do: func(t *testing.T, b *bench, _ *protobundle.Bundle) *protobundle.Bundle {
			k := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
			c := must[leafCertificate](t)(b.a.pki.issue(k.Public(), testIdentity, b.a.Issuer(), time.Now()))
			return b.resign(t, c.der, time.Now())
		}},
		{name: "SCT removed", step: "sct", do: func(t *testing.T, b *bench, _ *protobundle.Bundle) *protobundle.Bundle {
			der := leafWith(t, b.a.pki, &b.a.keys.provenance.PublicKey, issuerExtension(b.a.Issuer()))
			return b.resign(t, der, time.Now())
		}},
		{name: "SCT of another log", step: "sct", do: func(t *testing.T, b *bench, _ *protobundle.Bundle) *protobundle.Bundle {
			mixed := *b.a.pki
			mixed.ctK, mixed.ctLogID = b.stranger.pki.ctK, b.stranger.pki.ctLogID
			c := must[leafCertificate](t)(mixed.issue(b.a.keys.provenance.Public(), testIdentity, b.a.Issuer(), time.Now()))
			return b.resign(t, c.der, time.Now())
		}},
	}
}

// files writes what a verifier is given.
func (b *bench) files(t testing.TB, p *protobundle.Bundle) signtest.Case {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("artifact.other", []byte("another artifact\n"))
	return signtest.Case{
		Bundle: put("bundle.sigstore.json", must[[]byte](t)(encode(p))), Root: put("trusted_root.json", b.a.TrustedRoot()),
		Artifact: put("artifact", b.artifact), SHA256: digest.Of(b.artifact).Hex(),
		Identity: testIdentity, Issuer: b.a.Issuer(), PredicateType: testPredicate,
	}
}

// ours verifies a case and returns the names of the steps that failed.
func ours(t *testing.T, c signtest.Case) ([]string, error) {
	t.Helper()
	raw := must[[]byte](t)(os.ReadFile(c.Bundle))
	_, steps, err := Verify(raw, VerifyOptions{
		TrustedRoot: must[[]byte](t)(os.ReadFile(c.Root)),
		Want: Want{
			Identity: c.Identity, Issuer: c.Issuer, PredicateType: c.PredicateType,
			Artifact: must[digest.Digest](t)(digest.Parse("sha256:" + c.SHA256)),
		},
	})
	var failed []string
	for _, s := range steps {
		if !s.OK {
			failed = append(failed, s.Name)
		}
	}
	return failed, err
}

// tampered runs check on every tampering, and on the untouched bundle.
func tampered(t *testing.T, check func(t *testing.T, c signtest.Case, w tampering)) {
	b := newBench(t)
	all := contentTamperings()
	all = append(all, logTamperings()...)
	all = append(all, trustTamperings()...)
	for _, w := range append(all, tampering{name: "untouched"}) {
		t.Run(w.name, func(t *testing.T) {
			p := proto.Clone(b.good).(*protobundle.Bundle)
			if w.do != nil {
				p = w.do(t, b, p)
			}
			c := b.files(t, p)
			if w.ask != nil {
				w.ask(&c)
			}
			check(t, c, w)
		})
	}
}

func TestTamperedIsRefused(t *testing.T) {
	tampered(t, func(t *testing.T, c signtest.Case, w tampering) {
		failed, err := ours(t, c)
		if w.step == "" {
			if err != nil || len(failed) > 0 {
				t.Errorf("refused at %v: %v", failed, err)
			}
			return
		}
		if !errors.Is(err, ErrRefused) {
			t.Fatalf("error %v, want ErrRefused", err)
		}
		if len(failed) == 0 || !strings.Contains(" "+strings.Join(failed, " ")+" ", " "+w.step+" ") {
			t.Errorf("refused at %v (%v), want %s among them", failed, err, w.step)
		}
	})
}

func TestCosignAgrees(t *testing.T) {
	cosign := signtest.Cosign(t)
	tampered(t, func(t *testing.T, c signtest.Case, w tampering) {
		compare(t, w, signtest.RunCosign(t, cosign, c))
	})
}

func TestSigstoreJSAgrees(t *testing.T) {
	js := signtest.StartJS(t)
	tampered(t, func(t *testing.T, c signtest.Case, w tampering) {
		compare(t, w, js.Verify(t, c))
	})
}

func compare(t *testing.T, w tampering, err error) {
	t.Helper()
	if (err == nil) != (w.step == "") {
		t.Errorf("%s: %v", w.name, err)
	}
	t.Logf("%.300v", err)
}

func TestCosignTakesPlainBundles(t *testing.T) {
	cosign := signtest.Cosign(t)
	b := newBench(t)
	c := b.files(t, decode(t, b.plain))
	dir := filepath.Dir(c.Bundle)
	for _, r := range []Role{Provenance, Release} {
		if err := os.WriteFile(filepath.Join(dir, r.String()), b.a.PublicKey(r), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := signtest.RunCosignKey(t, cosign, filepath.Join(dir, "provenance"), c); err != nil {
		t.Errorf("plain bundle: %v", err)
	}
	if signtest.RunCosignKey(t, cosign, filepath.Join(dir, "release"), c) == nil {
		t.Error("the release key vouched for provenance")
	}
	other := c
	other.Artifact += ".other"
	if signtest.RunCosignKey(t, cosign, filepath.Join(dir, "provenance"), other) == nil {
		t.Error("another artifact was taken")
	}
}

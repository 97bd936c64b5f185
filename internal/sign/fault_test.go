package sign

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
)

// brokenLog changes what a real log answers.
type brokenLog struct {
	*ledger.Log
	spoil func([]*inclusion.Proof) ([]*inclusion.Proof, error)
}

func (l brokenLog) Include(ctx context.Context, records [][]byte) ([]*inclusion.Proof, error) {
	p, err := l.Log.Include(ctx, records)
	if err != nil {
		return nil, err
	}
	return l.spoil(p)
}

// TestNothingLeavesThatDoesNotVerify gives the signer logs that fail or lie.
func TestNothingLeavesThatDoesNotVerify(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func([]*inclusion.Proof) ([]*inclusion.Proof, error){
		"log is down": func([]*inclusion.Proof) ([]*inclusion.Proof, error) { return nil, errors.New("down") },
		"other record": func(p []*inclusion.Proof) ([]*inclusion.Proof, error) {
			p[0], p[1] = p[1], p[0]
			return p, nil
		},
		"bad hash": func(p []*inclusion.Proof) ([]*inclusion.Proof, error) {
			p[1].Hashes = append([]tlog.Hash{{1}}, p[1].Hashes[1:]...)
			return p, nil
		},
		"no checkpoint": func(p []*inclusion.Proof) ([]*inclusion.Proof, error) {
			p[1].Checkpoint = ""
			return p, nil
		},
	} {
		a := *b.a
		a.log = brokenLog{b.log, spoil}
		if got, err := a.Attest(t.Context(), Provenance, testIdentity, b.statement); err == nil || got.Full != nil || got.Plain != nil {
			t.Errorf("%s: a bundle was handed out, error %v", name, err)
		}
	}
}

func TestClockOutsideTheAuthority(t *testing.T) {
	b := newBench(t)
	for _, jump := range []time.Duration{-2 * time.Hour, 11 * 365 * 24 * time.Hour} {
		a := *b.a
		a.clock = func() time.Time { return time.Now().Add(jump) }
		if _, err := a.Attest(t.Context(), Provenance, testIdentity, b.statement); err == nil {
			t.Errorf("signed with a clock that is off by %v", jump)
		}
	}
	a := *b.a
	a.clock = func() time.Time { return time.Now().Add(-time.Minute) }
	if _, err := a.Attest(t.Context(), Provenance, testIdentity, b.statement); err != nil {
		t.Errorf("clock set back by a minute: %v", err)
	}
}

func TestEmptyBatchAndRoles(t *testing.T) {
	b := newBench(t)
	if all, err := b.a.AttestAll(t.Context(), nil); all != nil || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if Provenance.String() != "provenance" || Release.String() != "release" || Role(0).String() != "no role" {
		t.Error("names of roles")
	}
}

func TestOpenNeedsAnEd25519Log(t *testing.T) {
	b := newBench(t)
	for _, vkey := range []string{"", "x", "log.example+00000000+AAAA"} {
		if _, err := Open(filepath.Join(t.TempDir(), "keys"), Options{Log: keyLog{b.log, vkey}}); err == nil {
			t.Errorf("log key %q was taken", vkey)
		}
		if _, err := logID(vkey); err == nil {
			t.Errorf("log key %q has an id", vkey)
		}
	}
}

type keyLog struct {
	*ledger.Log
	vkey string
}

func (l keyLog) VerifierKey() string { return l.vkey }

func TestFormsThatAreNotOurs(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func(*protobundle.Bundle){
		"two signatures": func(p *protobundle.Bundle) {
			env := p.GetDsseEnvelope()
			env.Signatures = append(env.Signatures, env.Signatures[0])
		},
		"no signature":   func(p *protobundle.Bundle) { p.GetDsseEnvelope().Signatures = nil },
		"payload type":   func(p *protobundle.Bundle) { p.GetDsseEnvelope().PayloadType = "text/plain" },
		"old media type": func(p *protobundle.Bundle) { p.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3" },
		"two entries": func(p *protobundle.Bundle) {
			p.VerificationMaterial.TlogEntries = append(p.VerificationMaterial.TlogEntries, entryOf(p))
		},
		"two timestamps": func(p *protobundle.Bundle) {
			d := p.VerificationMaterial.TimestampVerificationData
			d.Rfc3161Timestamps = append(d.Rfc3161Timestamps, d.Rfc3161Timestamps[0])
		},
		"no statement": func(p *protobundle.Bundle) { p.GetDsseEnvelope().Payload = []byte("{}") },
		"no certificate": func(p *protobundle.Bundle) {
			p.VerificationMaterial.Content = &protobundle.VerificationMaterial_PublicKey{}
		},
	} {
		p := proto.Clone(b.good).(*protobundle.Bundle)
		spoil(p)
		failed, err := ours(t, b.files(t, p))
		if !errors.Is(err, ErrRefused) || len(failed) != 1 || failed[0] != "format" {
			t.Errorf("%s: refused at %v: %v", name, failed, err)
		}
	}
}

func TestOneOfSeveralSubjects(t *testing.T) {
	b := newBench(t)
	two := strings.Replace(string(b.statement), `"subject":[`, `"subject":[{"name":"other","digest":{"sha256":"`+strings.Repeat("ab", 32)+`"}},`, 1)
	made := attest(t, b.a, []byte(two))
	want := goldenWant()
	got, _, err := b.a.checker.Verify(made.Full, want)
	if err != nil || len(got.Subjects) != 2 {
		t.Fatalf("verified %+v, error %v", got, err)
	}
	want.Artifact[0] ^= 1
	_, steps, err := b.a.checker.Verify(made.Full, want)
	if !errors.Is(err, ErrRefused) || !strings.HasSuffix(steps[8].Got, " and 1 more") || steps[8].Name != "artifact" {
		t.Errorf("steps %+v, error %v", steps, err)
	}
}

func TestPlainSteps(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func(*protobundle.Bundle, *Want){
		"signature": func(p *protobundle.Bundle, _ *Want) { p.GetDsseEnvelope().Signatures[0].Sig[20] ^= 1 },
		"key":       func(p *protobundle.Bundle, _ *Want) { p.VerificationMaterial.GetPublicKey().Hint = "x" },
		"artifact":  func(_ *protobundle.Bundle, w *Want) { w.Artifact[0] ^= 1 },
		"predicate": func(_ *protobundle.Bundle, w *Want) { w.PredicateType = "x" },
	} {
		p, w := decode(t, b.plain), goldenWant()
		spoil(p, &w)
		raw := must[[]byte](t)(encode(p))
		got, steps, err := VerifyPlain(raw, b.a.PublicKey(Provenance), w)
		var failed []string
		for _, s := range steps {
			if !s.OK {
				failed = append(failed, s.Name)
			}
		}
		if got != nil || !errors.Is(err, ErrRefused) || len(failed) != 1 || failed[0] != name {
			t.Errorf("%s: refused at %v: %v", name, failed, err)
		}
	}
	k := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	der := must[[]byte](t)(x509.MarshalPKIXPublicKey(k.Public()))
	if _, _, err := VerifyPlain(b.plain, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), goldenWant()); err == nil {
		t.Error("a P-384 key was taken")
	}
	if _, _, err := VerifyPlain(b.plain, b.a.PublicKey(Provenance), Want{}); err == nil {
		t.Error("verified with nothing wanted")
	}
}

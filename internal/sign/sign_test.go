package sign_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sign"
)

const (
	identity   = "spiffe://sallyport.local/shop/release/provenance"
	issuer     = "https://sallyport.local"
	provenance = "https://slsa.dev/provenance/v1"
	vsa        = "https://slsa.dev/verification_summary/v1"
)

// office is an authority with its log and an artifact.
type office struct {
	*sign.Authority
	log      *ledger.Log
	dir      string
	artifact []byte
}

func open(t testing.TB, o sign.Options) office {
	t.Helper()
	dir := t.TempDir()
	log, err := ledger.Open(filepath.Join(dir, "ledger"), ledger.Options{Keys: filepath.Join(dir, "keys")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	o.Log = log
	a, err := sign.Open(filepath.Join(dir, "keys"), o)
	if err != nil {
		t.Fatal(err)
	}
	return office{Authority: a, log: log, dir: dir, artifact: []byte("an artifact\n")}
}

func (o office) digest() digest.Digest { return digest.Of(o.artifact) }

func statementOf(predicateType string, artifact []byte) []byte {
	sum := sha256.Sum256(artifact)
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"shop","digest":{"sha256":"%s"}}],"predicateType":"%s","predicate":{"buildDefinition":{"buildType":"x"}}}`,
		hex.EncodeToString(sum[:]), predicateType)
}

func (o office) attest(t testing.TB) sign.Bundles {
	t.Helper()
	b, err := o.Attest(t.Context(), sign.Provenance, identity, statementOf(provenance, o.artifact))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o office) want() sign.Want {
	return sign.Want{Identity: identity, Issuer: issuer, Artifact: o.digest(), PredicateType: provenance}
}

func TestAttestAndVerify(t *testing.T) {
	o := open(t, sign.Options{})
	b := o.attest(t)
	got, steps, err := sign.Verify(b.Full, sign.VerifyOptions{TrustedRoot: o.TrustedRoot(), Want: o.want()})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Statement) != string(statementOf(provenance, o.artifact)) || got.Identity != identity ||
		got.Issuer != issuer || got.Log != o.log.Origin() || time.Since(got.Time).Abs() > time.Minute {
		t.Errorf("verified %+v", got)
	}
	if len(steps) != 10 {
		t.Errorf("%d steps", len(steps))
	}
	for _, s := range steps {
		if !s.OK || s.Wanted == "" || s.Got == "" {
			t.Errorf("step %+v", s)
		}
	}
	plain, _, err := sign.VerifyPlain(b.Plain, o.PublicKey(sign.Provenance), o.want())
	if err != nil || string(plain.Statement) != string(got.Statement) {
		t.Errorf("plain bundle: %v", err)
	}
	if _, err := o.log.Verify(t.Context(), got.Checkpoint); err != nil {
		t.Errorf("checkpoint of the bundle: %v", err)
	}
}

func TestIdentityPattern(t *testing.T) {
	o := open(t, sign.Options{})
	b := o.attest(t)
	for pattern, ok := range map[string]bool{
		`spiffe://sallyport\.local/[^/]+/release/provenance`: true,
		`spiffe://sallyport\.local/shop`:                     false, // the whole identity must match
		`x|spiffe://sallyport\.local/shop/.*`:                true,
		`.*/release`:                                         false,
	} {
		w := o.want()
		w.Identity, w.IdentityPattern = "", pattern
		_, _, err := sign.Verify(b.Full, sign.VerifyOptions{TrustedRoot: o.TrustedRoot(), Want: w})
		if (err == nil) != ok {
			t.Errorf("%s: %v, want ok=%v", pattern, err, ok)
		}
	}
}

func TestVerifyNeedsEveryWant(t *testing.T) {
	o := open(t, sign.Options{})
	b := o.attest(t)
	for name, hole := range map[string]func(*sign.Want){
		"artifact":  func(w *sign.Want) { w.Artifact = digest.Digest{} },
		"predicate": func(w *sign.Want) { w.PredicateType = "" },
		"issuer":    func(w *sign.Want) { w.Issuer = "" },
		"identity":  func(w *sign.Want) { w.Identity = "" },
		"both":      func(w *sign.Want) { w.IdentityPattern = ".*" },
		"pattern":   func(w *sign.Want) { w.Identity, w.IdentityPattern = "", "(" },
	} {
		w := o.want()
		hole(&w)
		if _, _, err := sign.Verify(b.Full, sign.VerifyOptions{TrustedRoot: o.TrustedRoot(), Want: w}); err == nil {
			t.Errorf("verified with a hole in the want: %s", name)
		}
	}
}

func TestBatchSharesCertificateAndCheckpoint(t *testing.T) {
	o := open(t, sign.Options{})
	reqs := []sign.Request{
		{Role: sign.Provenance, Identity: identity, Statement: statementOf(provenance, o.artifact)},
		{Role: sign.Provenance, Identity: identity, Statement: statementOf("https://cyclonedx.org/bom", o.artifact)},
		{Role: sign.Release, Identity: "spiffe://sallyport.local/shop/release/release", Statement: statementOf(vsa, o.artifact)},
	}
	all, err := o.AttestAll(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for i, b := range all {
		w := sign.Want{Identity: reqs[i].Identity, Issuer: issuer, Artifact: o.digest(), PredicateType: predicateOf(t, reqs[i].Statement)}
		got, _, err := sign.Verify(b.Full, sign.VerifyOptions{TrustedRoot: o.TrustedRoot(), Want: w})
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, got.Checkpoint)
	}
	if points[0] != points[1] || points[1] != points[2] {
		t.Error("statements of one batch did not share a checkpoint")
	}
	if err := o.log.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := o.log.Verify(t.Context())
	if err != nil || rep.Kinds["hashedrekord"] != 3 || rep.Kinds["precertificate"] != 2 {
		t.Errorf("log holds %v, error %v", rep.Kinds, err)
	}
}

func predicateOf(t *testing.T, statement []byte) string {
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(statement, &s); err != nil {
		t.Fatal(err)
	}
	return s.PredicateType
}

func TestKeysOfRolesDiffer(t *testing.T) {
	o := open(t, sign.Options{})
	if string(o.PublicKey(sign.Provenance)) == string(o.PublicKey(sign.Release)) || o.PublicKey(0) != nil {
		t.Error("roles share a key")
	}
	b := o.attest(t)
	if _, _, err := sign.VerifyPlain(b.Plain, o.PublicKey(sign.Release), o.want()); !errors.Is(err, sign.ErrRefused) {
		t.Errorf("the release key vouched for provenance: %v", err)
	}
	keys := filepath.Join(o.dir, "keys")
	prov, err := os.ReadFile(filepath.Join(keys, "provenance.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, "release.key"), prov, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Open(keys, sign.Options{Log: o.log}); err == nil {
		t.Error("one key was opened for both roles")
	}
}

func TestWillNotSign(t *testing.T) {
	o := open(t, sign.Options{})
	good := statementOf(provenance, o.artifact)
	rows := map[string]sign.Request{
		"no role":               {Role: 0, Identity: identity, Statement: good},
		"provenance by release": {Role: sign.Release, Identity: identity, Statement: good},
		"summary by provenance": {Role: sign.Provenance, Identity: identity, Statement: statementOf(vsa, o.artifact)},
		"other domain":          {Role: sign.Provenance, Identity: "spiffe://other/shop/release/x", Statement: good},
		"other zone":            {Role: sign.Provenance, Identity: "spiffe://sallyport.local/shop/build/build", Statement: good},
		"no signer":             {Role: sign.Provenance, Identity: "spiffe://sallyport.local/release/x", Statement: good},
		"dots":                  {Role: sign.Provenance, Identity: "spiffe://sallyport.local/../release/x", Statement: good},
		"escape":                {Role: sign.Provenance, Identity: "spiffe://sallyport.local/a%20b/release/x", Statement: good},
		"not spiffe":            {Role: sign.Provenance, Identity: "https://sallyport.local/shop/release/x", Statement: good},
		"query":                 {Role: sign.Provenance, Identity: identity + "?x", Statement: good},
		"no statement":          {Role: sign.Provenance, Identity: identity},
		"not JSON":              {Role: sign.Provenance, Identity: identity, Statement: []byte("x")},
		"no subject":            {Role: sign.Provenance, Identity: identity, Statement: []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"x"}`)},
		"sha512 subject":        {Role: sign.Provenance, Identity: identity, Statement: []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","subject":[{"digest":{"sha512":"00"}}]}`)},
		"old statement":         {Role: sign.Provenance, Identity: identity, Statement: []byte(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"x","subject":[]}`)},
	}
	for name, r := range rows {
		_, err := o.AttestAll(t.Context(), []sign.Request{{Role: sign.Provenance, Identity: identity, Statement: good}, r})
		if !errors.Is(err, sign.ErrRequest) {
			t.Errorf("%s: %v, want ErrRequest", name, err)
		}
	}
	cp, err := o.log.Checkpoint()
	if err != nil || cp.Size != 0 {
		t.Errorf("the log holds %d records of batches that were refused, error %v", cp.Size, err)
	}
}

func TestKeysSurviveAndRootIsStable(t *testing.T) {
	o := open(t, sign.Options{})
	b := o.attest(t)
	again, err := sign.Open(filepath.Join(o.dir, "keys"), sign.Options{Log: o.log})
	if err != nil {
		t.Fatal(err)
	}
	if string(again.TrustedRoot()) != string(o.TrustedRoot()) {
		t.Error("the trusted root changed")
	}
	if _, _, err := sign.Verify(b.Full, sign.VerifyOptions{TrustedRoot: again.TrustedRoot(), Want: o.want()}); err != nil {
		t.Error(err)
	}
	if _, err := sign.Open(t.TempDir(), sign.Options{}); err == nil {
		t.Error("an authority without a log was opened")
	}
}

func TestExposedKeysAreRefused(t *testing.T) {
	for _, path := range []string{"keys", "keys/release.key", "keys/ca-root.key", "keys/tsa.key"} {
		o := open(t, sign.Options{})
		if err := os.Chmod(filepath.Join(o.dir, path), 0o750); err != nil {
			t.Fatal(err)
		}
		if _, err := sign.Open(filepath.Join(o.dir, "keys"), sign.Options{Log: o.log}); err == nil {
			t.Errorf("%s is open to its group and was used", path)
		}
	}
}

func TestCertificateOfAnotherKeyIsRefused(t *testing.T) {
	o, other := open(t, sign.Options{}), open(t, sign.Options{})
	for _, name := range []string{"ca-root.crt", "ca-intermediate.crt", "tsa.crt"} {
		b, err := os.ReadFile(filepath.Join(other.dir, "keys", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(o.dir, "keys", name)
		own, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{b, []byte("x"), nil} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := sign.Open(filepath.Join(o.dir, "keys"), sign.Options{Log: o.log}); err == nil {
				t.Errorf("%s of %d bytes was taken", name, len(bad))
			}
		}
		if err := os.WriteFile(path, own, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

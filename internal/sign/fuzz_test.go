package sign

import (
	"bytes"
	"os"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
)

func goldenVerifier(t testing.TB) *Verifier {
	t.Helper()
	raw, err := os.ReadFile(golden(t, "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func goldenWant() Want {
	return Want{
		Identity: testIdentity, Issuer: "https://sallyport.local",
		Artifact: digest.OfString("an artifact\n"), PredicateType: testPredicate,
	}
}

func FuzzVerify(f *testing.F) {
	v := goldenVerifier(f)
	good, err := os.ReadFile(golden(f, "good.sigstore.json"))
	if err != nil {
		f.Fatal(err)
	}
	ref, _, err := v.Verify(good, goldenWant())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.Replace(good, []byte(`"hashes":[`), []byte(`"hashes":["",`), 1))
	f.Add(bytes.Replace(good, []byte(`v0.3`), []byte(`v0.2`), 1))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{},"tlogEntries":[{}]},"dsseEnvelope":{"signatures":[{}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, steps, err := v.Verify(raw, goldenWant())
		if err == nil && !bytes.Equal(got.Statement, ref.Statement) {
			t.Fatalf("another statement was verified: %q", got.Statement)
		}
		if err != nil && (got != nil || len(steps) == 0) {
			t.Fatalf("refused with %v and %v", got, steps)
		}
	})
}

func FuzzVerifyPlain(f *testing.F) {
	key, err := os.ReadFile(golden(f, "provenance.pem"))
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(golden(f, "plain.sigstore.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("publicKey"), []byte("certificate"), 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, _, err := VerifyPlain(raw, key, goldenWant())
		if err == nil && got.Subjects[0] != goldenWant().Artifact {
			t.Fatalf("verified %+v", got)
		}
	})
}

func FuzzTrustedRoot(f *testing.F) {
	for _, name := range []string{"trusted_root.json", "other_root.json"} {
		raw, err := os.ReadFile(golden(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	good, err := os.ReadFile(golden(f, "good.sigstore.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if v, err := NewVerifier(raw); err == nil {
			_, _, _ = v.Verify(good, goldenWant())
		}
	})
}

func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"8c05ec15aa1fd9d1ce2ed9d41c4e6c1ed8ea5e5fd8ab0eb27dd11dd2a31bd2b6"}}],"predicateType":"x"}`))
	f.Add([]byte(`{"subject":[null]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, d, err := parseStatement(raw)
		if err == nil && (len(d) == 0 || len(d) != len(s.Subject) || s.PredicateType == "") {
			t.Fatalf("took %q", raw)
		}
	})
}

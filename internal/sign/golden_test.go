package sign

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport/internal/sign/signtest"
	"google.golang.org/protobuf/encoding/protojson"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
)

// Golden bundles were made once and must verify for ever: a change here that
// refuses them would refuse what users have kept.
var update = flag.Bool("update", false, "make the golden bundles anew")

func golden(t testing.TB, name string) string { return filepath.Join("testdata", name) }

func makeGolden(t *testing.T) {
	t.Helper()
	b := newBench(t)
	full, err := encode(b.good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"good.sigstore.json": full, "plain.sigstore.json": b.plain, "artifact": b.artifact,
		"trusted_root.json": b.a.TrustedRoot(), "other_root.json": b.stranger.TrustedRoot(),
		"provenance.pem": b.a.PublicKey(Provenance),
	} {
		if err := os.WriteFile(golden(t, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func goldenCase(t testing.TB) signtest.Case {
	t.Helper()
	abs := func(name string) string {
		p, err := filepath.Abs(golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return signtest.Case{
		Bundle: abs("good.sigstore.json"), Root: abs("trusted_root.json"), Artifact: abs("artifact"),
		SHA256:   "6970ef51f54a3e4f7a5ccd707d95be3077298a0f68b1ebb25c124d38f6a78ad6",
		Identity: testIdentity, Issuer: "https://sallyport.local", PredicateType: testPredicate,
	}
}

func TestGolden(t *testing.T) {
	if *update {
		makeGolden(t)
	}
	c := goldenCase(t)
	if failed, err := ours(t, c); err != nil {
		t.Errorf("refused at %v: %v", failed, err)
	}
	c.Root = golden(t, "other_root.json")
	if failed, err := ours(t, c); !errors.Is(err, ErrRefused) || len(failed) == 0 {
		t.Errorf("with a stranger's root: refused at %v: %v", failed, err)
	}
	c.Bundle = golden(t, "plain.sigstore.json")
	if _, err := ours(t, c); !errors.Is(err, ErrRefused) {
		t.Errorf("a plain bundle as a full one: %v", err)
	}
}

func TestGoldenElsewhere(t *testing.T) {
	c := goldenCase(t)
	t.Run("cosign", func(t *testing.T) {
		if err := signtest.RunCosign(t, signtest.Cosign(t), c); err != nil {
			t.Error(err)
		}
	})
	t.Run("sigstore-js", func(t *testing.T) {
		if err := signtest.StartJS(t).Verify(t, c); err != nil {
			t.Error(err)
		}
	})
}

// TestRecordMustBeTheLoggedOne is stricter than sigstore-go, which makes the
// record anew and lets the bundle show any other.
func TestRecordMustBeTheLoggedOne(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func([]byte) []byte{
		"other order of bytes": func(r []byte) []byte { return append(r, '\n') },
		"another record":       func([]byte) []byte { return entryOf(decode(t, attest(t, b.a, b.statement).Full)).CanonicalizedBody },
	} {
		p := decode(t, mustEncode(t, b))
		entryOf(p).CanonicalizedBody = spoil(entryOf(p).CanonicalizedBody)
		if failed, err := ours(t, b.files(t, p)); !errors.Is(err, ErrRefused) || len(failed) == 0 || failed[0] != "log" {
			t.Errorf("%s: refused at %v: %v", name, failed, err)
		}
	}
}

func mustEncode(t testing.TB, b *bench) []byte {
	t.Helper()
	raw, err := encode(b.good)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRootsThatVerifyNothing(t *testing.T) {
	good, err := os.ReadFile(golden(t, "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*prototrustroot.TrustedRoot){
		"no log":        func(r *prototrustroot.TrustedRoot) { r.Tlogs = nil },
		"no CT log":     func(r *prototrustroot.TrustedRoot) { r.Ctlogs = nil },
		"no authority":  func(r *prototrustroot.TrustedRoot) { r.CertificateAuthorities = nil },
		"no timestamps": func(r *prototrustroot.TrustedRoot) { r.TimestampAuthorities = nil },
		"media type":    func(r *prototrustroot.TrustedRoot) { r.MediaType = "x" },
		"leaf alone": func(r *prototrustroot.TrustedRoot) {
			ts := r.TimestampAuthorities[0].CertChain
			ts.Certificates = ts.Certificates[:1]
		},
		"log address": func(r *prototrustroot.TrustedRoot) { r.Tlogs[0].BaseUrl = "\x00" },
	} {
		var r prototrustroot.TrustedRoot
		if err := protojson.Unmarshal(good, &r); err != nil {
			t.Fatal(err)
		}
		spoil(&r)
		raw, err := encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewVerifier(raw); err == nil {
			t.Errorf("%s: the root was taken", name)
		}
	}
	for _, raw := range [][]byte{nil, []byte("{}"), []byte("x"), make([]byte, maxRoot+1)} {
		if _, err := NewVerifier(raw); err == nil {
			t.Errorf("a root of %d bytes was taken", len(raw))
		}
	}
}

func TestBoundsOfBundles(t *testing.T) {
	v := goldenVerifier(t)
	for _, raw := range [][]byte{nil, []byte("{}"), []byte("x"), make([]byte, maxBundle+1)} {
		if _, steps, err := v.Verify(raw, goldenWant()); !errors.Is(err, ErrRefused) || len(steps) != 1 || steps[0].OK {
			t.Errorf("%d bytes: steps %v, error %v", len(raw), steps, err)
		}
	}
	key, err := os.ReadFile(golden(t, "provenance.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyPlain(nil, key, goldenWant()); !errors.Is(err, ErrRefused) {
		t.Errorf("an empty plain bundle: %v", err)
	}
	full, err := os.ReadFile(golden(t, "good.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyPlain(full, key, goldenWant()); !errors.Is(err, ErrRefused) {
		t.Errorf("a full bundle as a plain one: %v", err)
	}
	for _, bad := range []string{"", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, _, err := VerifyPlain(full, []byte(bad), goldenWant()); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

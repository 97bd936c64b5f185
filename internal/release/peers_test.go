package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign/signtest"
)

// exported is a release as a stranger gets it, with what to ask of a bundle.
func exported(t *testing.T) (dir string, c func(bundle, predicateType string) signtest.Case) {
	t.Helper()
	r := open(t, t.TempDir())
	p := release(t, r, goodRun(t), 1)
	dir = filepath.Join(t.TempDir(), "out")
	if err := r.Export(p, dir); err != nil {
		t.Fatal(err)
	}
	return dir, func(bundle, predicateType string) signtest.Case {
		w := want(p.Artifacts[0].Digest, predicateType)
		return signtest.Case{
			Bundle: filepath.Join(dir, bundle), Root: filepath.Join(dir, TrustedRootFile), Artifact: filepath.Join(dir, "server"),
			SHA256: w.Artifact.Hex(), Identity: w.Identity, Issuer: w.Issuer, PredicateType: predicateType,
		}
	}
}

func TestCosignTakesARelease(t *testing.T) {
	cosign := signtest.Cosign(t)
	dir, c := exported(t)
	for bundle, typ := range map[string]string{
		"server.provenance.sigstore.json": provenance.TypeProvenance, "server.vsa.sigstore.json": provenance.TypeSummary,
	} {
		if err := signtest.RunCosign(t, cosign, c(bundle, typ)); err != nil {
			t.Errorf("%s: %v", bundle, err)
		}
	}
	plain := c("server.provenance.plain.sigstore.json", provenance.TypeProvenance)
	if err := signtest.RunCosignKey(t, cosign, filepath.Join(dir, ProvenanceKeyFile), plain); err != nil {
		t.Error(err)
	}
	if err := signtest.RunCosignKey(t, cosign, filepath.Join(dir, ReleaseKeyFile), plain); err == nil {
		t.Error("cosign took provenance for the release key's")
	}
	swapped := c("server.vsa.sigstore.json", provenance.TypeProvenance)
	if err := signtest.RunCosign(t, cosign, swapped); err == nil {
		t.Error("cosign took a summary for provenance")
	}
}

// The commands of docs/verify.md, as they stand there.
func TestVerifyPage(t *testing.T) {
	cosign := signtest.Cosign(t)
	page, err := os.ReadFile("../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(commands) < 3 {
		t.Fatalf("%d commands", len(commands))
	}
	bin := t.TempDir()
	if err := os.Symlink(cosign, filepath.Join(bin, "cosign")); err != nil {
		t.Fatal(err)
	}
	dir, _ := exported(t)
	for _, c := range commands {
		cmd := exec.Command("sh", "-c", c[1])
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin, "HOME=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, c[1])
		}
		if err := os.Rename(filepath.Join(dir, "server"), filepath.Join(dir, "kept")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "server"), []byte("other\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("sh", "-c", c[1])
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin, "HOME=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("another artifact was taken: %s\n%s", out, c[1])
		}
		if err := os.Rename(filepath.Join(dir, "kept"), filepath.Join(dir, "server")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSigstoreJSTakesARelease(t *testing.T) {
	js := signtest.StartJS(t)
	_, c := exported(t)
	for bundle, typ := range map[string]string{
		"server.provenance.sigstore.json": provenance.TypeProvenance, "server.vsa.sigstore.json": provenance.TypeSummary,
	} {
		if err := js.Verify(t, c(bundle, typ)); err != nil {
			t.Errorf("%s: %v", bundle, err)
		}
	}
	other := c("server.provenance.sigstore.json", provenance.TypeProvenance)
	other.Identity = "spiffe://sallyport.local/other/release/" + ProvenanceSigner
	if err := js.Verify(t, other); err == nil {
		t.Error("@sigstore/verify took another project's provenance")
	}
}

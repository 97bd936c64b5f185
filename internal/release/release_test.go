package release

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"
)

func goodRun(t testing.TB) *evidence.Run {
	t.Helper()
	b, err := os.ReadFile("../../spec/vectors/gate/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var r evidence.Run
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func content() Content { return contentOf("server\n", "web\n") }

func contentOf(texts ...string) Content {
	return ContentFunc(func(d digest.Digest) (io.ReadCloser, error) {
		for _, s := range texts {
			if d == digest.OfString(s) {
				return io.NopCloser(strings.NewReader(s)), nil
			}
		}
		return nil, os.ErrNotExist
	})
}

func decide(t testing.TB, r *evidence.Run, n int) []gate.Verdict {
	t.Helper()
	p, err := gate.LoadPolicy("default")
	if err != nil {
		t.Fatal(err)
	}
	var out []gate.Verdict
	for _, a := range r.Artifacts[:n] {
		v, err := gate.Decide(p, r, a)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// room is a release room in a directory.
type room struct {
	*Releaser
	dir string
	log *ledger.Log
}

func open(t testing.TB, dir string) room {
	t.Helper()
	log, err := ledger.Open(filepath.Join(dir, "ledger"), ledger.Options{Keys: filepath.Join(dir, "keys")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	a, err := sign.Open(filepath.Join(dir, "keys"), sign.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Authority: a, Ledger: log, Repository: filepath.Join(dir, "release")})
	if err != nil {
		t.Fatal(err)
	}
	return room{r, dir, log}
}

func release(t testing.TB, r room, run *evidence.Run, n int) Promotion {
	t.Helper()
	p, err := r.Release(t.Context(), run, decide(t, run, n), content())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// want is what a bundle about d of the given type has to prove.
func want(d digest.Digest, predicateType string) sign.Want {
	signer := ProvenanceSigner
	if predicateType == provenance.TypeSummary {
		signer = SummarySigner
	}
	return sign.Want{
		Identity: "spiffe://sallyport.local/shop/release/" + signer, Issuer: "https://sallyport.local", Artifact: d, PredicateType: predicateType,
	}
}

func types() []string {
	return []string{provenance.TypeProvenance, provenance.TypeCycloneDX, provenance.TypeSPDX, provenance.TypeSCAI, provenance.TypeTestResult, provenance.TypeSummary}
}

func TestReleaseIsReadByOthers(t *testing.T) {
	r := open(t, t.TempDir())
	run := goodRun(t)
	p := release(t, r, run, 2)
	store, err := oci.NewFromFS(t.Context(), os.DirFS(p.Layout))
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"42", "v1.2.0", "42-server", "42-web"} {
		if _, err := store.Resolve(t.Context(), tag); err != nil {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
	for _, a := range p.Artifacts {
		d, err := store.Resolve(t.Context(), a.Tag)
		if err != nil {
			t.Fatal(err)
		}
		up, err := registry.Referrers(t.Context(), store, d, typeBundle)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, u := range up {
			found = append(found, u.Annotations[NotePredicate])
		}
		wanted := types()
		slices.Sort(found)
		slices.Sort(wanted)
		if !slices.Equal(found, wanted) {
			t.Errorf("%s: statements %v", a.Name, found)
		}
		checkBundles(t, r, a)
	}
}

// checkBundles verifies the one-file bundle as a stranger would, for the bytes
// and for the manifest that carries them.
func checkBundles(t *testing.T, r room, a Promoted) {
	t.Helper()
	v, err := sign.NewVerifier(r.o.Authority.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(a.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	for _, typ := range types() {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		for _, d := range []digest.Digest{a.Digest, a.Manifest} {
			if _, steps, err := v.Verify(line, want(d, typ)); err != nil {
				t.Errorf("%s of %s: %v %v", typ, a.Name, err, steps)
			}
		}
	}
}

func TestRefusedWithoutAVerdict(t *testing.T) {
	run := goodRun(t)
	good := decide(t, run, 1)
	for name, c := range map[string]struct {
		run      func(*evidence.Run)
		verdicts []gate.Verdict
		content  Content
	}{
		"none":             {nil, nil, content()},
		"zero":             {nil, []gate.Verdict{{}}, content()},
		"zero among good":  {nil, []gate.Verdict{good[0], {}}, content()},
		"twice":            {nil, []gate.Verdict{good[0], good[0]}, content()},
		"failed run":       {func(r *evidence.Run) { r.State = evidence.Failed }, good, content()},
		"other evidence":   {func(r *evidence.Run) { r.Served = r.Served[1:] }, good, content()},
		"other run":        {func(r *evidence.Run) { r.ID = "43" }, good, content()},
		"artifact swapped": {func(r *evidence.Run) { r.Artifacts[0].Digest = digest.OfString("evil") }, good, content()},
		"content swapped": {nil, good, ContentFunc(func(digest.Digest) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("evil!!\n")), nil
		})},
		"no content": {nil, good, contentOf()},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, t.TempDir())
			run := goodRun(t)
			if c.run != nil {
				c.run(run)
			}
			if _, err := r.Release(t.Context(), run, c.verdicts, c.content); err == nil {
				t.Fatal("it was released")
			}
			if n := len(listed(t, r, "shop")); n > 0 {
				t.Errorf("%d manifests are in the layout", n)
			}
			for rec, err := range closed(t, r).Entries(t.Context(), ledger.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				t.Errorf("the log holds a %s", rec.Kind)
			}
		})
	}
	if _, err := open(t, t.TempDir()).Release(t.Context(), nil, good, content()); err == nil {
		t.Error("nothing was released")
	}
}

// The bytes can change between the two reads; then the second read refuses.
func TestContentThatChangesBetweenReads(t *testing.T) {
	r := open(t, t.TempDir())
	reads := 0
	c := ContentFunc(func(digest.Digest) (io.ReadCloser, error) {
		if reads++; reads > 1 {
			return io.NopCloser(strings.NewReader("evil!!\n")), nil
		}
		return io.NopCloser(strings.NewReader("server\n")), nil
	})
	run := goodRun(t)
	if _, err := r.Release(t.Context(), run, decide(t, run, 1), c); !errors.Is(err, ErrVerdict) {
		t.Errorf("error %v", err)
	}
	if n := len(listed(t, r, "shop")); n > 0 {
		t.Errorf("%d manifests are in the layout", n)
	}
}

func listed(t testing.TB, r room, project string) []ocispec.Descriptor {
	t.Helper()
	var x index
	if err := x.load(filepath.Join(r.layoutDir(project), ocispec.ImageIndexFile)); err != nil {
		t.Fatal(err)
	}
	return x.Manifests
}

func TestReleasedAgainIsTheSame(t *testing.T) {
	r := open(t, t.TempDir())
	run := goodRun(t)
	first := release(t, r, run, 2)
	before := listed(t, r, "shop")
	second := release(t, r, run, 2)
	if !second.Resumed || first.Resumed || !slices.Equal(first.Tags, second.Tags) || !slices.Equal(first.Artifacts, second.Artifacts) {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	if len(listed(t, r, "shop")) != len(before) {
		t.Error("a release that was finished was made again")
	}
}

func TestTagsDoNotMove(t *testing.T) {
	r := open(t, t.TempDir())
	run := goodRun(t)
	first := release(t, r, run, 1)
	run.ID = "43"
	second := release(t, r, run, 1)
	if !slices.Equal(second.Kept, []string{"v1.2.0"}) || !slices.Equal(second.Tags, []string{"43"}) {
		t.Errorf("tags %v, kept %v", second.Tags, second.Kept)
	}
	var x index
	if err := x.load(filepath.Join(first.Layout, ocispec.ImageIndexFile)); err != nil {
		t.Fatal(err)
	}
	if d, ok := x.tagged("v1.2.0"); !ok || d.Digest.String() != first.Artifacts[0].Manifest.String() {
		t.Errorf("v1.2.0 names %s", d.Digest)
	}
	// A second state directory counts its runs anew, into the same repository.
	run.Reason = "another"
	if _, err := r.Release(t.Context(), run, decide(t, run, 1), content()); err == nil {
		t.Error("the tag of a run was moved")
	}
}

func TestExport(t *testing.T) {
	r := open(t, t.TempDir())
	p := release(t, r, goodRun(t), 2)
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 { // the second time everything is there
		if err := r.Export(p, dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"server", "web", "server.sigstore.jsonl", "server.provenance.sigstore.json", "server.provenance.plain.sigstore.json",
		"server.vsa.sigstore.json", "web.sigstore.jsonl", TrustedRootFile, ProvenanceKeyFile, ReleaseKeyFile,
	} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, ProvenanceKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(filepath.Join(dir, "server.provenance.plain.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sign.VerifyPlain(plain, key, want(p.Artifacts[0].Digest, provenance.TypeProvenance)); err != nil {
		t.Error(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "web"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Export(p, other); err == nil {
		t.Error("a file of somebody's was overwritten")
	}
}

// closed closes the log, which then shows all that was appended.
func closed(t testing.TB, r room) *ledger.Reader {
	t.Helper()
	if err := r.log.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := ledger.ReadOnly(filepath.Join(r.dir, "ledger"), filepath.Join(r.dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestLogTellsOfThePromotion(t *testing.T) {
	r := open(t, t.TempDir())
	p := release(t, r, goodRun(t), 1)
	count := map[string]int{}
	for rec, err := range closed(t, r).Entries(t.Context(), ledger.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		count[rec.Kind]++
		if rec.Kind == string(ledger.Promotion) && (rec.Entry.Subjects[0] != p.Artifacts[0].Digest || rec.Entry.Data != p.Artifacts[0].Manifest) {
			t.Errorf("promotion entry %+v", rec.Entry)
		}
	}
	if count["signature"] != len(types()) || count["promotion"] != 1 || count["hashedrekord"] != len(types()) {
		t.Errorf("log %v", count)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	r := open(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 4 {
		run := goodRun(t)
		run.ID = strconv.Itoa(50 + i)
		verdicts := decide(t, run, 1)
		wg.Go(func() {
			if _, err := r.Release(t.Context(), run, verdicts, content()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var x index
	if err := x.load(filepath.Join(r.layoutDir("shop"), ocispec.ImageIndexFile)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, ok := x.tagged(strconv.Itoa(50 + i)); !ok {
			t.Errorf("run %d was lost", 50+i)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"server", "../x", ".x", "a/b", "a_b", "", "..", "-rf", "x y", "x\ny", "@scope/name", strings.Repeat("x", 300), strings.Repeat("x", 301)} {
		got := fileName(name)
		if got == "" || strings.ContainsAny(got, "/\\ \n") || strings.HasPrefix(got, ".") || strings.HasPrefix(got, "-") || len(got) > 128 {
			t.Errorf("%q becomes %q", name, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q both become %q", name, other, got)
		}
		seen[got] = name
	}
	if got := pathName("filippo.io/age"); got != "filippo.io/age" {
		t.Error(got)
	}
	if got := pathName("../../etc"); strings.Contains(got, "..") {
		t.Error(got)
	}
}

// TestCrash ends a process at each step of a release, and looks at what is left.
func TestCrash(t *testing.T) {
	if step := os.Getenv("SALLYPORT_TEST_CRASH"); step != "" {
		crash(t, step)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		dir := t.TempDir()
		cmd := exec.Command(self, "-test.run=^TestCrash$", "-test.v")
		cmd.Env = append(os.Environ(), "SALLYPORT_TEST_CRASH="+strconv.Itoa(n), "SALLYPORT_TEST_DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err == nil {
			if n < 13 {
				t.Fatalf("the release ended after %d steps: %s", n, out)
			}
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v: %s", n, err, out)
		}
		name := string(bytes.TrimSpace(out[bytes.LastIndex(out, []byte("step "))+5:]))
		r := open(t, dir)
		nothingUnsigned(t, r, name)
		release(t, r, goodRun(t), 2)
		nothingUnsigned(t, r, name+", again")
		err = filepath.WalkDir(filepath.Join(dir, "release"), func(path string, _ fs.DirEntry, err error) error {
			if strings.HasPrefix(filepath.Base(path), tempPrefix) {
				t.Errorf("a crash at %s has left %s behind", name, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func crash(t *testing.T, step string) {
	r := open(t, os.Getenv("SALLYPORT_TEST_DIR"))
	at, err := strconv.Atoi(step)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	r.o.fault = func(name string) error {
		if n++; n == at {
			fmt.Printf("step %s\n", name)
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {}
		}
		return nil
	}
	release(t, r, goodRun(t), 2)
}

// nothingUnsigned holds at every moment: an artifact that can be found in the
// repository, by a tag or only by its blob, has provenance and a summary there
// that verify.
func nothingUnsigned(t *testing.T, r room, when string) {
	t.Helper()
	v, err := sign.NewVerifier(r.o.Authority.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	dir := r.layoutDir("shop")
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	held := map[digest.Digest]map[string]bool{}
	for _, path := range blobs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := digest.Of(b); !strings.HasPrefix(filepath.Base(path), tempPrefix) && filepath.Base(path) != d.Hex() {
			t.Errorf("%s: blob %s holds other bytes", when, filepath.Base(path))
		}
		for _, a := range goodRun(t).Artifacts {
			for _, typ := range []string{provenance.TypeProvenance, provenance.TypeSummary} {
				if _, _, err := v.Verify(b, want(a.Digest, typ)); err == nil {
					if held[a.Digest] == nil {
						held[a.Digest] = map[string]bool{}
					}
					held[a.Digest][typ] = true
				}
			}
		}
	}
	listed := listed(t, r, "shop")
	for _, a := range goodRun(t).Artifacts {
		_, err := os.Stat(filepath.Join(dir, "blobs", "sha256", a.Digest.Hex()))
		if (err == nil || len(listed) > 0) && len(held[a.Digest]) != 2 {
			t.Errorf("after a crash at %s: %s is there with only %v", when, a.Name, held[a.Digest])
		}
		if err != nil && len(listed) > 0 {
			t.Errorf("after a crash at %s: the index names %s, which is not there", when, a.Name)
		}
	}
	for _, d := range listed {
		if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())); err != nil {
			t.Errorf("after a crash at %s: the index names %s, which is not there", when, d.Digest)
		}
	}
}

func TestContextEndsARelease(t *testing.T) {
	r := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run := goodRun(t)
	if _, err := r.Release(ctx, run, decide(t, run, 1), content()); err == nil {
		t.Error("a release went on after its context ended")
	}
}

package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/release"
	"github.com/sallyport/sallyport/internal/sign"
)

// world is a real release, made once for all tests.
type world struct {
	dir       string
	authority *sign.Authority
	promotion release.Promotion
	run       *evidence.Run
	close     func()
}

var once = sync.OnceValues(makeWorld)

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := once(); err == nil {
		w.close()
		_ = os.RemoveAll(w.dir)
	}
	os.Exit(code)
}

func theWorld(t testing.TB) *world {
	t.Helper()
	w, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func makeWorld() (*world, error) {
	dir, err := os.MkdirTemp("", "sallyport-verify-")
	if err != nil {
		return nil, err
	}
	log, err := ledger.Open(filepath.Join(dir, "ledger"), ledger.Options{Keys: filepath.Join(dir, "keys")})
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, run: &evidence.Run{}, close: func() { _ = log.Close() }}
	if w.authority, err = sign.Open(filepath.Join(dir, "keys"), sign.Options{Log: log}); err != nil {
		return nil, err
	}
	b, err := os.ReadFile("../../spec/vectors/gate/run.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, w.run); err != nil {
		return nil, err
	}
	r, err := release.Open(release.Options{Authority: w.authority, Ledger: log, Repository: filepath.Join(dir, "release")})
	if err != nil {
		return nil, err
	}
	p, err := gate.LoadPolicy("default")
	if err != nil {
		return nil, err
	}
	var verdicts []gate.Verdict
	for _, a := range w.run.Artifacts {
		v, err := gate.Decide(p, w.run, a)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, v)
	}
	w.promotion, err = r.Release(context.Background(), w.run, verdicts, release.ContentFunc(open))
	if err != nil {
		return nil, err
	}
	return w, r.Export(w.promotion, filepath.Join(dir, "out"))
}

func open(d digest.Digest) (io.ReadCloser, error) {
	for _, s := range []string{"server\n", "web\n"} {
		if d == digest.OfString(s) {
			return io.NopCloser(strings.NewReader(s)), nil
		}
	}
	return nil, os.ErrNotExist
}

func (w *world) request() Request {
	return Request{Artifact: filepath.Join(w.dir, "out", "server"), TrustedRootJSON: w.authority.TrustedRoot()}
}

func (w *world) lines(t testing.TB, artifact string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "out", artifact+".sigstore.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// with writes other bundles for the artifact and returns a request for them.
func (w *world) with(t testing.TB, lines [][]byte) Request {
	t.Helper()
	req := w.request()
	req.Bundle = filepath.Join(t.TempDir(), "bundle.jsonl")
	if err := os.WriteFile(req.Bundle, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return req
}

func check(t testing.TB, req Request) Report {
	t.Helper()
	r, err := Check(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func failures(r Report) []string {
	var out []string
	for _, c := range r.Failures() {
		out = append(out, c.Name)
	}
	return out
}

func TestReleasedArtifactsPass(t *testing.T) {
	w := theWorld(t)
	layout := w.promotion.Layout
	ref, err := gate.LoadPolicy("default")
	if err != nil {
		t.Fatal(err)
	}
	strict := w.request()
	strict.Identity, strict.Source, strict.Ref = "spiffe://sallyport.local/shop", "git+https://git.example/*", "v1.2.0"
	strict.Policies, strict.Levels = []digest.Digest{ref.Ref().Digest}, []string{provenance.LevelReproduced, provenance.LevelTested}
	for name, req := range map[string]Request{
		"file":         w.request(),
		"expectations": strict,
		"layout":       {Artifact: layout + ":42-server", TrustedRootJSON: w.authority.TrustedRoot()},
		"second":       {Artifact: layout + ":v1.2.0-web", TrustedRootJSON: w.authority.TrustedRoot()},
	} {
		if strings.HasPrefix(name, "second") {
			req.Artifact = layout + ":42-web"
		}
		r := check(t, req)
		if r.Outcome != Passed || r.Schema != Schema || r.Project != "shop" || len(r.Checks) < 60 || r.Builder == "" || !slices.Contains(r.Levels, provenance.LevelSLSA1) {
			t.Errorf("%s: %s, %d checks, failed %v", name, r.Outcome, len(r.Checks), r.Failures())
		}
		for _, c := range r.Checks {
			if c.Name == "" || c.Wanted == "" || c.Got == "" {
				t.Errorf("%s: check %+v does not say all", name, c)
			}
		}
	}
}

// bundle is a bundle that can be changed.
type bundle map[string]any

func parse(t testing.TB, b []byte) bundle {
	t.Helper()
	var m bundle
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func (b bundle) at(path ...string) map[string]any {
	m := map[string]any(b)
	for _, p := range path {
		switch next := m[p].(type) {
		case map[string]any:
			m = next
		case []any:
			m = next[0].(map[string]any)
		}
	}
	return m
}

func (b bundle) bytes(t testing.TB) []byte {
	t.Helper()
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Bundles that were changed after they were signed.
func TestTampered(t *testing.T) {
	w := theWorld(t)
	lines := func() [][]byte { return w.lines(t, "server") }
	change := func(i int, f func(bundle)) func() [][]byte {
		return func() [][]byte {
			l := lines()
			b := parse(t, l[i])
			f(b)
			l[i] = b.bytes(t)
			return l
		}
	}
	const prov, last = 0, 5
	for name, c := range map[string]struct {
		lines func() [][]byte
		fails string
	}{
		"payload": {change(prov, func(b bundle) {
			env := b.at("dsseEnvelope")
			env["payload"] = strings.Replace(env["payload"].(string), "A", "B", 1)
		}), ""},
		"signature of another statement": {change(prov, func(b bundle) {
			b.at("dsseEnvelope")["signatures"] = parse(t, lines()[1]).at("dsseEnvelope")["signatures"]
		}), "provenance.signature"},
		"certificate of another signer": {change(prov, func(b bundle) {
			b.at("verificationMaterial")["certificate"] = parse(t, lines()[last]).at("verificationMaterial")["certificate"]
		}), "provenance.identity"},
		"no timestamp": {change(prov, func(b bundle) { delete(b.at("verificationMaterial"), "timestampVerificationData") }), "provenance.format"},
		"no log entry": {change(prov, func(b bundle) { b.at("verificationMaterial")["tlogEntries"] = []any{} }), "provenance.format"},
		"log entry of another": {change(prov, func(b bundle) {
			b.at("verificationMaterial")["tlogEntries"] = parse(t, lines()[1]).at("verificationMaterial")["tlogEntries"]
		}), "provenance.log"},
		"checkpoint": {change(prov, func(b bundle) {
			cp := b.at("verificationMaterial", "tlogEntries", "inclusionProof", "checkpoint")
			cp["envelope"] = strings.Replace(cp["envelope"].(string), "\n", "\n9", 1)
		}), "provenance.log"},
		"no provenance":      {func() [][]byte { return lines()[1:] }, "provenance"},
		"no summary":         {func() [][]byte { return lines()[:last] }, "summary"},
		"no CycloneDX":       {func() [][]byte { return slices.Delete(lines(), 1, 2) }, "cyclonedx"},
		"no test result":     {func() [][]byte { return slices.Delete(lines(), 4, 5) }, "summary.input-tests"},
		"no SCAI":            {func() [][]byte { return slices.Delete(lines(), 3, 4) }, "summary.input-scai"},
		"nothing":            {func() [][]byte { return nil }, "provenance"},
		"garbage":            {func() [][]byte { return append(lines(), []byte("{]")) }, "bundle.7"},
		"statement twice":    {func() [][]byte { return append(lines(), lines()[0]) }, "provenance"},
		"another artifact's": {func() [][]byte { return w.lines(t, "web") }, "provenance.artifact"},
		"one of another's": {func() [][]byte {
			l := lines()
			l[2] = w.lines(t, "web")[2]
			return l
		}, "spdx.artifact"},
		"plain for full": {func() [][]byte {
			b, err := os.ReadFile(filepath.Join(w.dir, "out", "server.provenance.plain.sigstore.json"))
			if err != nil {
				t.Fatal(err)
			}
			l := lines()
			l[0] = b
			return l
		}, "provenance.format"},
	} {
		r := check(t, w.with(t, c.lines()))
		if r.Outcome != Failed || c.fails != "" && !slices.Contains(failures(r), c.fails) {
			t.Errorf("%s: %s, failed %v", name, r.Outcome, failures(r))
		}
	}
}

func TestOtherExpectations(t *testing.T) {
	w := theWorld(t)
	other, err := os.MkdirTemp(w.dir, "other")
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(filepath.Join(other, "l"), ledger.Options{Keys: filepath.Join(other, "k")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	stranger, err := sign.Open(filepath.Join(other, "k"), sign.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Request)
		fails  string
	}{
		"root":    {func(r *Request) { r.TrustedRootJSON = stranger.TrustedRoot() }, "provenance.certificate"},
		"project": {func(r *Request) { r.Identity = "spiffe://sallyport.local/other" }, "provenance.identity"},
		"domain":  {func(r *Request) { r.Identity = "spiffe://other.example" }, "provenance.issuer"},
		"source":  {func(r *Request) { r.Source = "git+https://git.example/shop2" }, "provenance.source"},
		"prefix":  {func(r *Request) { r.Source = "git+https://other.example/*" }, "provenance.source"},
		"ref":     {func(r *Request) { r.Ref = "v1.2.1" }, "provenance.ref"},
		"policy":  {func(r *Request) { r.Policies = []digest.Digest{digest.OfString("strict")} }, "summary.policy"},
		"level":   {func(r *Request) { r.Levels = []string{"SLSA_BUILD_LEVEL_3"} }, "summary.required-level"},
		"artifact": {func(r *Request) {
			r.Bundle = r.Artifact + ".sigstore.jsonl"
			r.Artifact = filepath.Join(t.TempDir(), "server")
			if err := os.WriteFile(r.Artifact, []byte("server!\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "provenance.artifact"},
	} {
		req := w.request()
		c.change(&req)
		if r := check(t, req); r.Outcome != Failed || !slices.Contains(failures(r), c.fails) {
			t.Errorf("%s: %s, failed %v", name, r.Outcome, failures(r))
		}
	}
}

func copyLayout(t *testing.T, w *world) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.CopyFS(dir, os.DirFS(w.promotion.Layout)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTamperedLayout(t *testing.T) {
	w := theWorld(t)
	a := w.promotion.Artifacts[0]
	req := func(dir string) Request {
		return Request{Artifact: dir + ":" + a.Tag, TrustedRootJSON: w.authority.TrustedRoot()}
	}
	dir := copyLayout(t, w)
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", a.Digest.Hex()), []byte("server?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := check(t, req(dir)); r.Outcome != Failed || !slices.Contains(failures(r), "artifact.digest") {
		t.Errorf("changed artifact: %v", failures(r))
	}
	dir = copyLayout(t, w)
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", a.Manifest.Hex()), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), req(dir)); !errors.Is(err, ErrRequest) {
		t.Errorf("changed manifest: %v", err)
	}
	dir = copyLayout(t, w)
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.ReplaceAll(b, []byte(typeBundle), []byte("application/x"))
	if err := os.WriteFile(filepath.Join(dir, "index.json"), cut, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := check(t, req(dir)); r.Outcome != Failed || !slices.Contains(failures(r), "provenance") {
		t.Errorf("hidden statements: %v", failures(r))
	}
}

func TestErrorsAreNotOutcomes(t *testing.T) {
	w := theWorld(t)
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, bytes.Repeat([]byte("{}\n"), maxCount+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request){
		"no such artifact":      func(r *Request) { r.Artifact = filepath.Join(dir, "x") },
		"no such bundle":        func(r *Request) { r.Bundle = filepath.Join(dir, "x") },
		"too many bundles":      func(r *Request) { r.Bundle = huge },
		"no root":               func(r *Request) { r.TrustedRootJSON = nil },
		"no such root":          func(r *Request) { r.TrustedRootJSON, r.TrustedRoot = nil, filepath.Join(dir, "x") },
		"root that is none":     func(r *Request) { r.TrustedRootJSON = []byte("{}") },
		"identity":              func(r *Request) { r.Identity = "https://x" },
		"identity as a pattern": func(r *Request) { r.Identity = "spiffe://.*" },
		"directory":             func(r *Request) { r.Artifact = dir },
		"device":                func(r *Request) { r.Artifact = "/dev/zero" },
		"endless bundle":        func(r *Request) { r.Bundle = "/dev/zero" },
		"several artifacts":     func(r *Request) { r.Artifact = w.promotion.Layout },
		"index of several":      func(r *Request) { r.Artifact = w.promotion.Layout + ":42" },
		"no such tag":           func(r *Request) { r.Artifact = w.promotion.Layout + ":43" },
	} {
		req := w.request()
		change(&req)
		if r, err := Check(t.Context(), req); err == nil || r.Outcome != "" {
			t.Errorf("%s: outcome %q, error %v", name, r.Outcome, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, w.request()); err == nil {
		t.Error("a check that was stopped gave an outcome")
	}
}

func TestNothingOfItMovesACursor(t *testing.T) {
	w := theWorld(t)
	lines := w.forge(t, false, func(all map[string]map[string]any) {
		dig(all[provenance.TypeProvenance], "predicate", "buildDefinition")["buildType"] = "\x1b[2J\u202efoo\nPASSED"
	})
	b, err := json.Marshal(check(t, w.with(t, lines)))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(`\u001b`)) || bytes.Contains(b, []byte("\u202e")) {
		t.Error("the report carries control characters of the artifact's maker")
	}
}

// Whatever a bundle file holds, an artifact passes only on the statements that
// were signed for it.
func FuzzBundle(f *testing.F) {
	w := theWorld(f)
	lines := w.lines(f, "server")
	f.Add(bytes.Join(lines, []byte("\n")))
	f.Add([]byte("{}\n{}"))
	var signed []string
	for _, l := range lines {
		b, err := json.Marshal(statement(f, l))
		if err != nil {
			f.Fatal(err)
		}
		signed = append(signed, string(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req := w.request()
		req.Bundle = filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(req.Bundle, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), req)
		if err != nil {
			return
		}
		if r.Outcome != Passed && r.Outcome != Failed {
			t.Fatalf("outcome %q", r.Outcome)
		}
		if r.Outcome == Failed {
			return
		}
		all, err := split(b)
		if err != nil || len(all) < 5 {
			t.Fatalf("passed on %d statements", len(all))
		}
		for _, l := range all {
			got, err := json.Marshal(statement(t, l))
			if err != nil || !slices.Contains(signed, string(got)) {
				t.Fatalf("passed with a statement that was not signed: %s", got)
			}
		}
	})
}

// A layout whose index and manifest somebody else wrote passes only as the one
// that was released.
func FuzzLayout(f *testing.F) {
	w := theWorld(f)
	a := w.promotion.Artifacts[0]
	real := filepath.Join(w.promotion.Layout, "blobs")
	index, err := os.ReadFile(filepath.Join(w.promotion.Layout, "index.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(index, a.Tag)
	f.Add([]byte(`{"manifests":[{"digest":"sha256:../../x"}]}`), "")
	f.Fuzz(func(t *testing.T, index []byte, tag string) {
		if strings.ContainsAny(tag, "/:\x00") {
			return
		}
		dir := filepath.Join(t.TempDir(), "l")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(dir, "blobs")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "index.json"), index, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), Request{Artifact: dir + ":" + tag, TrustedRootJSON: w.authority.TrustedRoot()})
		if err != nil || r.Outcome == Failed {
			return
		}
		if r.Digest != a.Digest.String() && r.Digest != w.promotion.Artifacts[1].Digest.String() {
			t.Fatalf("%s passed", r.Digest)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	w := theWorld(b)
	for b.Loop() {
		if r := check(b, w.request()); r.Outcome != Passed {
			b.Fatal(r.Failures())
		}
	}
}

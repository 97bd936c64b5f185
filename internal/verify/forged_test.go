package verify

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
)

// statement is the payload of one bundle, decoded.
func statement(t testing.TB, line []byte) map[string]any {
	t.Helper()
	var b struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(line, &b); err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(b.Envelope.Payload, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// forge changes statements before they are signed with the real keys. What the
// summary rests on follows, unless stale.
func (w *world) forge(t testing.TB, stale bool, change func(map[string]map[string]any)) [][]byte {
	t.Helper()
	lines := w.lines(t, "server")
	all := map[string]map[string]any{}
	var order []string
	for _, l := range lines {
		s := statement(t, l)
		typ := s["predicateType"].(string)
		all[typ] = s
		order = append(order, typ)
	}
	change(all)
	payload := func(typ string) []byte {
		b, err := json.Marshal(all[typ])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if s := all[provenance.TypeSummary]; s != nil && !stale {
		for _, in := range s["predicate"].(map[string]any)["inputAttestations"].([]any) {
			m := in.(map[string]any)
			if typ := m["uri"].(string); all[typ] != nil {
				m["digest"] = map[string]any{"sha256": digest.Of(payload(typ)).Hex()}
			}
		}
	}
	var reqs []sign.Request
	for _, typ := range order {
		if all[typ] == nil {
			continue
		}
		r := sign.Request{Role: sign.Provenance, Identity: "spiffe://sallyport.local/shop/release/provenance", Statement: payload(typ)}
		if typ == provenance.TypeSummary {
			r.Role, r.Identity = sign.Release, "spiffe://sallyport.local/shop/release/signer"
		}
		reqs = append(reqs, r)
	}
	bundles, err := w.authority.AttestAll(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, b := range bundles {
		out = append(out, b.Full)
	}
	return out
}

func dig(m map[string]any, path ...string) map[string]any {
	for _, p := range path {
		m = m[p].(map[string]any)
	}
	return m
}

// Statements that are signed as they should be, and say what must not pass.
func TestSignedButWrong(t *testing.T) {
	w := theWorld(t)
	in := func(typ string, f func(p map[string]any)) func(map[string]map[string]any) {
		return func(all map[string]map[string]any) { f(dig(all[typ], "predicate")) }
	}
	prov := func(f func(def, run map[string]any)) func(map[string]map[string]any) {
		return in(provenance.TypeProvenance, func(p map[string]any) { f(dig(p, "buildDefinition"), dig(p, "runDetails")) })
	}
	for name, c := range map[string]struct {
		change func(map[string]map[string]any)
		fails  string
		stale  bool
	}{
		"unchanged":         {func(map[string]map[string]any) {}, "", false},
		"exchanged later":   {prov(func(_, run map[string]any) { dig(run, "metadata")["invocationId"] = "41" }), "summary.input-provenance", true},
		"foreign builder":   {prov(func(_, run map[string]any) { dig(run, "builder")["id"] = "https://github.com/actions/runner" }), "provenance.builder", false},
		"build type":        {prov(func(def, _ map[string]any) { def["buildType"] = "https://x.example/y" }), "provenance.build-type", false},
		"unknown parameter": {prov(func(def, _ map[string]any) { dig(def, "externalParameters")["LD_PRELOAD"] = "/tmp/x.so" }), "provenance.parameters", false},
		"another project":   {prov(func(def, _ map[string]any) { dig(def, "internalParameters")["project"] = "other" }), "provenance.project", false},
		"incomplete":        {prov(func(def, _ map[string]any) { dig(def, "internalParameters")[provenance.Complete] = false }), "provenance.complete", false},
		"says nothing of it": {prov(func(def, _ map[string]any) {
			delete(dig(def, "internalParameters"), provenance.Complete)
		}), "provenance.complete", false},
		"no digest": {prov(func(def, _ map[string]any) {
			delete(def["resolvedDependencies"].([]any)[2].(map[string]any), "digest")
		}), "provenance.digests", false},
		"no source": {prov(func(def, _ map[string]any) {
			def["resolvedDependencies"] = def["resolvedDependencies"].([]any)[1:]
		}), "provenance.source-listed", false},
		"a dependency less": {prov(func(def, _ map[string]any) {
			d := def["resolvedDependencies"].([]any)
			def["resolvedDependencies"] = slices.Delete(d, 3, 4)
		}), "cyclonedx.materials", false},
		"no receipts": {prov(func(_, run map[string]any) { run["byproducts"] = []any{} }), "provenance.receipts", false},
		"dirty receipt": {prov(func(_, run map[string]any) {
			for _, b := range run["byproducts"].([]any) {
				if m := b.(map[string]any); m["name"] == "receipt/build" {
					body := []byte(`{"zone":"build","probes":[{"name":"net","ok":false}]}`)
					m["content"], m["digest"] = body, map[string]any{"sha256": digest.Of(body).Hex()}
				}
			}
		}), "provenance.receipts", false},
		"a field that nobody knows": {prov(func(def, _ map[string]any) { def["exceptFor"] = "evil" }), "provenance.form", false},
		"no build definition":       {in(provenance.TypeProvenance, func(p map[string]any) { delete(p, "buildDefinition") }), "provenance.form", false},
		"did not pass":              {in(provenance.TypeSummary, func(p map[string]any) { p["verificationResult"] = "FAILED" }), "summary.result", false},
		"other verifier":            {in(provenance.TypeSummary, func(p map[string]any) { dig(p, "verifier")["id"] = "https://x.example" }), "summary.verifier", false},
		"level 3":                   {in(provenance.TypeSummary, func(p map[string]any) { p["verifiedLevels"] = []any{"SLSA_BUILD_LEVEL_3"} }), "summary.level", false},
		"level 2 too": {in(provenance.TypeSummary, func(p map[string]any) {
			p["verifiedLevels"] = append(p["verifiedLevels"].([]any), "SLSA_BUILD_LEVEL_2")
		}), "summary.level", false},
		"source level":     {in(provenance.TypeSummary, func(p map[string]any) { p["verifiedLevels"] = []any{"SLSA_SOURCE_LEVEL_3"} }), "summary.level", false},
		"no policy digest": {in(provenance.TypeSummary, func(p map[string]any) { delete(dig(p, "policy"), "digest") }), "summary.policy", false},
		"rests on nothing": {in(provenance.TypeSummary, func(p map[string]any) { p["inputAttestations"] = []any{} }), "summary.input-provenance", false},
		"rests on more": {in(provenance.TypeSummary, func(p map[string]any) {
			p["inputAttestations"] = append(p["inputAttestations"].([]any), map[string]any{"uri": "https://x.example/review", "digest": map[string]any{"sha256": digest.OfString("x").Hex()}})
		}), "summary.inputs", false},
		"failed tests": {in(provenance.TypeTestResult, func(p map[string]any) { p["result"] = "FAILED" }), "tests.result", false},
		"bill without a package": {in(provenance.TypeCycloneDX, func(p map[string]any) {
			p["components"] = p["components"].([]any)[1:]
		}), "cyclonedx.materials", false},
		"bill with one more": {in(provenance.TypeCycloneDX, func(p map[string]any) {
			p["components"] = append(p["components"].([]any), map[string]any{"type": "library", "name": "x", "purl": "pkg:npm/x@1"})
		}), "cyclonedx.materials", false},
		"bill of other bytes": {in(provenance.TypeSPDX, func(p map[string]any) {
			for _, k := range p["packages"].([]any) {
				if m := k.(map[string]any); m["SPDXID"] == "SPDXRef-Package-1" {
					m["checksums"] = []any{map[string]any{"algorithm": "SHA256", "checksumValue": digest.OfString("x").Hex()}}
				}
			}
		}), "spdx.materials", false},
		"bill of another artifact": {in(provenance.TypeCycloneDX, func(p map[string]any) {
			dig(p, "metadata", "component")["hashes"] = []any{map[string]any{"alg": "SHA-256", "content": digest.OfString("x").Hex()}}
		}), "cyclonedx.materials-of", false},
	} {
		r := check(t, w.with(t, w.forge(t, c.stale, c.change)))
		if c.fails == "" {
			if r.Outcome != Passed {
				t.Errorf("%s: failed %v", name, r.Failures())
			}
			continue
		}
		if r.Outcome != Failed || !slices.Contains(failures(r), c.fails) {
			t.Errorf("%s: %s, failed %v, wanted %s to fail", name, r.Outcome, failures(r), c.fails)
		}
	}
}

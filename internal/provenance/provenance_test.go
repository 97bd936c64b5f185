package provenance

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	statementv1 "github.com/in-toto/attestation/go/v1"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"
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

// all makes everything that can be said about the first artifact.
func all(r *evidence.Run) (map[string]Statement, error) {
	a := r.Artifacts[0]
	out := map[string]Statement{}
	for name, f := range map[string]func(*evidence.Run, evidence.Artifact, ...Subject) (Statement, error){
		"provenance": Build, "cyclonedx": CycloneDXStatement, "spdx": SPDXStatement, "scai": Attributes,
		"tests": func(r *evidence.Run, a evidence.Artifact, _ ...Subject) (Statement, error) {
			s, _, err := TestResult(r, a)
			return s, err
		},
	} {
		s, err := f(r, a)
		if err != nil {
			return nil, err
		}
		out[name] = s
	}
	p := Policy{URI: "https://github.com/sallyport/sallyport/policies/default@v1", Digest: digest.OfString("policy")}
	s, err := Summary(r, a, p, r.Ended.Add(time.Second), []Statement{out["provenance"], out["cyclonedx"], out["spdx"], out["tests"]})
	out["summary"] = s
	return out, err
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := "testdata/" + name + ".json"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		t.Errorf("%s is not what it was; run with -update and look at the difference", path)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

func TestGolden(t *testing.T) {
	statements, err := all(goodRun(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range statements {
		golden(t, name, s.JSON)
	}
}

// The order in which things were served is chance; what is said is not.
func TestSameEvidenceSameBytes(t *testing.T) {
	r := goodRun(t)
	first, err := all(r)
	if err != nil {
		t.Fatal(err)
	}
	second, err := all(goodRun(t))
	if err != nil {
		t.Fatal(err)
	}
	for name := range first {
		if !bytes.Equal(first[name].JSON, second[name].JSON) {
			t.Errorf("%s differs from one call to the next", name)
		}
	}
	shuffled := goodRun(t)
	slices.Reverse(shuffled.Served)
	shuffled.Served = append(shuffled.Served, shuffled.Served[0]) // served to two stages
	for name, f := range map[string]func(*evidence.Run, evidence.Artifact) ([]byte, error){"cyclonedx": CycloneDX, "spdx": SPDX} {
		one, err := f(goodRun(t), shuffled.Artifacts[0])
		if err != nil {
			t.Fatal(err)
		}
		two, err := f(shuffled, shuffled.Artifacts[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("%s depends on the order of serving", name)
		}
	}
}

func parse(t *testing.T, s Statement) *slsa.Provenance {
	t.Helper()
	var st statementv1.Statement
	if err := protojson.Unmarshal(s.JSON, &st); err != nil {
		t.Fatal(err)
	}
	if err := st.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(st.GetPredicate())
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestProvenanceIsComplete(t *testing.T) {
	r := goodRun(t)
	s, err := Build(r, r.Artifacts[0])
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, s)
	var got []string
	for _, d := range p.GetBuildDefinition().GetResolvedDependencies() {
		got = append(got, d.GetUri())
		if len(d.GetDigest()) == 0 {
			t.Errorf("%s has no digest", d.GetUri())
		}
	}
	want := []string{r.Source.URI, "pkg:golang/golang.org/x/text@v0.21.0", "pkg:golang/golang.org/x/text@v0.21.0", "pkg:npm/esbuild@0.25.0", "pkg:npm/express@4.21.2", "pkg:generic/base@Debian%20GNU%2FLinux%2012%20%28bookworm%29", "pkg:generic/go@1.26.8", "pkg:generic/node@20.19.0"}
	if !slices.Equal(got, want) {
		t.Errorf("dependencies\n %v\nwanted\n %v", got, want)
	}
	if !p.GetBuildDefinition().GetInternalParameters().GetFields()[Complete].GetBoolValue() {
		t.Error("complete dependencies are not called so")
	}
	receipts := 0
	for _, b := range p.GetRunDetails().GetByproducts() {
		if strings.HasPrefix(b.GetName(), "receipt/") {
			receipts++
			if digest.Of(b.GetContent()).Hex() != b.GetDigest()["sha256"] {
				t.Errorf("%s has another digest than its content", b.GetName())
			}
		}
	}
	if receipts != 4 {
		t.Errorf("%d receipts, wanted one for each stage", receipts)
	}
	r.Served[0].PURL = "pkg:npm/other@1.0.0"
	if s, err = Build(r, r.Artifacts[0]); err != nil {
		t.Fatal(err)
	}
	if parse(t, s).GetBuildDefinition().GetInternalParameters().GetFields()[Complete].GetBoolValue() {
		t.Error("dependencies that were not planned are called complete")
	}
}

// An image is named by its package URL, and by the SHA-256 of its manifest.
func TestImageIsADependency(t *testing.T) {
	r := goodRun(t)
	d := digest.OfString("manifest")
	const uri = "pkg:oci/img@sha256%3A01"
	r.Toolchains = []evidence.Toolchain{{Name: "image", Version: "linux/amd64", Path: "/", URI: uri, Digest: d}}
	r.Parameters = append(r.Parameters, evidence.Parameter{Name: "image", Value: uri})
	s, err := Build(r, r.Artifacts[0])
	if err != nil {
		t.Fatal(err)
	}
	all := parse(t, s).GetBuildDefinition().GetResolvedDependencies()
	last := all[len(all)-1]
	if last.GetUri() != uri || last.GetDigest()["sha256"] != d.Hex() || len(last.GetDigest()) != 1 {
		t.Errorf("got %v", last)
	}
	if !slices.Contains(Parameters(), "image") {
		t.Error("verifiers do not know the parameter")
	}
}

func TestParametersAreAllNamed(t *testing.T) {
	r := goodRun(t)
	r.Without = []string{"test"}
	s, err := Build(r, r.Artifacts[0])
	if err != nil {
		t.Fatal(err)
	}
	for name := range parse(t, s).GetBuildDefinition().GetExternalParameters().GetFields() {
		if !slices.Contains(Parameters(), name) {
			t.Errorf("parameter %s is not one that verifiers know", name)
		}
	}
	if parse(t, s).GetBuildDefinition().GetExternalParameters().GetFields()["without"].GetStringValue() != "test" {
		t.Error("--without is not in provenance")
	}
	r.Parameters = append(r.Parameters, r.Parameters[0])
	if _, err := Build(r, r.Artifacts[0]); err == nil {
		t.Error("a parameter that stands twice was taken")
	}
}

func TestNothingIsSaidOfAFailedRun(t *testing.T) {
	for name, change := range map[string]func(*evidence.Run, *evidence.Artifact){
		"failed":          func(r *evidence.Run, _ *evidence.Artifact) { r.State = evidence.Failed },
		"running":         func(r *evidence.Run, _ *evidence.Artifact) { r.State = evidence.Running },
		"no builder":      func(r *evidence.Run, _ *evidence.Artifact) { r.Isolation.BuilderID = "" },
		"other artifact":  func(_ *evidence.Run, a *evidence.Artifact) { a.Digest = digest.OfString("x") },
		"without digest":  func(r *evidence.Run, a *evidence.Artifact) { a.Digest = digest.Digest{}; r.Artifacts[0] = *a },
		"another's name":  func(_ *evidence.Run, a *evidence.Artifact) { a.Name = "web" },
		"no artifact yet": func(r *evidence.Run, _ *evidence.Artifact) { r.Artifacts = nil },
	} {
		r := goodRun(t)
		a := r.Artifacts[0]
		change(r, &a)
		if _, err := Build(r, a); err == nil {
			t.Errorf("%s: provenance was made", name)
		}
		if _, err := Summary(r, a, Policy{"p", digest.OfString("p")}, r.Ended, []Statement{{"x", []byte("{}")}}); err == nil {
			t.Errorf("%s: a summary was made", name)
		}
		if _, err := CycloneDX(r, a); err == nil {
			t.Errorf("%s: a bill of materials was made", name)
		}
	}
}

func TestLevels(t *testing.T) {
	everything := []string{LevelComplete, LevelPinned, LevelHermetic, LevelIsolated, LevelScanned, LevelReproduced, LevelTested, LevelSLSA1}
	lacking := func(gone ...string) []string {
		out := slices.DeleteFunc(slices.Clone(everything), func(l string) bool { return slices.Contains(gone, l) })
		slices.Sort(out)
		return out
	}
	for name, c := range map[string]struct {
		change func(*evidence.Run)
		want   []string
	}{
		"all":             {func(*evidence.Run) {}, lacking()},
		"reduced":         {func(r *evidence.Run) { r.Isolation.Level = "reduced" }, lacking(LevelIsolated)},
		"unknown builder": {func(r *evidence.Run) { r.Isolation.BuilderID = "https://ci.example/hosted@v1" }, lacking(LevelSLSA1)},
		"no receipt":      {func(r *evidence.Run) { r.Stages[1].Receipt = nil }, lacking(LevelIsolated, LevelHermetic)},
		"dirty receipt":   {func(r *evidence.Run) { r.Stages[1].Receipt.Probes[0].OK = false }, lacking(LevelIsolated, LevelHermetic)},
		"cached, unknown": {func(r *evidence.Run) { r.Stages[1].Cached, r.Stages[1].Receipt = true, nil }, lacking(LevelIsolated, LevelHermetic)},
		"unplanned":       {func(r *evidence.Run) { r.Planned = nil }, lacking(LevelHermetic, LevelComplete, LevelPinned)},
		"unpinned":        {func(r *evidence.Run) { r.Unpinned = []string{"go.mod"} }, lacking(LevelPinned)},
		"untested":        {func(r *evidence.Run) { r.Tests = nil; r.Without = []string{"test"} }, append(lacking(LevelTested), "SALLYPORT_WITHOUT_TEST")},
		"failed tests":    {func(r *evidence.Run) { r.Tests.Passed = false }, lacking(LevelTested)},
		"differs":         {func(r *evidence.Run) { r.Rebuilds[0].Identical = false }, lacking(LevelReproduced)},
		"secret":          {func(r *evidence.Run) { r.Secrets = []evidence.Finding{{}} }, lacking(LevelScanned)},
		"nothing ran":     {func(r *evidence.Run) { r.Stages = nil }, lacking(LevelIsolated, LevelHermetic)},
	} {
		r := goodRun(t)
		c.change(r)
		slices.Sort(c.want)
		if got := Levels(r, r.Artifacts[0]); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, wanted %v", name, got, c.want)
		}
	}
}

func TestNoLevelAboveTheBuilder(t *testing.T) {
	for id, want := range map[string]int{
		"https://github.com/sallyport/sallyport/builder/local/namespaces/full@v1":    1,
		"https://github.com/sallyport/sallyport/builder/local/oci:runsc/reduced@v1":  1,
		"https://github.com/sallyport/sallyport/builder/local/oci:kata/full@v1":      -1,
		"https://github.com/sallyport/sallyport/builder/local/namespaces/full@v1/..": -1,
		"https://github.com/sallyport/sallyport/builder/hosted/namespaces/full@v1":   -1,
		"https://github.com/other/builder":                                           -1,
	} {
		if level, known := BuilderLevel(id); known != (want >= 0) || known && level != want {
			t.Errorf("%s: level %d, known %v", id, level, known)
		}
	}
}

func TestBillsOfMaterialsAreRead(t *testing.T) {
	r := goodRun(t)
	b, err := CycloneDX(r, r.Artifacts[0])
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(b), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var purls []string
	for _, c := range *bom.Components {
		purls = append(purls, c.PackageURL)
	}
	want := []string{"pkg:golang/golang.org/x/text@v0.21.0", "pkg:golang/std@1.26.8", "pkg:npm/esbuild@0.25.0", "pkg:npm/express@4.21.2"}
	if bom.SpecVersion != cyclonedx.SpecVersion1_6 || !slices.Equal(purls, want) {
		t.Errorf("version %v, components %v", bom.SpecVersion, purls)
	}
	if b, err = SPDX(r, r.Artifacts[0]); err != nil {
		t.Fatal(err)
	}
	var doc v2_3.Document
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Packages) != len(want)+1 || len(doc.Relationships) != len(want)+1 {
		t.Errorf("%d packages, %d relationships", len(doc.Packages), len(doc.Relationships))
	}
}

// A Go toolchain that a go.mod asked for brings its own standard library.
func TestToolchainThroughTheGateway(t *testing.T) {
	r := goodRun(t)
	r.Served = append(r.Served, evidence.Material{
		PURL: "pkg:golang/golang.org/toolchain@v0.0.1-go1.27.4.linux-amd64", Kind: "toolchain", Digest: digest.OfString("toolchain"), Pin: evidence.PinSumDB,
	})
	var got []string
	for _, p := range parts(r) {
		if p.group == "" {
			got = append(got, p.purl)
		}
	}
	if !slices.Contains(got, "pkg:golang/std@1.27.4") || !slices.Contains(got, "pkg:golang/std@1.26.8") {
		t.Errorf("packages %v", got)
	}
}

func FuzzStatements(f *testing.F) {
	b, err := json.Marshal(goodRun(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r evidence.Run
		if json.Unmarshal(b, &r) != nil || len(r.Artifacts) == 0 {
			return
		}
		for i := range r.Stages {
			if r.Stages[i].Zone > boundary.Deploy {
				return
			}
		}
		statements, err := all(&r)
		if err != nil {
			return
		}
		for name, s := range statements {
			if len(s.JSON) == 0 {
				continue
			}
			var st statementv1.Statement
			if err := protojson.Unmarshal(s.JSON, &st); err != nil || st.Validate() != nil {
				t.Fatalf("%s is no statement: %v", name, err)
			}
		}
	})
}

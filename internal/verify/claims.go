package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// predicate decodes the predicate of a verified statement, strictly: a field
// that is not known could change the meaning of the others.
func predicate(v *sign.Verified, into proto.Message) error {
	var s struct {
		Predicate json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(v.Statement, &s); err != nil {
		return err
	}
	return protojson.Unmarshal(s.Predicate, into)
}

// provenance checks who built what how.
func (x *examination) provenance() (*slsa.Provenance, bool) {
	v := x.verified[provenance.TypeProvenance]
	if v == nil {
		return nil, false
	}
	var p slsa.Provenance
	err := predicate(v, &p)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		x.add("provenance.form", "SLSA provenance v1", err.Error(), false)
		return nil, false
	}
	def := p.GetBuildDefinition()
	builder := p.GetRunDetails().GetBuilder().GetId()
	level, known := provenance.BuilderLevel(builder)
	got := builder
	if known {
		got += ", at most SLSA Build level " + strconv.Itoa(level)
	}
	x.report.Builder, x.report.Project = shown(builder), project(v)
	x.add("provenance.builder", "a builder of Sallyport", got, known)
	x.add("provenance.build-type", provenance.BuildType, def.GetBuildType(), def.GetBuildType() == provenance.BuildType)
	named := def.GetInternalParameters().GetFields()["project"].GetStringValue()
	x.add("provenance.project", "project "+project(v)+", as the signer", named, segment(named) == project(v))
	x.parameters(&p)
	return &p, true
}

// segment is a project's name as it stands in a SPIFFE ID.
func segment(name string) string {
	out := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			return c
		}
		return '_'
	}, name)
	if out == "" || out == "." || out == ".." {
		return "_"
	}
	return out
}

// parameters refuses a build that was steered by something that nobody here
// knows the meaning of.
func (x *examination) parameters(p *slsa.Provenance) {
	var unknown []string
	fields := p.GetBuildDefinition().GetExternalParameters().GetFields()
	for name := range fields {
		if !slices.Contains(provenance.Parameters(), name) {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	got := fmt.Sprintf("%d known parameters", len(fields))
	if len(unknown) > 0 {
		got = "unknown: " + strings.Join(unknown, ", ")
	}
	x.add("provenance.parameters", "only "+strings.Join(provenance.Parameters(), ", "), got, len(unknown) == 0)
	source := fields["source"].GetStringValue()
	x.report.Source = shown(source)
	if x.req.Source != "" {
		prefix, open := strings.CutSuffix(x.req.Source, "*")
		x.add("provenance.source", x.req.Source, source, source == x.req.Source || open && strings.HasPrefix(source, prefix))
	}
	if x.req.Ref != "" {
		ref := fields["ref"].GetStringValue()
		x.add("provenance.ref", x.req.Ref, ref, ref == x.req.Ref)
	}
}

// sources checks that the list of dependencies says that it is complete, and
// names each by digest.
func (x *examination) sources(p *slsa.Provenance) {
	def := p.GetBuildDefinition()
	complete := def.GetInternalParameters().GetFields()[provenance.Complete].GetBoolValue()
	x.add("provenance.complete", "all dependencies are listed", fmt.Sprintf("%d listed, complete: %v", len(def.GetResolvedDependencies()), complete), complete)
	var loose []string
	sourced := false
	for _, d := range def.GetResolvedDependencies() {
		if len(d.GetDigest()) == 0 {
			loose = append(loose, d.GetUri())
		}
		sourced = sourced || d.GetName() == "source"
	}
	x.add("provenance.digests", "each dependency has a digest", fmt.Sprintf("%d without %s", len(loose), strings.Join(loose, ", ")), len(loose) == 0)
	x.add("provenance.source-listed", "the source is among them", strconv.FormatBool(sourced), sourced)
}

// receipts checks the probes of the zones that ran other people's code.
func (x *examination) receipts(p *slsa.Provenance) {
	shownBy := map[string]bool{}
	var bad []string
	for _, b := range p.GetRunDetails().GetByproducts() {
		stage, ok := strings.CutPrefix(b.GetName(), "receipt/")
		if !ok {
			continue
		}
		var r evidence.Receipt
		err := json.Unmarshal(b.GetContent(), &r)
		if err != nil || digest.Of(b.GetContent()).Hex() != b.GetDigest()["sha256"] || !r.Clean() {
			bad = append(bad, stage)
			continue
		}
		shownBy[stage] = true
	}
	var without []string
	for _, s := range p.GetBuildDefinition().GetInternalParameters().GetFields()["stages"].GetListValue().GetValues() {
		f := s.GetStructValue().GetFields()
		name, state := f["name"].GetStringValue(), f["state"].GetStringValue()
		zone, err := boundary.ParseZone(f["zone"].GetStringValue())
		tainted := err != nil || zone <= boundary.Test
		if tainted && !f["cached"].GetBoolValue() && state != string(evidence.Skipped) && !shownBy[name] {
			without = append(without, name)
		}
	}
	got := fmt.Sprintf("%d clean", len(shownBy))
	if len(bad)+len(without) > 0 {
		got = "not clean: " + strings.Join(bad, ", ") + "; missing: " + strings.Join(without, ", ")
	}
	x.add("provenance.receipts", "a clean receipt of each zone that ran other people's code", got, len(bad)+len(without) == 0)
}

// summary checks that the gate let the artifact pass, and by which policy.
func (x *examination) summary() (*vsa.VerificationSummary, bool) {
	v := x.verified[provenance.TypeSummary]
	if v == nil {
		return nil, false
	}
	var s vsa.VerificationSummary
	if err := predicate(v, &s); err != nil {
		x.add("summary.form", "SLSA verification summary v1", err.Error(), false)
		return nil, false
	}
	x.report.Policy = shown(s.GetPolicy().GetUri())
	x.add("summary.verifier", provenance.VerifierID, s.GetVerifier().GetId(), s.GetVerifier().GetId() == provenance.VerifierID)
	x.add("summary.result", "PASSED", s.GetVerificationResult(), s.GetVerificationResult() == "PASSED")
	x.policy(&s)
	x.resource(&s, v)
	return &s, true
}

// resource checks that the summary is about this project's artifact.
func (x *examination) resource(s *vsa.VerificationSummary, v *sign.Verified) {
	other := x.verified[provenance.TypeProvenance]
	if other != nil {
		x.add("summary.signer", "of the project of the provenance, "+project(other), project(v), project(v) == project(other))
		x.add("summary.order", "signed with or after the provenance", v.Time.UTC().Format("2006-01-02T15:04:05Z07:00"), !v.Time.Before(other.Time))
	}
	x.add("summary.resource", "a package URL of type generic", s.GetResourceUri(), strings.HasPrefix(s.GetResourceUri(), "pkg:generic/"))
}

func (x *examination) policy(s *vsa.VerificationSummary) {
	d, err := digest.Parse("sha256:" + s.GetPolicy().GetDigest()["sha256"])
	got := s.GetPolicy().GetUri() + " " + d.String()
	if err != nil {
		x.add("summary.policy", "a policy with a digest", s.GetPolicy().GetUri(), false)
		return
	}
	wanted := "a policy with a digest"
	if len(x.req.Policies) > 0 {
		names := make([]string, len(x.req.Policies))
		for i, p := range x.req.Policies {
			names[i] = p.String()
		}
		wanted = "one of " + strings.Join(names, ", ")
	}
	x.add("summary.policy", wanted, got, s.GetPolicy().GetUri() != "" && (len(x.req.Policies) == 0 || slices.Contains(x.req.Policies, d)))
}

// inputs checks that the summary rests on the statements that are here, and
// that none of them was exchanged, added or taken away since.
func (x *examination) inputs(s *vsa.VerificationSummary) {
	listed := map[string]string{}
	for _, in := range s.GetInputAttestations() {
		if _, twice := listed[in.GetUri()]; twice {
			x.add("summary.inputs", "each statement once", in.GetUri()+" twice", false)
		}
		listed[in.GetUri()] = in.GetDigest()["sha256"]
	}
	for _, k := range kinds() {
		v := x.verified[k.typ]
		want, isListed := listed[k.typ]
		delete(listed, k.typ)
		switch {
		case k.typ == provenance.TypeSummary || v == nil && !isListed:
		case v == nil:
			x.add("summary.input-"+k.name, "sha256:"+want, "no such statement that verifies", false)
		case !isListed:
			x.add("summary.input-"+k.name, "the summary rests on it", "it does not", false)
		default:
			got := statementDigest(v).Hex()
			x.add("summary.input-"+k.name, "sha256:"+want, "sha256:"+got, got == want)
		}
	}
	for uri := range listed {
		x.add("summary.inputs", "only known statements", uri, false)
	}
}

// levels checks that the summary claims no more than the builder can hold and
// the statements show.
func (x *examination) levels(s *vsa.VerificationSummary, p *slsa.Provenance) {
	levels := slices.Clone(s.GetVerifiedLevels())
	for i := range levels {
		levels[i] = shown(levels[i])
	}
	x.report.Levels = levels
	most := 0
	if p != nil {
		most, _ = provenance.BuilderLevel(p.GetRunDetails().GetBuilder().GetId())
	}
	claimed, tracks, odd := 0, 0, ""
	for _, l := range levels {
		rest, ok := strings.CutPrefix(l, "SLSA_")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "BUILD_LEVEL_"))
		if !strings.HasPrefix(rest, "BUILD_LEVEL_") || err != nil || n < 0 {
			odd = l
			continue
		}
		claimed = max(claimed, n)
		tracks++
	}
	x.add("summary.level", fmt.Sprintf("one SLSA Build level, at most %d", most), strings.Join(levels, ", "), odd == "" && tracks <= 1 && claimed <= most)
	if slices.Contains(levels, provenance.LevelTested) {
		x.add("summary.tested", "a test result", presence(x.verified[provenance.TypeTestResult] != nil), x.verified[provenance.TypeTestResult] != nil)
	}
	for _, want := range x.req.Levels {
		x.add("summary.required-level", want, strings.Join(levels, ", "), slices.Contains(levels, want))
	}
}

func presence(is bool) string {
	if is {
		return "present"
	}
	return "none"
}

// tests checks the test result, where there is one.
func (x *examination) tests() {
	v := x.verified[provenance.TypeTestResult]
	if v == nil {
		if x.verified[provenance.TypeSummary] != nil {
			x.add("tests.result", "passed, where tests ran", "no tests ran for this artifact", true)
		}
		return
	}
	var t testresult.TestResult
	if err := predicate(v, &t); err != nil {
		x.add("tests.form", "in-toto test result v0.1", err.Error(), false)
		return
	}
	x.add("tests.result", "PASSED", t.GetResult(), t.GetResult() == "PASSED" && len(t.GetFailedTests()) == 0)
}

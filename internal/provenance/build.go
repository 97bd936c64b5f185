package provenance

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	statementv1 "github.com/in-toto/attestation/go/v1"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Names of digests in resource descriptors that are not of one file's bytes.
const (
	algManifest = "sallyportManifest" // of the manifest of a tree or of a toolchain's files
	algDirHash  = "dirHash"           // Go's h1 checksum
)

// Media types of byproducts.
const (
	typeReceipt  = "application/vnd.sallyport.receipt.v1+json"
	typeStage    = "application/vnd.sallyport.stage.v1+json"
	typeEvidence = "application/vnd.sallyport.evidence.v1+json"
)

// Parameters are the external parameters that a run can have. A verifier
// refuses provenance with any other.
func Parameters() []string {
	return []string{"source", "ref", "policy", "require", "without", "image", "exceptions", "no-cache", "no-honey"}
}

// Complete is the internal parameter that says that resolvedDependencies lists
// everything that the zones were given.
const Complete = "resolvedDependenciesComplete"

// Component is the annotation of a toolchain that says which package of it is a
// part of what it builds.
const Component = "component"

// Build returns the SLSA provenance v1 of a, which may have further names.
func Build(r *evidence.Run, a evidence.Artifact, also ...Subject) (Statement, error) {
	if err := check(r, a); err != nil {
		return Statement{}, err
	}
	external, err := externalParameters(r)
	if err != nil {
		return Statement{}, err
	}
	internal, err := internalParameters(r)
	if err != nil {
		return Statement{}, err
	}
	products, err := byproducts(r)
	if err != nil {
		return Statement{}, err
	}
	p := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: BuildType, ExternalParameters: external, InternalParameters: internal,
			ResolvedDependencies: dependencies(r),
		},
		RunDetails: &slsa.RunDetails{
			Builder:    &slsa.Builder{Id: r.Isolation.BuilderID},
			Metadata:   &slsa.BuildMetadata{InvocationId: r.ID, StartedOn: timestamppb.New(r.Started), FinishedOn: timestamppb.New(r.Ended)},
			Byproducts: products,
		},
	}
	if err := p.Validate(); err != nil {
		return Statement{}, fmt.Errorf("make provenance: %w", err)
	}
	b, err := Canonical(p)
	if err != nil {
		return Statement{}, err
	}
	return state(a, also, TypeProvenance, b)
}

// externalParameters enumerates everything from outside that steered the run.
func externalParameters(r *evidence.Run) (*structpb.Struct, error) {
	m := map[string]any{}
	for _, p := range r.Parameters {
		if _, twice := m[p.Name]; twice {
			return nil, fmt.Errorf("parameter %q stands twice: %w", p.Name, ErrEvidence)
		}
		m[valid(p.Name)] = valid(p.Value)
	}
	if _, ok := m["source"]; !ok {
		m["source"] = valid(r.Source.URI)
	}
	if _, ok := m["without"]; !ok && len(r.Without) > 0 {
		m["without"] = strings.Join(r.Without, ",")
	}
	return structpb.NewStruct(m)
}

func internalParameters(r *evidence.Run) (*structpb.Struct, error) {
	stages := make([]any, 0, len(r.Stages))
	for i := range r.Stages {
		s := &r.Stages[i]
		commands := make([]any, 0, len(s.Commands))
		for _, c := range s.Commands {
			commands = append(commands, valid(c))
		}
		stages = append(stages, map[string]any{
			"name": valid(s.Name), "zone": s.Zone.String(), "identity": valid(s.Identity), "state": string(s.State),
			"cached": s.Cached, "key": hexOrNone(s.Key), "commands": commands,
		})
	}
	missing := make([]any, 0, len(r.Isolation.Missing))
	for _, m := range r.Isolation.Missing {
		missing = append(missing, valid(m))
	}
	return structpb.NewStruct(map[string]any{
		"project": valid(r.Project), "pipeline": hexOrNone(r.Pipeline), "detected": r.Detected,
		"sandbox": r.Isolation.Sandbox, "isolation": r.Isolation.Level, "missing": missing,
		"stages": stages, Complete: r.Gaps().Complete(),
	})
}

func hexOrNone(d digest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

// dependencies lists the source, everything that the gateway served, and the
// toolchains.
func dependencies(r *evidence.Run) []*statementv1.ResourceDescriptor {
	out := []*statementv1.ResourceDescriptor{source(r)}
	for _, m := range served(r) {
		notes := map[string]any{"kind": m.Kind, "pin": string(m.Pin)}
		if m.File != "" {
			notes["lockfile"] = valid(m.File)
		}
		if std := standardLibrary(&m); std != "" {
			notes[Component] = std
		}
		out = append(out, &statementv1.ResourceDescriptor{
			Name: valid(m.Kind), Uri: valid(m.PURL), Digest: materialDigests(m), DownloadLocation: valid(m.URI), Annotations: annotations(notes),
		})
	}
	tools := slices.Clone(r.Toolchains)
	slices.SortFunc(tools, func(a, b evidence.Toolchain) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	for _, t := range tools {
		notes := map[string]any{"kind": "toolchain", "path": valid(t.Path)}
		if std := hostLibrary(t); std != "" {
			notes[Component] = std
		}
		rd := &statementv1.ResourceDescriptor{Name: "toolchain", Uri: genericPURL(t.Name, t.Version), Annotations: annotations(notes)}
		alg := algManifest
		if t.URI != "" { // an image: its digest is that of its manifest's bytes
			rd.Uri, alg = valid(t.URI), "sha256"
		}
		if !t.Digest.IsZero() {
			rd.Digest = map[string]string{alg: t.Digest.Hex()}
		}
		out = append(out, rd)
	}
	return out
}

func source(r *evidence.Run) *statementv1.ResourceDescriptor {
	d := map[string]string{}
	if !r.Source.Tree.IsZero() {
		d[algManifest] = r.Source.Tree.Hex()
	}
	if c := r.Source.Commit; isHex(c, 40) {
		d["gitCommit"] = c
	} else if isHex(c, 64) {
		d["gitCommitSha256"] = c
	}
	addSum(d, r.Source.Sum)
	notes := map[string]any{"kind": "source"}
	if r.Source.Ref != "" {
		notes["ref"] = valid(r.Source.Ref)
	}
	return &statementv1.ResourceDescriptor{Name: "source", Uri: valid(r.Source.URI), Digest: d, Annotations: annotations(notes)}
}

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n
}

// served returns what was served, once each and in one order.
func served(r *evidence.Run) []evidence.Material {
	out := slices.Clone(r.Served)
	order := func(a, b evidence.Material) int {
		return cmp.Or(strings.Compare(a.PURL, b.PURL), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Digest.Hex(), b.Digest.Hex()))
	}
	slices.SortStableFunc(out, order)
	return slices.CompactFunc(out, func(a, b evidence.Material) bool { return order(a, b) == 0 })
}

func materialDigests(m evidence.Material) map[string]string {
	d := map[string]string{}
	if !m.Digest.IsZero() {
		d["sha256"] = m.Digest.Hex()
	}
	addSum(d, m.Sum)
	return d
}

// addSum adds an ecosystem's own checksum under in-toto's name for it.
func addSum(d map[string]string, sum string) {
	for prefix, alg := range map[string]string{"h1:": algDirHash, "sha512-": "sha512", "sha384-": "sha384"} {
		text, ok := strings.CutPrefix(sum, prefix)
		if !ok {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != statementv1.HashAlgorithm(alg).HexLength() {
			return
		}
		d[alg] = hex.EncodeToString(raw)
	}
}

// annotations cannot fail: all values are texts.
func annotations(m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	if err != nil {
		return nil
	}
	return s
}

// byproducts names what else the run left: the receipts in full, and the stage
// records, the logs and the evidence by digest.
func byproducts(r *evidence.Run) ([]*statementv1.ResourceDescriptor, error) {
	var out []*statementv1.ResourceDescriptor
	for i := range r.Stages {
		s := &r.Stages[i]
		record, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode stage %s: %w", s.Name, err)
		}
		out = append(out, product("stage/"+s.Name, typeStage, digest.Of(record)))
		if s.Receipt != nil {
			b, err := json.Marshal(s.Receipt)
			if err != nil {
				return nil, fmt.Errorf("encode receipt of %s: %w", s.Name, err)
			}
			p := product("receipt/"+s.Name, typeReceipt, digest.Of(b))
			p.Content = b
			p.Annotations = annotations(map[string]any{"shown": s.Shown(), "level": valid(s.Receipt.Level)})
			out = append(out, p)
		}
		if !s.Log.IsZero() {
			out = append(out, product("log/"+s.Name, "text/plain", s.Log))
		}
	}
	sum, err := r.Digest()
	if err != nil {
		return nil, err
	}
	return append(out, product("evidence", typeEvidence, sum)), nil
}

func product(name, mediaType string, d digest.Digest) *statementv1.ResourceDescriptor {
	return &statementv1.ResourceDescriptor{Name: valid(name), MediaType: mediaType, Digest: map[string]string{"sha256": d.Hex()}}
}

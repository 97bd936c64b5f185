package provenance

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	spdxDocument = "DOCUMENT"
	spdxArtifact = "Artifact"
	noAssertion  = "NOASSERTION"
)

// SPDX returns the SPDX 2.3 document of a, in JSON.
func SPDX(r *evidence.Run, a evidence.Artifact) ([]byte, error) {
	if err := check(r, a); err != nil {
		return nil, err
	}
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: spdxDocument,
		DocumentName:      valid(r.Project + "/" + a.Name),
		DocumentNamespace: "https://github.com/sallyport/sallyport/spdx/" + strings.TrimPrefix(serial(r, a, "spdx"), "urn:uuid:"),
		CreationInfo: &v2_3.CreationInfo{
			Created: r.Ended.UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: "sallyport"}},
		},
		Packages: []*v2_3.Package{{
			PackageName: valid(a.Name), PackageSPDXIdentifier: spdxArtifact, PackageVersion: valid(r.Source.Ref),
			PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
			PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: a.Digest.Hex()}},
		}},
		Relationships: []*v2_3.Relationship{relation(spdxDocument, common.TypeRelationshipDescribe, spdxArtifact)},
	}
	for i, p := range parts(r) {
		id := fmt.Sprintf("Package-%d", i+1)
		doc.Packages = append(doc.Packages, p.spdx(id))
		if p.dev {
			doc.Relationships = append(doc.Relationships, relation(id, common.TypeRelationshipDevDependencyOf, spdxArtifact))
			continue
		}
		doc.Relationships = append(doc.Relationships, relation(spdxArtifact, common.TypeRelationshipDependsOn, id))
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode bill of materials: %w", err)
	}
	return canonicalJSON(b)
}

func relation(a, kind, b string) *v2_3.Relationship {
	return &v2_3.Relationship{RefA: common.MakeDocElementID("", a), RefB: common.MakeDocElementID("", b), Relationship: kind}
}

func (p part) spdx(id string) *v2_3.Package {
	name := p.name
	if p.group != "" {
		name = p.group + "/" + p.name
	}
	out := &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: common.ElementID(id), PackageVersion: p.version,
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: p.purl,
		}},
	}
	if p.location != "" {
		out.PackageDownloadLocation = valid(p.location)
	}
	for _, h := range []struct {
		alg  string
		name common.ChecksumAlgorithm
	}{{"sha256", common.SHA256}, {"sha384", common.SHA384}, {"sha512", common.SHA512}} {
		if v := p.hashes[h.alg]; v != "" {
			out.PackageChecksums = append(out.PackageChecksums, common.Checksum{Algorithm: h.name, Value: v})
		}
	}
	return out
}

// SPDXStatement returns the SPDX document as a statement.
func SPDXStatement(r *evidence.Run, a evidence.Artifact, also ...Subject) (Statement, error) {
	b, err := SPDX(r, a)
	if err != nil {
		return Statement{}, err
	}
	return state(a, also, TypeSPDX, b)
}

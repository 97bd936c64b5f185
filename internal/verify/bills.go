package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	"github.com/sallyport/sallyport/internal/provenance"
	"github.com/sallyport/sallyport/internal/sign"
)

// bills checks that both bills of materials list what the provenance lists.
func (x *examination) bills(p *slsa.Provenance) {
	want := fromProvenance(p)
	if v := x.verified[provenance.TypeCycloneDX]; v != nil {
		x.compare("cyclonedx.materials", want, func() (map[string]string, string, error) { return fromCycloneDX(v) })
	}
	if v := x.verified[provenance.TypeSPDX]; v != nil {
		x.compare("spdx.materials", want, func() (map[string]string, string, error) { return fromSPDX(v) })
	}
}

// fromProvenance returns the packages whose contents went into the build, with
// their SHA-256.
func fromProvenance(p *slsa.Provenance) map[string]string {
	out := map[string]string{}
	for _, d := range p.GetBuildDefinition().GetResolvedDependencies() {
		notes := d.GetAnnotations().GetFields()
		if part := notes[provenance.Component].GetStringValue(); part != "" {
			out[part] = ""
		}
		switch notes["kind"].GetStringValue() {
		case "source", "go.mod", "go.info", "toolchain":
		default:
			if _, ok := out[d.GetUri()]; !ok {
				out[d.GetUri()] = d.GetDigest()["sha256"]
			}
		}
	}
	return out
}

func fromCycloneDX(v *sign.Verified) (map[string]string, string, error) {
	var s struct {
		Predicate struct {
			BOMFormat   string `json:"bomFormat"`
			SpecVersion string `json:"specVersion"`
			Metadata    struct {
				Component struct {
					Hashes []hashed `json:"hashes"`
				} `json:"component"`
			} `json:"metadata"`
			Components []struct {
				PURL   string   `json:"purl"`
				Hashes []hashed `json:"hashes"`
			} `json:"components"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(v.Statement, &s); err != nil {
		return nil, "", err
	}
	if s.Predicate.BOMFormat != "CycloneDX" || s.Predicate.SpecVersion != "1.6" {
		return nil, "", fmt.Errorf("%s %s", s.Predicate.BOMFormat, s.Predicate.SpecVersion)
	}
	out := map[string]string{}
	for _, c := range s.Predicate.Components {
		out[c.PURL] = sha256Of(c.Hashes)
	}
	return out, sha256Of(s.Predicate.Metadata.Component.Hashes), nil
}

// hashed is a checksum in CycloneDX's words or in SPDX's.
type hashed struct {
	Alg       string `json:"alg"`
	Content   string `json:"content"`
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

func sha256Of(hashes []hashed) string {
	for _, h := range hashes {
		switch {
		case h.Alg == "SHA-256":
			return h.Content
		case h.Algorithm == "SHA256":
			return h.Value
		}
	}
	return ""
}

func fromSPDX(v *sign.Verified) (map[string]string, string, error) {
	var s struct {
		Predicate struct {
			Version  string `json:"spdxVersion"`
			Packages []struct {
				ID        string   `json:"SPDXID"`
				Checksums []hashed `json:"checksums"`
				Refs      []struct {
					Type    string `json:"referenceType"`
					Locator string `json:"referenceLocator"`
				} `json:"externalRefs"`
			} `json:"packages"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(v.Statement, &s); err != nil {
		return nil, "", err
	}
	if s.Predicate.Version != "SPDX-2.3" {
		return nil, "", fmt.Errorf("%s", s.Predicate.Version)
	}
	out, about := map[string]string{}, ""
	for _, p := range s.Predicate.Packages {
		if p.ID == "SPDXRef-Artifact" {
			about = sha256Of(p.Checksums)
			continue
		}
		for _, r := range p.Refs {
			if r.Type == "purl" {
				out[r.Locator] = sha256Of(p.Checksums)
			}
		}
	}
	return out, about, nil
}

func (x *examination) compare(name string, want map[string]string, read func() (map[string]string, string, error)) {
	got, about, err := read()
	if err != nil {
		x.add(name, "a bill of materials", err.Error(), false)
		return
	}
	x.add(name+"-of", x.subject.digest.Hex(), about, about == x.subject.digest.Hex())
	var differs []string
	for purl, sum := range want {
		if have, ok := got[purl]; !ok || have != sum {
			differs = append(differs, purl)
		}
	}
	for purl := range got {
		if _, ok := want[purl]; !ok {
			differs = append(differs, purl)
		}
	}
	sort.Strings(differs)
	differs = slices.Compact(differs)
	text := fmt.Sprintf("%d packages", len(got))
	if len(differs) > 0 {
		text += ", differing in " + strings.Join(differs, ", ")
	}
	x.add(name, fmt.Sprintf("the %d packages of the provenance", len(want)), text, len(differs) == 0)
}

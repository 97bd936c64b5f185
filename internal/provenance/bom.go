package provenance

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/package-url/packageurl-go"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

// part is one package of a bill of materials.
type part struct {
	purl         string
	group, name  string
	version      string
	hashes       map[string]string // by in-toto's algorithm names
	location     string
	dev, scripts bool
	pin          evidence.Pin
}

// parts returns the packages whose contents the zones were given. A go.mod alone
// is looked at for its requirements and is in no build. The Go standard library
// is a part of what Go builds.
func parts(r *evidence.Run) []part {
	var out []part
	at := map[string]int{}
	for _, m := range served(r) {
		if m.Kind == "go.mod" || m.Kind == "go.info" || m.Kind == "toolchain" {
			continue
		}
		if i, ok := at[m.PURL]; ok {
			out[i].dev = out[i].dev && m.Dev
			continue
		}
		at[m.PURL] = len(out)
		p := named(m.PURL)
		p.hashes, p.location, p.dev, p.scripts, p.pin = materialDigests(m), m.URI, m.Dev, m.Scripts, m.Pin
		out = append(out, p)
	}
	for _, std := range standardLibraries(r) {
		out = append(out, named(std))
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.purl, b.purl) })
	return out
}

// goToolchain finds the version in the name of a Go toolchain that came through
// the gateway: golang.org/toolchain@v0.0.1-go1.27.0.linux-amd64.
var goToolchain = regexp.MustCompile(`^pkg:golang/golang\.org/toolchain@v[0-9.]+-go([0-9][0-9a-z.]*)\.[a-z0-9]+-[a-z0-9]+$`)

// standardLibraries returns the Go standard libraries that the zones were given,
// as the package URLs by which vulnerabilities are looked up.
func standardLibraries(r *evidence.Run) []string {
	var out []string
	for i := range r.Served {
		if std := standardLibrary(&r.Served[i]); std != "" && !slices.Contains(out, std) {
			out = append(out, std)
		}
	}
	for _, t := range r.Toolchains {
		if std := hostLibrary(t); std != "" && !slices.Contains(out, std) {
			out = append(out, std)
		}
	}
	return out
}

func standardLibrary(m *evidence.Material) string {
	if v := goToolchain.FindStringSubmatch(m.PURL); v != nil {
		return "pkg:golang/std@" + v[1]
	}
	return ""
}

func hostLibrary(t evidence.Toolchain) string {
	if t.Name != "go" || t.Version == "" {
		return ""
	}
	return packageurl.NewPackageURL(packageurl.TypeGolang, "", "std", strings.TrimPrefix(valid(t.Version), "go"), nil, "").ToString()
}

// named splits a package URL. One that is none is a name as it stands.
func named(text string) part {
	text = valid(text)
	p, err := packageurl.FromString(text)
	if err != nil {
		return part{purl: text, name: text}
	}
	return part{purl: text, group: p.Namespace, name: p.Name, version: p.Version}
}

func genericPURL(name, version string) string {
	group, last := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		group, last = name[:i], name[i+1:]
	}
	return packageurl.NewPackageURL(packageurl.TypeGeneric, valid(group), valid(last), valid(version), nil, "").ToString()
}

// CycloneDX returns the CycloneDX 1.6 bill of materials of a, in JSON.
func CycloneDX(r *evidence.Run, a evidence.Artifact) ([]byte, error) {
	if err := check(r, a); err != nil {
		return nil, err
	}
	main := component(a, r)
	list := parts(r)
	var all []cyclonedx.Component
	var refs []string
	deps := []cyclonedx.Dependency{}
	for _, p := range list {
		all = append(all, p.component())
		refs = append(refs, p.purl)
		deps = append(deps, cyclonedx.Dependency{Ref: p.purl})
	}
	deps = append([]cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}, deps...)
	aggregate := cyclonedx.CompositionAggregateIncomplete
	if r.Gaps().Complete() {
		aggregate = cyclonedx.CompositionAggregateComplete
	}
	b := cyclonedx.NewBOM()
	b.SerialNumber = serial(r, a, "cyclonedx")
	b.Metadata = &cyclonedx.Metadata{
		Timestamp: r.Ended.UTC().Format(time.RFC3339), Component: &main,
		Tools:      &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{{Type: cyclonedx.ComponentTypeApplication, Name: "sallyport"}}},
		Lifecycles: &[]cyclonedx.Lifecycle{{Phase: cyclonedx.LifecyclePhaseBuild}},
	}
	b.Components, b.Dependencies = &all, &deps
	b.Compositions = &[]cyclonedx.Composition{{Aggregate: aggregate, Dependencies: &[]cyclonedx.BOMReference{cyclonedx.BOMReference(main.BOMRef)}}}
	var buf bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&buf, cyclonedx.BOMFileFormatJSON).EncodeVersion(b, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode bill of materials: %w", err)
	}
	return canonicalJSON(buf.Bytes())
}

func canonicalJSON(b []byte) ([]byte, error) {
	out, err := jsoncanonicalizer.Transform(b)
	if err != nil {
		return nil, fmt.Errorf("encode bill of materials: %w", err)
	}
	return out, nil
}

// serial is a UUID made of what the document is about: the same evidence gives
// the same document.
func serial(r *evidence.Run, a evidence.Artifact, form string) string {
	u := digest.OfString(form + "\x00" + r.Project + "\x00" + r.ID + "\x00" + r.Source.Tree.Hex() + "\x00" + a.Digest.Hex())
	u[6] = u[6]&0x0f | 0x80 // version 8: of our own making (RFC 9562)
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

func component(a evidence.Artifact, r *evidence.Run) cyclonedx.Component {
	return cyclonedx.Component{
		BOMRef: a.Digest.String(), Type: cyclonedx.ComponentTypeFile, Name: valid(a.Name), Version: valid(r.Source.Ref), MIMEType: mime(a.MediaType),
		Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: a.Digest.Hex()}},
	}
}

// mime drops what CycloneDX's pattern does not take.
func mime(t string) string {
	if strings.Count(t, "/") != 1 || strings.ContainsAny(t, " ;,") {
		return ""
	}
	return t
}

func (p part) component() cyclonedx.Component {
	c := cyclonedx.Component{
		BOMRef: p.purl, Type: cyclonedx.ComponentTypeLibrary, Group: p.group, Name: p.name, Version: p.version,
		PackageURL: p.purl, Scope: cyclonedx.ScopeRequired,
	}
	if p.dev {
		c.Scope = cyclonedx.ScopeExcluded // test and development only
	}
	var hashes []cyclonedx.Hash
	for _, h := range []struct {
		alg  string
		name cyclonedx.HashAlgorithm
	}{{"sha256", cyclonedx.HashAlgoSHA256}, {"sha384", cyclonedx.HashAlgoSHA384}, {"sha512", cyclonedx.HashAlgoSHA512}} {
		if v := p.hashes[h.alg]; v != "" {
			hashes = append(hashes, cyclonedx.Hash{Algorithm: h.name, Value: v})
		}
	}
	if len(hashes) > 0 {
		c.Hashes = &hashes
	}
	if p.location != "" {
		c.ExternalReferences = &[]cyclonedx.ExternalReference{{Type: cyclonedx.ERTypeDistribution, URL: valid(p.location)}}
	}
	if props := p.properties(); len(props) > 0 {
		c.Properties = &props
	}
	return c
}

func (p part) properties() []cyclonedx.Property {
	var out []cyclonedx.Property
	if v := p.hashes[algDirHash]; v != "" {
		out = append(out, cyclonedx.Property{Name: "sallyport:go:h1", Value: v})
	}
	if p.pin != "" {
		out = append(out, cyclonedx.Property{Name: "sallyport:pin", Value: string(p.pin)})
	}
	if p.scripts {
		out = append(out, cyclonedx.Property{Name: "sallyport:install-scripts", Value: "true"})
	}
	return out
}

// CycloneDXStatement returns the CycloneDX document as a statement.
func CycloneDXStatement(r *evidence.Run, a evidence.Artifact, also ...Subject) (Statement, error) {
	b, err := CycloneDX(r, a)
	if err != nil {
		return Statement{}, err
	}
	return state(a, also, TypeCycloneDX, b)
}

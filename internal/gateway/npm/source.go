package npm

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// ParsePurl reads pkg:npm/NAME@VERSION, with a scope as %40scope/name.
func ParsePurl(purl string) (name, version string, err error) {
	bad := func(why string) (string, string, error) {
		return "", "", fault.New(fault.Purl, fmt.Sprintf("%q: %s", fault.Clean(purl), why)).Mend("sallyport run pkg:npm/NAME@X.Y.Z")
	}
	rest, ok := strings.CutPrefix(purl, "pkg:npm/")
	if !ok {
		return bad("not a package URL of an npm package")
	}
	if strings.ContainsAny(rest, "?#") {
		return bad("qualifiers and subpaths are not supported")
	}
	i := strings.LastIndexByte(rest, '@')
	if i <= 0 {
		return bad("a version is required")
	}
	if name, err = url.PathUnescape(rest[:i]); err != nil || !validName(name) {
		return bad("not a package name")
	}
	if version, err = url.PathUnescape(rest[i+1:]); err != nil || !validVersion(version) {
		return bad("the version is not a full one, such as 1.2.3")
	}
	return name, version, nil
}

// SplitPurl reads pkg:npm/NAME, with or without a version. Whether they can be
// right is for others to say.
func SplitPurl(purl string) (name, version string, ok bool) {
	rest, ok := strings.CutPrefix(purl, "pkg:npm/")
	if i := strings.LastIndexByte(rest, '@'); i > 0 {
		rest, version = rest[:i], rest[i+1:]
	}
	name, nameErr := url.PathUnescape(rest)
	version, versionErr := url.PathUnescape(version)
	return name, version, ok && nameErr == nil && versionErr == nil
}

// Source fetches a package, verifies it against the integrity value of the
// registry's document and unpacks it into dst, which must be empty or missing.
func (s *Service) Source(ctx context.Context, name, version, dst string) (evidence.Material, error) {
	doc, err := s.version(ctx, name, version)
	if err != nil {
		return evidence.Material{}, err
	}
	sri, err := doc.promise()
	if err != nil {
		return evidence.Material{}, fault.Wrap(fault.Checksum, name+"@"+version, err)
	}
	p := &Package{Name: name, Version: version, Integrity: sri, Pin: evidence.PinSource, Scripts: doc.HasInstallScript}
	if p.Site, p.Path, err = s.conf.place(name, doc.Dist.Tarball); err != nil {
		return evidence.Material{}, err
	}
	g, err := s.open(ctx, p)
	if err != nil {
		return evidence.Material{}, err
	}
	defer g.Close()
	if err := unpack(g, dst); err != nil {
		return evidence.Material{}, err
	}
	return material(p, g), nil
}

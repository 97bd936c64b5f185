package golang

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// ParsePurl reads pkg:golang/MODULE@VERSION.
func ParsePurl(purl string) (module.Version, error) {
	bad := func(why string) (module.Version, error) {
		return module.Version{}, fault.New(fault.Purl, fmt.Sprintf("%q: %s", fault.Clean(purl), why)).Mend("sallyport run pkg:golang/MODULE@vX.Y.Z")
	}
	rest, ok := strings.CutPrefix(purl, "pkg:golang/")
	if !ok {
		return bad("not a package URL of a Go module")
	}
	if strings.ContainsAny(rest, "?#") {
		return bad("qualifiers and subpaths are not supported")
	}
	path, version, ok := strings.Cut(rest, "@")
	if !ok || version == "" {
		return bad("a version is required")
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return bad("the module path is not escaped well")
	}
	if version, err = url.PathUnescape(version); err != nil {
		return bad("the version is not escaped well")
	}
	if err := module.Check(path, version); err != nil {
		return bad(err.Error())
	}
	if module.CanonicalVersion(version) != version {
		return bad("the version is not a full one, such as v1.2.3")
	}
	return module.Version{Path: path, Version: version}, nil
}

// SplitPurl reads pkg:golang/MODULE, with or without a version. Whether they can
// be right is for others to say.
func SplitPurl(purl string) (path, version string, ok bool) {
	rest, ok := strings.CutPrefix(purl, "pkg:golang/")
	rest, version, _ = strings.Cut(rest, "@")
	path, pathErr := url.PathUnescape(rest)
	version, versionErr := url.PathUnescape(version)
	return path, version, ok && pathErr == nil && versionErr == nil
}

// Source fetches a module, verifies it against the checksum database and
// unpacks it into dst, which must be empty or missing.
func (s *Service) Source(ctx context.Context, v module.Version, dst string) (evidence.Material, error) {
	m := &Module{Version: v, Zip: true, Pin: evidence.PinSource, ModPin: evidence.PinSource}
	g, err := s.open(ctx, m, KindZip)
	if err != nil {
		return evidence.Material{}, err
	}
	defer g.Close()
	if err := modzip.Unzip(dst, v, g.Name()); err != nil {
		return evidence.Material{}, fault.Wrap(fault.Archive, "unpack "+v.String(), err)
	}
	return material(m, KindZip, g), nil
}

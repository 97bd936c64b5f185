package golang

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Allow adds a module that an exception names, in file. The rules for go.sum's
// modules hold for it too. One that go.sum names already has to be the same.
func (p *Plan) Allow(a boundary.Allowance, file string, conf Config) error {
	where := fmt.Sprintf("%s:%d", file, a.Line)
	v, err := ParsePurl(a.Package)
	if err != nil {
		return err
	}
	if err := conf.fetchable(v.Path); err != nil {
		return err
	}
	have := p.modules[v]
	if have != nil && have.ZipSum != "" && have.ZipSum != a.Sum {
		return fault.New(fault.Lockfile, fmt.Sprintf("two checksums for %s: %s and %s", v, have.ZipSum, a.Sum)).
			At(where).Mend("remove the exception: go.sum names the module")
	}
	p.excepted = true
	if have != nil && have.Zip {
		return nil
	}
	if have != nil { // go.sum has its go.mod alone
		have.Zip, have.ZipSum, have.Pin, have.File, have.Line = true, a.Sum, evidence.PinAllowed, file, a.Line
		return nil
	}
	p.add(&Module{Version: v, Zip: true, ZipSum: a.Sum, Pin: evidence.PinAllowed, ModPin: evidence.PinSumDB, File: file, Line: a.Line, MinAge: p.minAge})
	return nil
}

// related tells whether one path is below the other. The go command asks for
// both, to find out which is the module.
func related(a, b string) bool { return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") }

// beside tells whether a path that is no member is above or below one that an
// exception names. It is then not there, rather than refused: no proxy is asked.
func (p *Plan) beside(path string) bool {
	if !p.excepted || len(p.versions[path]) > 0 {
		return false
	}
	for have := range p.versions {
		if related(have, path) {
			return true
		}
	}
	return false
}

// Promise fetches one version and tells what an exception for it has to say.
// Without a version it is the newest release.
func (s *Service) Promise(ctx context.Context, p *Plan, path, version string) (purl, sum string, err error) {
	if err := module.CheckPath(path); err != nil {
		return "", "", fault.Wrap(fault.Purl, "module path", err)
	}
	if version == "" {
		if version, err = s.latest(ctx, p, path); err != nil {
			return "", "", err
		}
	}
	m := &Module{Version: module.Version{Path: path, Version: version}, Zip: true, Pin: evidence.PinMade, ModPin: evidence.PinMade, MinAge: p.minAge}
	g, err := s.open(ctx, m, KindZip)
	if err != nil {
		return "", "", err
	}
	defer g.Close()
	return Purl(path, version), g.entry.Sum, nil
}

func (s *Service) latest(ctx context.Context, p *Plan, path string) (string, error) {
	versions, err := s.list(ctx, path)
	if err != nil {
		return "", err
	}
	slices.SortFunc(versions, compareVersions)
	for len(versions) > 0 {
		v := newestRelease(versions)
		if s.age(ctx, &Module{Version: module.Version{Path: path, Version: v}, MinAge: p.minAge}) == nil {
			return v, nil
		}
		versions = slices.DeleteFunc(versions, func(o string) bool { return o == v })
	}
	return "", fault.New(fault.NotFound, "the proxy lists no version of "+path+" that the rules let through")
}

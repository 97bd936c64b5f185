package npm

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/screen"
)

// Allow adds a package that an exception names, in file. The rules for a
// lockfile's packages hold for it too. One that a lockfile names already has to
// be the same.
func (p *Plan) Allow(a boundary.Allowance, file string, conf Config) error {
	where := fmt.Sprintf("%s:%d", file, a.Line)
	name, version, err := ParsePurl(a.Package)
	if err != nil {
		return err
	}
	sri, err := ParseIntegrity(a.Sum)
	if err != nil {
		return fault.Wrap(fault.Lockfile, "exception for "+a.Package, err).At(where)
	}
	if p.stray(name, conf) {
		return strayRefusal(name, where)
	}
	m := &Package{
		Name: name, Version: version, Integrity: sri, Site: conf.For(name), Path: usualPath(name, version), Guessed: true,
		Pin: evidence.PinAllowed, File: file, Line: a.Line, MinAge: p.minAge,
	}
	if have := p.packages[m.id()]; have != nil {
		if have.Integrity.Algorithm == sri.Algorithm && have.Integrity != sri {
			return fault.New(fault.Lockfile, fmt.Sprintf("two integrity values for %s (the other is at %s)", m.id(), have.where())).
				At(where).Mend("remove the exception: the lockfile names the package")
		}
		return nil
	}
	p.add(m)
	return p.route(m)
}

// Promise fetches one version and tells what an exception for it has to say.
// Without a version it is the newest that the rules of the plan let through.
func (s *Service) Promise(ctx context.Context, p *Plan, name, version string) (purl, sum string, err error) {
	if !validName(name) {
		return "", "", fault.New(fault.Purl, fmt.Sprintf("%q is not a package name", fault.Clean(name)))
	}
	if p.stray(name, s.conf) {
		return "", "", strayRefusal(name, "")
	}
	if err := screen.LookalikeRefusal(name, "", p.accept); err != nil {
		return "", "", err
	}
	if version == "" {
		if version, err = s.latest(ctx, p, name); err != nil {
			return "", "", err
		}
	}
	doc, err := s.version(ctx, name, version)
	if err != nil {
		return "", "", err
	}
	sri, err := doc.promise()
	if err != nil {
		return "", "", fault.Wrap(fault.Checksum, name+"@"+version, err)
	}
	m := &Package{Name: name, Version: version, Integrity: sri, Pin: evidence.PinMade, MinAge: p.minAge}
	if m.Site, m.Path, err = s.conf.place(name, doc.Dist.Tarball); err != nil {
		return "", "", err
	}
	g, err := s.open(ctx, m)
	if err != nil {
		return "", "", err
	}
	defer g.Close()
	strong := newHash("sha512") // what the registry promises may be a SHA-1
	if err := hashInto(strong, g); err != nil {
		return "", "", fault.Wrap(fault.Store, "hash "+m.id(), err)
	}
	return Purl(name, version), Integrity{"sha512", string(strong.Sum(nil))}.String(), nil
}

// latest is what the registry calls so, if it is old enough, else the newest
// version that is.
func (s *Service) latest(ctx context.Context, p *Plan, name string) (string, error) {
	tags := map[string]string{}
	var versions []string
	err := s.document(ctx, name, abbreviated, parts{tags: tags, each: func(version string, _ json.RawMessage) error {
		m := &Package{Name: name, Version: version, MinAge: p.minAge}
		if validVersion(version) && s.age(ctx, m) == nil {
			versions = append(versions, version)
		}
		return nil
	}})
	if err != nil {
		return "", err
	}
	kept := map[string]bool{}
	for _, v := range versions {
		kept[v] = true
	}
	if v := keptTags(tags, kept)["latest"]; v != "" {
		return v, nil
	}
	return "", fault.New(fault.NotFound, "the registry has no version of "+name+" that the rules let through")
}

// complete gives a package of an exception what its document says: its
// dependencies and programs. What these name has to be a member in turn.
func (v *View) complete(ctx context.Context, p *Package) error {
	if p.Pin != evidence.PinAllowed {
		return nil
	}
	v.mu.Lock()
	done := p.manifest != nil
	v.mu.Unlock()
	if done {
		return nil
	}
	manifest := map[string]json.RawMessage{}
	err := v.s.document(ctx, p.Name, abbreviated, parts{each: func(version string, raw json.RawMessage) error {
		if version == p.Version {
			return json.Unmarshal(raw, &manifest)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	p.manifest = manifest
	return nil
}

package npm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/intake"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// Plan is the closure of a project's npm lockfiles: what its zone may ask for.
type Plan struct {
	packages  map[string]*Package   // by name@version
	byName    map[string][]*Package // in ascending order of version
	byPath    map[string]*Package   // by the decoded path that a client will ask for
	roots     map[string]bool       // names that the manifests want
	overrides map[string][]byte
	minAge    time.Duration
	internal  []string // patterns of names that the default registry may not give
	accept    []string // names that look like well-known ones, and are meant
	Unpinned  []string // manifests that want packages and have no lockfile
}

// NewPlan returns an empty plan: everything is refused.
func NewPlan() *Plan {
	return &Plan{packages: map[string]*Package{}, byName: map[string][]*Package{}, byPath: map[string]*Package{}, roots: map[string]bool{}, overrides: map[string][]byte{}}
}

// Packages lists the members in a stable order.
func (p *Plan) Packages() []*Package {
	list := make([]*Package, 0, len(p.packages))
	for _, m := range p.packages {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return list
}

// Materials lists everything that the plan allows.
func (p *Plan) Materials() []evidence.Material {
	var out []evidence.Material
	for _, m := range p.Packages() {
		out = append(out, m.Material())
	}
	return out
}

// Screen refuses a plan that names known malware.
func (p *Plan) Screen(feed *screen.Feed) error {
	for _, m := range p.Packages() {
		if err := feed.Refusal(screen.Npm, m.Name, m.Version, m.where()); err != nil {
			return err
		}
	}
	return nil
}

// stray says whether a name is one of the project owner's own, and would be
// taken from the registry where everybody publishes.
func (p *Plan) stray(name string, conf Config) bool {
	return screen.Internal(p.internal, name) && conf.For(name).String() == conf.Registry.String()
}

func strayRefusal(name, where string) *fault.Error {
	return fault.New(fault.Internal, name+" is one of your own names (gateway.npm.internal), and the public registry would be asked for it").At(where).
		Mend("npm config set " + cmp.Or(scope(name), "@scope") + ":registry to your registry; a name without a scope cannot be kept apart, so give it one")
}

// reader reads one NpmSource.
type reader struct {
	tree *intake.Tree
	conf Config
	src  pipeline.NpmSource
	pin  evidence.Pin
	plan *Plan
	lock *lockfile
}

// Read adds one source of the project to the plan.
func (p *Plan) Read(tree *intake.Tree, src pipeline.NpmSource, pin evidence.Pin, conf Config) error {
	dir, err := intake.Clean(src.Dir)
	if err != nil {
		return err
	}
	src.Dir = dir
	p.minAge = max(p.minAge, src.MinAge)
	p.internal = append(p.internal, src.Internal...)
	p.accept = append(p.accept, src.Accept...)
	r := &reader{tree: tree, conf: conf, src: src, pin: pin, plan: p}
	if err := r.override(); err != nil {
		return err
	}
	if src.Lockfile == "" {
		return r.unlocked()
	}
	b, err := tree.Read(src.Lockfile, maxLockfile)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Lockfile, "the lockfile that the pipeline names does not exist").At(src.Lockfile).Mend("npm install --package-lock-only")
	}
	if err != nil {
		return err
	}
	if r.lock, err = parseLockfile(src.Lockfile, b); err != nil {
		return err
	}
	for i := range r.lock.entries {
		if err := r.entry(&r.lock.entries[i]); err != nil {
			return err
		}
	}
	return r.agree()
}

// at gives place and mending to an error about an entry.
func (r *reader) at(e *entry, code fault.Code, format string, a ...any) *fault.Error {
	return fault.New(code, fmt.Sprintf(format, a...)).At(fmt.Sprintf("%s:%d", r.lock.name, e.line))
}

func (r *reader) entry(e *entry) error {
	if !e.installed() || e.is("link") {
		return r.local(e)
	}
	if e.is("inBundle") || (r.src.OmitDev && e.is("dev")) {
		return nil // comes inside another tarball, or is left out
	}
	name, version := e.packageName(), e.text("version")
	if !validName(name) {
		return r.at(e, fault.Lockfile, "%q is not a package name", name)
	}
	resolved := e.text("resolved")
	if local, ok := strings.CutPrefix(resolved, "file:"); ok {
		if _, err := intake.Clean(path.Join(r.src.Dir, local)); err != nil || path.IsAbs(local) || strings.HasPrefix(local, "~") {
			return r.at(e, fault.ForeignHost, "package %s comes from %q, outside the project", name, resolved)
		}
		return nil // an archive of the project itself
	}
	if r.plan.stray(name, r.conf) {
		return strayRefusal(name, fmt.Sprintf("%s:%d", r.lock.name, e.line))
	}
	site, escaped, err := r.origin(e, name, version, resolved)
	if err != nil {
		return err
	}
	if !validVersion(version) {
		return r.at(e, fault.Lockfile, "%q is not a version of %s", version, name)
	}
	return r.member(e, name, version, site, escaped, resolved == "")
}

// local checks an entry for a folder of the project.
func (r *reader) local(e *entry) error {
	target := e.key
	if e.is("link") {
		target = e.text("resolved")
	}
	if _, err := intake.Clean(path.Join(r.src.Dir, target)); err != nil || path.IsAbs(target) || strings.Contains(target, "://") {
		return r.at(e, fault.ForeignHost, "%q links to %q, outside the project", e.key, target)
	}
	return nil
}

// origin decides where a package comes from. A lockfile may name the registry
// that npm is built with, or the configured one; both mean the configured one.
func (r *reader) origin(e *entry, name, version, resolved string) (upstream.Site, string, error) {
	site := r.conf.For(name)
	if resolved == "" {
		return site, usualPath(name, version), nil
	}
	u, err := url.Parse(resolved)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return site, "", r.at(e, fault.ForeignHost, "package %s comes from %q, which is no registry", name, fault.Clean(resolved)).Mend(mendForeign(name))
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return site, "", r.at(e, fault.ForeignHost, "package %s comes from version control (%s://%s), which nothing pins", name, u.Scheme, u.Host).Mend(mendForeign(name))
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return site, "", r.at(e, fault.ForeignHost, "the address of package %s holds more than a path", name).Mend(mendForeign(name))
	}
	if u.Scheme == "http" && site.Scheme() == "https" {
		return site, "", r.at(e, fault.ForeignHost, "package %s comes over plain http from %s", name, u.Host).Mend("npm install --package-lock-only")
	}
	if !validVersion(version) {
		return site, "", r.at(e, fault.Lockfile, "%q is not a version of %s", version, name)
	}
	return r.place(e, name, version, u, site)
}

// place turns a lockfile's address into a path at the configured registry.
func (r *reader) place(e *entry, name, version string, u *url.URL, site upstream.Site) (upstream.Site, string, error) {
	host := strings.ToLower(u.Host)
	below := strings.TrimPrefix(u.EscapedPath(), "/")
	usual := usualPath(name, version)
	isDefault := host == r.conf.Default.Host() && site.String() == r.conf.Registry.String()
	switch {
	case isDefault && host != site.Host():
		below = strings.TrimPrefix("/"+below, r.conf.Default.Path()+"/")
	case host == site.Host():
		if inner, ok := strings.CutPrefix("/"+below, site.Path()+"/"); ok {
			below = inner
		} else {
			site = site.Root()
		}
	default:
		return site, "", r.at(e, fault.ForeignHost, "package %s comes from host %s, wanted %s", name, u.Host, site.Host()).Mend(mendForeign(name))
	}
	plain, err := url.PathUnescape(below)
	if err != nil || !strings.Contains("/"+plain, "/"+name+"/") || (isDefault && plain != usual) {
		// Another package of the same registry, with a checksum that is right
		// for it, would otherwise be installed under this name.
		return site, "", r.at(e, fault.ForeignHost, "package %s at %s comes from %q, which belongs to another", name, version, fault.Clean(plain)).Mend("npm install --package-lock-only")
	}
	return site, below, nil
}

func mendForeign(name string) string {
	return "npm install " + name + "@<version> from the registry, or npm config set registry (or " + cmp.Or(scope(name), "@scope") + ":registry) to that host"
}

// member adds a package, or joins it with the same one elsewhere in the tree.
func (r *reader) member(e *entry, name, version string, site upstream.Site, escaped string, guessed bool) error {
	sri, err := ParseIntegrity(e.text("integrity"))
	if err != nil {
		f := r.at(e, fault.Lockfile, "package %s@%s has no usable integrity value (%v)", name, version, err)
		return f.Mend("rm " + r.lock.name + " && npm install --package-lock-only, and commit it")
	}
	m := &Package{
		Name: name, Version: version, Integrity: sri, Site: site, Path: escaped, Guessed: guessed,
		Pin: r.pin, File: r.lock.name, Line: e.line, Dev: e.is("dev"), Optional: e.is("optional") || e.is("devOptional"),
		Scripts: e.is("hasInstallScript"), MinAge: r.src.MinAge, manifest: e.raw,
		Elsewhere: !fits(e.texts("os"), platform()) || !fits(e.texts("cpu"), processor()) || !fits(e.texts("libc"), "glibc"),
	}
	have := r.plan.packages[m.id()]
	if have == nil {
		r.plan.add(m)
		return r.plan.route(m)
	}
	if have.Integrity.Algorithm == sri.Algorithm && have.Integrity != sri {
		return r.at(e, fault.Lockfile, "two integrity values for %s (the other is at %s)", m.id(), have.where()).Mend("npm install --package-lock-only")
	}
	if strength[sri.Algorithm] > strength[have.Integrity.Algorithm] {
		have.Integrity = sri
	}
	have.Dev, have.Optional = have.Dev && m.Dev, have.Optional && m.Optional
	have.Scripts = have.Scripts || m.Scripts
	have.MinAge = max(have.MinAge, m.MinAge)
	if have.Guessed && !m.Guessed {
		have.Site, have.Path, have.Guessed = m.Site, m.Path, false
	}
	return r.plan.routeAs(have, m)
}

func (p *Plan) add(m *Package) {
	p.packages[m.id()] = m
	p.byName[m.Name] = append(p.byName[m.Name], m)
	slices.SortFunc(p.byName[m.Name], func(a, b *Package) int { return compareVersions(a.Version, b.Version) })
}

// route notes under which paths clients ask for the tarball.
func (p *Plan) route(m *Package) error { return p.routeAs(m, m) }

func (p *Plan) routeAs(m, as *Package) error {
	plain, err := url.PathUnescape(as.Path)
	if err != nil {
		return fault.Wrap(fault.Lockfile, "path of "+m.id(), err).At(m.where())
	}
	// npm keeps the path of the lockfile's address whole and changes its host,
	// so a base path of the registry is asked for or not.
	whole := strings.TrimPrefix(as.Site.Path()+"/"+plain, "/")
	for _, key := range []string{plain, whole, usualPath(m.Name, m.Version)} {
		if other := p.byPath[key]; other != nil && other != m {
			return fault.New(fault.Lockfile, fmt.Sprintf("%s and %s come from one address", m.id(), other.id())).At(as.where())
		}
		p.byPath[key] = m
	}
	return nil
}

func platform() string { return runtime.GOOS }

func processor() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x64"
	case "386":
		return "ia32"
	}
	return runtime.GOARCH
}

// fits reads npm's os, cpu and libc lists: any of these, or none of those with !.
func fits(list []string, have string) bool {
	wanted, found := false, false
	for _, s := range list {
		if no, ok := strings.CutPrefix(s, "!"); ok {
			if no == have {
				return false
			}
			continue
		}
		wanted = true
		found = found || s == have || s == "any"
	}
	return !wanted || found
}

package npm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/git-pkgs/vers"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/intake"
	"github.com/sallyport/sallyport/internal/gateway/screen"
)

// manifest is what is read of a package.json.
type manifest struct {
	Dependencies         map[string]string `json:"dependencies"`
	DevDependencies      map[string]string `json:"devDependencies"`
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	PeerDependencies     map[string]string `json:"peerDependencies"`
	Workspaces           json.RawMessage   `json:"workspaces"`
}

// wants lists what a manifest asks for, except that peers are npm's to judge.
func (m manifest) wants() map[string]string {
	all := map[string]string{}
	for _, t := range []map[string]string{m.DevDependencies, m.OptionalDependencies, m.Dependencies} {
		for name, spec := range t {
			all[name] = spec
		}
	}
	return all
}

func (r *reader) manifest(dir string) (manifest, string, []byte, error) {
	var m manifest
	name := path.Join(dir, "package.json")
	b, err := r.tree.Read(name, maxManifest)
	if err != nil {
		return m, name, nil, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, name, b, fault.Wrap(fault.Lockfile, "read the manifest", err).At(name)
	}
	return m, name, b, nil
}

// lineNaming finds the line of a manifest that names a dependency.
func lineNaming(b []byte, name string) int {
	i := strings.Index(string(b), `"`+name+`"`)
	return intake.NewLines(b).At(int64(max(i, 0)))
}

// unlocked notes a source that has no lockfile yet.
func (r *reader) unlocked() error {
	m, name, b, err := r.manifest(r.src.Dir)
	if err != nil {
		return fault.Wrap(fault.Lockfile, "read the manifest", err).At(name)
	}
	wants := m.wants()
	for peer, spec := range m.PeerDependencies {
		wants[peer] = cmp.Or(wants[peer], spec)
	}
	for dep, spec := range wants {
		real, err := r.wanted(dep, spec)
		if err != nil {
			return err.At(fmt.Sprintf("%s:%d", name, lineNaming(b, dep)))
		}
		if real == "" {
			continue
		}
		where := fmt.Sprintf("%s:%d", name, lineNaming(b, dep))
		if r.plan.stray(real, r.conf) {
			return strayRefusal(real, where)
		}
		if err := screen.LookalikeRefusal(real, where, r.src.Accept); err != nil {
			return err
		}
		r.plan.roots[real] = true
	}
	if len(wants) > 0 || len(m.Workspaces) > 0 {
		r.plan.Unpinned = append(r.plan.Unpinned, name)
	}
	return r.workspaces(m)
}

// workspaces adds the roots of member folders that are named plainly or with one
// star at the end.
func (r *reader) workspaces(m manifest) error {
	var list []string
	if json.Unmarshal(m.Workspaces, &list) != nil {
		var o struct {
			Packages []string `json:"packages"`
		}
		if len(m.Workspaces) > 0 && json.Unmarshal(m.Workspaces, &o) != nil {
			return fault.New(fault.Lockfile, "workspaces cannot be read").At(path.Join(r.src.Dir, "package.json"))
		}
		list = o.Packages
	}
	for _, pattern := range list {
		dirs, err := r.tree.Glob(path.Join(r.src.Dir, pattern))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			m, name, b, err := r.manifest(dir)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			for dep, spec := range m.wants() {
				real, err := r.wanted(dep, spec)
				if err != nil {
					return err.At(fmt.Sprintf("%s:%d", name, lineNaming(b, dep)))
				}
				if real != "" {
					r.plan.roots[real] = true
				}
			}
		}
	}
	return nil
}

// wanted reads a dependency's specification. It returns the name that a
// registry is asked for, or nothing for a folder of the project.
func (r *reader) wanted(name, spec string) (string, *fault.Error) {
	spec = strings.TrimSpace(spec)
	if alias, ok := strings.CutPrefix(spec, "npm:"); ok {
		if i := strings.LastIndexByte(alias, '@'); i > 0 {
			alias = alias[:i]
		}
		name, spec = alias, ""
	}
	if !validName(name) {
		return "", fault.New(fault.Lockfile, fmt.Sprintf("%q is not a package name", fault.Clean(name)))
	}
	for _, p := range []string{"file:", "link:", "workspace:", "portal:", "./", "../", "/", "~/"} {
		if target, ok := strings.CutPrefix(spec, p); ok {
			if strings.HasPrefix(p, ".") || strings.HasPrefix(p, "/") || strings.HasPrefix(p, "~") {
				target = spec
			}
			if _, err := intake.Clean(path.Join(r.src.Dir, target)); p != "workspace:" && (err != nil || path.IsAbs(target) || strings.HasPrefix(target, "~")) {
				return "", fault.New(fault.ForeignHost, fmt.Sprintf("dependency %s is %q, outside the project", name, fault.Clean(spec)))
			}
			return "", nil
		}
	}
	if strings.ContainsAny(spec, ":/") {
		return "", fault.New(fault.ForeignHost, fmt.Sprintf("dependency %s is %q: a URL or git dependency, which no registry vouches for", name, fault.Clean(spec))).
			Mend("depend on a published version of " + name)
	}
	return name, nil
}

// agree refuses a lockfile that does not belong to its manifest, as npm ci
// would, but before a zone is started.
func (r *reader) agree() error {
	for i := range r.lock.entries {
		e := &r.lock.entries[i]
		if e.installed() || e.is("link") {
			continue
		}
		m, file, b, err := r.manifest(path.Join(r.src.Dir, e.key))
		if errors.Is(err, fs.ErrNotExist) && e.key != "" {
			continue // npm ci says it better
		}
		if err != nil {
			return fault.Wrap(fault.Lockfile, "read the manifest", err).At(file)
		}
		if r.src.OmitDev {
			// What is left out may be missing: a lockfile that was made for
			// this run names it no more.
			m.DevDependencies = nil
		}
		for dep, spec := range m.wants() {
			if err := r.satisfied(e, dep, spec); err != nil {
				return err.At(fmt.Sprintf("%s:%d", file, lineNaming(b, dep)))
			}
		}
	}
	return nil
}

func (r *reader) satisfied(e *entry, dep, spec string) *fault.Error {
	real, err := r.wanted(dep, spec)
	if err != nil {
		return err
	}
	if real != "" {
		r.plan.roots[real] = true
	}
	for _, field := range []string{"dependencies", "devDependencies", "optionalDependencies"} {
		if have, ok := e.table(field)[dep]; ok && have == spec {
			return nil
		}
	}
	locked := r.lock.nearest(e.key, dep)
	if locked == nil {
		return fault.New(fault.Lockfile, fmt.Sprintf("dependency %s@%s is not in %s", dep, fault.Clean(spec), r.lock.name)).Mend("npm install --package-lock-only")
	}
	if locked.is("link") {
		return nil
	}
	rng, perr := vers.ParseNative(spec, "npm")
	if perr != nil || real != dep || rng.Contains(locked.text("version")) {
		return nil // a tag or an alias: npm judges it
	}
	return fault.New(fault.Lockfile, fmt.Sprintf("dependency %s@%s: %s has %s", dep, fault.Clean(spec), r.lock.name, fault.Clean(locked.text("version")))).
		Mend("npm install --package-lock-only")
}

// nearest looks a dependency up from a folder towards the root, as Node does.
func (l *lockfile) nearest(dir, dep string) *entry {
	for {
		if i, ok := l.byKey[path.Join(dir, "node_modules", dep)]; ok {
			return &l.entries[i]
		}
		if dir == "" || dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

package pipeline

import (
	"bytes"
	"encoding/json"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// npmProject is an npm package, or the root of several.
type npmProject struct {
	dir        string
	manifest   manifest
	lockfile   string
	workspaces []*npmProject
	candidates []string // folders that a build may make
}

// manifest is what is read of package.json. Foreign files are loose with types,
// so that only what has the right one counts.
type manifest struct {
	Name, Version, Main, Type, Manager string

	Private    bool
	Scripts    map[string]string
	Workspaces []string
	Exports    any
	Needs      int // dependencies that an install brings
	DevNeeds   int
	Bin        bool
}

func parseManifest(name string, data []byte) (manifest, error) {
	var raw map[string]any
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	if err := dec.Decode(&raw); err != nil {
		return manifest{}, projectFile(name, "is not a JSON object: %s", printable(oneLine(err)))
	}
	m := manifest{
		Name: text(raw["name"]), Version: text(raw["version"]), Main: text(raw["main"]), Type: text(raw["type"]),
		Manager: text(raw["packageManager"]), Exports: raw["exports"], Bin: raw["bin"] != nil, Scripts: map[string]string{},
	}
	m.Private, _ = raw["private"].(bool)
	if scripts, ok := raw["scripts"].(map[string]any); ok {
		for k, v := range scripts {
			m.Scripts[k] = text(v)
		}
	}
	workspaces := raw["workspaces"]
	if w, ok := workspaces.(map[string]any); ok {
		workspaces = w["packages"]
	}
	if list, ok := workspaces.([]any); ok {
		for _, v := range list {
			m.Workspaces = append(m.Workspaces, text(v))
		}
	}
	for _, key := range []string{"dependencies", "optionalDependencies", "peerDependencies"} {
		m.Needs += members(raw[key])
	}
	m.DevNeeds = members(raw["devDependencies"])
	return m, nil
}

func text(v any) string { s, _ := v.(string); return s }

func members(v any) int { m, _ := v.(map[string]any); return len(m) }

// nameRE and versionRE are what npm lets be published; what a tarball is called
// follows from the two.
var (
	nameRE    = regexp.MustCompile(`^(@[a-z0-9._~-]+/)?[A-Za-z0-9._~-]+$`)
	versionRE = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$`)
)

func (m manifest) packable() bool {
	return nameRE.MatchString(m.Name) && versionRE.MatchString(m.Version) && len(m.Name) <= 214 && len(m.Version) <= 256
}

// tarball is the name of the file that npm pack makes.
func (m manifest) tarball() string {
	version, _, _ := strings.Cut(m.Version, "+")
	return strings.ReplaceAll(strings.TrimPrefix(m.Name, "@"), "/", "-") + "-" + version + ".tgz"
}

// has tells of a script that it does something.
func (m manifest) has(script string) bool {
	return strings.TrimSpace(m.Scripts[script]) != ""
}

// tests tells whether npm test runs tests: npm init's own text does not.
func (m manifest) tests() bool {
	return m.has("test") && !strings.Contains(m.Scripts["test"], "no test specified")
}

func (d *detector) lookNpm() error {
	for _, dir := range d.candidates("package.json") {
		n, err := d.readNpm(dir)
		if err != nil {
			return err
		}
		// Beside Go modules a package without a lockfile is mostly a tool of the
		// makers; so are those further down.
		if n.lockfile == "" && (dir != "." || len(d.mods) > 0) {
			d.find("%s: left out, since it has no lockfile", path.Join(dir, "package.json"))
			d.aside = append(d.aside, path.Join(dir, "package.json"))
			continue
		}
		if d.insideOther(dir) {
			continue
		}
		d.sayNpm(n)
		d.packages = append(d.packages, n)
	}
	return nil
}

// insideOther tells whether a folder is a workspace of a package found before.
func (d *detector) insideOther(dir string) bool {
	return slices.ContainsFunc(d.packages, func(n *npmProject) bool {
		return slices.ContainsFunc(n.workspaces, func(w *npmProject) bool { return w.dir == dir })
	})
}

func (d *detector) readNpm(dir string) (*npmProject, error) {
	name := path.Join(dir, "package.json")
	data, err := d.tree.read(name)
	if err != nil {
		return nil, err
	}
	n := &npmProject{dir: dir}
	if n.manifest, err = parseManifest(name, data); err != nil {
		return nil, err
	}
	if err := d.npmLock(n); err != nil {
		return nil, err
	}
	for _, w := range d.workspaceDirs(n) {
		data, err := d.tree.read(path.Join(w, "package.json"))
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(path.Join(w, "package.json"), data)
		if err != nil {
			return nil, err
		}
		n.workspaces = append(n.workspaces, &npmProject{dir: w, manifest: m})
	}
	n.candidates = d.products(n)
	return n, nil
}

// npmLock finds the lockfile. Only versions 2 and 3 say where each package
// comes from and what it must hash to.
func (d *detector) npmLock(n *npmProject) error {
	if d.options.Package {
		return nil // a published package's own lockfile does not bind who installs it
	}
	for _, file := range []string{"npm-shrinkwrap.json", "package-lock.json"} {
		name := path.Join(n.dir, file)
		if !d.tree.has(name) {
			continue
		}
		version, err := d.lockVersion(name)
		if err != nil {
			return err
		}
		if version >= 2 {
			n.lockfile = name
			return nil
		}
		d.find("%s: version %d lacks what is needed to check it, so that a lockfile is made in the run", name, version)
		return nil
	}
	for _, other := range []string{"pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"} {
		if d.tree.has(path.Join(n.dir, other)) {
			d.find("%s: is not read; npm makes a lockfile in the run", path.Join(n.dir, other))
		}
	}
	return nil
}

const maxLockfile = 64 << 20

// lockVersion reads lockfileVersion, which stands before the long part.
func (d *detector) lockVersion(name string) (int, error) {
	f, err := d.tree.open(name)
	if err != nil {
		return 0, projectFile(name, "cannot be read: %s", plainError(err))
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxLockfile))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return 0, projectFile(name, "is not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return 0, projectFile(name, "is not JSON: %s", printable(oneLine(err)))
		}
		if key == "lockfileVersion" {
			var v int
			if err := dec.Decode(&v); err != nil {
				return 0, projectFile(name, "lockfileVersion is not a number")
			}
			return v, nil
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return 0, projectFile(name, "is not JSON: %s", printable(oneLine(err)))
		}
	}
	return 1, nil
}

const maxWorkspaces = 200

// workspaceDirs finds the folders that the patterns of workspaces name.
func (d *detector) workspaceDirs(n *npmProject) []string {
	var out []string
	for _, dir := range d.tree.dirs() {
		sub := relative(dir, n.dir)
		if !within(dir, n.dir) || sub == "." || !d.tree.has(path.Join(dir, "package.json")) {
			continue
		}
		taken := false
		for _, pattern := range n.manifest.Workspaces {
			not := strings.HasPrefix(pattern, "!")
			if globs(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(pattern, "!"), "./"), "/"), sub) {
				taken = !not
			}
		}
		if taken && len(out) < maxWorkspaces {
			out = append(out, dir)
		}
	}
	return out
}

// globs matches a path against a pattern in which ** stands for any folders.
func globs(pattern, name string) bool {
	if len(pattern) > 512 || strings.Count(pattern, "**") > 3 {
		return false
	}
	return globParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func globParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if globParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// products are folders that builds are known to make and that the source does
// not have; dist counts even if it does.
func (d *detector) products(n *npmProject) []string {
	var out []string
	for _, one := range append([]*npmProject{n}, n.workspaces...) {
		for _, name := range []string{"dist", "build", "out", ".output", ".next", "_site"} {
			if where := path.Join(one.dir, name); name == "dist" || !d.tree.exists(where) {
				out = append(out, relative(where, n.dir))
			}
		}
	}
	return out
}

// sayNpm adds the sentence about a package.
func (d *detector) sayNpm(n *npmProject) {
	m := n.manifest
	what := path.Join(n.dir, "package.json") + ": "
	if m.Name != "" {
		what += clip(m.Name)
	} else {
		what += "a package without a name"
	}
	if m.Version != "" {
		what += " " + clip(m.Version)
	}
	if m.Private {
		what += ", private"
	}
	if len(n.workspaces) > 0 {
		what += ", " + counted(len(n.workspaces), "workspace")
	}
	var scripts []string
	for _, s := range []string{"prepare", "build", "test"} {
		if m.has(s) && (s != "test" || m.tests()) {
			scripts = append(scripts, s)
		}
	}
	if len(scripts) > 0 && !d.options.Package {
		what += ", scripts: " + strings.Join(scripts, ", ")
	}
	d.find("%s", what)
	switch {
	case n.lockfile != "":
	case !n.installs(d):
		d.find("it has no dependencies: nothing is fetched for npm")
	case d.options.Package:
		d.find("a published package has no lockfile: one is made in the run, and recorded as unpinned")
	default:
		d.find("%s has no lockfile: one is made in the run, and recorded as unpinned", path.Join(n.dir, "package.json"))
	}
}

// installs tells whether there is anything to install.
func (n *npmProject) installs(d *detector) bool {
	if n.manifest.Needs > 0 || len(n.workspaces) > 0 {
		return true
	}
	return !d.options.Package && n.manifest.DevNeeds > 0
}

package golang

import (
	"cmp"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/intake"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// Plan is the closure of a project's Go lockfiles: what its zone may ask for.
type Plan struct {
	modules   map[module.Version]*Module
	versions  map[string][]string // by path, in ascending order
	roots     map[string]bool     // required paths, where resolving starts
	Unpinned  []string            // manifests that require modules and have no lockfile
	Toolchain string              // release that go.mod asks for beyond the host's, or empty
	minAge    time.Duration
	excepted  bool // an exception names a module
}

// NewPlan returns an empty plan: everything is refused.
func NewPlan() *Plan {
	return &Plan{modules: map[module.Version]*Module{}, versions: map[string][]string{}, roots: map[string]bool{}}
}

// Modules lists the members in a stable order.
func (p *Plan) Modules() []*Module {
	list := make([]*Module, 0, len(p.modules))
	for _, m := range p.modules {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *Module) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version.Version, b.Version.Version))
	})
	return list
}

// Screen refuses a plan that names known malware. A module of which the go
// command reads no more than its go.mod runs nothing.
func (p *Plan) Screen(feed *screen.Feed) error {
	for _, m := range p.Modules() {
		if !m.Zip {
			continue
		}
		if err := feed.Refusal(screen.Go, m.Path, m.Version.Version, m.where()); err != nil {
			return err
		}
	}
	return nil
}

// Materials lists everything that the plan allows.
func (p *Plan) Materials() []evidence.Material {
	var out []evidence.Material
	for _, m := range p.Modules() {
		out = append(out, m.Materials()...)
	}
	return out
}

func (p *Plan) add(m *Module) {
	p.modules[m.Version] = m
	list := append(p.versions[m.Path], m.Version.Version)
	slices.SortFunc(list, compareVersions)
	p.versions[m.Path] = list
}

// reader reads one GoSource.
type reader struct {
	tree *intake.Tree
	conf Config
	src  pipeline.GoSource
	pin  evidence.Pin
	plan *Plan
	mods []*modfile.File // of the main modules
	want string          // newest Go release asked for, as go1.2.3
	at   string          // the line that asks for it
}

// Read adds one source of the project to the plan. The pin says whether the
// lockfiles are the project's own or were made in this run.
func (p *Plan) Read(tree *intake.Tree, src pipeline.GoSource, pin evidence.Pin, conf Config) error {
	dir, err := intake.Clean(src.Dir)
	if err != nil {
		return err
	}
	src.Dir = dir
	p.minAge = max(p.minAge, src.MinAge)
	r := &reader{tree: tree, conf: conf, src: src, pin: pin, plan: p}
	sums, err := r.manifests()
	if err != nil {
		return err
	}
	if err := r.sums(sums); err != nil {
		return err
	}
	if err := r.requirements(len(sums) > 0); err != nil {
		return err
	}
	if err := r.toolchain(); err != nil {
		return err
	}
	return r.private()
}

// manifests reads go.work or go.mod and names the sum files that belong to them.
func (r *reader) manifests() ([]string, error) {
	work := path.Join(r.src.Dir, "go.work")
	b, err := r.tree.Read(work, maxModFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := r.mainModule(r.src.Dir); err != nil {
			return nil, err
		}
		return r.present(r.src.Lockfile, path.Join(r.src.Dir, "go.sum"))
	}
	if err != nil {
		return nil, err
	}
	return r.workspace(work, b)
}

func (r *reader) workspace(name string, b []byte) ([]string, error) {
	w, err := modfile.ParseWork(name, b, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Lockfile, "read the workspace", err).At(name)
	}
	if w.Go != nil {
		r.ask(w.Go.Version, name, w.Go.Syntax)
	}
	if w.Toolchain != nil {
		r.ask(w.Toolchain.Name, name, w.Toolchain.Syntax)
	}
	if err := r.replacements(name, r.src.Dir, w.Replace); err != nil {
		return nil, err
	}
	files := []string{path.Join(r.src.Dir, "go.work.sum")}
	for _, u := range w.Use {
		dir, err := r.inside(name, r.src.Dir, u.Path, u.Syntax)
		if err != nil {
			return nil, err
		}
		if err := r.mainModule(dir); err != nil {
			return nil, err
		}
		files = append(files, path.Join(dir, "go.sum"))
	}
	r.mods = append(r.mods, &modfile.File{Syntax: &modfile.FileSyntax{Name: name}, Replace: w.Replace})
	return r.present(r.src.Lockfile, files...)
}

// present leaves out files that do not exist; the one that the pipeline names
// has to.
func (r *reader) present(named string, files ...string) ([]string, error) {
	var out []string
	if named != "" {
		clean, err := intake.Clean(named)
		if err != nil {
			return nil, err
		}
		if !r.tree.Exists(clean) {
			return nil, fault.New(fault.Lockfile, "the lockfile that the pipeline names does not exist").At(clean).Mend("go mod tidy")
		}
		out = append(out, clean)
	}
	for _, f := range files {
		if f = path.Clean(f); !slices.Contains(out, f) && r.tree.Exists(f) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (r *reader) mainModule(dir string) error {
	name := path.Join(dir, "go.mod")
	b, err := r.tree.Read(name, maxModFile)
	if err != nil {
		return fault.Wrap(fault.Lockfile, "read the module", err).At(name)
	}
	f, err := modfile.Parse(name, b, nil)
	if err != nil {
		return fault.Wrap(fault.Lockfile, "read the module", err).At(name)
	}
	if len(f.Require) > maxModules {
		return fault.New(fault.Limit, fmt.Sprintf("more than %d requirements", maxModules)).At(name)
	}
	if f.Go != nil {
		r.ask(f.Go.Version, name, f.Go.Syntax)
	}
	if f.Toolchain != nil {
		r.ask(f.Toolchain.Name, name, f.Toolchain.Syntax)
	}
	r.mods = append(r.mods, f)
	return r.replacements(name, dir, f.Replace)
}

// replacements refuses local ones that leave the tree.
func (r *reader) replacements(name, dir string, list []*modfile.Replace) error {
	for _, rep := range list {
		if rep.New.Version != "" {
			continue
		}
		if _, err := r.inside(name, dir, rep.New.Path, rep.Syntax); err != nil {
			return err
		}
	}
	return nil
}

// inside makes a directory named in a manifest relative to the root.
func (r *reader) inside(name, dir, target string, at *modfile.Line) (string, error) {
	if !path.IsAbs(target) {
		if clean, err := intake.Clean(path.Join(dir, target)); err == nil {
			return clean, nil
		}
	}
	return "", fault.New(fault.ForeignHost, fmt.Sprintf("directory %q lies outside the project", fault.Clean(target))).
		At(fmt.Sprintf("%s:%d", name, lineOf(at))).Mend("move it into the project, or replace with a module version")
}

func lineOf(l *modfile.Line) int {
	if l == nil {
		return 0
	}
	return l.Start.Line
}

// ask notes a Go release that a manifest asks for, if it is the newest so far.
func (r *reader) ask(release, file string, at *modfile.Line) {
	if !strings.HasPrefix(release, "go") {
		release = "go" + release
	}
	if !version.IsValid(release) {
		return // "default", or a custom toolchain that no proxy has
	}
	if r.want == "" || version.Compare(release, r.want) > 0 {
		r.want, r.at = release, fmt.Sprintf("%s:%d", file, lineOf(at))
	}
}

// sums turns promises into members.
func (r *reader) sums(files []string) error {
	for _, name := range files {
		b, err := r.tree.Read(name, maxSumFile)
		if err != nil {
			return err
		}
		lines, err := parseGoSum(name, b)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := r.promise(name, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) promise(name string, l sumLine) error {
	m := r.plan.modules[l.Version]
	if m == nil {
		if len(r.plan.modules) >= maxModules {
			return fault.New(fault.Limit, fmt.Sprintf("more than %d modules", maxModules)).At(name)
		}
		m = &Module{Version: l.Version, File: name, Line: l.line, Pin: r.pin, ModPin: r.pin}
		r.plan.add(m)
	}
	m.MinAge = max(m.MinAge, r.src.MinAge)
	have := &m.ZipSum
	if l.mod {
		have = &m.ModSum
	} else {
		m.Zip, m.File, m.Line, m.Pin = true, name, l.line, r.pin
	}
	if *have != "" && *have != l.sum {
		return fault.New(fault.Lockfile, fmt.Sprintf("two checksums for %s: %s and %s", l.Version, *have, l.sum)).
			At(fmt.Sprintf("%s:%d", name, l.line)).Mend("go mod verify && go mod tidy")
	}
	*have = l.sum
	return nil
}

// requirements adds versions that are fixed by a go.mod alone, and refuses a
// go.sum that lacks what the go command would insist on.
func (r *reader) requirements(locked bool) error {
	replaced := r.replacedBy()
	vendored := r.tree.Exists(path.Join(r.src.Dir, "vendor", "modules.txt"))
	for _, f := range r.mods {
		for _, q := range f.Require {
			v, local := replaced(q.Mod)
			if local || r.isMain(v.Path) {
				continue
			}
			r.plan.roots[v.Path] = true
			if err := r.require(f.Syntax.Name, q, v, locked, vendored); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) require(file string, q *modfile.Require, v module.Version, locked, vendored bool) error {
	if err := module.Check(v.Path, v.Version); err != nil {
		return fault.Wrap(fault.Lockfile, "requirement", err).At(fmt.Sprintf("%s:%d", file, lineOf(q.Syntax)))
	}
	if !locked {
		if !vendored && !slices.Contains(r.plan.Unpinned, file) {
			r.plan.Unpinned = append(r.plan.Unpinned, file)
		}
		return nil
	}
	m := r.plan.modules[v]
	if m == nil || m.ModSum == "" {
		if vendored {
			return nil
		}
		return fault.New(fault.Lockfile, fmt.Sprintf("%s is required, but go.sum has no checksum for it", v)).
			At(fmt.Sprintf("%s:%d", file, lineOf(q.Syntax))).Mend("go mod tidy")
	}
	if !m.Zip {
		// go.sum leaves out modules that give no package to this build, but
		// `go mod download` asks for them: the checksum database pins them.
		m.Zip, m.Pin, m.File, m.Line = true, evidence.PinSumDB, file, lineOf(q.Syntax)
	}
	return nil
}

// replacedBy returns what stands in for a requirement.
func (r *reader) replacedBy() func(module.Version) (v module.Version, local bool) {
	table := map[module.Version]module.Version{}
	for _, f := range r.mods {
		for _, rep := range f.Replace {
			table[rep.Old] = rep.New
		}
	}
	return func(v module.Version) (module.Version, bool) {
		to, ok := table[v]
		if !ok {
			to, ok = table[module.Version{Path: v.Path}]
		}
		if !ok {
			return v, false
		}
		return to, to.Version == ""
	}
}

func (r *reader) isMain(path string) bool {
	for _, f := range r.mods {
		if f.Module != nil && f.Module.Mod.Path == path {
			return true
		}
	}
	return false
}

// toolchain adds a newer Go release where one is asked for.
func (r *reader) toolchain() error {
	if r.want == "" || !version.IsValid(r.conf.Toolchain) || version.Compare(r.want, r.conf.Toolchain) <= 0 {
		return nil
	}
	name := r.want
	if version.Lang(name) == name && version.Compare(name, "go1.21") >= 0 {
		name += ".0" // since Go 1.21 the first release of a line has a patch number
	}
	if version.Compare(name, "go1.21") < 0 {
		return nil // not served as a module; the host's release will do
	}
	if r.conf.SumDB == nil {
		return fault.New(fault.Config, fmt.Sprintf("the project asks for %s, newer than this host's %s, and without a checksum database (GOSUMDB=off) it cannot be verified", name, r.conf.Toolchain)).
			At(r.at).Mend("install " + name + ", or go env -u GOSUMDB")
	}
	if r.plan.Toolchain == "" || version.Compare(name, r.plan.Toolchain) > 0 {
		r.plan.Toolchain = name
	}
	file, line, _ := strings.Cut(r.at, ":")
	m := &Module{
		Version: module.Version{Path: ToolchainPath, Version: fmt.Sprintf("v0.0.1-%s.%s-%s", name, r.conf.OS, r.conf.Arch)},
		Zip:     true, Pin: evidence.PinSumDB, ModPin: evidence.PinSumDB, File: file, MinAge: r.src.MinAge,
	}
	m.Line, _ = strconv.Atoi(line) // our own text of above
	if r.plan.modules[m.Version] == nil {
		r.plan.add(m)
	}
	return nil
}

// private refuses modules that this machine keeps from proxies.
func (r *reader) private() error {
	for _, m := range r.plan.Modules() {
		if err := r.conf.fetchable(m.Path); err != nil {
			var f *fault.Error
			if errors.As(err, &f) {
				return f.At(m.where())
			}
			return err
		}
	}
	return nil
}

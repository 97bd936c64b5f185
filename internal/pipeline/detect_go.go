package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"go/version"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// goProject is a Go module, or a workspace of several.
type goProject struct {
	dir      string
	module   string // path of the module; empty: a workspace without one at its root
	release  string // Go release that is asked for, such as 1.26.1
	lockfile string
	noWork   bool
	vendored bool
	modules  []string     // folders of the modules, below dir
	commands []*goCommand // main packages that are products
	others   int          // main packages that are not
	cgo      bool
	flag     string // for each go command, with a space behind; mostly empty
}

// goCommand is one main package.
type goCommand struct {
	dir  string // below the project's folder
	name string
}

const maxCommands = 40

func (d *detector) lookGo() error {
	for _, dir := range d.candidates("go.mod", "go.work") {
		if slices.ContainsFunc(d.mods, func(m *goProject) bool { return slices.Contains(m.modules, relative(dir, m.dir)) && within(dir, m.dir) }) {
			continue // a module of a workspace that was found before
		}
		m := &goProject{dir: dir}
		if err := d.readGo(m); err != nil {
			return err
		}
		d.packagesOf(m)
		d.sayGo(m)
		d.mods = append(d.mods, m)
	}
	return nil
}

// readGo reads go.work and go.mod.
func (d *detector) readGo(m *goProject) error {
	hasMod := d.tree.has(path.Join(m.dir, "go.mod"))
	if err := d.readWork(m, hasMod); err != nil {
		return err
	}
	if len(m.modules) == 0 {
		m.modules = []string{"."}
	}
	for _, sub := range m.modules {
		f, err := d.readMod(path.Join(m.dir, sub, "go.mod"))
		if err != nil {
			return err
		}
		if sub == "." {
			m.module = f.Module.Mod.Path
		}
		m.ask(f.Go, f.Toolchain)
		d.lock(m, sub)
	}
	d.vendor(m)
	return nil
}

func (d *detector) readMod(name string) (*modfile.File, error) {
	data, err := d.tree.read(name)
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		// What this program does not know yet, a newer go command may.
		f, err = modfile.ParseLax(name, data, nil)
	}
	if err != nil {
		return nil, projectFile(name, "%s", printable(oneLine(err)))
	}
	if f.Module == nil || module.CheckImportPath(f.Module.Mod.Path) != nil {
		return nil, projectFile(name, "does not name a module")
	}
	return f, nil
}

// readWork reads go.work, if there is one that can be used: all its modules
// have to be here.
func (d *detector) readWork(m *goProject, hasMod bool) error {
	name := path.Join(m.dir, "go.work")
	if !d.tree.has(name) {
		return nil
	}
	data, err := d.tree.read(name)
	if err != nil {
		return err
	}
	w, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return projectFile(name, "%s", printable(oneLine(err)))
	}
	for _, u := range w.Use {
		sub := path.Clean(u.Path)
		if _, ok := inside(sub); !ok || !d.tree.has(path.Join(m.dir, sub, "go.mod")) {
			if !hasMod {
				return projectFile(name, "uses %s, which is not a module here", printable(clip(u.Path)))
			}
			m.noWork, m.modules = true, nil
			d.find("%s: not used, since %s is not here", name, clip(u.Path))
			return nil
		}
		m.modules = append(m.modules, sub)
	}
	if len(w.Use) > maxProjects {
		return projectFile(name, "uses %d modules; at most %d are followed", len(w.Use), maxProjects)
	}
	m.ask(w.Go, w.Toolchain)
	if sum := path.Join(m.dir, "go.work.sum"); d.tree.has(sum) {
		m.lockfile = sum
	}
	return nil
}

// ask notes the newest Go release that a file asks for.
func (m *goProject) ask(g *modfile.Go, t *modfile.Toolchain) {
	if g != nil && version.Compare("go"+g.Version, "go"+m.release) > 0 {
		m.release = g.Version
	}
	if t != nil && version.Compare(t.Name, "go"+m.release) > 0 {
		m.release = strings.TrimPrefix(t.Name, "go")
	}
}

func (d *detector) lock(m *goProject, sub string) {
	if sum := path.Join(m.dir, sub, "go.sum"); d.tree.has(sum) {
		m.lockfile = cmp.Or(m.lockfile, sum)
	}
}

// vendor tells whether dependencies lie in vendor. A module's archive can hold
// vendor/modules.txt without what it lists; then it is not used.
func (d *detector) vendor(m *goProject) {
	dir := path.Join(m.dir, "vendor")
	if !d.tree.has(path.Join(dir, "modules.txt")) {
		return
	}
	m.vendored = slices.ContainsFunc(d.tree.list(dir), func(e entry) bool { return e.dir }) && version.Compare("go"+m.release, "go1.14") >= 0
	if !m.vendored {
		m.flag = "-mod=readonly "
	}
}

// packagesOf looks through the packages of all modules of a project.
func (d *detector) packagesOf(m *goProject) {
	ctx := d.context()
	for _, sub := range m.modules {
		top := path.Join(m.dir, sub)
		for _, dir := range d.tree.dirs() {
			if within(dir, top) && d.nearestModule(dir) == top && !skipped(dir, top) {
				d.goPackage(m, ctx, dir)
			}
		}
	}
	if len(m.commands) > maxCommands {
		d.find("%s: %d commands; the first %d become artifacts", path.Join(m.dir, "go.mod"), len(m.commands), maxCommands)
		m.commands = m.commands[:maxCommands]
	}
}

// context decides which files a build for this machine takes.
func (d *detector) context() *build.Context {
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled, ctx.Compiler = "linux", runtime.GOARCH, true, "gc"
	ctx.BuildTags = nil
	ctx.JoinPath = path.Join
	ctx.OpenFile = func(name string) (io.ReadCloser, error) {
		b, err := d.tree.head(name, maxHeader)
		return io.NopCloser(bytes.NewReader(b)), err
	}
	return &ctx
}

func within(dir, top string) bool {
	return top == "." || dir == top || strings.HasPrefix(dir, top+"/")
}

func (d *detector) nearestModule(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if d.tree.has(path.Join(dir, "go.mod")) {
			return dir
		}
	}
	return "."
}

// skipped tells what the pattern ./... leaves out.
func skipped(dir, top string) bool {
	if dir == top {
		return false
	}
	if top != "." {
		dir = strings.TrimPrefix(dir, top+"/")
	}
	for part := range strings.SplitSeq(dir, "/") {
		if part == "testdata" || part == "vendor" || part[0] == '_' || part[0] == '.' {
			return true
		}
	}
	return false
}

// goPackage looks at the files of one folder.
func (d *detector) goPackage(m *goProject, ctx *build.Context, dir string) {
	main := false
	seen := false
	for _, e := range d.tree.list(dir) {
		if !e.file || !strings.HasSuffix(e.name, ".go") || strings.HasSuffix(e.name, "_test.go") {
			continue
		}
		if ok, err := ctx.MatchFile(dir, e.name); err != nil || !ok {
			continue
		}
		name, cgo := d.goFile(path.Join(dir, e.name))
		main = main || name == "main"
		m.cgo = m.cgo || cgo && !secondary(relative(dir, m.dir))
		seen = seen || name != ""
	}
	if !seen || !main {
		return
	}
	sub := relative(dir, m.dir)
	if sub != "." && secondary(sub) {
		m.others++
		return
	}
	m.commands = append(m.commands, &goCommand{sub, d.commandName(m, sub)})
}

// goFile returns the package of a file and whether it imports C.
func (d *detector) goFile(name string) (pkg string, cgo bool) {
	b, err := d.tree.head(name, maxHeader)
	if err != nil {
		return "", false
	}
	mode := parser.PackageClauseOnly
	if bytes.Contains(b, []byte(`"C"`)) {
		mode = parser.ImportsOnly
	}
	f, _ := parser.ParseFile(token.NewFileSet(), name, b, mode)
	if f == nil || f.Name == nil {
		return "", false
	}
	for _, i := range f.Imports {
		cgo = cgo || i.Path.Value == `"C"`
	}
	return f.Name.Name, cgo
}

// relative is a folder's path from top, which it lies in.
func relative(dir, top string) string {
	switch {
	case top == ".":
		return dir
	case dir == top:
		return "."
	}
	return strings.TrimPrefix(dir, top+"/")
}

// commandName is what the go command would call the program: the last element
// of its import path that is no version.
func (d *detector) commandName(m *goProject, sub string) string {
	top := "."
	for _, mod := range m.modules {
		if within(sub, mod) && depth(mod) >= depth(top) {
			top = mod
		}
	}
	imports := path.Join(d.modulePath(path.Join(m.dir, top)), relative(sub, top))
	base := path.Base(imports)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" && path.Dir(imports) != "." {
		base = path.Base(path.Dir(imports))
	}
	return base
}

func (d *detector) modulePath(dir string) string {
	f, err := d.readMod(path.Join(dir, "go.mod"))
	if err != nil {
		return path.Base(dir)
	}
	return f.Module.Mod.Path
}

func (m *goProject) name() string {
	prefix, _, ok := module.SplitPathVersion(m.module)
	if !ok {
		prefix = m.module
	}
	if prefix == "" {
		return ""
	}
	return path.Base(prefix)
}

// sayGo adds the sentence about a project.
func (d *detector) sayGo(m *goProject) {
	what := path.Join(m.dir, "go.mod") + ": module " + m.module
	if len(m.modules) > 1 || m.modules[0] != "." {
		what = path.Join(m.dir, "go.work") + ": " + counted(len(m.modules), "module")
	}
	if m.release != "" {
		what += ", go " + m.release
	}
	switch n := len(m.commands); n {
	case 0:
		what += ", a library"
	default:
		var names []string
		for _, c := range m.commands[:min(n, 8)] {
			names = append(names, c.name)
		}
		if n > 8 {
			names = append(names, "...")
		}
		what += ", " + counted(n, "command") + ": " + strings.Join(names, ", ")
	}
	d.find("%s", what)
	if m.cgo {
		d.find("it imports C: the host's C compiler takes part")
	}
	if m.vendored {
		d.find("dependencies lie in vendor: nothing is fetched for Go")
	}
	if nested := d.nested(m); len(nested) > 0 {
		d.find("left out, since they are modules of their own: %s", strings.Join(nested[:min(len(nested), 5)], ", "))
	}
}

// nested are modules below the project's folder that are not part of it.
func (d *detector) nested(m *goProject) []string {
	var out []string
	for _, dir := range d.tree.dirs() {
		if within(dir, m.dir) && d.tree.has(path.Join(dir, "go.mod")) && !slices.Contains(m.modules, relative(dir, m.dir)) {
			out = append(out, dir)
		}
	}
	return out
}

// patterns are the package patterns of a project, all its modules' packages.
func (m *goProject) patterns() string {
	var out []string
	for _, sub := range m.modules {
		p := "./..."
		if sub != "." {
			p = quote("./" + sub + "/...")
		}
		out = append(out, p)
	}
	return strings.Join(out, " ")
}

// stages adds the commands of a Go project.
func (m *goProject) stages(d *detector, p *parts) {
	fetch, build, test := &p.fetch, &p.build, &p.test
	prefix := ""
	if m.noWork {
		prefix = "GOWORK=off "
	}
	if m.newer(d.options.HostGo) || !m.vendored {
		m.env(d, fetch, false)
		fetch.Keep = append(fetch.Keep, GoModCache)
	}
	if m.vendored && m.newer(d.options.HostGo) {
		fetch.Run = append(fetch.Run, in(m.dir, "go version"))
	}
	if !m.vendored {
		// Listing with all dependencies asks for exactly what building and testing
		// on this system need; go mod download asks for more, of which go.sum may
		// know nothing. A package that cannot be loaded is told here and, if it
		// matters, fails in build.
		fetch.Run = append(fetch.Run, in(m.dir, prefix+"go list "+m.flag+`-e -deps -test -f '{{with .Error}}{{.}}{{end}}' `+m.patterns()+" >&2"))
	}
	m.env(d, build, true)
	m.env(d, test, false)
	m.build(d, build, prefix)
	test.Run = append(test.Run, in(m.dir, prefix+"go test "+m.flag+m.patterns()))
}

// newer tells whether the project asks for a newer release than the host's.
func (m *goProject) newer(host string) bool {
	return m.release != "" && version.Compare("go"+m.release, cmp.Or(host, runtime.Version())) > 0
}

// env sets what go commands need. Paths of the build are kept out of products;
// of tests they are not, since many find their files by them.
func (m *goProject) env(d *detector, s *Stage, trim bool) {
	env := map[string]string{"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
	if trim {
		env["GOFLAGS"] = "-trimpath -buildvcs=false"
	}
	if slices.ContainsFunc(d.mods, func(m *goProject) bool { return m.cgo }) {
		env["CGO_ENABLED"] = "1"
	}
	if m.newer(d.options.HostGo) {
		// The toolchain comes through the gateway like any module. Its checksum is
		// looked up again whenever it is used; the answer is in the module cache, but
		// not for who turned the checksum database off.
		env["GOTOOLCHAIN"], env["GOSUMDB"] = "auto", ""
	}
	s.addEnv(env)
}

// build adds the commands that make the artifacts.
func (m *goProject) build(d *detector, s *Stage, prefix string) {
	if len(m.commands) == 0 {
		s.Run = append(s.Run, in(m.dir, prefix+"go build "+m.flag+m.patterns()))
		d.artifact(cmp.Or(slug(m.name()), slug(path.Base(m.dir)), "source"), m.dir, "source-"+m.dir)
		return
	}
	dist := d.free(m.dir)
	goBuild := prefix + "go build " + m.flag + "-ldflags=-buildid= -o "
	var together []string
	taken := map[string]bool{}
	var apart []string
	for _, c := range m.commands {
		target := quote("./" + c.dir)
		if c.dir == "." {
			target = "."
		}
		if !taken[c.name] {
			taken[c.name] = true
			together = append(together, target)
			d.artifact(c.name, path.Join(m.dir, dist, c.name), path.Join(m.dir, c.dir))
			continue
		}
		name := strings.ReplaceAll(c.dir, "/", "-")
		apart = append(apart, in(m.dir, goBuild+quote(dist+"/"+name)+" "+target))
		d.artifact(name, path.Join(m.dir, dist, name), path.Join(m.dir, c.dir))
	}
	s.Run = append(s.Run, in(m.dir, goBuild+dist+"/ "+strings.Join(together, " ")))
	s.Run = append(s.Run, apart...)
}

// free is a name for a folder of products that nothing in dir bears yet.
func (d *detector) free(dir string) string {
	for _, name := range []string{"dist", "bin", "sallyport-dist"} {
		if !d.tree.exists(path.Join(dir, name)) {
			return name
		}
	}
	for i := 2; ; i++ {
		if name := fmt.Sprintf("sallyport-dist-%d", i); !d.tree.exists(path.Join(dir, name)) {
			return name
		}
	}
}

func oneLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

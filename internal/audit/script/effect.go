package script

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// effect does what follows from a command, and tells whether its event stands.
// n is how many operands the row took; e is nil where the row has no event.
func (w *walk) effect(f effect, c *call, e *ci.Event, t *table, n int) bool {
	s := &w.r.state
	switch f {
	case installs:
		s.install(t.ecosystem, c.head(n))
	case adds:
		s.install(t.ecosystem, c.head(n))
		w.brings(c, e, t, n)
	case tools:
		w.brings(c, e, t, n)
	case configures:
		w.configures(c)
	case modules:
		w.modules(c, t, n)
	case goRun:
		e.Floating = floating("go", c.operand(n))
	case executes:
		w.silently(func() { w.inner(c, n) })
	case dlx, uvx:
		w.dlx(c, e, t, n)
	case runsScript:
		return w.runsScript(c, e, n)
	case makes:
		return w.makes(c, e)
	case releases:
		return w.releases(c, e)
	case testsEnv:
		w.testsEnv(c)
	default:
		return w.fileEffect(f, c, e, n)
	}
	return true
}

// fileEffect is the part of effect that is about files, sources and containers.
func (w *walk) fileEffect(f effect, c *call, e *ci.Event, n int) bool {
	s := &w.r.state
	switch f {
	case downloads:
		w.downloads(c)
	case clones:
		w.clones(c, n)
	case unpacks:
		w.unpacks(c)
	case moves:
		w.moves(c)
	case sources:
		s.set("sources")
	case packages:
		w.packages(c, e, n)
	case verifies:
		w.verifies()
	case builds:
		return w.builds(c, e, n)
	case containers:
		w.containers(c, n)
	}
	return true
}

// inner runs the command that stands after n operands.
func (w *walk) inner(c *call, n int) {
	rest := c.from(n)
	for len(rest) > 0 && (rest[0].text == "--" || rest[0].text == "-c") {
		rest = rest[1:]
	}
	if len(rest) > 0 {
		w.run(c.with(rest))
	}
}

// brings keeps what a command installs by name, and tells whether some of it has
// no fixed version.
func (w *walk) brings(c *call, e *ci.Event, t *table, n int) {
	operands := c.operands()
	version := c.value("--version -v --revision --rev --tag") != ""
	for _, i := range operands[min(n, len(operands)):] {
		spec := c.args[i].text
		if isPath(spec) || strings.HasPrefix(spec, "$") {
			continue
		}
		loose := !version && floating(t.ecosystem, spec)
		if e != nil && loose {
			e.Floating = true
		}
		if e != nil && e.Tier == ci.Compiles {
			w.r.state.bring(toolName(spec), tool{from: c.head(n) + " " + spec, ecosystem: t.ecosystem, floating: loose})
		}
	}
}

// isPath tells whether an operand of an installer is a folder or a file of the
// job, not a package.
func isPath(spec string) bool {
	return spec == "." || strings.HasPrefix(spec, ".[") || strings.HasPrefix(spec, "./") || strings.HasPrefix(spec, "../") || strings.HasPrefix(spec, "/") ||
		strings.HasSuffix(spec, ".whl") || strings.HasSuffix(spec, ".tgz") || strings.HasSuffix(spec, ".txt") || strings.HasSuffix(spec, ".gem") || strings.HasSuffix(spec, ".nupkg") ||
		strings.ContainsAny(spec, "*=") && strings.HasPrefix(spec, "dist/")
}

// toolName returns the program that a package most likely brings.
func toolName(spec string) string {
	if i := strings.LastIndexByte(spec, '@'); i > 0 {
		spec = spec[:i]
	}
	spec, _, _ = strings.Cut(spec, "[")
	spec, _, _ = strings.Cut(spec, "=")
	return path.Base(strings.TrimRight(spec, "<>~!"))
}

// floating tells whether a package is named without a fixed version.
func floating(ecosystem, spec string) bool {
	spec = strings.Trim(spec, `"'`)
	if spec == "" || isPath(spec) {
		return false
	}
	switch ecosystem {
	case "pypi":
		if strings.HasPrefix(spec, "git+") || strings.Contains(spec, "://") {
			return !hasRevision(spec)
		}
		if i := strings.IndexByte(spec, '@'); i > 0 {
			return spec[i+1:] == "latest"
		}
		return !strings.Contains(spec, "==") || strings.Contains(spec, ".*")
	case "gem", "choco", "snap", "nuget":
		return !strings.Contains(spec, ":")
	case "go":
		return strings.Contains(spec, "@") && loose(spec)
	case "cargo", "npm":
		return loose(spec)
	}
	return false
}

// loose tells whether name@version leaves the version open.
func loose(spec string) bool {
	i := strings.LastIndexByte(spec, '@')
	if i <= 0 {
		return !strings.Contains(spec, "://")
	}
	v := strings.TrimLeft(spec[i+1:], "v=")
	switch {
	case v == "":
		return true
	case strings.HasPrefix(v, "$") || strings.HasPrefix(v, "{"):
		return false
	case strings.ContainsAny(v, "^~><*x |"):
		return true
	case isDigit(v[0]):
		return strings.Count(v, ".") < 2 && len(v) < 12
	}
	return !isHex(v)
}

func isHex(s string) bool { return len(s) >= 12 && strings.Trim(s, "0123456789abcdef") == "" }

// hasRevision tells whether a URL of git names a commit or a version.
func hasRevision(spec string) bool {
	i := strings.LastIndexByte(spec, '@')
	if i < 0 || i < strings.LastIndexByte(spec, '/') {
		return !strings.HasPrefix(spec, "git+")
	}
	rev, _, _ := strings.Cut(strings.TrimPrefix(spec[i+1:], "v"), "#")
	return isHex(rev) || strings.HasPrefix(rev, "$") || rev != "" && isDigit(rev[0])
}

// configures keeps npm config set ignore-scripts true.
func (w *walk) configures(c *call) {
	line := strings.ReplaceAll(c.joined(), "=", " ")
	if strings.Contains(line, "ignore-scripts true") || strings.Contains(line, "enableScripts false") {
		w.r.state.set("ignore-scripts")
	}
}

// modules is go install and go get: with a version it compiles a tool, which
// later commands run.
func (w *walk) modules(c *call, t *table, n int) {
	e := ci.Event{Tier: ci.Compiles, Ecosystem: t.ecosystem, Why: c.head(n) + " compiles a tool and its dependencies"}
	for i := n; ; i++ {
		spec := c.operand(i)
		if spec == "" {
			break
		}
		if at := strings.IndexByte(spec, '@'); at > 0 && c.operand(0) == "install" {
			e.Tier, e.Why = ci.Executes, c.head(n)+" builds a tool of another module, which later commands run"
			e.Floating = e.Floating || loose(spec)
		}
	}
	if c.operand(0) == "get" {
		e.Why = c.head(n) + " fetches modules and runs none of them"
	}
	w.event(c, e)
}

// dlx is a package that is fetched and run at once. One that the project's
// package.json names is of the version that the lockfile says.
func (w *walk) dlx(c *call, e *ci.Event, t *table, n int) {
	spec := c.value("--package -p --from --spec")
	if t.ecosystem == "pypi" {
		spec = c.value("--from --spec") // -p is a version of python there
	}
	if spec == "" {
		spec = c.operand(n)
	}
	name := toolName(spec)
	switch {
	case t.ecosystem == "npm" && w.project(w.dir).names(name, spec):
		e.Floating = false
	case t.ecosystem == "npm" && w.r.state.installed["npm"] != "" && !strings.Contains(strings.TrimPrefix(spec, "@"), "@") && c.name != "pnpm" && c.name != "yarn":
		// npx runs an installed program where there is one.
		e.Why = c.head(n) + " runs a program of an installed package"
	default:
		e.Floating = floating(t.ecosystem, spec)
	}
	rest := c.from(n)
	if len(rest) == 0 {
		return
	}
	inner := c.with(rest)
	if at := strings.LastIndexByte(inner.name, '@'); at > 0 {
		inner.name = inner.name[:at]
	}
	if strings.HasPrefix(inner.path, "@") {
		inner.name = toolName(inner.path)
	}
	w.silently(func() { w.run(inner) })
}

// packages are system packages: from the distribution, unless the job added a
// source of its own, or names a file.
func (w *walk) packages(c *call, e *ci.Event, n int) {
	operands := c.operands()
	for _, i := range operands[min(n, len(operands)):] {
		spec := c.args[i].text
		switch {
		case strings.HasSuffix(spec, ".deb") || strings.HasSuffix(spec, ".rpm") || strings.HasSuffix(spec, ".apk") || strings.Contains(spec, "://"):
			e.Tier, e.Why = ci.Executes, c.head(n)+" installs a package file and runs its scripts"
			return
		case c.name == "brew" && strings.Count(spec, "/") >= 2:
			e.Tier, e.Why, e.Floating = ci.Executes, c.head(n)+" installs a formula of another repository", true
			return
		}
	}
	if w.r.state.settings["sources"] {
		e.Tier, e.Why = ci.Executes, c.head(n)+" installs from a source that the job added, and runs the scripts of its packages"
	}
}

// verifies marks what was downloaded so far as checked.
func (w *walk) verifies() {
	s := &w.r.state
	for name, t := range s.tools {
		if t.download {
			t.verified = true
			s.tools[name] = t
		}
	}
	s.verified = true
}

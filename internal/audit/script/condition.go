package script

import (
	"path"
	"slices"
	"strings"
)

// holds tells whether what a row asks for is so. What cannot be told is never
// so where that would make a command harmless.
func (w *walk) holds(want condition, c *call, t *table, n int) bool {
	s := &w.r.state
	switch want {
	case always:
		return true
	case installed:
		return s.installed[t.ecosystem] != ""
	case global:
		return c.has("-g --global") || c.value("--location") == "global"
	case noScripts:
		return w.scriptsOff(c)
	case pureGo:
		v, ok := w.env(c, "CGO_ENABLED")
		return ok && v == "0"
	case needless:
		return w.project(w.dir).needless() && !slices.ContainsFunc(c.after(n-1), func(a arg) bool { return strings.Contains(a.text, "@") })
	case hashed:
		return wheelsOnly(c)
	case archive:
		return packed(c, n)
	case lifecycle:
		return w.lifecycle(c)
	case hooksOnly:
		return w.ownHooks()
	}
	return false
}

// env returns an environment variable of a command, false where its value is
// not known.
func (w *walk) env(c *call, name string) (string, bool) {
	for _, from := range []map[string]string{c.env, w.vars, w.r.Env} {
		if v, ok := from[name]; ok {
			return v, true
		}
	}
	return "", false
}

// scriptsOff tells whether an install runs no scripts of packages.
func (w *walk) scriptsOff(c *call) bool {
	s := &w.r.state
	switch c.name {
	case "composer":
		return c.has("--no-scripts") && c.has("--no-plugins")
	case "yarn":
		if v, _ := w.env(c, "YARN_ENABLE_SCRIPTS"); v == "false" || v == "0" || c.has("--mode=skip-build") || c.value("--mode") == "skip-build" {
			return true
		}
	}
	if c.has("--ignore-scripts") || c.has("--no-scripts") {
		return true
	}
	for _, name := range []string{"npm_config_ignore_scripts", "NPM_CONFIG_IGNORE_SCRIPTS"} {
		if v, _ := w.env(c, name); v == "true" || v == "1" {
			return true
		}
	}
	return s.settings["ignore-scripts"] || w.project(w.dir).ignoreScripts
}

// wheelsOnly tells whether pip unpacks only wheels, each of a known digest.
func wheelsOnly(c *call) bool {
	binary := c.has("--no-build")
	for _, v := range c.values("--only-binary") {
		binary = binary || v == ":all:"
	}
	return c.has("--require-hashes") && binary && !c.letter('e')
}

// packed tells whether npm publishes an archive that was packed before, or a
// URL: then no script of the package runs.
func packed(c *call, n int) bool {
	for i := n; ; i++ {
		s := c.operand(i)
		if s == "" {
			return false
		}
		if strings.HasSuffix(s, ".tgz") || strings.HasSuffix(s, ".tar.gz") {
			return true
		}
	}
}

// lifecycle tells whether packing or publishing the package runs scripts that
// can load installed packages.
func (w *walk) lifecycle(c *call) bool {
	if w.r.state.installed["npm"] == "" {
		return false
	}
	dir := w.dir
	if to := c.operand(1); to != "" && !strings.ContainsAny(to, "$@") {
		dir = path.Join(dir, to)
	}
	p := w.project(dir)
	if !p.known {
		return true
	}
	for _, name := range []string{"prepublishOnly", "prepublish", "prepack", "prepare", "postpack", "publish", "postpublish"} {
		if p.scripts[name] != "" {
			return true
		}
	}
	return false
}

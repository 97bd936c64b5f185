package pipeline

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// packDir is where tarballs are made: below node_modules, which npm never packs
// and formatters and linters pass over.
const packDir = "node_modules/.sallyport"

// stages adds the commands of an npm package.
func (n *npmProject) stages(d *detector, p *parts) {
	fetch, generate, build, test := &p.fetch, &p.generate, &p.build, &p.test
	for _, s := range []*Stage{generate, build, test} {
		s.addEnv(npmEnv())
	}
	if n.installs(d) {
		n.fetch(d, fetch)
	}
	n.generate(d, generate)
	n.build(d, build)
	n.pack(d, build)
	build.Keep = append(build.Keep, ".") // tests need what the build left, wherever that is
	if d.options.Package {
		n.load(d, test)
		return
	}
	n.test(d, test)
}

// npmEnv turns off what cannot work here and is not wanted: git hooks for
// developers, downloads of browsers, telemetry.
func npmEnv() map[string]string {
	return map[string]string{
		"HUSKY":                            "0",
		"PUPPETEER_SKIP_DOWNLOAD":          "true",
		"PUPPETEER_SKIP_CHROMIUM_DOWNLOAD": "true",
		"PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
		"CYPRESS_INSTALL_BINARY":           "0",
		"ELECTRON_SKIP_BINARY_DOWNLOAD":    "1",
		"NEXT_TELEMETRY_DISABLED":          "1",
		"NG_CLI_ANALYTICS":                 "false",
	}
}

// fetch installs without running anything. What a published package needs for
// its own development is none of its user's.
func (n *npmProject) fetch(d *detector, s *Stage) {
	command := "npm ci"
	switch {
	case d.options.Package:
		command = "npm pkg delete devDependencies && npm install --omit=dev"
	case n.lockfile == "":
		command = "npm install"
	}
	s.Run = append(s.Run, in(n.dir, command+" --ignore-scripts --no-audit --no-fund"))
	s.Keep = append(s.Keep, path.Join(n.dir, "node_modules"))
	for _, w := range n.workspaces {
		s.Keep = append(s.Keep, path.Join(w.dir, "node_modules"))
	}
}

// generate runs install scripts: those of dependencies, and the package's own.
func (n *npmProject) generate(d *detector, s *Stage) {
	own := n.manifest.has("install") || n.manifest.has("preinstall") || n.manifest.has("postinstall") || d.tree.has(path.Join(n.dir, "binding.gyp"))
	if !n.installs(d) && !own {
		return
	}
	s.Run = append(s.Run, in(n.dir, "npm rebuild"))
	if n.manifest.has("prepare") && !d.options.Package && !onlyHooks(n.manifest.Scripts["prepare"]) {
		s.Run = append(s.Run, in(n.dir, "npm run prepare"))
	}
	s.Keep = append(s.Keep, ".")
}

// onlyHooks tells of a prepare script that it only sets up git hooks.
func onlyHooks(script string) bool {
	if strings.ContainsAny(script, "&|;") {
		return false
	}
	for _, tool := range []string{"husky", "lefthook", "simple-git-hooks", "pre-commit", "git config"} {
		if strings.Contains(script, tool) {
			return true
		}
	}
	return false
}

// some tells whether any workspace satisfies f.
func (n *npmProject) some(f func(manifest) bool) bool {
	return slices.ContainsFunc(n.workspaces, func(w *npmProject) bool { return f(w.manifest) })
}

func (n *npmProject) build(d *detector, s *Stage) {
	m := n.manifest
	switch {
	case d.options.Package:
	case m.has("build"):
		s.Run = append(s.Run, in(n.dir, "npm run build"))
	case n.some(func(w manifest) bool { return w.has("build") }):
		s.Run = append(s.Run, in(n.dir, "npm run build --workspaces --if-present"))
	case m.has("prepack") && !m.has("prepare"):
		s.Run = append(s.Run, in(n.dir, "npm run prepack"))
	}
}

// pack makes the artifacts: a tarball of each package that can be published,
// else what the build made, else the source.
func (n *npmProject) pack(d *detector, s *Stage) {
	dest := packDir
	var packed []*npmProject
	for _, one := range append([]*npmProject{n}, n.workspaces...) {
		if one.manifest.packable() && (!one.manifest.Private || one == n && d.options.Package) {
			packed = append(packed, one)
		}
	}
	built := slices.ContainsFunc(s.Run, func(r string) bool { return strings.Contains(r, "npm run build") })
	if len(packed) == 0 && !built && n.manifest.packable() {
		packed = []*npmProject{n}
	}
	if len(packed) == 0 {
		n.collect(d, s, built)
		return
	}
	s.Run = append(s.Run, in(n.dir, "mkdir -p "+dest))
	for _, one := range packed {
		target := relative(one.dir, n.dir)
		command := "npm pack --ignore-scripts --pack-destination " + dest
		if target != "." {
			command += " " + quote("./"+target)
		}
		s.Run = append(s.Run, in(n.dir, command))
		name := path.Base(one.manifest.Name)
		d.artifact(name, path.Join(n.dir, dest, one.manifest.tarball()), strings.ReplaceAll(one.manifest.Name, "/", "-"))
	}
}

// collect gathers what the build of an application made.
func (n *npmProject) collect(d *detector, s *Stage, built bool) {
	name := cmp.Or(slug(n.manifest.Name), slug(path.Base(n.dir)), "app")
	if !built {
		d.artifact(name, n.dir, name+"-source")
		return
	}
	dest := packDir + "/app"
	var dirs []string
	for _, c := range n.candidates {
		dirs = append(dirs, quote(c))
	}
	s.Run = append(s.Run, in(n.dir, "rm -rf "+dest+` && for made in `+strings.Join(dirs, " ")+
		`; do if [ -d "$made" ]; then mkdir -p "`+dest+`/$(dirname "$made")" && cp -R "$made" "`+dest+`/$made" || exit; fi; done; `+
		`[ -d `+dest+` ] || { echo "npm run build made none of the folders that are looked for: name yours under out: in `+FileName+`" >&2; exit 1; }`))
	d.artifact(name, path.Join(n.dir, dest), name+"-web")
	d.find("the artifact is what npm run build makes: dist, build, out or the like")
}

func (n *npmProject) test(d *detector, s *Stage) {
	switch {
	case n.manifest.tests():
		s.Run = append(s.Run, in(n.dir, "npm test"))
	case n.some(manifest.tests):
		s.Run = append(s.Run, in(n.dir, "npm test --workspaces --if-present"))
	default:
		d.find("%s has no test script: nothing is tested", path.Join(n.dir, "package.json"))
	}
}

// loaderScript loads a package the way its users do: by import, and by require where
// it has no other entry.
const loaderScript = `import(process.argv[1]).catch(e => { if (!/^ERR_(PACKAGE_PATH_NOT_EXPORTED|UNKNOWN_FILE_EXTENSION|IMPORT_ASSERTION|IMPORT_ATTRIBUTE|REQUIRE_ESM)/.test(e.code)) throw e; require(process.argv[2]) }).then(() => { console.log("loads: " + process.argv[2]); process.exit(0) }, e => { console.error(process.argv[2] + " does not load:"); console.error(e); process.exit(1) })`

// load tests a published package, which brings no tests of its own, by loading
// it once.
func (n *npmProject) load(d *detector, s *Stage) {
	entry := d.entry(n)
	if entry == "" {
		d.find("it has no entry point that Node could load: nothing is tested")
		return
	}
	url := entry
	if !n.self() {
		url = "./" + entry
		entry = url
	}
	s.Run = append(s.Run, in(n.dir, "node -e "+quote(loaderScript)+" "+quote(url)+" "+quote(entry)))
	d.find("published packages bring no tests: it is loaded once instead, by its own entry point")
}

// self tells whether the package can be loaded by its own name.
func (n *npmProject) self() bool {
	return n.manifest.Exports != nil && nameRE.MatchString(n.manifest.Name)
}

// entry is what to load: the package's name where it says what it exports, else
// the file that main or the default names; empty: nothing.
func (d *detector) entry(n *npmProject) string {
	m := n.manifest
	if n.self() {
		if exportsMain(m.Exports, 0) {
			return m.Name
		}
		return ""
	}
	for _, main := range []string{m.Main, "index.js"} {
		main = path.Clean(main)
		if _, ok := inside(main); main == "." || !ok {
			continue
		}
		for _, file := range []string{main, main + ".js", main + ".json", main + ".node", path.Join(main, "index.js")} {
			if strings.HasSuffix(file, ".ts") || !d.tree.has(path.Join(n.dir, file)) {
				continue
			}
			return file
		}
	}
	return ""
}

// exportsMain tells whether exports has something for the package's own name
// that Node could load.
func exportsMain(v any, level int) bool {
	switch v := v.(type) {
	case string:
		return slices.Contains([]string{".js", ".mjs", ".cjs", ".node", ".json"}, path.Ext(v))
	case []any:
		return level < 8 && slices.ContainsFunc(v, func(e any) bool { return exportsMain(e, level+1) })
	case map[string]any:
		if root, ok := v["."]; ok && level == 0 {
			return exportsMain(root, 1)
		}
		for k, e := range v {
			if strings.HasPrefix(k, ".") || k == "types" || k == "browser" || level >= 8 {
				continue
			}
			if exportsMain(e, level+1) {
				return true
			}
		}
	}
	return false
}

package script

import (
	"encoding/json"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// maxFile is how many bytes of a file of the repository are read.
const maxFile = 1 << 20

// project is what the files of one folder tell about the commands that run in
// it. The zero project tells nothing.
type project struct {
	known         bool // there is a package.json
	scripts       map[string]string
	packages      map[string]bool // dependencies of every kind
	ignoreScripts bool            // .npmrc
	module        bool            // there is a go.mod
	requires      bool            // go.mod has requirements
}

// needless tells whether a Go module has no requirements.
func (p *project) needless() bool { return p.module && !p.requires }

// names tells whether package.json names a package, and spec asks for no
// version of its own.
func (p *project) names(name, spec string) bool {
	return p.packages[spec] || p.packages[name] && !strings.Contains(strings.TrimPrefix(spec, "@"), "@")
}

// load returns the content of a file of the repository, false where there is
// none that can be read.
func (r *Reader) load(name string) (string, bool) {
	if r.Repo == nil || !fs.ValidPath(name) {
		return "", false
	}
	f, err := r.Repo.Open(name)
	if err != nil {
		return "", false
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		return "", false
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(raw) > maxFile {
		return "", false
	}
	return string(raw), true
}

// project returns what is known of a folder. It is read once.
func (w *walk) project(dir string) *project {
	s := &w.r.state
	if p := s.files[dir]; p != nil {
		return p
	}
	p := &project{}
	if dir != unknown {
		w.r.manifest(p, dir)
		w.r.module(p, dir)
		rc, _ := w.r.load(path.Join(dir, ".npmrc"))
		p.ignoreScripts = slices.ContainsFunc(strings.Split(rc, "\n"), func(l string) bool {
			return strings.ReplaceAll(strings.TrimSpace(l), " ", "") == "ignore-scripts=true"
		})
	}
	if s.files == nil {
		s.files = map[string]*project{}
	}
	s.files[dir] = p
	return p
}

// manifest reads package.json.
func (r *Reader) manifest(p *project, dir string) {
	raw, ok := r.load(path.Join(dir, "package.json"))
	if !ok {
		return
	}
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(raw), &all) != nil {
		return
	}
	p.known, p.scripts, p.packages = true, map[string]string{}, map[string]bool{}
	var scripts map[string]any
	if json.Unmarshal(all["scripts"], &scripts) == nil {
		for name, v := range scripts {
			if s, ok := v.(string); ok {
				p.scripts[name] = s
			}
		}
	}
	for _, kind := range []string{"dependencies", "devDependencies", "optionalDependencies", "peerDependencies"} {
		var some map[string]any
		if json.Unmarshal(all[kind], &some) == nil {
			for name := range some {
				p.packages[name] = true
			}
		}
	}
}

// module reads go.mod.
func (r *Reader) module(p *project, dir string) {
	for at := dir; ; at = path.Dir(at) {
		raw, ok := r.load(path.Join(at, "go.mod"))
		if ok {
			p.module = true
			p.requires = strings.Contains("\n"+raw, "\nrequire") || strings.Contains("\n"+raw, "\ntool")
			return
		}
		if at == "" || at == "." {
			return
		}
	}
}

// runsScript is npm run: a script of package.json, and what its text starts.
// Where nothing was installed and the package has no dependencies, it is the
// repository's own code.
func (w *walk) runsScript(c *call, e *ci.Event, n int) bool {
	p := w.project(w.prefix(c))
	by := w.r.state.installed["npm"]
	names := w.scriptNames(c, n)
	if e != nil { // publish and pack: the row has said it
		w.silently(func() { w.scripts(c, p, names) })
		return true
	}
	found := slices.ContainsFunc(names, func(name string) bool { return p.scripts[name] != "" })
	if oneOf(c.operand(0), "version|stop|start|restart|test|t|tst") && p.known && !found {
		return false
	}
	why := ""
	switch {
	case by != "":
		why = "runs what " + by + " installed"
	case !p.known:
		why = "runs whatever the package.json says"
	}
	if why == "" {
		bins := w.bins
		w.bins = len(p.packages) > 0
		w.scripts(c, p, names)
		w.bins = bins
		return false
	}
	head := min(max(n, 1)+1, len(c.operands()))
	if n > 0 && oneOf(c.operand(0), "test|t|tst|start|stop|restart|version") {
		head = 1
	}
	w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "npm", Why: c.head(head) + " " + why})
	w.silently(func() { w.scripts(c, p, names) })
	return true
}

// prefix returns the folder that a command of npm and its kin works in.
func (w *walk) prefix(c *call) string {
	to := c.value("--prefix -C --cwd --dir")
	if to == "" {
		return w.dir
	}
	if dir, ok := w.below(to); ok {
		return dir
	}
	return unknown
}

// scriptNames returns the names of the scripts that a command runs.
func (w *walk) scriptNames(c *call, n int) []string {
	name := c.operand(n)
	switch verb := c.operand(0); {
	case oneOf(verb, "test|t|tst"):
		name = "test"
	case oneOf(verb, "start|stop|restart"):
		name = verb
	case oneOf(verb, "version"):
		return []string{"preversion", "version", "postversion"}
	case oneOf(verb, "publish|pack"):
		return []string{"prepublishOnly", "prepack", "prepare", "postpack", "postpublish"}
	case oneOf(verb, "run|run-script|rum|urn"):
	case oneOf(verb, "workspace|workspaces|recursive"):
		name = c.operand(len(c.operands()) - 1)
	default:
		name = verb // pnpm build
	}
	return []string{"pre" + name, name, "post" + name}
}

// scripts reads the text of scripts of package.json. A name that is none is a
// program of an installed package.
func (w *walk) scripts(c *call, p *project, names []string) {
	found := false
	for _, name := range names {
		text := p.scripts[name]
		if text == "" {
			continue
		}
		found = true
		w.into(c, c.head(2), path.Join(w.dir, "package.json"), text, "posix")
	}
	if !found && len(names) == 3 && oneOf(c.name, "pnpm|yarn|bun") && !oneOf(c.operand(0), "run|run-script|test|t|tst|start|stop|restart|version|publish|pack") {
		rest := c.args
		for len(rest) > 0 && strings.HasPrefix(rest[0].text, "-") {
			rest = rest[1:]
		}
		if oneOf(c.operand(0), "workspace") && len(c.operands()) > 2 {
			rest = c.from(2)
		}
		if len(rest) > 0 {
			w.run(c.with(rest))
		}
	}
}

// into reads text of another file of the repository. All that it does is said
// of the command that led there.
func (w *walk) into(c *call, via, file, text, shell string) {
	leave := w.open(c, via, file)
	if leave == nil {
		return
	}
	t := w.src.beside(text, c.place)
	t.line, t.file = c.text, file
	args := w.args
	w.apart(func() { w.read(t, shell) })
	w.args = args
	leave()
}

// file reads a script of the repository.
func (w *walk) file(c *call, file string, args []arg, lang string, here bool) {
	name, ok := w.below(file)
	raw := ""
	if ok {
		raw, ok = w.r.load(name)
	}
	if !ok {
		if (shellName(file) || lang != "") && !outside(file) {
			w.gap(c.text, "a script that is not read: "+oneLine(file), c.place)
		}
		return
	}
	if lang == "" {
		lang = shebang(raw, name)
	}
	if lang == "" || lang == "python" || lang == "node" || lang == "ruby" || lang == "perl" {
		w.loads(c, lang)
		return
	}
	before := w.args
	w.args = append([]arg{}, args...)
	if here {
		w.sourced(c, name, raw)
	} else {
		w.into(c, c.name, name, raw, lang)
	}
	w.args = before
}

// sourced reads a file into the same shell: its functions and folder stay.
func (w *walk) sourced(c *call, name, raw string) {
	leave := w.open(c, c.name, name)
	if leave == nil {
		return
	}
	t := w.src.beside(raw, c.place)
	t.line, t.file = c.text, name
	w.read(t, "bash")
	leave()
}

// open goes one file deeper, unless that is too deep; what it returns goes back.
// A file that names a part of itself is the same file.
func (w *walk) open(c *call, via, file string) (leave func()) {
	before, files := w.via, w.files
	if file != w.src.file {
		if w.files >= maxFiles {
			w.gap(c.text, "files that name files that name files: "+file, c.place)
			return nil
		}
		w.files++
	}
	if w.via == "" {
		w.via = via + " (" + file + ")"
	}
	return func() { w.via, w.files = before, files }
}

// outside tells whether a path is that of a program of the runner, not of the
// repository.
func outside(file string) bool {
	for _, root := range roots {
		if strings.HasPrefix(file, root) {
			return false
		}
	}
	return strings.HasPrefix(file, "/") || strings.HasPrefix(file, "~") || strings.HasPrefix(file, "$HOME/") || strings.HasPrefix(file, "${HOME}/") ||
		strings.HasPrefix(file, "$NVM_DIR") || strings.HasPrefix(file, "${NVM_DIR}")
}

func shellName(file string) bool {
	return oneOf(path.Ext(file), ".sh|.bash|.ps1|.bat|.cmd")
}

// shebang returns the language of a script by its first line or its name.
func shebang(raw, name string) string {
	if head, ok := strings.CutPrefix(raw, "#!"); ok {
		line, _, _ := strings.Cut(head, "\n")
		return language(strings.TrimSpace(line))
	}
	switch path.Ext(name) {
	case ".sh", ".bash":
		return "bash"
	case ".ps1":
		return "pwsh"
	case ".bat", ".cmd":
		return "cmd"
	case ".py":
		return "python"
	case ".js", ".mjs", ".cjs", ".ts":
		return "node"
	case ".rb":
		return "ruby"
	}
	return ""
}

// ownHooks tells whether every hook of pre-commit is the repository's own and
// needs nothing installed.
func (w *walk) ownHooks() bool {
	raw, ok := w.r.load(path.Join(w.dir, ".pre-commit-config.yaml"))
	if !ok {
		return false
	}
	docs, err := tree.Parse(".pre-commit-config.yaml", []byte(raw))
	if err != nil || len(docs) == 0 {
		return false
	}
	repos := docs[0].Get("repos").List()
	for _, r := range repos {
		if r.Get("repo").Text() == "meta" {
			continue
		}
		if r.Get("repo").Text() != "local" {
			return false
		}
		for _, h := range r.Get("hooks").List() {
			if !oneOf(h.Get("language").Text(), "system|script|unsupported|unsupported_script|fail|pygrep") {
				return false
			}
		}
	}
	return len(repos) > 0 && !docs[0].Over()
}

// releases is goreleaser: its hooks decide whether more than compiling happens.
func (w *walk) releases(c *call, e *ci.Event) bool {
	docs := w.goreleaser(c)
	if len(docs) == 0 || docs[0].Over() {
		return true
	}
	d := docs[0]
	hooks := d.Get("before", "hooks").List()
	for _, b := range d.Get("builds").List() {
		for _, when := range []string{"pre", "post"} {
			hooks = append(hooks, b.Get("hooks", when).List()...)
		}
		if b.Get("tool").Exists() || oneOf(b.Get("builder").Text(), "rust|zig|bun|deno|python|uv|poetry") {
			return true
		}
	}
	e.Tier, e.Why = ci.Compiles, c.head(1)+" compiles dependencies, and its hooks run none of them"
	for _, h := range hooks {
		text := h.Text()
		if text == "" {
			text = h.Get("cmd").Text()
		}
		w.into(c, c.head(1), ".goreleaser.yml", text, "bash")
	}
	return true
}

// goreleaser returns the documents of goreleaser's configuration.
func (w *walk) goreleaser(c *call) []tree.Node {
	names := []string{c.value("-f --config"), ".goreleaser.yml", ".goreleaser.yaml", "goreleaser.yml", "goreleaser.yaml", ".config/goreleaser.yml", ".config/goreleaser.yaml"}
	for _, name := range names {
		if raw, ok := w.r.load(path.Join(w.dir, name)); ok && name != "" {
			docs, err := tree.Parse(name, []byte(raw))
			if err != nil {
				return nil
			}
			return docs
		}
	}
	return nil
}

// testsEnv reads the commands of a tox environment for what they publish.
func (w *walk) testsEnv(c *call) {
	raw, ok := w.r.load(path.Join(w.dir, "tox.ini"))
	env := c.value("-e")
	if env == "" {
		env = c.operand(1)
	}
	if !ok || env == "" {
		return
	}
	in, taking := false, false
	var text strings.Builder
	for _, line := range strings.Split(raw, "\n") {
		key, value, set := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			in, taking = strings.TrimSpace(line) == "[testenv:"+env+"]", false
		case in && set && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t"):
			if taking = strings.TrimSpace(key) == "commands"; taking {
				text.WriteString(strings.TrimSpace(value) + "\n")
			}
		case in && taking:
			text.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	w.silently(func() { w.into(c, c.head(0), "tox.ini", text.String(), "bash") })
}

// plain tells whether a program is of the system, not of node_modules/.bin.
func plain(name string) bool {
	return oneOf(name, "cp|mv|rm|mkdir|cat|sed|awk|grep|ls|touch|chmod|chown|head|tail|sort|uniq|cut|tr|wc|tee|date|sleep|find|xargs|basename|dirname|realpath|pwd|which|uname|whoami|id|env|jq|yq|zip|unzip|tar|gzip|gunzip|git|gh|ln|diff|kill|du|df|file|open|docker|ssh|scp|rsync|aws|gcloud|az|kubectl|helm|base64|openssl|sha256sum|shasum|seq|expr|cmp|patch|mktemp|readlink|stat|printenv|hostname|test|cd|echo|local|if|gpg|go|gofmt") || name == ""
}

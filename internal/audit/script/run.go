package script

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// run tells what a command does: first what only a shell knows, then what
// stands before another command, then the tables.
func (w *walk) run(c *call) {
	if w.depth >= maxDepth || w.budget <= 0 {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	w.budget--
	if f := w.funcs[c.path]; f != nil && !c.remote {
		before := w.site
		w.site = c
		w.enter(f, append([]arg{}, c.args...))
		w.site = before
		return
	}
	if w.builtin(c) || w.interpreter(c) {
		return
	}
	if inner := wrapped(c); inner != nil {
		w.run(inner)
		return
	}
	if inner := rewritten(c); inner != nil {
		w.run(inner)
		return
	}
	w.tool(c)
}

// builtin does what only the shell itself can.
func (w *walk) builtin(c *call) bool {
	switch c.path {
	case "cd", "Set-Location":
		w.cd(c.operand(0))
	case "pushd", "Push-Location":
		w.dirs = append(w.dirs, w.dir)
		w.cd(c.operand(0))
	case "popd", "Pop-Location":
		if n := len(w.dirs); n > 0 {
			w.dir, w.dirs = w.dirs[n-1], w.dirs[:n-1]
		} else {
			w.dir = unknown
		}
	case "eval", "iex", "Invoke-Expression":
		w.eval(c)
	case "source", ".":
		w.source(c)
	case "shift":
		if len(w.args) > 0 {
			w.args = w.args[1:]
		}
	case "set":
		if len(c.args) > 0 && c.args[0].text == "--" {
			w.args = c.args[1:]
		}
	case "trap":
		if len(c.args) > 1 {
			w.again(c, c.args[0], "bash")
		}
	case "echo", "printf", "Write-Output":
		w.echo = c.joined()
	case ":", "true", "false", "exit", "return", "break", "continue", "test", "[", "unset", "wait", "read", "alias", "ulimit", "umask":
	default:
		return false
	}
	return true
}

// cd changes the folder. Names that stand for the root of the checkout lead
// there; what cannot be told leads nowhere known.
func (w *walk) cd(to string) {
	rel, ok := local(w.scriptFolder(to))
	switch {
	case to == "" || to == "-" || !ok:
		w.dir = unknown
		if from := w.r.state.clones[path.Base(to)]; from != "" {
			w.dir = path.Base(to)
		}
	case strings.HasPrefix(rel, "/"): // from the root
		w.dir = clean(rel)
	case w.dir == unknown:
	default:
		w.dir = clean(path.Join(w.dir, rel))
	}
}

// roots are the ways to write the folder of the checkout.
var roots = [...]string{
	"${{ github.workspace }}", "${{github.workspace}}", "$GITHUB_WORKSPACE", "${GITHUB_WORKSPACE}", "$CI_PROJECT_DIR", "${CI_PROJECT_DIR}",
	"$(Build.SourcesDirectory)", "$BUILD_SOURCESDIRECTORY", "${BUILD_SOURCESDIRECTORY}", "$(System.DefaultWorkingDirectory)",
	"$BUILDKITE_BUILD_CHECKOUT_PATH", "${WORKSPACE}", "$WORKSPACE", "~/project", "$CIRCLE_WORKING_DIRECTORY", "$(git rev-parse --show-toplevel)",
	"$BITBUCKET_CLONE_DIR", "${BITBUCKET_CLONE_DIR}", "$CI_WORKSPACE", "${CI_WORKSPACE}", "/workspace/source", "$env:GITHUB_WORKSPACE",
}

// local returns a path below the root of the checkout, or below the current
// folder where it is unchanged; false where neither can be told.
func local(p string) (string, bool) {
	for _, root := range roots {
		if rest, ok := strings.CutPrefix(p, root); ok && (rest == "" || rest[0] == '/') {
			return "/" + strings.TrimPrefix(rest, "/"), true
		}
	}
	if p == "" || strings.HasPrefix(p, "/") || strings.HasPrefix(p, "~") || strings.ContainsAny(p, "$`*?") {
		return "", false
	}
	return p, true
}

// below returns the path of a file of the repository, false where it is none
// that can be told.
func (w *walk) below(p string) (string, bool) {
	rel, ok := local(strings.TrimPrefix(strings.TrimPrefix(w.scriptFolder(p), "$PWD/"), "$(pwd)/"))
	switch {
	case !ok:
		return "", false
	case strings.HasPrefix(rel, "/"):
		return clean(rel), true
	case w.dir == unknown:
		return "", false
	}
	joined := path.Join(w.dir, strings.ReplaceAll(rel, `\`, "/"))
	return joined, joined != ".." && !strings.HasPrefix(joined, "../")
}

// scriptFolder puts the folder of the script that is read in the place of what
// scripts write for it: "$(dirname "$0")/x", $(cd "$(dirname "$0")/.." && pwd).
func (w *walk) scriptFolder(p string) string {
	if w.src.file == "" || !strings.HasPrefix(p, "$(") || !strings.Contains(p, "dirname") || !strings.Contains(p, "$0") && !strings.Contains(p, "BASH_SOURCE") {
		return p
	}
	end := balanced(p[1:]) + 1
	dir := path.Dir(w.src.file)
	for range strings.Count(p[:end], "/..") {
		dir = path.Dir(dir)
	}
	return path.Join("$CI_PROJECT_DIR", dir) + p[end:]
}

// eval reads its words as shell text.
func (w *walk) eval(c *call) {
	for _, a := range c.args {
		if a.fetched != "" {
			w.fetchedRun(c, a.fetched)
			return
		}
	}
	if c.stdin != "" && c.path != "eval" {
		w.fetchedRun(c, c.stdin)
		return
	}
	if len(c.args) == 1 && strings.HasPrefix(c.args[0].text, "$") && !strings.ContainsAny(c.args[0].text, " (") {
		w.gap(c.text, "a command that the file does not tell", c.place)
		return
	}
	if len(c.args) == 1 {
		w.again(c, c.args[0], "bash")
		return
	}
	w.read(w.src.beside(c.joined(), c.place), "bash")
}

// again reads a word as shell text.
func (w *walk) again(c *call, a arg, shell string) {
	if a.at >= 0 && w.src.written(a.at, a.at+len(a.text)) == a.text {
		w.read(w.src.within(a.text, a.at), shell)
		return
	}
	w.read(w.src.beside(a.text, c.place), shell)
}

// source reads a file into the same shell.
func (w *walk) source(c *call) {
	if len(c.args) == 0 {
		return
	}
	a := c.args[0]
	if a.fetched != "" {
		w.fetchedRun(c, a.fetched)
		return
	}
	if w.foreign(c, a.text) || strings.HasSuffix(a.text, "/activate") || path.Ext(a.text) == ".env" {
		return
	}
	w.file(c, a.text, c.args[1:], "bash", true)
}

// interpreter reads what a shell, python or the like is told to run.
func (w *walk) interpreter(c *call) bool {
	lang := language(c.name)
	if c.name == "" || c.name == "." || c.name == "env" || !oneOf(lang, "bash|posix|pwsh|cmd|python|node|ruby|perl") {
		return false
	}
	shell := oneOf(lang, "bash|posix|pwsh|cmd")
	for i := 0; i < len(c.args); i++ {
		s := c.args[i].text
		switch {
		case c.args[i].fetched != "":
			w.fetchedRun(c, c.args[i].fetched)
			return true
		case inline(s, lang):
			w.inline(c, i, lang)
			return true
		case lang == "python" && s == "-m" && i+1 < len(c.args):
			w.module(c, i)
			return true
		case s == "-" || s == "--":
		case s == "-s" && shell: // its words are arguments of what it reads
			w.standard(c, lang)
			return true
		case len(s) > 1 && (s[0] == '-' || s[0] == '+' || lang == "cmd" && s[0] == '/'):
			if flagged(s, "-o -O --rcfile --init-file -X -W -r --require --import --loader -I -ExecutionPolicy") && !strings.Contains(s, "=") {
				i++
			}
		default:
			w.argument(c, i, lang, shell)
			return true
		}
	}
	w.standard(c, lang)
	return true
}

// inline tells whether a flag takes program text as its next word.
func inline(flag, lang string) bool {
	if len(flag) < 2 {
		return false
	}
	switch lang {
	case "bash", "posix":
		return flag[0] == '-' && flag[1] != '-' && strings.HasSuffix(flag, "c")
	case "pwsh":
		return strings.EqualFold(flag, "-c") || strings.EqualFold(flag, "-command")
	case "cmd":
		return strings.EqualFold(flag, "/c")
	case "python":
		return flag == "-c"
	}
	return flag == "-e" || flag == "-p" || flag == "-pe" || flag == "--eval"
}

// inline reads program text that is given as a word.
func (w *walk) inline(c *call, i int, lang string) {
	if i+1 >= len(c.args) {
		return
	}
	a := c.args[i+1]
	if oneOf(lang, "python|node|ruby|perl") {
		w.foreignText(c, a.text, lang)
		return
	}
	if a.fetched != "" {
		w.fetchedRun(c, a.fetched)
		return
	}
	args := w.args
	if rest := c.args[i+2:]; len(rest) > 1 {
		w.args = rest[1:]
	}
	if lang == "cmd" {
		a = arg{text: joinArgs(c.args[i+1:]), at: -1}
	}
	w.apart(func() { w.again(c, a, lang) })
	w.args = args
}

func joinArgs(all []arg) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.text
	}
	return strings.Join(texts, " ")
}

// argument reads the file that an interpreter is given.
func (w *walk) argument(c *call, i int, lang string, shell bool) {
	file := c.args[i]
	if w.foreign(c, file.text) {
		return
	}
	if shell {
		w.apart(func() { w.file(c, file.text, c.args[i+1:], lang, false) })
		return
	}
	if lang == "python" && file.text == "setup.py" {
		w.setup(c, i)
	}
	w.loads(c, lang)
}

// setup is python setup.py: it fetches what the project needs, and can upload.
func (w *walk) setup(c *call, i int) {
	for _, a := range c.args[i+1:] {
		switch a.text {
		case "install", "develop":
			w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "pypi", Why: "python setup.py " + a.text + " fetches dependencies and builds them"})
		case "upload":
			w.act(c, ci.Act{Class: ci.Publish})
		}
	}
}

// standard reads what comes by standard input.
func (w *walk) standard(c *call, lang string) {
	switch {
	case c.stdin != "":
		w.fetchedRun(c, c.stdin)
	case c.heredoc != nil:
		from := int(c.heredoc.Pos().Offset())
		w.apart(func() { w.read(w.src.within(w.body(c.heredoc), from), lang) })
	case c.here != "":
		w.apart(func() { w.read(w.src.beside(c.here, c.place), lang) })
	}
}

// module is python -m: a program of that name, or a module of a package.
func (w *walk) module(c *call, i int) {
	inner := c.with(c.args[i+1:])
	switch inner.name {
	case "pip", "build", "twine", "tox", "nox", "pytest", "poetry", "pipenv", "pipx", "hatch", "uv", "cibuildwheel", "maturin", "flit", "mkdocs", "sphinx", "coverage",
		"pre_commit", "wheel", "pdm", "keyring", "virtualenv", "PyInstaller", "ensurepip", "venv", "zipfile", "json.tool", "http.server", "site", "this", "unittest", "compileall", "black", "mypy", "ruff":
		if inner.name == "build" {
			inner.name = "pyproject-build"
		}
		inner.name = strings.ToLower(strings.ReplaceAll(inner.name, "_", "-"))
		w.run(inner)
		return
	}
	w.loads(c, "python")
}

// program reads a step that is text of a language that is no shell.
func (w *walk) program(t *text, lang string) {
	c := &call{name: lang, path: lang, place: t.at, own: oneLine(t.raw)}
	c.text = c.own
	if t.line != "" {
		c.text = t.line
	}
	w.foreignText(c, t.raw, lang)
}

// foreignText is text of a language that is no shell: the repository's own, but
// it loads what was installed.
func (w *walk) foreignText(c *call, text, lang string) {
	w.loads(c, lang)
	for _, starts := range []string{"subprocess", "os.system", "child_process", "os.popen", "popen3", "system("} {
		if strings.Contains(text, starts) {
			w.gap(c.text, lang+" text that starts commands, which are not read", c.place)
			return
		}
	}
}

// written is used by redirects: the statement's own command, if it has one.
func (w *walk) commandOf(s *syntax.Stmt) (name, written string) {
	from, to := int(s.Pos().Offset()), int(s.End().Offset())
	if c, ok := s.Cmd.(*syntax.CallExpr); ok && len(c.Args) > 0 {
		return program(w.unquoted(c.Args[0])), oneLine(w.src.written(from, to))
	}
	return "", oneLine(w.src.written(from, to))
}

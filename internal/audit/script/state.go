package script

import (
	"maps"
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// state is what earlier steps of the job did.
type state struct {
	// installed has, for each ecosystem, the command that put dependencies where
	// a later command loads them from.
	installed map[string]string
	// tools are programs that the job installed or downloaded, and how.
	tools map[string]tool
	// clones are folders of other repositories, and where they are from.
	clones map[string]string
	// built are images that the job built itself.
	built map[string]bool
	// settings are what configuration commands changed: npm ignore-scripts.
	settings map[string]bool
	// verified: a digest or a signature was checked.
	verified bool

	parsers [2]*syntax.Parser
	files   map[string]*project // by folder
	makes   map[string]*makefile

	// The shell that Source.Continues goes on with.
	dir   string
	vars  map[string]string
	funcs map[string]*function
}

// tool is a program that did not come with the runner.
type tool struct {
	from      string // the command that brought it
	ecosystem string
	floating  bool
	verified  bool
	download  bool // fetched as a file, not by a package manager
}

func (s *state) keep(w *walk) { s.dir, s.vars, s.funcs = w.dir, w.vars, w.funcs }

func (s *state) install(ecosystem, by string) {
	if s.installed == nil {
		s.installed = map[string]string{}
	}
	s.installed[ecosystem] = by
}

func (s *state) bring(name string, t tool) {
	if name == "" || name == "." || name == "-" || len(s.tools) > maxWords {
		return
	}
	if s.tools == nil {
		s.tools = map[string]tool{}
	}
	s.tools[name] = t
}

func (s *state) clone(dir, from string) {
	if s.clones == nil {
		s.clones = map[string]string{}
	}
	s.clones[dir] = from
}

func (s *state) set(name string) {
	if s.settings == nil {
		s.settings = map[string]bool{}
	}
	s.settings[name] = true
}

// cloned returns where the files of a folder are from, if from another
// repository.
func (s *state) cloned(dir string) string {
	for len(s.clones) > 0 && dir != "" && dir != "." && dir != "/" {
		if from := s.clones[dir]; from != "" {
			return from
		}
		dir = path.Dir(dir)
	}
	return ""
}

// walk is the reading of one piece of shell text.
type walk struct {
	r      *Reader
	facts  Facts
	budget int
	depth  int // texts and functions within each other
	nest   int // statements within each other
	files  int // files that led here

	src   *text
	dir   string   // below the root, "" for the root itself; unknown: not told
	dirs  []string // that pushd left
	vars  map[string]string
	funcs map[string]*function
	args  []arg // of the function or script that is read
	site  *call // the call of the function that is read

	stdin  string // the download that is piped in
	stdout string // the download that the command writes out
	pipe   *pipe  // the pipeline that is read
	here   string // the text that is piped in
	echo   string // the text that the command writes out

	condition bool // what is read is tested

	// quiet: what the command does as an event was said already.
	quiet bool
	// via is the command of the CI file and the file that it read.
	via string
	// bins: programs that nobody knows are those of node_modules/.bin.
	bins bool
}

// unknown is the folder that could not be told.
const unknown = "?"

// function is one function of the shell text.
type function struct {
	body   *syntax.Stmt
	src    *text
	called bool
	active bool
}

func (r *Reader) walk(s Source) *walk {
	w := &walk{r: r, budget: maxCommands, dir: clean(s.Dir)}
	if strings.Contains(s.Dir, "$") {
		w.dir = unknown
	}
	if s.Continues {
		w.dir, w.vars, w.funcs = r.state.dir, r.state.vars, r.state.funcs
	}
	if w.vars == nil {
		w.vars = map[string]string{}
	}
	if w.funcs == nil {
		w.funcs = map[string]*function{}
	}
	return w
}

// clean returns a folder below the root.
func clean(dir string) string {
	dir = strings.TrimPrefix(path.Clean("/"+dir), "/")
	return dir
}

// apart runs f in a shell of its own: what it changes is forgotten.
func (w *walk) apart(f func()) {
	dir, vars, args := w.dir, w.vars, w.args
	w.vars = maps.Clone(vars)
	f()
	w.dir, w.vars, w.args = dir, vars, args
}

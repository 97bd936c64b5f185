// Package jenkins reads Jenkinsfiles: the declarative pipeline as it is
// specified, the scripted one as far as its steps can be told.
//
// The isolation domain is the agent: all stages that run on one share its
// workspace, its processes and its user. An agent of the whole pipeline is one
// domain; a stage with an agent of its own, and each node block, are others. A
// credential that a block gives is in the environment of that block alone, but
// nothing on the agent keeps other stages from it.
//
// The file is a program. It is not run: which branch of it is taken is not told,
// and what a shared library, a loaded file or a step of an unknown plugin does is
// a gap.
package jenkins

import (
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// Options are what the files do not say.
type Options struct {
	// Owner is owner/name of the repository. No rule of Jenkins needs it so far.
	Owner string
	// Trusted are beginnings of image names that count as the repository's own.
	Trusted []string
}

// The limits of one definition.
const (
	maxCalls  = 50_000  // steps, those of functions each time
	maxScript = 1 << 20 // bytes of shell text, those of functions each time
	maxActive = 8       // functions within each other
	maxJobs   = 500
)

// Owns tells whether a file of this path is a Jenkinsfile.
func Owns(p string) bool {
	name := path.Base(p)
	if name == "Jenkinsfile" || strings.HasSuffix(strings.ToLower(name), ".jenkinsfile") {
		return true
	}
	ext, ok := strings.CutPrefix(name, "Jenkinsfile.")
	return ok && ext != "md" && ext != "txt"
}

// Read reads one Jenkinsfile.
func Read(repo fs.FS, file string, o Options) (ci.Definition, error) {
	if repo == nil {
		return ci.Definition{}, fmt.Errorf("%s: no files of the repository are at hand", file)
	}
	f, err := repo.Open(file)
	if err != nil {
		return ci.Definition{}, err
	}
	defer f.Close() // it was read only
	raw, err := tree.ReadAll(f)
	if err != nil {
		return ci.Definition{}, fmt.Errorf("read %s: %w", file, err)
	}
	r := newReader(repo, file, string(raw), o)
	calls, over := parse(r.src)
	r.file(calls)
	if over {
		r.gap("", file, "the file is larger, or nests deeper, than what is looked at", 0)
	}
	if len(r.def.Jobs) == 0 && len(r.def.Gaps) == 0 {
		return ci.Definition{}, fmt.Errorf("%s has no stage and no node: it is no pipeline", file)
	}
	return *r.def, nil
}

// reader reads one file.
type reader struct {
	repo fs.FS
	src  string
	o    Options
	def  *ci.Definition

	lines   []int            // where each line begins
	funcs   map[string]*call // that the file defines
	active  map[string]bool  // of those, the ones that are read just now
	known   map[string]bool  // names that the file gives a value
	values  map[string]string
	lists   map[string]*call // of the names that are given a list
	ids     map[string]int
	said    map[string]bool // gaps
	readers map[string]*script.Reader
	nodes   int // agents so far
	calls   int // that may still be read
	left    int // bytes of shell text that may still be read
	// approved is the question that somebody answered before what follows.
	approved ci.Environment
	// runs are the jobs that run a file of the workspace by name.
	runs map[int]bool
}

func newReader(repo fs.FS, file, src string, o Options) *reader {
	r := &reader{
		repo: repo, src: src, o: o, def: &ci.Definition{System: ci.Jenkins, File: file, Name: file},
		funcs: map[string]*call{}, active: map[string]bool{}, known: map[string]bool{}, values: map[string]string{}, lists: map[string]*call{}, ids: map[string]int{},
		said: map[string]bool{}, readers: map[string]*script.Reader{}, runs: map[int]bool{}, calls: maxCalls, left: maxScript,
	}
	r.lines = append(r.lines, 0)
	for i := range len(src) {
		if src[i] == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	at := r.place(0)
	r.def.Triggers = []ci.Trigger{{Event: "branch", Where: at}, {Event: "change request", Trust: ci.Contributor, Where: at}}
	return r
}

// place is where a byte of the file stands.
func (r *reader) place(offset int) ci.Place {
	line := sort.SearchInts(r.lines, offset+1)
	return ci.Place{File: r.def.File, Line: line, Column: offset - r.lines[line-1] + 1}
}

func (r *reader) span(c *call) ci.Span {
	return ci.Span{Place: r.place(c.from), End: r.place(max(c.to-1, c.from)).Line}
}

// gap says once what was not analysed.
func (r *reader) gap(job, what, why string, offset int) {
	if r.said[what+"\n"+why] {
		return
	}
	r.said[what+"\n"+why] = true
	r.def.Gaps = append(r.def.Gaps, ci.Gap{What: what, Why: why, Job: job, Where: r.place(offset)})
}

// file reads the statements of the file.
func (r *reader) file(calls []*call) {
	r.collect(calls, 0)
	top := scope{job: -1, step: -1}
	scripted := false
	for _, c := range calls {
		switch {
		case c.name == "pipeline" && c.block:
			r.pipeline(c)
		case c.name == "@Library":
			r.libraries(c)
		case c.function:
		default:
			scripted = scripted || c.block
			r.step(c, &top)
		}
	}
	if scripted {
		r.gap("", r.def.File, "a scripted pipeline: its steps are read, its conditions are not", 0)
	}
	r.finish()
}

// libraries are shared libraries, whose code runs on the controller.
func (r *reader) libraries(c *call) {
	for _, l := range c.literals() {
		r.gap("", "library "+l.value, "a shared library", c.from)
	}
}

// collect finds the functions and the variables of the file.
func (r *reader) collect(calls []*call, depth int) {
	if depth > maxNest {
		return
	}
	for _, c := range calls {
		if c.function && r.funcs[c.name] == nil {
			r.funcs[c.name] = c
		}
		if c.name == "=" {
			r.assigned(c)
		}
		r.collect(c.body, depth+1)
		for _, a := range c.args {
			for _, p := range a.parts {
				if p.call != nil {
					r.collect([]*call{p.call}, depth+1)
				}
			}
		}
	}
}

// assigned keeps the value of a variable that is given one text, and only once.
func (r *reader) assigned(c *call) {
	name := strings.TrimPrefix(c.target, "env.")
	value := ""
	if parts := c.args[0].parts; len(parts) == 1 && parts[0].lit != nil && len(parts[0].lit.holes) == 0 {
		value = parts[0].lit.value
	}
	if parts := c.args[0].parts; len(parts) == 1 && parts[0].call != nil && parts[0].call.name == "[" {
		r.lists[name] = parts[0].call
	}
	if r.known[name] {
		value = ""
	}
	r.known[name] = true
	delete(r.values, name)
	if value != "" {
		r.values[name] = value
	}
}

// literals are all texts that a call is given.
func (c *call) literals() []*literal {
	var all []*literal
	for _, a := range c.args {
		for _, p := range a.parts {
			if p.lit != nil {
				all = append(all, p.lit)
			}
			if p.call != nil && (p.call.name == "[" || p.call.name == "(") {
				all = append(all, p.call.literals()...)
			}
		}
	}
	return all
}

// id makes a name one that no other job of the file has.
func (r *reader) id(name string) string {
	if name = strings.TrimSpace(name); name == "" {
		name = "stage"
	}
	r.ids[name]++
	if n := r.ids[name]; n > 1 {
		return fmt.Sprintf("%s (%d)", name, n)
	}
	return name
}

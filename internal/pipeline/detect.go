package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Detect makes the default pipeline of the project in the directory root, and
// says in Findings what it saw and decided. Nothing in root is run, links are
// not followed, and how much is read is bounded. The error is an *Error with a
// code such as E-PROJECT-NONE.
func Detect(root string, o Options) (*Pipeline, error) {
	t, err := openTree(root)
	if err != nil {
		return nil, err
	}
	defer t.close()
	d := &detector{tree: t, options: o, out: map[string]string{}}
	if err := d.look(); err != nil {
		return nil, err
	}
	if len(d.mods) == 0 && len(d.packages) == 0 {
		return nil, d.none()
	}
	return d.pipeline(filepath.Base(root)), nil
}

// none says that nothing was found, and what comes nearest.
func (d *detector) none() error {
	e := &Error{
		Code: "E-PROJECT-NONE", File: ".",
		Msg:  "no project is found here: no go.mod, go.work or package.json" + d.ignored(),
		Hint: "name another directory, or write a " + FileName,
	}
	if slices.ContainsFunc(d.tree.list("."), func(e entry) bool { return e.file && path.Ext(e.name) == ".go" }) {
		e.Msg, e.Hint = "there are Go files, but no go.mod", "go mod init NAME && go mod tidy"
	}
	return e
}

// detector gathers what the default pipeline is made from.
type detector struct {
	tree     *tree
	options  Options
	mods     []*goProject
	packages []*npmProject
	findings []string
	out      map[string]string // artifact -> path
	aside    []string          // manifests that were seen and left out
}

func (d *detector) find(format string, args ...any) {
	d.findings = append(d.findings, printable(fmt.Sprintf(format, args...)))
}

func (d *detector) ignored() string {
	if len(d.aside) == 0 {
		return ""
	}
	return " (left out: " + strings.Join(d.aside[:min(len(d.aside), 5)], ", ") + ")"
}

// look finds the projects of each ecosystem: at the root, else in folders one
// or two levels down.
func (d *detector) look() error {
	if err := d.lookGo(); err != nil {
		return err
	}
	return d.lookNpm()
}

// candidates are the folders that may hold a project: the root alone if it has
// one of the manifests, else folders one or two levels down.
func (d *detector) candidates(manifests ...string) []string {
	has := func(dir string) bool {
		return slices.ContainsFunc(manifests, func(m string) bool { return d.tree.has(path.Join(dir, m)) })
	}
	if has(".") {
		return []string{"."}
	}
	var out []string
	for _, dir := range d.tree.dirs() {
		if depth(dir) > 2 || dir == "." || !has(dir) {
			continue
		}
		if secondary(dir) {
			d.aside = append(d.aside, dir)
			continue
		}
		out = append(out, dir)
	}
	if len(out) > maxProjects {
		d.find("%d projects; the first %d are taken", len(out), maxProjects)
		out = out[:maxProjects]
	}
	return out
}

const maxProjects = 20

func depth(dir string) int {
	if dir == "." {
		return 0
	}
	return strings.Count(dir, "/") + 1
}

// secondary tells whether a folder's name says that what lies in it is not the
// project's product: examples, tests, tools of its makers, documentation.
func secondary(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		switch strings.ToLower(part) {
		case "example", "examples", "internal", "test", "tests", "testing", "testdata", "testutil", "e2e", "integration",
			"fixture", "fixtures", "__tests__", "__fixtures__", "bench", "benchmark", "benchmarks",
			"hack", "tools", "script", "scripts", "contrib", "misc", "ci", "build", "doc", "docs", "website", "site",
			"demo", "demos", "sample", "samples", "playground", "sandbox", "third_party", "node_modules", "vendor":
			return true
		}
		if strings.HasPrefix(part, ".") && part != "." || strings.HasPrefix(part, "_") {
			return true
		}
	}
	return false
}

// pipeline puts the parts together: one stage for each zone.
func (d *detector) pipeline(base string) *Pipeline {
	p := &Pipeline{Detected: true, Name: d.name(base)}
	// Names of artifacts go to Go commands first; of the commands npm's come
	// first, since programs often embed what a web build makes.
	var npm, golang parts
	for _, m := range d.mods {
		p.Gateway.Go = append(p.Gateway.Go, GoSource{Dir: m.dir, Lockfile: m.lockfile, NoWork: m.noWork})
		m.stages(d, &golang)
	}
	for _, n := range d.packages {
		p.Gateway.Npm = append(p.Gateway.Npm, NpmSource{Dir: n.dir, Lockfile: n.lockfile, OmitDev: d.options.Package})
		n.stages(d, &npm)
	}
	npm.add(golang)
	npm.build.Out = d.out
	if len(npm.build.Run) == 0 {
		npm.build.Run = []string{"true"} // the artifact is the source itself
	}
	d.chain(p, npm)
	p.Findings = d.findings
	return p
}

// parts are the stages that run a project's commands.
type parts struct{ fetch, generate, build, test Stage }

// add puts what q does behind what p does.
func (p *parts) add(q parts) {
	for _, s := range [][2]*Stage{{&p.fetch, &q.fetch}, {&p.generate, &q.generate}, {&p.build, &q.build}, {&p.test, &q.test}} {
		s[0].Run = append(s[0].Run, s[1].Run...)
		s[0].Keep = append(s[0].Keep, s[1].Keep...)
		s[0].addEnv(s[1].Env)
	}
}

// chain names the stages, links those that have something to do, and adds
// verify and release.
func (d *detector) chain(p *Pipeline, q parts) {
	stages := []Stage{q.fetch, q.generate, q.build, q.test}
	zones := []boundary.Zone{boundary.Fetch, boundary.Generate, boundary.Build, boundary.Test}
	// The tarball of a published package is made of its source alone: what its
	// install scripts leave is for tests.
	apart := d.options.Package && len(d.mods) == 0
	last := ""
	tested := false
	for i, s := range stages {
		if len(s.Run) == 0 {
			continue
		}
		s.Name, s.Zone = zones[i].String(), zones[i]
		if last != "" {
			s.From = []string{last}
		}
		switch {
		case apart && s.Zone == boundary.Build:
			s.From, s.Keep = nil, nil
		case apart && s.Zone == boundary.Test:
			s.From = slices.Compact(append(s.From, "build"))
		}
		if !apart || s.Zone != boundary.Build || last == "" {
			last = s.Name
		}
		tested = tested || s.Zone == boundary.Test
		slices.Sort(s.Keep)
		s.Keep = slices.Compact(s.Keep)
		p.Stages = append(p.Stages, s)
	}
	d.judge(p, tested)
}

// judge adds verify and release.
func (d *detector) judge(p *Pipeline, tested bool) {
	verify := Stage{Name: "verify", Zone: boundary.Verify, From: []string{"build"}}
	checks := []string{"materials", "rebuild", "secrets", "receipts", "sbom"}
	if tested {
		verify.From = append(verify.From, "test")
		checks = slices.Insert(checks, 1, "tests")
	}
	for _, c := range checks {
		verify.Check = append(verify.Check, Check{Name: c})
	}
	p.Stages = append(p.Stages, verify, Stage{Name: "release", Zone: boundary.Release, From: []string{"verify"}})
}

// name is the project's name: asked for, the manifests', or the folder's.
func (d *detector) name(base string) string {
	own := ""
	for _, n := range d.packages {
		own = cmp.Or(own, n.manifest.Name)
	}
	for _, m := range d.mods {
		own = cmp.Or(m.name(), own)
	}
	return cmp.Or(slug(d.options.Name), slug(own), slug(base), "project")
}

// slug makes a project name of any text.
func slug(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c == '@':
			return -1
		}
		return '-'
	}, s)
	s = strings.Trim(s, ".-_")
	return strings.TrimRight(s[:min(len(s), 63)], ".-_")
}

// artifact adds an artifact under a name that is free and fit, and returns it.
func (d *detector) artifact(name, where, fallback string) string {
	for _, n := range []string{name, fallback} {
		n = strings.Map(func(c rune) rune {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", c) {
				return c
			}
			return '-'
		}, n)
		n = strings.TrimLeft(n[:min(len(n), 120)], ".-_")
		if _, taken := d.out[n]; !taken && n != "" {
			d.out[n] = where
			return n
		}
	}
	for i := 2; ; i++ {
		n := fmt.Sprintf("artifact-%d", i)
		if _, taken := d.out[n]; !taken {
			d.out[n] = where
			return n
		}
	}
}

// env adds variables to a stage.
func (s *Stage) addEnv(env map[string]string) {
	if len(env) == 0 {
		return
	}
	if s.Env == nil {
		s.Env = map[string]string{}
	}
	maps.Copy(s.Env, env)
}

// in words a command that runs in a folder of the project.
func in(dir, command string) string {
	if dir == "." {
		return command
	}
	return "cd " + quote(dir) + " && " + command
}

// quote makes one word of s for sh.
func quote(s string) string {
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// count words a number of things.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func projectFile(name, msg string, args ...any) error {
	return &Error{Code: "E-PROJECT-FILE", File: name, Msg: fmt.Sprintf(msg, args...)}
}

// openTree opens a directory to look through.
func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Code: "E-PROJECT-NONE", File: dir, Msg: "there is no such directory"}
	}
	if err != nil {
		return nil, fmt.Errorf("look at the project: %w", err)
	}
	t := &tree{root: root, entries: map[string][]entry{}}
	if err := t.walk(".", 0); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

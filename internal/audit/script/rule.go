package script

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// rule is one row of a table of events: commands, and which unverified code
// they start. The first row that matches a command is the one that counts.
type rule struct {
	// sub are the subcommands: words with spaces between, alternatives with
	// bars; empty: whatever follows.
	sub string
	// with are flags of which one must be there, sans those that must not.
	with, sans string
	when       condition
	tier       ci.Tier // 0: no event
	why        string  // what the command does: it follows its name
	safer      string  // flags that keep the third party's code from running
	then       effect
}

// table is what is known of the commands of one program.
type table struct {
	ecosystem string
	valued    string // flags that take the next word
	rules     []rule
}

// condition is something about the job that a row asks for.
type condition uint8

// The conditions.
const (
	always    condition = iota
	installed           // dependencies of the ecosystem were installed in the job
	global              // a tool is installed, not the project's dependencies
	noScripts           // install scripts are switched off
	pureGo              // CGO_ENABLED=0
	needless            // the Go module has no requirements
	hashed              // wheels only, each by its hash
	archive             // a packed archive is published
	lifecycle           // the package has scripts that packing or publishing runs
	hooksOnly           // every pre-commit hook is the repository's own
)

// effect is what a command changes for those that follow, or a finer look at
// the event.
type effect uint8

// The effects.
const (
	nothing    effect = iota
	installs          // dependencies are there from now on
	tools             // the operands are programs from now on
	adds              // both, and the operands may have no fixed version
	runsScript        // a script of package.json
	executes          // the operands are a command that runs here
	dlx               // the operand is a package that is run at once
	makes             // a target of the Makefile
	releases          // .goreleaser.yml
	testsEnv          // tox.ini
	configures        // npm config set ignore-scripts
	modules           // go install x@version
	downloads         // curl, wget
	clones            // git clone
	unpacks           // tar, unzip
	moves             // cp, mv, install, ln
	builds            // docker build
	containers        // docker run
	sources           // a package source that is not the distribution's
	packages          // system packages; files among them are downloads
	verifies          // a digest or signature is checked
	uvx               // dlx of python
	goRun             // go run
)

// tool tells what a command does by the tables, or by where its program is from.
func (w *walk) tool(c *call) {
	t, known := tableOf(c.name)
	c.valued = t.valued
	operands := c.operands()
	acts := len(w.facts.Acts)
	w.acts(c, operands)
	w.mints(c, operands)
	w.stores(c)
	if w.brought(c) {
		return
	}
	if !known {
		// A program that publishes or signs is the one who needs the credential.
		if len(w.facts.Acts) == acts || strings.ContainsAny(c.path, `/\\`) {
			w.other(c)
		}
		return
	}
	if i, n := w.match(c, t, operands); i >= 0 {
		if w.r.watch != nil {
			w.r.watch(c.name, i)
		}
		w.apply(&t.rules[i], c, t, n)
	}
}

// match returns the first row of a table that is about a command, and how many
// of its operands are subcommands; -1 where there is none.
func (w *walk) match(c *call, t *table, operands []int) (row, n int) {
	for i := range t.rules {
		r := &t.rules[i]
		n := c.matches(r.sub, operands)
		if n >= 0 && (r.with == "" || c.has(r.with)) && (r.sans == "" || !c.has(r.sans)) && w.holds(r.when, c, t, n) {
			return i, n
		}
	}
	return -1, 0
}

// apply says the event of a row, and does what follows from it.
func (w *walk) apply(r *rule, c *call, t *table, n int) {
	if r.tier == 0 {
		w.effect(r.then, c, nil, t, n)
		return
	}
	e := ci.Event{Tier: r.tier, Ecosystem: t.ecosystem}
	e.Why = c.head(n) + " " + r.why
	// pip takes digests from a file of requirements only.
	if r.safer != "" && c.own == c.text && (t.ecosystem != "pypi" || c.has("-r --requirement --requirements")) {
		e.Safer = c.own + " " + r.safer
	}
	if w.effect(r.then, c, &e, t, n) {
		w.event(c, e)
	}
}

// head is a command's name and its subcommands.
func (c *call) head(n int) string {
	operands := c.operands()
	parts := []string{c.name}
	for i := 0; i < n && i < len(operands); i++ {
		parts = append(parts, c.args[operands[i]].text)
	}
	return strings.Join(parts, " ")
}

// event adds an event. What the same command does more than once is said once.
func (w *walk) event(c *call, e ci.Event) {
	if w.quiet || c.remote {
		return
	}
	e.Text, e.Where = c.text, c.place
	if w.via != "" {
		e.Why, e.Safer = w.via+": "+e.Why, ""
	}
	for i := range w.facts.Events {
		f := &w.facts.Events[i]
		if f.Where == e.Where && f.Text == e.Text && f.Tier == e.Tier && f.Ecosystem == e.Ecosystem {
			f.Floating, f.Unsandboxed = f.Floating || e.Floating, f.Unsandboxed || e.Unsandboxed
			return
		}
	}
	w.facts.Events = append(w.facts.Events, e)
}

// silently reads what c runs for its acts only: the event was said.
func (w *walk) silently(f func()) {
	before := w.quiet
	w.quiet = true
	f()
	w.quiet = before
}

func (w *walk) gap(what, why string, where ci.Place) {
	for _, g := range w.facts.Gaps {
		if g.Where == where && g.Why == why {
			return
		}
	}
	w.facts.Gaps = append(w.facts.Gaps, ci.Gap{What: oneLine(what), Why: why, Where: where})
}

// foreign says the event of a program that the job downloaded, or that is of a
// repository that it cloned, and tells whether it is one.
func (w *walk) foreign(c *call, file string) bool {
	s := &w.r.state
	base := program(file)
	if t, ok := s.tools[base]; ok && t.download {
		w.runs(c, base, t)
		return true
	}
	dir := w.folderOf(file)
	if from := s.cloned(dir); from != "" {
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "git", Why: c.name + " runs files of " + from})
		return true
	}
	return false
}

// runs says that a program which did not come with the runner is run.
func (w *walk) runs(c *call, name string, t tool) {
	w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: t.ecosystem, Floating: t.floating, Pinned: t.verified,
		Why: name + " is run, which the job got by " + t.from})
}

// brought says the event of a program that the job itself brought in, unless a
// table has more to say about it.
func (w *walk) brought(c *call) bool {
	s := &w.r.state
	if from := s.cloned(w.dir); from != "" && oneOf(c.name, "make|cmake|ninja|meson|npm|pnpm|yarn|cargo|go|pip|gradle|mvn|python|autoreconf|configure") {
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "git", Why: c.name + " builds files of " + from})
		return false
	}
	if t, ok := s.tools[c.name]; ok && !oneOf(c.name, "curl|wget|git|tar|unzip|gpg") {
		w.runs(c, c.name, t)
		return true
	}
	return false
}

// other is a command that no table names.
func (w *walk) other(c *call) {
	s := &w.r.state
	switch {
	case strings.HasPrefix(c.path, "${{") && strings.HasSuffix(c.path, "}}"):
		if all := Expressions(c.path); w.quiet || w.condition || len(all) != 1 || strings.ContainsAny(all[0], " (=|&!") {
			return
		}
		w.gap(c.text, "a command that the file does not tell", c.place)
	case strings.Contains(c.path, "node_modules/"):
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "npm", Why: c.name + " is a program of an installed package"})
	case strings.ContainsAny(c.path, `/\`) && !strings.HasPrefix(c.path, "/usr/") && !strings.HasPrefix(c.path, "/bin/"):
		if !w.foreign(c, c.path) {
			w.own(c)
		}
	case w.bins && !plain(c.name):
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "npm", Why: c.name + " is a program of a dependency"})
	case oneOf(c.name, pythonPrograms) && s.installed["pypi"] != "":
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "pypi", Why: c.name + " runs what " + s.installed["pypi"] + " installed"})
	case oneOf(c.name, nodePrograms) && s.installed["npm"] != "":
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "npm", Why: c.name + " runs what " + s.installed["npm"] + " installed"})
	}
}

// own is a program of the repository by its path.
func (w *walk) own(c *call) {
	w.apart(func() { w.file(c, c.path, c.args, "", false) })
}

// loads says the event of a program text of the repository, which is its own,
// but loads whatever was installed before.
func (w *walk) loads(c *call, lang string) {
	ecosystem := map[string]string{"python": "pypi", "node": "npm", "ruby": "gem"}[lang]
	if by := w.r.state.installed[ecosystem]; ecosystem != "" && by != "" {
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: ecosystem, Why: lang + " can load what " + by + " installed"})
	}
}

// fetchedRun says the event of a download that is run at once.
func (w *walk) fetchedRun(c *call, from string) {
	if c.pipe != nil && c.stdin == from && w.src.line == "" {
		all := *c
		all.text, all.place = c.pipe.text, c.pipe.place
		c = &all
	}
	w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "shell", Floating: floatingURL(from), Why: c.name + " runs what is downloaded from " + oneLine(from)})
}

// floatingURL tells whether what a URL gives can change: it names no version.
func floatingURL(u string) bool {
	if strings.Contains(u, "/latest") || strings.Contains(u, "/main/") || strings.Contains(u, "/master/") || strings.Contains(u, "/HEAD/") || strings.Contains(u, "/nightly") {
		return true
	}
	for i := 0; i+2 < len(u); i++ {
		if isDigit(u[i]) && u[i+1] == '.' && isDigit(u[i+2]) {
			return false
		}
	}
	lower := strings.ToLower(u)
	return !strings.Contains(lower, "version") && !strings.Contains(lower, "_ver") && !strings.Contains(lower, "tag")
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

package script

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// makefile is what is read of a Makefile: the recipes of its targets, and the
// variables that are set by plain text.
type makefile struct {
	file    string
	first   string
	targets map[string]*target
	vars    map[string]string
	work    int // variables that were put in
	// more: it includes files, so that a target may stand elsewhere.
	more []string
}

// target is one target of a Makefile.
type target struct {
	needs  []string
	recipe []string
}

// maxTargets is how many targets of a Makefile one command is followed through.
const maxTargets = 200

// maxIncludes is how many files a Makefile includes.
const maxIncludes = 20

// maxExpansions is how many variables of a Makefile are put in.
const maxExpansions = 50_000

// makes reads what the targets of a make command run. A Makefile or a target
// that is not found leaves the event as it is.
func (w *walk) makes(c *call, e *ci.Event) bool {
	m := w.makefile(c)
	if m == nil {
		return true
	}
	goals := c.operands()
	var names []string
	vars := map[string]string{}
	for _, i := range goals {
		if s := c.args[i].text; isAssignment(s) {
			name, value, _ := strings.Cut(s, "=")
			vars[name] = value
		} else {
			names = append(names, s)
		}
	}
	if len(names) == 0 {
		names = []string{m.first}
	}
	var recipes []string
	seen := map[string]bool{}
	for _, name := range names {
		if !m.collect(name, seen, &recipes) {
			return true
		}
	}
	w.recipes(c, m, vars, recipes, strings.Join(names, " "))
	return false
}

// recipes reads the lines of recipes, each in a shell of its own.
func (w *walk) recipes(c *call, m *makefile, vars map[string]string, recipes []string, names string) {
	via := c.name + " " + names
	dir := w.dir
	if to := c.value("-C --directory"); to != "" {
		w.cd(to)
	}
	for _, line := range recipes {
		if computed(line) {
			w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "make", Why: via + " runs what functions of its Makefile make up"})
			continue
		}
		w.into(c, via, m.file, m.expand(line, vars, 0), "posix")
	}
	w.dir = dir
}

// computed tells whether a line of a recipe is put together by functions of make,
// so that reading it does not tell what it runs.
func computed(line string) bool {
	for _, f := range []string{"$(call ", "$(foreach ", "$(eval ", "${call ", "${foreach "} {
		if strings.Contains(line, f) {
			return true
		}
	}
	return false
}

// makefile returns the Makefile that a command reads, or nil.
func (w *walk) makefile(c *call) *makefile {
	dir := w.dir
	if to := c.value("-C --directory"); to != "" {
		below, ok := w.below(to)
		if !ok {
			return nil
		}
		dir = below
	}
	if dir == unknown {
		return nil
	}
	names := []string{"GNUmakefile", "makefile", "Makefile"}
	if f := c.value("-f --file --makefile"); f != "" {
		names = []string{f}
	}
	for _, name := range names {
		if m := w.r.makefile(dir, path.Join(dir, name)); m != nil {
			return m
		}
	}
	return nil
}

// makefile reads a Makefile and what it includes, once.
func (r *Reader) makefile(dir, file string) *makefile {
	if m := r.state.makes[file]; m != nil {
		return m
	}
	raw, ok := r.load(file)
	if !ok {
		return nil
	}
	m := &makefile{file: file, targets: map[string]*target{}, vars: map[string]string{}}
	m.parse(raw)
	for i := 0; i < len(m.more) && i < maxIncludes; i++ {
		if raw, ok := r.load(path.Join(dir, m.more[i])); ok {
			m.parse(raw)
		}
	}
	if r.state.makes == nil {
		r.state.makes = map[string]*makefile{}
	}
	r.state.makes[file] = m
	return m
}

// parse reads the lines of a Makefile. Of conditions it takes all branches.
func (m *makefile) parse(raw string) {
	raw = strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\\\n", " ")
	var current []*target
	for _, line := range strings.Split(raw, "\n") {
		if recipe, ok := strings.CutPrefix(line, "\t"); ok {
			for _, t := range current {
				t.recipe = append(t.recipe, strings.TrimSpace(recipe))
			}
			continue
		}
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if files, ok := strings.CutPrefix(strings.TrimPrefix(line, "-"), "include "); ok {
			m.more = append(m.more, strings.Fields(m.expand(files, nil, 0))...)
			continue
		}
		if m.assignment(line) {
			continue
		}
		if made := m.rule(line); made != nil {
			current = made
		}
	}
}

// assignment keeps X = y, X := y, X ?= y and X += y.
func (m *makefile) assignment(line string) bool {
	line = strings.TrimPrefix(line, "export ")
	i := strings.IndexByte(line, '=')
	if i <= 0 {
		return false
	}
	name := strings.TrimRight(line[:i], ":?+! ")
	if word(name) != len(name) || name == "" {
		return false
	}
	value := strings.TrimSpace(line[i+1:])
	switch line[i-1] {
	case '?':
		if _, ok := m.vars[name]; ok {
			return true
		}
	case '+':
		value = m.vars[name] + " " + value
	}
	if len(value) <= maxValue {
		m.vars[name] = value
	}
	return true
}

// rule keeps a line of targets and what they need.
func (m *makefile) rule(line string) []*target {
	names, needs, ok := strings.Cut(line, ":")
	if !ok {
		return nil
	}
	needs, recipe, _ := strings.Cut(strings.TrimPrefix(needs, ":"), ";")
	if strings.Contains(needs, "=") { // a variable of the target
		return nil
	}
	var all []*target
	for _, name := range strings.Fields(m.expand(names, nil, 0)) {
		t := m.targets[name]
		if t == nil {
			t = &target{}
			m.targets[name] = t
		}
		t.needs = append(t.needs, strings.Fields(strings.ReplaceAll(m.expand(needs, nil, 0), "|", " "))...)
		if recipe = strings.TrimSpace(recipe); recipe != "" {
			t.recipe = append(t.recipe, recipe)
		}
		if m.first == "" && !strings.HasPrefix(name, ".") && !strings.Contains(name, "%") {
			m.first = name
		}
		all = append(all, t)
	}
	return all
}

// collect adds the recipes of a target and of all that it needs, the needs
// first. It tells whether the target is there.
func (m *makefile) collect(name string, seen map[string]bool, recipes *[]string) bool {
	if seen[name] || len(seen) >= maxTargets {
		return true
	}
	seen[name] = true
	t := m.targets[name]
	if t == nil {
		t = m.pattern(name)
	}
	if t == nil {
		return false
	}
	for _, n := range t.needs {
		m.collect(n, seen, recipes) // one that is not there is a file
	}
	*recipes = append(*recipes, t.recipe...)
	return true
}

// pattern returns the rule with a % that makes a target, or nil.
func (m *makefile) pattern(name string) *target {
	for _, p := range sortedNames(m.targets) {
		head, tail, ok := strings.Cut(p, "%")
		if ok && len(name) > len(head)+len(tail) && strings.HasPrefix(name, head) && strings.HasSuffix(name, tail) {
			return m.targets[p]
		}
	}
	return nil
}

// expand puts variables of make in, as far as they are plain text. What is not
// known is left as a variable of the shell, so that its name still tells.
func (m *makefile) expand(s string, vars map[string]string, depth int) string {
	s = strings.TrimLeft(s, "@-+ ")
	// Variables that name variables can double without end.
	if depth > 8 || m.work > maxExpansions || !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxWord; i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		closer := map[byte]byte{'(': ')', '{': '}'}[s[i]]
		switch end := strings.IndexByte(s[i:], closer); {
		case s[i] == '$':
			b.WriteByte('$')
		case closer == 0:
			b.WriteString("${MAKE_}")
		case end < 0:
			b.WriteByte(s[i])
		default:
			b.WriteString(m.value(s[i+1:i+end], vars, depth))
			i += end
		}
	}
	return b.String()
}

// value returns what a variable of make stands for.
func (m *makefile) value(name string, vars map[string]string, depth int) string {
	if name == "MAKE" {
		return "make"
	}
	v, ok := vars[name]
	if !ok {
		v, ok = m.vars[name]
	}
	if m.work++; ok {
		return m.expand(v, vars, depth+1)
	}
	if word(name) == len(name) && name != "" {
		return "${" + name + "}"
	}
	return "${MAKE_}" // a function of make
}

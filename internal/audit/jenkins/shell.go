package jenkins

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/script"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shell reads a step that runs shell text, and tells whether c is one.
func (r *reader) shell(c *call, s *scope) bool {
	lang := map[string]string{"sh": "sh", "bat": "cmd", "powershell": "pwsh", "pwsh": "pwsh"}[c.name]
	if lang == "" || len(c.args) == 0 {
		return false
	}
	a := c.args[0]
	for _, named := range c.args {
		if named.key == "script" {
			a = named
		}
	}
	l := written(a)
	if l == nil {
		l = r.valueOf(a)
	}
	if l == nil {
		r.gap(r.jobID(s), r.line(c), "a command that the file does not tell", c.from)
		return true
	}
	r.begin(c, s)
	if first, _, _ := strings.Cut(l.value, "\n"); lang == "sh" && strings.HasPrefix(first, "#!") {
		lang = strings.TrimSpace(first[2:])
	}
	r.steered(l, s)
	if r.left -= len(l.value); r.left < 0 {
		r.gap(r.jobID(s), r.def.File, "more shell text than is looked at", c.from)
		return true
	}
	reader := r.readers[s.domain]
	if reader == nil {
		reader = &script.Reader{Repo: r.repo}
		r.readers[s.domain] = reader
	}
	reader.Env = r.env(l, s)
	// The text stands at 1:1 of a file of its own, so that each place in it can
	// be led back to the byte of the Jenkinsfile.
	f := reader.Read(script.Source{Text: l.value, Place: ci.Place{File: r.def.File, Line: 1, Column: 1}, Shell: lang, Dir: s.dir})
	r.facts(f, l, s)
	if runsFile(l.value) {
		r.runs[s.job] = true
	}
	return true
}

// valueOf is the text that a variable has, where it has one only.
func (r *reader) valueOf(a arg) *literal {
	if len(a.parts) != 1 || r.values[a.parts[0].name] == "" {
		return nil
	}
	return &literal{value: r.values[a.parts[0].name], marks: []mark{{0, a.parts[0].from}}, flat: true}
}

// written is the text of an argument: of several with + between, all of them,
// and a variable of the shell for each that is no text.
func written(a arg) *literal {
	var texts int
	b := &builder{lit: &literal{}}
	for _, p := range a.parts {
		switch {
		case p.name == "?": // one of two texts: both are read
			b = &builder{lit: &literal{holes: b.lit.holes}}
		case p.name == ":":
			b.put("\n", p.from)
		case p.lit != nil:
			texts++
			value := p.lit.value
			for i := range len(value) {
				b.put(value[i:i+1], p.lit.at(i))
			}
			b.lit.holes = append(b.lit.holes, p.lit.holes...)
		case p.call != nil && p.call.name == "(" && texts == 0 && len(p.call.args) == 1:
			if l := written(p.call.args[0]); l != nil {
				return l
			}
		case p.call != nil && p.call.name[0] != '.', p.call == nil && p.name != "" && letter(p.name[0]):
			name := "_expression"
			if p.call == nil {
				name = variable(p.name)
			}
			b.put("${"+name+"}", p.from)
		}
	}
	if texts == 0 {
		return nil
	}
	return b.done()
}

// env is what the variables of a text stand for, as far as known.
func (r *reader) env(l *literal, s *scope) map[string]string {
	env := map[string]string{}
	for k, v := range s.env {
		env[k] = v
	}
	for _, h := range l.holes {
		if v, ok := r.values[h.name]; ok {
			env[h.name] = v
		}
	}
	return env
}

// steered tells of text that whoever opens a change request writes, put into a
// shell line before the shell reads it.
func (r *reader) steered(l *literal, s *scope) {
	step := &r.def.Jobs[s.job].Steps[r.index(s)]
	for _, h := range l.holes {
		for _, name := range strings.Fields(requesterText) {
			if h.name == name {
				step.Events = append(step.Events, ci.Event{
					Tier: ci.Steered, Text: h.written, Why: "text of whoever opens a change request becomes part of the shell line", Ecosystem: "shell", Where: r.place(h.file),
				})
			}
		}
	}
}

// facts adds what a piece of shell text does.
func (r *reader) facts(f script.Facts, l *literal, s *scope) {
	at := r.mapper(l)
	var pairs []string
	for _, h := range l.holes {
		pairs = append(pairs, "${"+h.name+"}", h.written)
	}
	back := strings.NewReplacer(pairs...)
	step := &r.def.Jobs[s.job].Steps[r.index(s)]
	for _, e := range f.Events {
		e.Text, e.Why, e.Safer, e.Where = back.Replace(e.Text), back.Replace(e.Why), back.Replace(e.Safer), at(e.Where)
		step.Events = append(step.Events, e)
	}
	for _, a := range f.Acts {
		a.Text, a.Object, a.Where = back.Replace(a.Text), back.Replace(a.Object), at(a.Where)
		step.Acts = append(step.Acts, a)
	}
	for _, st := range f.Stores {
		st.Where = at(st.Where)
		step.Stores = append(step.Stores, st)
	}
	for _, c := range f.Credentials {
		c.Step, c.Where = r.index(s), at(c.Where)
		r.hold(s, c)
	}
	for _, g := range f.Gaps {
		g.Job, g.What, g.Where = r.jobID(s), back.Replace(g.What), at(g.Where)
		r.def.Gaps = append(r.def.Gaps, g)
	}
}

// mapper leads a place in a text back to the file.
func (r *reader) mapper(l *literal) func(ci.Place) ci.Place {
	lines := []int{0}
	for i := range len(l.value) {
		if l.value[i] == '\n' {
			lines = append(lines, i+1)
		}
	}
	return func(p ci.Place) ci.Place {
		if p.Line < 1 || p.Line > len(lines) {
			return p
		}
		return r.place(min(l.at(lines[p.Line-1]+max(p.Column, 1)-1), len(r.src)))
	}
}

// runsFile tells whether shell text runs a file of the workspace by name.
func runsFile(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && (words[0] == "sh" || words[0] == "bash" || words[0] == "." || words[0] == "source") {
			words = words[1:]
		}
		if len(words) > 0 && strings.HasPrefix(words[0], "./") {
			return true
		}
	}
	return false
}

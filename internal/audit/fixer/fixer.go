// Package fixer changes CI files where a finding can be mended without changing
// what the pipeline does: a checkout that nobody pushes from keeps no
// credential, a secret moves to the only step that names it, and an install
// runs no scripts, where the lockfile has none, or runs confined.
//
// It changes text line by line and leaves all else as it is. What it is not sure
// of it leaves alone.
package fixer

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Change is what is mended in one file.
type Change struct {
	File string
	Old  []byte
	New  []byte
	Why  []string // one line for each edit
}

// Diff is the change in unified form, for `git apply`.
func (c Change) Diff() []byte {
	d := diff.Diff("a/"+c.File, c.Old, "b/"+c.File, c.New)
	// The first line names both files for people; git does not want it.
	if _, rest, ok := bytes.Cut(d, []byte("\n")); ok && bytes.HasPrefix(d, []byte("diff ")) {
		return rest
	}
	return d
}

// Mend returns the changes for the findings of a report that can be mended.
func Mend(repo fs.FS, defs []ci.Definition, r finding.Report) []Change {
	by := map[string]*text{}
	var files []string
	for _, f := range r.Findings {
		job := jobOf(defs, f)
		if f.Suppressed != "" || f.System != ci.GitHub || job == nil {
			continue
		}
		file := f.File
		if by[file] == nil {
			raw, err := fs.ReadFile(repo, file)
			if err != nil {
				continue
			}
			by[file] = &text{repo: repo, old: raw, lines: strings.Split(string(raw), "\n")}
			files = append(files, file)
		}
		by[file].mend(f, job)
	}
	slices.Sort(files)
	var out []Change
	for _, file := range files {
		t := by[file]
		if len(t.edits) > 0 {
			out = append(out, Change{File: file, Old: t.old, New: t.apply(), Why: t.why})
		}
	}
	return out
}

func jobOf(defs []ci.Definition, f finding.Finding) *ci.Job {
	for d := range defs {
		if defs[d].File != f.File {
			continue
		}
		for j := range defs[d].Jobs {
			if defs[d].Jobs[j].ID == f.Domain {
				return &defs[d].Jobs[j]
			}
		}
	}
	return nil
}

// text is one file and what is to be changed in it.
type text struct {
	repo  fs.FS
	old   []byte
	lines []string
	edits []edit
	why   []string
}

// edit replaces one line by others; an empty list removes it. With after, the
// line stays, and the others follow.
type edit struct {
	line  int // counted from 1
	by    []string
	after bool
}

func (t *text) line(n int) string {
	if n < 1 || n > len(t.lines) {
		return ""
	}
	return t.lines[n-1]
}

func (t *text) add(why string, all ...edit) {
	for _, e := range all {
		if slices.ContainsFunc(t.edits, func(o edit) bool { return o.line == e.line }) {
			return // one change of a line is enough, and two could disagree
		}
	}
	t.edits = append(t.edits, all...)
	t.why = append(t.why, why)
}

func (t *text) apply() []byte {
	var out []string
	for i, l := range t.lines {
		k := slices.IndexFunc(t.edits, func(e edit) bool { return e.line == i+1 })
		switch {
		case k < 0:
			out = append(out, l)
		case t.edits[k].after:
			out = append(append(out, l), t.edits[k].by...)
		default:
			out = append(out, t.edits[k].by...)
		}
	}
	return []byte(strings.Join(out, "\n"))
}

func (t *text) mend(f finding.Finding, j *ci.Job) {
	switch f.Rule {
	case "SPA-020":
		t.checkout(f, j)
	case "SPA-007":
		t.move(f, j)
	case "SPA-001", "SPA-002", "SPA-003", "SPA-004", "SPA-005":
		t.install(f)
	}
}

// checkout keeps the token out of .git/config, where no step of the job pushes.
func (t *text) checkout(f finding.Finding, j *ci.Job) {
	for _, s := range j.Steps {
		for _, a := range s.Acts {
			if a.Class == ci.Repository {
				return
			}
		}
	}
	n := f.Credential.Line
	line := t.line(n)
	at := strings.Index(line, "uses:")
	if at < 0 || !strings.Contains(line, "actions/checkout") {
		return
	}
	why := fmt.Sprintf("line %d: the checkout keeps no credential: no step of job %s pushes", n, j.ID)
	next := t.line(n + 1)
	pad := strings.Repeat(" ", at)
	switch trimmed := strings.TrimSpace(next); {
	case trimmed == "with:" && indent(next) == at:
		t.add(why, edit{n + 1, []string{pad + "  persist-credentials: false"}, true})
	case strings.HasPrefix(trimmed, "with: {") && strings.HasSuffix(trimmed, "}") && indent(next) == at:
		body := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(trimmed, "with: {"), "}"))
		t.add(why, edit{n + 1, []string{pad + "with: { persist-credentials: false, " + body + " }"}, false})
	case indent(next) != at || trimmed == "" || strings.HasPrefix(trimmed, "- "):
		t.add(why, edit{n, []string{pad + "with:", pad + "  persist-credentials: false"}, true})
	}
}

func indent(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// move gives a secret of the job's environment to the only step that names it.
func (t *text) move(f finding.Finding, j *ci.Job) {
	n := f.Credential.Line
	line := t.line(n)
	m := variable.FindStringSubmatch(line)
	if m == nil || !strings.HasPrefix(f.Credential.Enters, "environment of the job") {
		return
	}
	name := m[1]
	uses := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
	step := -1
	for i, s := range j.Steps {
		for k := s.Where.Line; k <= s.Where.End; k++ {
			if uses.MatchString(t.line(k)) {
				if step >= 0 && step != i {
					return
				}
				step = i
			}
		}
	}
	if step < 0 {
		return
	}
	t.moveTo(n, name, strings.TrimSpace(line), j.Steps[step])
}

// variable is a line of an env block that takes a secret.
var variable = regexp.MustCompile(`^\s+([A-Za-z_][A-Za-z0-9_]*):\s*['"]?\$\{\{\s*secrets\.[A-Za-z0-9_]+\s*\}\}['"]?\s*$`)

// moveTo puts a line of env into a step; where the env of the job is empty after
// that, it goes too.
func (t *text) moveTo(n int, name, entry string, s ci.Step) {
	pad := strings.Repeat(" ", s.Where.Column-1)
	gone := []edit{{n, nil, false}}
	if strings.TrimSpace(t.line(n-1)) == "env:" && indent(t.line(n+1)) < indent(t.line(n)) {
		gone = append(gone, edit{n - 1, nil, false})
	}
	why := fmt.Sprintf("line %d: %s goes to the only step that names it", n, name)
	for k := s.Where.Line; k <= s.Where.End; k++ {
		if strings.TrimSpace(t.line(k)) == "env:" && indent(t.line(k)) == len(pad) {
			t.add(why, append(gone, edit{k, []string{pad + "  " + entry}, true})...)
			return
		}
		if strings.Contains(t.line(k), "env:") {
			return // of a form that is not changed by lines
		}
	}
	last := s.Where.End
	for last > s.Where.Line && strings.TrimSpace(t.line(last)) == "" {
		last--
	}
	t.add(why, append(gone, edit{last, []string{pad + "env:", pad + "  " + entry}, true})...)
}

// install makes an install run no scripts where the lockfile has none, else
// confined.
func (t *text) install(f finding.Finding) {
	if f.Untrusted == nil || f.Untrusted.File != "" && f.Untrusted.File != f.File {
		return
	}
	n, command := f.Untrusted.Line, f.Untrusted.Text
	if command != "npm ci" || strings.Count(t.line(n), command) != 1 || strings.Contains(t.line(n), "sallyport") || strings.Contains(t.line(n), command+" -") {
		return
	}
	if raw, err := fs.ReadFile(t.repo, "package-lock.json"); err == nil && !bytes.Contains(raw, []byte(`"hasInstallScript"`)) {
		t.add(fmt.Sprintf("line %d: no package of package-lock.json has an install script", n), edit{n, []string{strings.Replace(t.line(n), command, command+" --ignore-scripts", 1)}, false})
		return
	}
	t.add(fmt.Sprintf("line %d: the install runs confined, with nothing to steal", n), edit{n, []string{strings.Replace(t.line(n), command, "sallyport exec -- "+command, 1)}, false})
}

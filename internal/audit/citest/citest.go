// Package citest holds frontends of the audit to what they should read: a
// fixture is an archive of files, and an account of the definition in words.
package citest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// Read is a frontend.
type Read func(repo fs.FS, file string) (ci.Definition, error)

// Run reads the first file of each testdata/*.txtar and compares the account of
// it with the file named want. UPDATE=1 writes it anew.
func Run(t *testing.T, read Read) {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { one(t, name, read) })
	}
}

func one(t *testing.T, name string, read Read) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	want := -1
	for i, f := range a.Files {
		if f.Name == "want" {
			want = i
			continue
		}
		repo[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	if want < 0 {
		t.Fatalf("%s has no file want", name)
	}
	d, err := read(repo, a.Files[0].Name)
	got := Describe(d)
	if err != nil {
		got = "error: " + err.Error() + "\n"
	}
	if got == string(a.Files[want].Data) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatalf("read as\n%s\nwanted\n%s", got, a.Files[want].Data)
	}
	a.Files[want].Data = []byte(got)
	if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Fuzz reads any text, seeded by the first files of the fixtures. Any answer will
// do, a panic or a hang will not.
func Fuzz(f *testing.F, read Read) {
	f.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = read(fstest.MapFS{"ci.yml": {Data: raw}}, "ci.yml")
	})
}

// Describe tells all of a definition, a line for each part, with its place.
func Describe(d ci.Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "definition %s%s\n", d.Name, when(d.Callable, ", callable"))
	for _, t := range d.Triggers {
		fmt.Fprintf(&b, "trigger %s %s%s\n", trigger(t), at(d, t.Where), when(len(t.Follows) > 0, " follows "+strings.Join(t.Follows, ", ")))
	}
	for _, j := range d.Jobs {
		describeJob(&b, d, j)
	}
	for _, g := range d.Gaps {
		fmt.Fprintf(&b, "gap %s: %s %s%s\n", g.What, g.Why, at(d, g.Where), when(g.Job != "", " in "+g.Job))
	}
	return b.String()
}

func describeJob(b *strings.Builder, d ci.Definition, j ci.Job) {
	fmt.Fprintf(b, "job %s %s-%d%s%s%s\n", j.ID, at(d, j.Where.Place), j.Where.End, when(j.Domain != "", " domain "+j.Domain), when(len(j.Needs) > 0, " needs "+strings.Join(j.Needs, ", ")), when(j.Separate, " separate"))
	if j.Triggers != nil {
		var all []string
		for _, t := range j.Triggers {
			all = append(all, trigger(t))
		}
		fmt.Fprintf(b, "  by %s\n", strings.Join(all, ", "))
	}
	if len(j.Runner.Labels) > 0 {
		fmt.Fprintf(b, "  on %s%s %s\n", strings.Join(j.Runner.Labels, ", "), when(j.Runner.Persistent, ", persistent"), at(d, j.Runner.Where))
	}
	if j.Environment.Name != "" {
		fmt.Fprintf(b, "  environment %s %s\n", j.Environment.Name, at(d, j.Environment.Where))
	}
	for _, c := range j.Credentials {
		describeCredential(b, d, c)
	}
	for i, s := range j.Steps {
		for _, e := range s.Events {
			tier := [...]string{"", "executes", "compiles", "third party", "steered"}[e.Tier]
			fmt.Fprintf(b, "  %d %s [%s] %q: %s%s%s%s%s %s\n", i, tier, e.Ecosystem, e.Text, e.Why, when(e.Pinned, ", pinned"), when(e.Own, ", own"), when(e.Floating, ", floating"), when(e.Unsandboxed, ", unsandboxed"), at(d, e.Where))
		}
		for _, a := range s.Acts {
			fmt.Fprintf(b, "  %d %s by %s %q%s%s%s %s\n", i, a.Class, a.Tool, a.Text, when(a.Object != "", " to "+a.Object), when(a.Attests, ", attests"), when(a.Verifies, ", verifies"), at(d, a.Where))
		}
		for _, st := range s.Stores {
			fmt.Fprintf(b, "  %d %s %q%s%s%s%s%s%s%s %s\n", i, st.Kind, st.Name, when(st.Prefix, "..."), when(len(st.Also) > 0, fmt.Sprintf(" or %q", st.Also)), when(st.Reads, " read"), when(st.Writes, " written"), when(st.Executed, " executed"), when(st.ByDigest, " by digest"), when(st.From != "", " from "+st.From), at(d, st.Where))
		}
	}
	for _, m := range j.Mitigations {
		fmt.Fprintf(b, "  credit %s %s\n", m.Text, at(d, m.Where))
	}
}

func describeCredential(b *strings.Builder, d ci.Definition, c ci.Credential) {
	var classes []string
	for _, k := range c.Classes {
		classes = append(classes, string(k))
	}
	fmt.Fprintf(b, "  holds %s (%s) %s, %s, step %d, %s%s%s%s%s%s %s\n", c.Name, c.Kind, strings.Join(classes, "+"), c.Scope, c.Step, c.Enters,
		when(c.OnDisk, ", on disk"), when(c.LongLived, ", long-lived"), when(c.All, ", all"), when(c.Assumed, ", assumed"), when(c.Subject != "", ", as "+c.Subject), at(d, c.Where))
}

func trigger(t ci.Trigger) string {
	return t.Event + " (" + [...]string{"maintainer", "contributor", "stranger"}[t.Trust] + ")"
}

// at is a place; the file is said where it is another one.
func at(d ci.Definition, p ci.Place) string {
	file := ""
	if p.File != d.File {
		file = p.File
	}
	return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column)
}

func when(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

package pipeline

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport/sallyport/internal/boundary"
)

var update = flag.Bool("update", false, "write what is wanted from what is got")

// Each file of testdata/detect is a project, and in its file "want" what is made
// of it. The first line may give options.
func TestDetect(t *testing.T) {
	files, err := filepath.Glob("testdata/detect/*.txtar")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d project shapes, %v: wants at least 25", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := unpack(t, a)
			o := Options{HostGo: "go1.26.8"}
			if strings.Contains(string(a.Comment), "options: package") {
				o.Package = true
			}
			got := ""
			p, err := Detect(dir, o)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || !slices.ContainsFunc(Codes(), func(c Code) bool { return c.Code == e.Code }) {
					t.Fatalf("an error without a code: %v", err)
				}
				got = strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
			} else {
				got = render(p)
				sound(t, p)
			}
			compare(t, file, a, got)
		})
	}
}

func unpack(t *testing.T, a *txtar.Archive) string {
	dir := filepath.Join(t.TempDir(), "checkout")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if f.Name == "want" {
			continue
		}
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compare(t *testing.T, file string, a *txtar.Archive, got string) {
	t.Helper()
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
	if *update {
		if i < 0 {
			a.Files = append(a.Files, txtar.File{Name: "want"})
			i = len(a.Files) - 1
		}
		a.Files[i].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if i < 0 || string(a.Files[i].Data) != got {
		t.Errorf("got\n%s", got)
	}
}

// sound tells of every detected pipeline what has to be so: it has no crossing,
// its shell commands parse, and its stages are in order.
func sound(t *testing.T, p *Pipeline) {
	t.Helper()
	if cs := boundary.Check(p.Graph("sallyport.local")); len(cs) > 0 {
		t.Errorf("a crossing: %+v", cs[0])
	}
	if !p.Detected || !slices.Equal(slices.Sorted(slices.Values([]string{p.Name})), []string{slug(p.Name)}) {
		t.Errorf("name %q", p.Name)
	}
	artifacts := 0
	for _, s := range p.Stages {
		artifacts += len(s.Out)
		for _, run := range s.Run {
			if out, err := exec.Command("sh", "-n", "-c", run).CombinedOutput(); err != nil {
				t.Errorf("%s is no command: %s", run, out)
			}
		}
	}
	if artifacts == 0 {
		t.Error("no artifact")
	}
	if _, loop := inOrder(p.Stages); loop != nil {
		t.Errorf("a circle: %v", loop)
	}
}

func render(p *Pipeline) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name %s\n", p.Name)
	for _, g := range p.Gateway.Npm {
		fmt.Fprintf(&b, "npm dir=%s lockfile=%s omit_dev=%v\n", g.Dir, g.Lockfile, g.OmitDev)
	}
	for _, g := range p.Gateway.Go {
		fmt.Fprintf(&b, "go dir=%s lockfile=%s no_work=%v\n", g.Dir, g.Lockfile, g.NoWork)
	}
	for _, s := range p.Stages {
		fmt.Fprintf(&b, "%s from %v\n", s.Name, s.From)
		for _, r := range s.Run {
			r, _, cut := strings.Cut(r, "import(process")
			if cut {
				r += "..."
			}
			fmt.Fprintf(&b, "  run  %s\n", r)
		}
		for _, k := range slices.Sorted(maps.Keys(s.Env)) {
			if _, npm := npmEnv()[k]; !npm {
				fmt.Fprintf(&b, "  env  %s=%s\n", k, s.Env[k])
			}
		}
		if len(s.Keep) > 0 {
			fmt.Fprintf(&b, "  keep %s\n", strings.Join(s.Keep, " "))
		}
		for _, k := range slices.Sorted(maps.Keys(s.Out)) {
			fmt.Fprintf(&b, "  out  %s=%s\n", k, s.Out[k])
		}
		for _, c := range s.Check {
			fmt.Fprintf(&b, "  check %s\n", c.Name)
		}
	}
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "# %s\n", f)
	}
	return b.String()
}

func TestDetectName(t *testing.T) {
	dir := unpack(t, txtar.Parse([]byte("-- go.mod --\nmodule m.example/a\n-- a.go --\npackage a\n")))
	for asked, want := range map[string]string{"": "a", "Shop Front": "shop-front", "..": "a", strings.Repeat("x", 100): strings.Repeat("x", 63)} {
		p, err := Detect(dir, Options{Name: asked})
		if err != nil || p.Name != want {
			t.Errorf("%q: %v %v", asked, p, err)
		}
	}
}

// Names in a foreign directory are data: quotes, line breaks, links, pipes and
// folders without end do nothing.
func TestDetectHostileDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("it's $(touch pwned)/go.mod", "module m.example/a\n")
	write("it's $(touch pwned)/main.go", "package main\nfunc main() {}\n")
	write("a\nb/go.mod", "module m.example/b\n")
	write("secret/go.mod", "module m.example/outside\n")
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "package.json")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "go.work"), 0o644); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("d/", 60)
	write(deep+"go.mod", "module m.example/deep\n")
	p, err := Detect(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sound(t, p)
	var dirs []string
	for _, g := range p.Gateway.Go {
		dirs = append(dirs, g.Dir)
	}
	if want := []string{"it's $(touch pwned)", "secret"}; !slices.Equal(dirs, want) {
		t.Errorf("got %q, want %q", dirs, want)
	}
	for _, s := range p.Stages {
		for _, r := range s.Run {
			if strings.Contains(r, "pwned") && !strings.HasPrefix(r, `cd 'it'\''s $(touch pwned)' && `) {
				t.Errorf("not quoted: %s", r)
			}
		}
	}
}

func TestDetectWithoutADirectory(t *testing.T) {
	var e *Error
	if _, err := Detect(filepath.Join(t.TempDir(), "none"), Options{}); !errors.As(err, &e) || e.Code != "E-PROJECT-NONE" {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Detect(file, Options{}); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// Manifests of strangers: whatever they hold, the answer is a pipeline that is
// sound or an error with a code.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("module m.example/a\n\ngo 1.26\n"), []byte(`{"name":"a","version":"1.0.0","workspaces":["p/*"],"scripts":{"test":"x"}}`), []byte(`{"lockfileVersion":3}`), []byte("go 1.26\nuse ./p\n"), []byte("//go:build linux\n\npackage main\n"))
	f.Add([]byte("module m.example/a\ntoolchain go1.99.1\n"), []byte(`{"exports":{".":[{"import":"./a.mjs"}]},"bin":"x"}`), []byte(`{"lockfileVersion":1e3}`), []byte(""), []byte("package a\nimport \"C\"\n"))
	f.Fuzz(func(t *testing.T, mod, pkg, lock, work, main []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"go.mod": mod, "package.json": pkg, "package-lock.json": lock, "main.go": main, "go.work": work} {
			if len(data) == 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range []Options{{}, {Package: true}} {
			p, err := Detect(dir, o)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("an error without a code: %v", err)
				}
				continue
			}
			if cs := boundary.Check(p.Graph("sallyport.local")); len(cs) > 0 {
				t.Fatalf("a crossing: %+v", cs[0])
			}
			if p.Name == "" || len(p.Stages) == 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// Package internal_test keeps the plan of the house: which package may know
// which, and what none may hold. It reads the files with go/parser, since a
// test that shells out to `go list` is served stale from the test cache.
package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// room is one package below internal/, with everything below it.
type room struct {
	name  string
	floor int
	rules []rule
	why   string
}

// rule judges one import of a room; the empty string lets it pass. Paths of
// this module come without the part up to internal/.
type rule func(imported string, own bool) string

// only lets a room know these rooms of the house and no others, on whatever
// floor; a name that ends in "/" stands for all below it.
func only(rooms ...string) rule {
	return func(imported string, own bool) string {
		if !own || slices.ContainsFunc(rooms, func(r string) bool { return r == imported || below(imported, r) }) {
			return ""
		}
		return "it may know only: " + strings.Join(rooms, ", ")
	}
}

// never forbids packages, the house's or others.
func never(packages ...string) rule {
	return func(imported string, _ bool) string {
		if imported == "net/url" || imported == "net/netip" {
			return "" // values and their text: no socket
		}
		if slices.ContainsFunc(packages, func(p string) bool { return p == imported || below(imported, p) }) {
			return "it may never import this"
		}
		return ""
	}
}

// outside lets a room import, from other modules, only these.
func outside(modules ...string) rule {
	return func(imported string, own bool) string {
		first, _, _ := strings.Cut(imported, "/")
		if own || !strings.Contains(first, ".") || slices.ContainsFunc(modules, func(m string) bool { return m == imported || below(imported, m) }) {
			return ""
		}
		return "of other modules it may import only: " + strings.Join(modules, ", ")
	}
}

func below(p, parent string) bool { return strings.HasPrefix(p, strings.TrimSuffix(parent, "/")+"/") }

func rules(all ...rule) []rule { return all }

// rooms is the plan. An import rule here is a security rule.
func rooms() []room {
	return []room{
		{"digest", 1, rules(only(), outside(), never("net", "os/exec")), "the names of bytes depend on nothing"},
		{"boundary", 1, rules(only("digest"), outside(), never("net", "os", "os/exec", "io/fs")), "the rules depend on nothing that could bend them"},
		{"evidence", 1, rules(only("digest", "boundary"), outside(), never("net", "os", "os/exec")), "what was observed is plain values, without a way to observe more"},
		{"pipeline", 2, rules(only("digest", "boundary"), never("net", "os/exec")), "a file of a project is parsed, never run"},
		{"audit", 2, rules(only("digest", "boundary", "evidence"), never("net", "os/exec")), "a CI file is parsed, never run"},
		{"framework", 2, rules(only(), outside("go.yaml.in/yaml"), never("net", "os", "os/exec")), "standards are data"},
		{"picture", 2, rules(only("boundary"), outside(), never("net", "os", "os/exec")), "a graph goes in, text comes out"},
		{"store", 2, rules(only("digest"), never("net", "os/exec")), "bytes are kept, never interpreted"},
		{"sign", 2, rules(only("digest"), never("net/http", "os/exec")), "a key meets bytes, not those who made them"},
		{"image", 2, rules(only("digest", "evidence"), never("net", "os/exec")), "layers are unpacked, never run; who brings the bytes is another's business"},
		{"joblog", 2, rules(only(), outside(), never("net", "os", "os/exec")), "text goes in, text comes out"},
		{"toolchain", 2, rules(only("digest", "evidence"), never("net")), "the host's programs are found, without asking anybody"},
		{"sandbox", 3, rules(only("digest", "boundary", "evidence", "zoneinit/wire"), never("net/http")), "a zone is made of values; who is in it is not its business"},
		{"zoneinit", 3, rules(only("digest"), outside("golang.org/x/sys/unix"), never("net", "os/exec", "net/http", "encoding/json", "plugin")),
			"runs beside hostile code: holds no key, opens no connection, reads no format"},
		{"gateway", 3, rules(never("os/user")), "the only road out"},
		{"identity", 3, rules(only("digest", "boundary", "evidence", "sign")), "names are minted from what the boundary says"},
		{"provenance", 3, rules(only("digest", "boundary", "evidence"), never("net", "os/exec")), "a statement is made from evidence alone"},
		{"ledger", 3, rules(only("digest", "evidence", "sign/keyfile", "sign/inclusion"), never("os/exec")), "an entry is bytes; it has a key of its own and no other"},
		{"source", 3, rules(never("os/exec")), "a project's repository is read, never given to a program that runs its hooks"},
		{"secrets", 3, rules(only("digest", "evidence"), never("net", "os/exec")), "what looks for secrets has no way to send one"},
		{"gate", 4, rules(only("digest", "boundary", "evidence"), never("net", "net/http", "os/exec")), "the same evidence gives the same answer, offline"},
		{"honey", 4, rules(never("os/exec", "sign")), "what looks like a credential is none"},
		{"release", 4, rules(never("os/exec", "net/http"), only("digest", "boundary", "evidence", "store", "sign", "provenance", "ledger", "gate")),
			"no project code ever: it runs nothing and asks nobody"},
		{"verify", 4, rules(never("net/http", "os/exec")), "a stranger's check is offline, and runs nothing that it checks"},
		{"conductor", 5, rules(never("sign", "release", "os/exec", "net/http")), "who runs untrusted code has no way to a key, nor past the sandbox"},
		{"confine", 5, rules(never("sign", "release", "os/exec")), "who runs untrusted code has no way to a key, nor past the sandbox"},
		{"drill", 5, rules(never("sign")), "the replayed attacks have no way to a key"},
		{"server", 6, rules(never("os/exec")), "what strangers can call runs nothing"},
		{"web", 6, rules(never("os/exec", "sign")), "pages show what others decided"},
		{"cli", 7, nil, "all wiring is here"},
	}
}

// neighbours are the imports between rooms of one floor that are allowed, and
// why.
func neighbours() map[[2]string]string {
	return map[[2]string]string{
		{"boundary", "digest"}:   "a gate names the digest that it lets pass",
		{"evidence", "digest"}:   "what was observed has a name",
		{"evidence", "boundary"}: "what was observed was in a zone",
		{"sandbox", "zoneinit"}:  "both ends of one line: the words that controller and init exchange (zoneinit/wire)",
		{"release", "gate"}:      "it takes a verdict, a type that only the gate can make",
		{"gateway", "sandbox"}:   "the constants that say where a cache stands in a zone",
	}
}

// holders are the only rooms that may import what leads to a key.
func holders() []string {
	return []string{"sign", "identity", "ledger", "release", "verify", "cli", "server"}
}

// unchecked are the directories that may import unsafe, and why.
func unchecked() map[string]string {
	return map[string]string{
		"internal/zoneinit":            "system calls that have no other form, before the payload runs",
		"internal/zoneinit/probe":      "system calls with arguments that no wrapper makes",
		"internal/sandbox/host":        "asking the kernel which filter actions it has",
		"internal/sandbox/sandboxtest": "attempts by bare system calls",
		"internal/sandbox/namespaces":  "system calls that have no other form",
		"internal/store":               "file attributes that seal a tree (ioctl)",
	}
}

// exits are the files that may end the process.
func exits() map[string]string {
	return map[string]string{
		"cmd/sallyport/main.go":                       "main",
		"cmd/zoneinit/main.go":                        "main",
		"internal/sandbox/sandboxtest/sandboxtest.go": "stands in for main in a test binary",
		"internal/cli/cli.go":                         "the second Ctrl-C, when the first is not heeded",
	}
}

// variables are the package variables that are more than a table, and why.
func variables() map[string]string {
	return map[string]string{
		"cmd/sallyport.version":        "set by the linker",
		"internal/ledger.quietTessera": "a logger that a library keeps in one global place",
	}
}

// file is one parsed Go file.
type file struct {
	dir, name string // below the module's root
	test      bool
	ast       *ast.File
	text      string
}

func (f file) path() string { return f.dir + "/" + f.name }

// house parses every Go file of the module below dirs.
func house(t *testing.T, dirs ...string) (all []file) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(p, ".go") {
				return nil
			}
			f, err := parse(p)
			all = append(all, f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatal("no file was read: the test shows nothing")
	}
	return all
}

func parse(p string) (file, error) {
	text, err := os.ReadFile(p)
	if err != nil {
		return file{}, err
	}
	tree, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	rel := filepath.ToSlash(strings.TrimPrefix(p, ".."+string(filepath.Separator)))
	return file{path.Dir(rel), path.Base(rel), strings.HasSuffix(p, "_test.go"), tree, string(text)}, nil
}

// imports gives the paths of a file, those of this module below internal/.
func (f file) imports() (own, others []string) {
	for _, s := range f.ast.Imports {
		p, _ := strconv.Unquote(s.Path.Value)
		if in, ok := strings.CutPrefix(p, module+"internal/"); ok {
			own = append(own, in)
		} else {
			others = append(others, p)
		}
	}
	return own, others
}

// family is the room that a directory below internal/ belongs to.
func family(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

func findRoom(name string) (room, bool) {
	for _, r := range rooms() {
		if r.name == name {
			return r, true
		}
	}
	return room{}, false
}

// TestFloors checks every import of the house against the plan.
func TestFloors(t *testing.T) {
	for _, f := range house(t, "internal") {
		in, ok := strings.CutPrefix(f.dir, "internal/")
		if !ok {
			if f.name != "layers_test.go" && f.name != "variables_test.go" && f.name != "threats_test.go" {
				t.Errorf("%s: no file stands in internal itself", f.path())
			}
			continue
		}
		r, known := findRoom(family(in))
		if !known {
			t.Errorf("%s: the plan in internal/layers_test.go has no room %s: give it a floor, its rules, and why", f.path(), family(in))
			continue
		}
		if f.test || strings.HasSuffix(in, "test") { // a package for tests does what tests do
			continue
		}
		own, others := f.imports()
		for _, i := range own {
			if against := r.judge(i); against != "" {
				t.Errorf("%s imports %s: %s (%s)", f.path(), i, against, r.why)
			}
		}
		for _, i := range others {
			if against := r.against(i, false); against != "" {
				t.Errorf("%s imports %s: %s (%s)", f.path(), i, against, r.why)
			}
		}
	}
}

// judge says what is against importing another package of the house.
func (r room) judge(imported string) string {
	to, known := findRoom(family(imported))
	switch {
	case to.name == r.name:
		return ""
	case !known:
		return "the plan has no such room"
	case strings.HasSuffix(imported, "test"):
		return "it is for tests"
	case to.floor > r.floor:
		return "it lies on a higher floor"
	case to.floor == r.floor && neighbours()[[2]string{r.name, to.name}] == "":
		return "it lies on the same floor"
	case to.name == "sign" && !slices.Contains(holders(), r.name):
		return "it leads to a key"
	}
	return r.against(imported, true)
}

// against gives what the first broken rule says.
func (r room) against(imported string, own bool) string {
	for _, rule := range r.rules {
		if against := rule(imported, own); against != "" {
			return against
		}
	}
	return ""
}

// TestFloorsCanFail shows imports that the plan has to refuse.
func TestFloorsCanFail(t *testing.T) {
	for _, c := range []struct {
		from, to string
		own, ok  bool
	}{
		{"boundary", "digest", true, true},
		{"boundary", "evidence", true, false},
		{"boundary", "os", false, false},
		{"boundary", "strings", false, true},
		{"boundary", "example.com/x", false, false},
		{"conductor", "sign", true, false},
		{"conductor", "sign/keyfile", true, false},
		{"conductor", "release", true, false},
		{"conductor", "gate", true, true},
		{"conductor", "cli", true, false},
		{"gate", "net/http", false, false},
		{"gate", "net/url", false, true},
		{"gate", "os/exec", false, false},
		{"gate", "store", true, false},
		{"zoneinit", "golang.org/x/sys/unix", false, true},
		{"zoneinit", "golang.org/x/sys/windows", false, false},
		{"zoneinit", "encoding/json", false, false},
		{"zoneinit", "net", false, false},
		{"zoneinit", "evidence", true, false},
		{"gateway", "ledger", true, false},
		{"gateway", "gateway/npm", true, true},
		{"gateway", "sign", true, false},
		{"sandbox", "zoneinit/wire", true, true},
		{"sandbox", "zoneinit", true, false},
		{"sandbox", "zoneinit/probe", true, false},
		{"store", "sandbox", true, false},
		{"cli", "sandbox/sandboxtest", true, false},
		{"cli", "unheard", true, false},
	} {
		r, known := findRoom(c.from)
		if !known {
			t.Fatalf("no room %s", c.from)
		}
		against := ""
		if c.own {
			against = r.judge(c.to)
		} else {
			against = r.against(c.to, false)
		}
		if (against == "") != c.ok {
			t.Errorf("%s imports %s: got %q", c.from, c.to, against)
		}
	}
}

// TestNoHiddenTies refuses what ties packages together past their imports.
func TestNoHiddenTies(t *testing.T) {
	root, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range root {
		if strings.HasSuffix(e.Name(), ".go") {
			t.Errorf("%s: no Go file stands in the root", e.Name())
		}
	}
	for _, f := range house(t, "internal", "cmd") {
		if strings.Contains(f.text, "//go:"+"linkname") {
			t.Errorf("%s: a name of another package is linked", f.path())
		}
		for _, s := range f.ast.Imports {
			p, _ := strconv.Unquote(s.Path.Value)
			switch {
			case p == "C":
				t.Errorf("%s: C code", f.path())
			case p == "unsafe" && !f.test && unchecked()[f.dir] == "":
				t.Errorf("%s imports unsafe: give a reason in unchecked", f.path())
			case s.Name != nil && s.Name.Name == ".":
				t.Errorf("%s imports the names of %s", f.path(), p)
			case s.Name != nil && s.Name.Name == "_" && p != "embed" && !f.test:
				t.Errorf("%s imports %s for what it does at start", f.path(), p)
			}
		}
	}
}

// TestNothingAtStart refuses init functions, and an end of the process in other
// places than main.
func TestNothingAtStart(t *testing.T) {
	for _, f := range house(t, "internal", "cmd") {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", f.path())
			}
		}
		if f.test || exits()[f.path()] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "os" && s.Sel.Name == "Exit" || x.Name == "log" && strings.HasPrefix(s.Sel.Name, "Fatal")) {
					t.Errorf("%s ends the process by %s.%s", f.path(), x.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNoPublicHosts refuses the names of the world's registries: upstreams are
// found in the configuration of the machine at run time.
func TestNoPublicHosts(t *testing.T) {
	// In two halves each, so that this file holds none.
	hosts := []string{"registry.npm" + "js.org", "registry.yarn" + "pkg.com", "proxy.gol" + "ang.org", "sum.gol" + "ang.org", "index.gol" + "ang.org",
		"deb.deb" + "ian.org", "pypi" + ".org/simple", "crates" + ".io/api", "registry-1.dock" + "er.io", "repo1.mav" + "en.org"}
	for _, f := range house(t, "internal", "cmd") {
		for _, h := range hosts {
			if strings.Contains(f.text, h) {
				t.Errorf("%s holds the host name %s", f.path(), h)
			}
		}
	}
}

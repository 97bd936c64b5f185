package internal_test

import (
	"go/ast"
	"go/token"
	"os"
	"strings"
	"testing"
)

// made are the calls whose value never changes again.
func made() map[string]bool {
	return map[string]bool{
		"errors.New": true, "fmt.Errorf": true, "regexp.MustCompile": true, "strings.NewReplacer": true,
		"time.Unix": true, "time.Date": true, "netip.MustParsePrefix": true, "netip.MustParseAddr": true,
	}
}

// TestNoMutableVariables refuses package variables that can change: one that has
// no value, one that is given another, and one whose value is not a table.
func TestNoMutableVariables(t *testing.T) {
	packages := make(map[string][]file)
	for _, f := range house(t, "internal", "cmd") {
		if !f.test {
			packages[f.dir] = append(packages[f.dir], f)
		}
	}
	for dir, files := range packages {
		for name, against := range mutable(files) {
			if variables()[dir+"."+name] == "" {
				t.Errorf("%s: variable %s %s", dir, name, against)
			}
		}
	}
}

// mutable gives the package variables of some files of one package that can
// change, and how.
func mutable(files []file) map[string]string {
	bad := make(map[string]string)
	all := make(map[string]bool)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			embedded := strings.Contains(text(g.Doc), "//go:embed")
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				for i, n := range spec.Names {
					all[n.Name] = true
					if against := changing(spec, i); against != "" && n.Name != "_" && !embedded && !strings.Contains(text(spec.Doc), "//go:embed") {
						bad[n.Name] = against
					}
				}
			}
		}
	}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				for _, n := range assigned(fn) {
					if all[n] {
						bad[n] = "is changed in " + fn.Name.Name
					}
				}
			}
		}
	}
	return bad
}

func text(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	for _, l := range c.List {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

// changing says why the value of a variable does not look like a table.
func changing(spec *ast.ValueSpec, i int) string {
	if len(spec.Values) <= i {
		return "has no value"
	}
	switch v := spec.Values[i].(type) {
	case *ast.BasicLit:
		return "could be a constant"
	case *ast.UnaryExpr:
		return "is a pointer"
	case *ast.CallExpr:
		if name := called(v); !made()[name] {
			return "is made by " + name
		}
	}
	return ""
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	case *ast.Ident:
		return f.Name
	}
	return "a call"
}

// assigned gives the names that a function changes and does not declare itself.
func assigned(fn *ast.FuncDecl) (names []string) {
	local := make(map[string]bool)
	for _, fields := range []*ast.FieldList{fn.Recv, fn.Type.Params, fn.Type.Results} {
		declare(fields, local)
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			for _, l := range s.Lhs {
				if id, ok := l.(*ast.Ident); ok && s.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{s.Key, s.Value} {
				if id, ok := e.(*ast.Ident); ok && s.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, id := range s.Names {
				local[id.Name] = true
			}
		case *ast.FuncLit:
			declare(s.Type.Params, local)
			declare(s.Type.Results, local)
		}
		return true
	})
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				for _, l := range s.Lhs {
					names = appendBase(names, l, local)
				}
			}
		case *ast.IncDecStmt:
			names = appendBase(names, s.X, local)
		case *ast.CallExpr:
			if name := called(s); (name == "delete" || name == "clear") && len(s.Args) > 0 {
				names = appendBase(names, s.Args[0], local)
			}
		}
		return true
	})
	return names
}

func declare(fields *ast.FieldList, local map[string]bool) {
	if fields == nil {
		return
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			local[n.Name] = true
		}
	}
}

// appendBase adds the variable at the bottom of an expression that is changed:
// x of x.f, x[i] and *x.
func appendBase(names []string, e ast.Expr, local map[string]bool) []string {
	switch x := e.(type) {
	case *ast.Ident:
		if !local[x.Name] && x.Name != "_" {
			names = append(names, x.Name)
		}
	case *ast.IndexExpr:
		return appendBase(names, x.X, local)
	case *ast.SelectorExpr:
		return appendBase(names, x.X, local)
	case *ast.StarExpr:
		return appendBase(names, x.X, local)
	}
	return names
}

func TestMutableCanFail(t *testing.T) {
	const source = `package p
import ("errors"; "sync")
var errFine = errors.New("x")
var table = map[string]int{"a": 1}
var once = sync.OnceFunc(nil)
var count = 1
var empty int
var pointer = &struct{}{}
var list = []int{1}
var shadowed = []int{1}
var element = []int{1}
func f(shadowed []int) { list = nil; shadowed[0] = 2; element[0]++; var table map[string]int; table["a"] = 2 }
func g() { delete(table, "a") }
`
	dir := t.TempDir()
	f := write(t, dir+"/p.go", source)
	got := mutable([]file{f})
	for _, name := range []string{"once", "count", "empty", "pointer", "list", "element", "table"} {
		if got[name] == "" {
			t.Errorf("%s is let pass", name)
		}
		delete(got, name)
	}
	for name, against := range got {
		t.Errorf("%s %s", name, against)
	}
}

func write(t *testing.T, name, source string) file {
	t.Helper()
	if err := os.WriteFile(name, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

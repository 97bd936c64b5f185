package gate

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Verify, then sign, as a type: nothing but Decide makes a Verdict that is valid.
func TestOnlyDecideMakesAVerdict(t *testing.T) {
	typ := reflect.TypeFor[Verdict]()
	for f := range typ.Fields() {
		if f.IsExported() {
			t.Errorf("field %s of Verdict can be set by anybody", f.Name)
		}
	}
	for m := range reflect.PointerTo(typ).Methods() {
		for _, set := range []string{"Unmarshal", "Set", "Scan", "Decode", "Read"} {
			if strings.HasPrefix(m.Name, set) {
				t.Errorf("method %s could fill a Verdict", m.Name)
			}
		}
	}
	made := 0
	for name, file := range sources(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if !ok {
				return true
			}
			if f.Name.IsExported() && returnsVerdict(f) && f.Name.Name != "Decide" {
				t.Errorf("%s: %s gives out a Verdict", name, f.Name.Name)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.CompositeLit); ok && isName(lit.Type, "Verdict") && len(lit.Elts) > 0 {
					made++
					if f.Name.Name != "Decide" {
						t.Errorf("%s: %s makes a Verdict", name, f.Name.Name)
					}
				}
				return true
			})
			return false
		})
	}
	if made != 1 {
		t.Errorf("a Verdict is made in %d places, not in one", made)
	}
}

func TestVerdictCannotBeDecoded(t *testing.T) {
	for _, text := range []string{`{"passed":true}`, `{"Passed":true,"run":"42"}`, `{}`} {
		var v Verdict
		//lint:ignore SA9005 that nothing can be decoded is what is tested
		if err := json.Unmarshal([]byte(text), &v); err == nil && v.Valid() {
			t.Errorf("%s became a verdict", text)
		}
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(Verdict{}); err == nil {
		t.Error("a verdict can be stored and read back")
	}
}

// Nobody else goes around the type with unsafe or reflect.
func TestNobodyForgesAVerdict(t *testing.T) {
	for name, file := range sources(t, "../..") {
		imports := map[string]bool{}
		for _, i := range file.Imports {
			imports[strings.Trim(i.Path.Value, `"`)] = true
		}
		if imports["github.com/sallyport/sallyport/internal/gate"] && (imports["unsafe"] || imports["reflect"]) {
			t.Errorf("%s imports gate together with unsafe or reflect", name)
		}
	}
}

func returnsVerdict(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	for _, r := range f.Type.Results.List {
		typ := r.Type
		if p, ok := typ.(*ast.StarExpr); ok {
			typ = p.X
		}
		if isName(typ, "Verdict") {
			return true
		}
	}
	return false
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// sources parses the files below root that are no tests.
func sources(t *testing.T, root string) map[string]*ast.File {
	t.Helper()
	out := map[string]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "examples" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil // a file that does not parse does not build either
		}
		out[path] = f
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%d files below %s: %v", len(out), root, err)
	}
	return out
}

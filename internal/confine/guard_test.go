package confine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGuardFindsWhatIsNotTheCommands(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		".git/config": "x", ".github/workflows/ci.yml": "x", "sallyport.yaml": "x",
		".env": "A=b", ".env.example": "A=", "web/.npmrc": "x", "web/.env.local": "x", ".aws/credentials": "x",
		"node_modules/x/.npmrc": "x", "a/b/c/d/.env": "x",
	})
	g, err := newGuard(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".git", ".github", "sallyport.yaml"}; !slices.Equal(g.readOnly, want) {
		t.Errorf("read-only %q, want %q", g.readOnly, want)
	}
	if want := []string{".env", "web/.env.local", "web/.npmrc"}; !slices.Equal(g.hidden, want) {
		t.Errorf("hidden %q, want %q", g.hidden, want)
	}
	if want := []string{".aws"}; !slices.Equal(g.hideDirs, want) {
		t.Errorf("hidden folders %q, want %q", g.hideDirs, want)
	}
}

func TestSweepMovesIntrudersAway(t *testing.T) {
	root, quarantine := t.TempDir(), filepath.Join(t.TempDir(), "q")
	if err := os.Symlink("elsewhere", filepath.Join(root, ".vscode")); err != nil {
		t.Fatal(err)
	}
	g, err := newGuard(root)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := g.sweep(quarantine); err != nil || len(found) != 0 {
		t.Fatalf("a sweep with nothing done found %v, %v", found, err)
	}
	write(t, root, map[string]string{".github/workflows/evil.yml": "on: push"})
	if err := os.Remove(filepath.Join(root, ".vscode")); err != nil {
		t.Fatal(err)
	}
	write(t, root, map[string]string{".vscode/tasks.json": "{}", "src/fine.txt": "x"})
	found, err := g.sweep(quarantine)
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v", found, err)
	}
	if _, err := os.Lstat(filepath.Join(root, ".github")); !os.IsNotExist(err) {
		t.Errorf(".github is still there: %v", err)
	}
	if to, err := os.Readlink(filepath.Join(root, ".vscode")); err != nil || to != "elsewhere" {
		t.Errorf(".vscode -> %q, %v", to, err)
	}
	if _, err := os.Stat(filepath.Join(found[0].Kept, "workflows", "evil.yml")); err != nil {
		t.Errorf("what was moved away is lost: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "src/fine.txt")); err != nil {
		t.Error(err)
	}
}

package toolchain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// rust adds the toolchain that the program rustc stands for: rustup's shims lead
// to one of several below its home.
func (f Finder) rust(ctx context.Context, s *Set) error {
	missing := &Missing{"cargo", "install Rust from your distribution or with rustup, and put cargo on PATH (Debian: apt-get install cargo)"}
	program, err := f.Look("rustc")
	if err != nil {
		return missing
	}
	root, err := ask(ctx, program, "--print", "sysroot")
	if err != nil {
		return missing
	}
	if root, err = filepath.EvalSymlinks(root); err != nil || !isRustRoot(root) {
		return missing
	}
	version, err := f.version(ctx, filepath.Join(root, "bin/rustc"), "--version")
	if err != nil {
		return err
	}
	parts := []string{"bin", "lib"}
	if root == "/usr" { // Debian: what else lies there is the base system's
		parts = []string{"bin/rustc", "bin/cargo", "lib/rustlib"}
	}
	d, err := f.treeDigest(ctx, root, parts)
	if err != nil {
		return fmt.Errorf("digest of Rust in %s: %w", root, err)
	}
	inside := root
	if root != "/usr" {
		inside = s.show("rust", root)
		s.Path = append(s.Path, inside+"/bin")
	}
	s.Tools = append(s.Tools, evidence.Toolchain{Name: "rust", Version: strings.TrimPrefix(version, "rustc "), Path: inside, Digest: d})
	return nil
}

func isRustRoot(dir string) bool {
	for _, p := range []string{"bin/rustc", "bin/cargo", "lib/rustlib"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return false
		}
	}
	return true
}

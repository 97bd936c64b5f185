// Package toolchain finds the host's programs that zones may use: Go, Node with
// npm, Rust, a C compiler, and the base system.
//
// It says where they are to be seen inside a zone, what has to be on PATH and in
// the environment for them, and which versions they are, with a digest over
// everything in them that can show up in an artifact: for Go the standard
// library as well as the compiler. Programs below /usr are seen in every zone
// anyway; those elsewhere (a version manager's, /opt) are mounted below Prefix,
// so that no path of the host's users appears inside. Nothing of a project is
// read or run here: programs are asked for their version in / with an
// environment of their own.
//
// The digest of the base system is that of its package database. It does not
// see files that were changed behind the package manager's back.
package toolchain

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// Prefix is where toolchains from outside /usr are seen inside a zone.
const Prefix = "/opt/toolchains"

// Needs say which toolchains a pipeline cannot do without. A C compiler, make,
// git and Python are taken where the host has them.
type Needs struct {
	Go   bool
	Node bool
	Rust bool
}

// Mount is a host directory or file that a zone is shown, read-only.
type Mount struct {
	Host, Inside string
}

// Set is what was found.
type Set struct {
	Mounts []Mount
	Path   []string // directories for PATH, inside, in order
	Env    []string // further variables, KEY=value
	Tools  []evidence.Toolchain
}

// Missing says that the host lacks a program that is needed.
type Missing struct {
	Name string
	Mend string // what to do about it
}

// Error names the program and what to do.
func (m *Missing) Error() string {
	return fmt.Sprintf("no %s on this host: %s", m.Name, m.Mend)
}

// Finder finds toolchains. Digests are kept in Cache, keyed by what stat says
// of the files.
type Finder struct {
	Cache string                            // directory; empty: nothing is kept
	Look  func(name string) (string, error) // finds a program; nil: exec.LookPath
}

// Find finds what n needs, as the caller's PATH has it.
func (f Finder) Find(ctx context.Context, n Needs) (Set, error) {
	if f.Look == nil {
		f.Look = exec.LookPath
	}
	var s Set
	for _, part := range []struct {
		wanted bool
		find   func(context.Context, *Set) error
	}{{n.Go, f.golang}, {n.Node, f.node}, {n.Rust, f.rust}, {true, f.base}} {
		if !part.wanted {
			continue
		}
		if err := part.find(ctx, &s); err != nil {
			return Set{}, err
		}
	}
	s.Path = append(s.Path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
	return s, nil
}

// Find finds what n needs, and keeps digests in the directory cache.
func Find(ctx context.Context, n Needs, cache string) (Set, error) {
	return Finder{Cache: cache}.Find(ctx, n)
}

// golang adds the Go distribution that the program go belongs to.
func (f Finder) golang(ctx context.Context, s *Set) error {
	missing := &Missing{"go", "install Go from your distribution or as its makers describe, and put it on PATH"}
	program, err := f.Look("go")
	if err != nil {
		return missing
	}
	root := goRoot(ctx, program)
	if root == "" {
		return missing
	}
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return fmt.Errorf("version of Go in %s: %w", root, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	parts := []string{"VERSION", "go.env", "bin", "lib", "pkg/include", "pkg/tool", "src"}
	d, err := f.treeDigest(ctx, root, parts)
	if err != nil {
		return fmt.Errorf("digest of Go in %s: %w", root, err)
	}
	inside := s.show("go", root)
	s.Path = append(s.Path, inside+"/bin")
	s.Tools = append(s.Tools, evidence.Toolchain{Name: "go", Version: strings.TrimPrefix(first, "go"), Path: inside, Digest: d})
	return nil
}

// goRoot finds the distribution of a go program by looking beside it, and asks
// it only when it is not where it was built to be.
func goRoot(ctx context.Context, program string) string {
	if real, err := filepath.EvalSymlinks(program); err == nil {
		if root := filepath.Dir(filepath.Dir(real)); isGoRoot(root) {
			return root
		}
	}
	root, err := ask(ctx, program, "env", "GOROOT")
	if err != nil {
		return ""
	}
	if root, err = filepath.EvalSymlinks(root); err != nil || !isGoRoot(root) {
		return ""
	}
	return root
}

func isGoRoot(dir string) bool {
	for _, p := range []string{"VERSION", "bin/go", "pkg/tool", "src/runtime"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return false
		}
	}
	return true
}

// show has a directory be seen inside and returns where.
func (s *Set) show(name, host string) string {
	if strings.HasPrefix(host, "/usr/") {
		return host
	}
	inside := Prefix + "/" + name
	s.Mounts = append(s.Mounts, Mount{Host: host, Inside: inside})
	return inside
}

// ask runs a program of the host and returns the first line that it prints. It
// runs in / with nothing of the caller's environment but what a program
// manager's shim needs to find the program.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GOTOOLCHAIN=local", "GOENV=off", "GOWORK=off", "GOFLAGS=", "LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

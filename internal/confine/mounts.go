package confine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// ErrDir says that a directory cannot be the working directory of a confined
// command, since too much of the machine lies in it.
type ErrDir struct{ Dir, Why string }

func (e *ErrDir) Error() string {
	return fmt.Sprintf("cannot confine a command to %s: %s", e.Dir, e.Why)
}

// system are directories of the machine that a zone has its own of, or that
// nobody works in.
var system = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/lib", "/var/run"}

// CheckDir refuses directories that hold more than one project, with an *ErrDir.
func CheckDir(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return &ErrDir{dir, "it is not an absolute path"}
	}
	home, _ := os.UserHomeDir()
	switch {
	case dir == "/" || dir == "/home" || dir == "/tmp" || dir == "/var" || dir == "/opt" || dir == "/mnt" || dir == "/srv":
		return &ErrDir{dir, "it holds more than one project"}
	case dir == filepath.Clean(home) || isBelow(filepath.Clean(home), dir):
		return &ErrDir{dir, "your home directory lies in it, and with it your credentials"}
	}
	for _, s := range system {
		if dir == s || isBelow(dir, s) {
			return &ErrDir{dir, "it belongs to the system"}
		}
	}
	return nil
}

// isBelow tells whether path lies below dir.
func isBelow(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

// inside is where a zone sees a path of the checkout: at the same place, so that
// what tools print is true outside too, unless the zone has its own there.
func inside(path string) string {
	for _, own := range []string{sandbox.Box, sandbox.Home} {
		if path == own || isBelow(path, own) {
			return sandbox.Workspace + path
		}
	}
	return path
}

// host is where the checkout is that the command sees.
func (r *Request) host() string { return cmp.Or(r.Copy, r.Dir) }

// mounts are what the command sees: the toolchains, the checkout, and over it
// what it must not change or read.
func (r *Request) mounts(g *guard) ([]sandbox.Mount, error) {
	out := slices.Clone(r.Tools)
	out = append(out, sandbox.Mount{Host: r.host(), Inside: inside(r.Dir), Writable: true, Exec: true, AsOwner: true})
	for _, p := range r.Write {
		if err := CheckDir(p); err != nil {
			return nil, err
		}
		out = append(out, sandbox.Mount{Host: p, Inside: inside(p), Writable: true, Exec: true, AsOwner: true})
	}
	for _, name := range g.readOnly {
		out = append(out, sandbox.Mount{Host: filepath.Join(r.host(), name), Inside: inside(filepath.Join(r.Dir, name)), Exec: true, AsOwner: true})
	}
	hidden := slices.Clone(g.hidden)
	if _, err := os.Stat(filepath.Join(r.host(), ".git", "config")); err == nil {
		hidden = append(hidden, ".git/config")
	}
	for i, name := range hidden {
		if slices.Contains(r.Show, name) {
			continue
		}
		standIn, err := r.standIn(filepath.Join(r.host(), name), i)
		if err != nil {
			return nil, err
		}
		// A copy: the state directory's place is nothing that a zone should know.
		out = append(out, sandbox.Mount{Host: standIn, Inside: inside(filepath.Join(r.Dir, name)), Copy: true})
	}
	for _, name := range g.hideDirs {
		if !slices.Contains(r.Show, name) {
			out = append(out, sandbox.Mount{Inside: inside(filepath.Join(r.Dir, name))})
		}
	}
	return out, nil
}

// standIn makes the file that is shown in the place of one with credentials.
func (r *Request) standIn(path string, n int) (string, error) {
	const most = 1 << 20
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return r.writeStandIn(nil, n)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return r.writeStandIn(cleaned(path, content), n)
}

func (r *Request) writeStandIn(content []byte, n int) (string, error) {
	name := filepath.Join(r.Scratch, fmt.Sprintf("shown-%d", n))
	if err := os.WriteFile(name, content, 0o644); err != nil {
		return "", fmt.Errorf("write stand-in: %w", err)
	}
	return name, nil
}

package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// node adds Node and the npm that is installed with it.
func (f Finder) node(ctx context.Context, s *Set) error {
	missing := &Missing{"node", "install Node.js with npm, and put it on PATH (Debian: apt-get install nodejs npm)"}
	program, err := f.realNode(ctx)
	if err != nil {
		return missing
	}
	npm := npmDir(program, f)
	if npm == "" {
		missing.Name = "npm"
		return missing
	}
	version, err := f.version(ctx, program, "--version")
	if err != nil {
		return err
	}
	d, err := f.fileDigest(program, libnode(program)...)
	if err != nil {
		return fmt.Errorf("digest of Node: %w", err)
	}
	inside := s.showNode(program, npm)
	s.Tools = append(s.Tools, evidence.Toolchain{Name: "node", Version: strings.TrimPrefix(version, "v"), Path: inside, Digest: d})
	return f.npm(ctx, s, npm)
}

// npm records npm apart: it is often newer than the Node that it came with.
func (f Finder) npm(ctx context.Context, s *Set, dir string) error {
	d, err := f.treeDigest(ctx, dir, []string{"."})
	if err != nil {
		return fmt.Errorf("digest of npm: %w", err)
	}
	s.Tools = append(s.Tools, evidence.Toolchain{Name: "npm", Version: packageVersion(filepath.Join(dir, "package.json")), Path: dir, Digest: d})
	return nil
}

// realNode finds the program behind the links and shims of version managers.
func (f Finder) realNode(ctx context.Context) (string, error) {
	program, err := f.Look("node")
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(program); err == nil && isELF(real) {
		return real, nil
	}
	if program, err = ask(ctx, program, "-p", "process.execPath"); err != nil {
		return "", err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil || !isELF(program) {
		return "", fmt.Errorf("%s is not a program", program)
	}
	return program, nil
}

func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	_, err = io.ReadFull(f, b[:])
	return err == nil && bytes.Equal(b[:], []byte("\x7fELF"))
}

// npmDir finds npm beside Node, or where its own program leads.
func npmDir(node string, f Finder) string {
	prefix := filepath.Dir(filepath.Dir(node))
	dirs := []string{filepath.Join(prefix, "lib/node_modules/npm"), filepath.Join(prefix, "share/nodejs/npm")}
	if p, err := f.Look("npm"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(filepath.Dir(real)))
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "bin/npm-cli.js")); err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(d); err == nil {
			return real
		}
	}
	return ""
}

// showNode shows the program, npm and the headers, each by itself when they are
// outside /usr: what else lies beside them can be somebody's home.
func (s *Set) showNode(program, npm string) string {
	headers := filepath.Join(filepath.Dir(filepath.Dir(program)), "include/node")
	hasHeaders := exists(filepath.Join(headers, "node.h"))
	if strings.HasPrefix(program, "/usr/") && strings.HasPrefix(npm, "/usr/") {
		s.Path = append(s.Path, filepath.Dir(program))
		if hasHeaders {
			s.nodedir(filepath.Dir(filepath.Dir(program)))
		}
		return program
	}
	base := Prefix + "/node"
	s.Mounts = append(s.Mounts, Mount{program, base + "/bin/node"}, Mount{npm, base + "/lib/node_modules/npm"})
	for _, lib := range libnode(program) {
		s.Mounts = append(s.Mounts, Mount{lib, base + "/lib/" + filepath.Base(lib)})
	}
	if hasHeaders {
		s.Mounts = append(s.Mounts, Mount{headers, base + "/include/node"})
		s.nodedir(base)
	}
	// npm/bin holds the programs npm and npx, which look for node on PATH.
	s.Path = append(s.Path, base+"/bin", base+"/lib/node_modules/npm/bin")
	return base + "/bin/node"
}

// nodedir lets native addons be compiled without fetching Node's headers.
func (s *Set) nodedir(prefix string) {
	s.Env = append(s.Env, "npm_config_nodedir="+prefix)
}

// libnode lists the shared libraries that are Node's own.
func libnode(program string) []string {
	libs, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", "libnode.so*"))
	return libs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

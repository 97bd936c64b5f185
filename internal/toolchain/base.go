package toolchain

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

// databases are where package managers keep what is installed.
var databases = [...]string{"/var/lib/dpkg/status", "/lib/apk/db/installed", "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite"}

// base adds the system's own programs, and by name those that builds use most.
func (f Finder) base(ctx context.Context, s *Set) error {
	var db []string
	for _, p := range databases {
		if exists(p) {
			db = append(db, p)
		}
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		return &Missing{"shell", "a host needs /bin/sh"}
	}
	d, err := f.fileDigest(sh, db...)
	if err != nil {
		return fmt.Errorf("digest of the base system: %w", err)
	}
	s.Tools = append(s.Tools, evidence.Toolchain{Name: "base", Version: osName(), Path: "/usr", Digest: d})
	for _, t := range []struct{ name, program, flag string }{
		{"cc", "/usr/bin/cc", "-dumpfullversion"}, {"ld", "/usr/bin/ld", "--version"}, {"make", "/usr/bin/make", "--version"},
		{"git", "/usr/bin/git", "--version"}, {"python3", "/usr/bin/python3", "--version"},
	} {
		if err := f.program(ctx, s, t.name, t.program, t.flag); err != nil {
			return err
		}
	}
	return nil
}

// program adds one program of the base system, where it is installed.
func (f Finder) program(ctx context.Context, s *Set, name, path, flag string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !strings.HasPrefix(real, "/usr/") {
		return nil // not there, or a zone does not see it
	}
	version, err := f.version(ctx, path, flag)
	if err != nil {
		return err
	}
	d, err := f.fileDigest(real)
	if err != nil {
		return fmt.Errorf("digest of %s: %w", path, err)
	}
	s.Tools = append(s.Tools, evidence.Toolchain{Name: name, Version: version, Path: path, Digest: d})
	return nil
}

// version asks a program for its version, once for each state of its file.
func (f Finder) version(ctx context.Context, program, flag string) (string, error) {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", program, err)
	}
	key, err := fingerprint([]string{real})
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", program, err)
	}
	if v, ok := f.recall("version", key); ok {
		return v, nil
	}
	v, err := ask(ctx, program, flag)
	if err != nil {
		return "", err
	}
	f.keep("version", key, v)
	return v, nil
}

func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "unknown"
}

func packageVersion(path string) string {
	b, err := os.ReadFile(path)
	var p struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(b, &p) != nil || p.Version == "" {
		return "unknown"
	}
	return p.Version
}

// recall reads what keep kept.
func (f Finder) recall(kind string, key digest.Digest) (string, bool) {
	if f.Cache == "" {
		return "", false
	}
	b, err := os.ReadFile(filepath.Join(f.Cache, kind+"-"+key.Hex()))
	return string(b), err == nil && len(b) > 0
}

// keep is best effort: what is not kept is found out again.
func (f Finder) keep(kind string, key digest.Digest, v string) {
	if f.Cache == "" || os.MkdirAll(f.Cache, 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(f.Cache, "new-")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(v)
	if tmp.Close() == nil && err == nil {
		os.Rename(tmp.Name(), filepath.Join(f.Cache, kind+"-"+key.Hex()))
	}
}

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Options are what the files do not say.
type Options struct {
	// Owner is owner/name of the repository, where known: steps of the same
	// owner are its own.
	Owner string
	// Trusted are owners, or owner/name, whose steps count as the repository's.
	Trusted []string
	// DefaultPermissions of a GITHUB_TOKEN where a workflow says nothing: read,
	// write, or empty: unknown.
	DefaultPermissions string
}

// Reading is all CI definitions of one repository.
type Reading struct {
	Definitions []ci.Definition
	// Errors are files that could not be read as what their name says.
	Errors []finding.Gap
	Files  int
}

// maxFiles bounds the CI files of one repository.
const maxFiles = 5000

// Read reads every CI definition of a repository.
func Read(repo fs.FS, o Options) (Reading, error) {
	var r Reading
	files, err := discover(repo)
	if err != nil {
		return r, err
	}
	for _, file := range files {
		for _, f := range frontends() {
			if f.owns(file) {
				r.add(f, repo, file, o)
				break
			}
		}
	}
	return r, nil
}

// ReadFile reads one definition, which need not be part of a repository.
func ReadFile(repo fs.FS, file string, system ci.System, o Options) (Reading, error) {
	var r Reading
	for _, f := range frontends() {
		if f.system == system || system == "" && f.owns(file) {
			r.add(f, repo, file, o)
			return r, nil
		}
	}
	return r, fmt.Errorf("%s: no CI system has a definition of that name; say which with --system", file)
}

func (r *Reading) add(f frontend, repo fs.FS, file string, o Options) {
	r.Files++
	d, err := f.read(repo, file, o)
	if err != nil {
		r.Errors = append(r.Errors, finding.Gap{File: file, What: file, Why: err.Error()})
		return
	}
	if len(d.Jobs) > 0 || len(d.Gaps) > 0 {
		r.Definitions = append(r.Definitions, d)
	}
}

// Systems are the CI systems that can be named.
func Systems() []string {
	var all []string
	for _, f := range frontends() {
		if !slices.Contains(all, string(f.system)) {
			all = append(all, string(f.system))
		}
	}
	return all
}

// errEnough ends a walk.
var errEnough = errors.New("enough files")

// discover lists the CI files of a repository, by their names. It looks where
// CI systems look, and nowhere else.
func discover(repo fs.FS) ([]string, error) {
	var files []string
	seen := 0
	for _, dir := range places() {
		err := fs.WalkDir(repo, dir.path, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				if p == dir.path && errors.Is(err, fs.ErrNotExist) {
					return fs.SkipDir
				}
				return err
			}
			if seen++; seen > 20*maxFiles || len(files) > maxFiles {
				return errEnough
			}
			if e.IsDir() {
				if p != dir.path && strings.Count(p, "/")-strings.Count(dir.path, "/") > dir.depth || p != "." && dir.path == "." {
					return fs.SkipDir
				}
				return nil
			}
			if e.Type().IsRegular() && owned(p) {
				files = append(files, p)
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil, fmt.Errorf("%s: more than %d CI files", dir.path, maxFiles)
		}
		if err != nil {
			return nil, fmt.Errorf("look for CI files: %w", err)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// place is a folder where a CI system looks, and how deep.
type place struct {
	path  string
	depth int
}

func places() []place {
	return []place{
		{".", 0}, {".github/workflows", 0}, {".circleci", 0}, {".buildkite", 2}, {".tekton", 2}, {".woodpecker", 1}, {".azure-pipelines", 2}, {".azuredevops", 2},
		{".gitlab", 3}, {"ci", 0}, {"jenkins", 0}, {".jenkins", 0},
	}
}

func owned(p string) bool {
	return slices.ContainsFunc(frontends(), func(f frontend) bool { return f.owns(p) })
}

// Repositories lists the folders of a tree that hold CI files: the tree itself
// where it does, else those up to two levels below it.
func Repositories(root fs.FS) ([]string, error) {
	if own, err := discover(root); err != nil || len(own) > 0 {
		return []string{"."}, err
	}
	var found []string
	for _, pattern := range []string{"*", "*/*"} {
		dirs, err := fs.Glob(root, pattern)
		if err != nil {
			return nil, err
		}
		for _, d := range dirs {
			if within(found, d) || strings.HasPrefix(path.Base(d), ".") {
				continue
			}
			sub, err := fs.Sub(root, d)
			if err != nil {
				return nil, err
			}
			if info, err := fs.Stat(root, d); err != nil || !info.IsDir() {
				continue
			}
			if files, err := discover(sub); err == nil && len(files) > 0 {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

func within(found []string, d string) bool {
	return slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(d, f+"/") })
}

// frontend reads the definitions of one CI system.
type frontend struct {
	system ci.System
	owns   func(path string) bool
	read   func(repo fs.FS, file string, o Options) (ci.Definition, error)
}

package source

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

const (
	maxIgnoreFile = 1 << 20 // bytes of one .gitignore
	maxPatterns   = 50_000
)

// ignored returns what of a working directory is no source: what git ignores and
// does not track, and installed npm packages. Those are made anew in the fetch
// zone, and files that git ignores are often the ones with secrets.
func ignored(dir string) (func(rel string, isDir bool) bool, error) {
	modules := func(rel string, isDir bool) bool { return isDir && path.Base(rel) == "node_modules" }
	tracked, ok := trackedBy(dir)
	if !ok {
		return modules, nil
	}
	patterns, err := readPatterns(dir)
	if err != nil {
		return nil, err
	}
	m := gitignore.NewMatcher(patterns)
	return func(rel string, isDir bool) bool {
		return !tracked[rel] && (modules(rel, isDir) || m.Match(strings.Split(rel, "/"), isDir))
	}, nil
}

// trackedBy reads git's index: the paths it holds and the directories above them.
func trackedBy(dir string) (map[string]bool, bool) {
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return nil, false
	}
	idx, err := repo.Storer.Index()
	if err != nil {
		return nil, false
	}
	paths := make(map[string]bool, len(idx.Entries))
	for _, e := range idx.Entries {
		for p := path.Clean(e.Name); p != "." && p != "/" && !paths[p]; p = path.Dir(p) {
			paths[p] = true
		}
	}
	return paths, true
}

// readPatterns collects the .gitignore files of a directory, outer ones first.
// The user's own excludes are not read: a source must mean the same everywhere.
func readPatterns(dir string) ([]gitignore.Pattern, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var patterns []gitignore.Pattern
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == ".git" || d.Name() == "node_modules" {
			return fs.SkipDir
		}
		parts := domain(p)
		if p != "." && gitignore.NewMatcher(patterns).Match(parts, true) {
			return fs.SkipDir
		}
		patterns, err = readFile(root, path.Join(p, ".gitignore"), parts, patterns)
		return err
	})
	return patterns, err
}

func domain(p string) []string {
	if p == "." {
		return nil
	}
	return strings.Split(p, "/")
}

func readFile(root *os.Root, name string, domain []string, patterns []gitignore.Pattern) ([]gitignore.Pattern, error) {
	st, err := root.Lstat(name)
	if err != nil || !st.Mode().IsRegular() {
		return patterns, nil
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxIgnoreFile))
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if patterns = append(patterns, gitignore.ParsePattern(line, domain)); len(patterns) > maxPatterns {
			return nil, errors.New("more patterns in .gitignore files than are read")
		}
	}
	return patterns, lines.Err()
}

// Package source finds what is to be built: a directory, a git repository at a
// ref, or a published package.
//
// It ends with a directory of plain files and the facts about where they come
// from. Git is read by a library and never executed: no hook, filter, submodule
// or credential helper of a repository runs, and nothing is checked out but the
// objects of one commit. A package comes through the gateway, which verifies it.
package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// Packages fetches, verifies and unpacks published packages; the gateway does.
type Packages interface {
	Source(ctx context.Context, purl, dst string) (evidence.Material, error)
}

// Request names a source.
type Request struct {
	Source   string   // directory, git+URL[@REF], or package URL; empty: "."
	Ref      string   // branch, tag or commit of a git repository; empty: as Source says
	Scratch  string   // an empty directory for what has to be fetched or unpacked
	Packages Packages // nil: package URLs are refused
	Limits   Limits
}

// Limits bound what is taken out of a repository. Zero means the default.
type Limits struct {
	Files    int   // default 200,000
	Bytes    int64 // of all files; default 4 GiB
	Download int64 // of a fetched repository; default 4 GiB
}

func (l Limits) orDefault() Limits {
	if l.Files == 0 {
		l.Files = 200_000
	}
	if l.Bytes == 0 {
		l.Bytes = 4 << 30
	}
	if l.Download == 0 {
		l.Download = 4 << 30
	}
	return l
}

// Found is a source as a directory. The tree's digest is for the store to fill in.
type Found struct {
	Path    string
	Source  evidence.Source
	Package bool     // a published package, not a checkout
	Notes   []string // what was left out, in words
	// Skip tells which names of the directory are no part of the source.
	Skip func(rel string, dir bool) bool
}

// Error says why there is no source. Code is stable: source.missing,
// source.not-directory, source.kind, source.ref, source.not-git, source.fetch,
// source.refused.
type Error struct {
	Code   string
	Source string
	Why    string
	Err    error // may be nil
}

// Error names the source and the reason.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("source %s: %s: %v", e.Source, e.Why, e.Err)
	}
	return fmt.Sprintf("source %s: %s", e.Source, e.Why)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Find resolves a request. The error is an *Error, or of the gateway's when a
// package cannot be had.
func Find(ctx context.Context, r Request) (*Found, error) {
	if r.Source == "" {
		r.Source = "."
	}
	r.Limits = r.Limits.orDefault()
	switch {
	case strings.HasPrefix(r.Source, "pkg:"):
		return fromPackage(ctx, r)
	case strings.HasPrefix(r.Source, "git+"):
		return fromURL(ctx, r)
	case strings.Contains(r.Source, "://"):
		return nil, &Error{Code: "source.kind", Source: r.Source, Why: "a repository is written git+https://..., git+ssh://... or git+file://..."}
	}
	return fromDirectory(ctx, r)
}

func fromPackage(ctx context.Context, r Request) (*Found, error) {
	if r.Packages == nil {
		return nil, &Error{Code: "source.kind", Source: r.Source, Why: "package URLs need a gateway"}
	}
	if r.Ref != "" {
		return nil, &Error{Code: "source.ref", Source: r.Source, Why: "a package URL holds its version: a ref is for git repositories"}
	}
	dst := filepath.Join(r.Scratch, "package")
	if err := os.Mkdir(dst, 0o755); err != nil {
		return nil, fmt.Errorf("source %s: %w", r.Source, err)
	}
	m, err := r.Packages.Source(ctx, r.Source, dst)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", r.Source, err)
	}
	return &Found{Path: dst, Package: true, Source: evidence.Source{URI: m.PURL, Sum: m.Sum}}, nil
}

func fromDirectory(ctx context.Context, r Request) (*Found, error) {
	st, err := os.Stat(r.Source)
	if err != nil {
		return nil, &Error{Code: "source.missing", Source: r.Source, Why: "there is no such directory", Err: err}
	}
	if !st.IsDir() {
		return nil, &Error{Code: "source.not-directory", Source: r.Source, Why: "is not a directory"}
	}
	abs, err := filepath.Abs(r.Source)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", r.Source, err)
	}
	if r.Ref != "" {
		return fromRepository(ctx, r, abs, "git+file://"+abs)
	}
	skip, err := ignored(abs)
	if err != nil {
		return nil, &Error{Code: "source.refused", Source: r.Source, Why: "cannot tell what git ignores", Err: err}
	}
	return &Found{Path: abs, Skip: skip, Source: evidence.Source{URI: "file://" + abs}}, nil
}

package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/sallyport/sallyport/internal/evidence"
)

// fromURL takes a repository given as git+URL@REF.
func fromURL(ctx context.Context, r Request) (*Found, error) {
	raw, ref := splitRef(strings.TrimPrefix(r.Source, "git+"))
	if r.Ref == "" {
		r.Ref = ref
	} else if ref != "" && ref != r.Ref {
		return nil, &Error{Code: "source.ref", Source: r.Source, Why: fmt.Sprintf("names the ref %q, and the ref asked for is %q", ref, r.Ref)}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &Error{Code: "source.kind", Source: r.Source, Why: "is not a URL", Err: err}
	}
	switch u.Scheme {
	case "file":
		return fromRepository(ctx, r, u.Path, "git+file://"+u.Path)
	case "https", "ssh":
		return fromRemote(ctx, r, u)
	}
	return nil, &Error{Code: "source.kind", Source: r.Source, Why: "a repository is reached by https, ssh or file, where it cannot be changed on the way"}
}

// splitRef splits URL@REF at the last @ behind the host.
func splitRef(s string) (string, string) {
	slash := strings.LastIndex(s, "://") + 3
	if i := strings.IndexByte(s[slash:], '/'); i >= 0 {
		slash += i
	}
	if i := strings.LastIndexByte(s, '@'); i > slash {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// fromRepository takes one commit of a repository on this machine.
func fromRepository(ctx context.Context, r Request, dir, uri string) (*Found, error) {
	// The library's own file transport would run git.
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return nil, &Error{Code: "source.not-git", Source: r.Source, Why: "is not a git repository", Err: err}
	}
	return export(ctx, r, repo, uri)
}

// fromRemote fetches a repository, of it only the ref where that can be told.
func fromRemote(ctx context.Context, r Request, u *url.URL) (*Found, error) {
	public := *u
	public.User = nil
	if u.Scheme == "ssh" && u.User != nil {
		public.User = url.User(u.User.Username()) // part of the address there
	}
	fs := bound(osfs.New(filepath.Join(r.Scratch, "repository")), r.Limits.Download)
	repo, err := git.Init(filesystem.NewStorage(fs, cache.NewObjectLRUDefault()), nil)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", public.String(), err)
	}
	remote, err := repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{u.String()}})
	if err != nil {
		return nil, &Error{Code: "source.fetch", Source: public.String(), Why: "cannot be kept", Err: err}
	}
	if err := fetch(ctx, remote, &r); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, &Error{Code: "source.fetch", Source: public.String(), Why: "cannot be fetched", Err: err}
	}
	return export(ctx, r, repo, "git+"+public.String())
}

// fetch gets the objects that r.Ref needs, and sets r.Ref to a name that the
// fetched repository knows.
func fetch(ctx context.Context, remote *git.Remote, r *Request) error {
	refs, err := remote.ListContext(ctx, &git.ListOptions{})
	if err != nil {
		return err
	}
	o := &git.FetchOptions{Tags: git.NoTags, Force: true, Depth: 1}
	name, found := choose(refs, r.Ref)
	switch {
	case found:
		o.RefSpecs = []config.RefSpec{config.RefSpec("+" + name + ":refs/source/it")}
		r.Ref = "refs/source/it"
	case plumbing.IsHash(r.Ref):
		o.Depth = 0
		o.RefSpecs = []config.RefSpec{"+refs/heads/*:refs/source/heads/*", "+refs/tags/*:refs/source/tags/*"}
	default:
		return &Error{Code: "source.ref", Source: r.Source, Why: fmt.Sprintf("has no branch or tag %q, and that is no full commit id", r.Ref)}
	}
	return remote.FetchContext(ctx, o)
}

// choose finds the full name of a ref; a tag before a branch, as git does.
func choose(refs []*plumbing.Reference, ref string) (plumbing.ReferenceName, bool) {
	if ref == "" {
		ref = "HEAD"
	}
	for _, want := range []string{ref, "refs/tags/" + ref, "refs/heads/" + ref} {
		for _, have := range refs {
			if have.Name().String() == want {
				return have.Name(), true
			}
		}
	}
	return "", false
}

// export writes the files of one commit.
func export(ctx context.Context, r Request, repo *git.Repository, uri string) (*Found, error) {
	rev := r.Ref
	if rev == "" {
		rev = "HEAD"
	}
	if !plainRef(rev) {
		return nil, &Error{Code: "source.ref", Source: r.Source, Why: fmt.Sprintf("%q is not the name of a branch, a tag or a commit", rev)}
	}
	hash, err := repo.ResolveRevision(plumbing.Revision(rev))
	if err != nil {
		return nil, &Error{Code: "source.ref", Source: r.Source, Why: fmt.Sprintf("has no branch, tag or commit %q", rev), Err: err}
	}
	commit, err := repo.CommitObject(*hash)
	if err != nil {
		return nil, &Error{Code: "source.ref", Source: r.Source, Why: "does not hold that commit", Err: err}
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, &Error{Code: "source.refused", Source: r.Source, Why: "does not hold the files of that commit", Err: err}
	}
	w, err := newWriter(filepath.Join(r.Scratch, "source"), r.Limits)
	if err != nil {
		return nil, err
	}
	defer w.root.Close()
	if err := w.tree(ctx, tree); err != nil {
		return nil, &Error{Code: "source.refused", Source: r.Source, Why: "holds what is not taken", Err: err}
	}
	return &Found{Path: w.dir, Notes: w.notes, Source: evidence.Source{URI: uri + "@" + hash.String(), Ref: shownRef(r), Commit: hash.String()}}, nil
}

// shownRef is the ref as the user named it.
func shownRef(r Request) string {
	if r.Ref == "refs/source/it" {
		_, ref := splitRef(strings.TrimPrefix(r.Source, "git+"))
		return ref
	}
	return r.Ref
}

// plainRef refuses git's revision expressions: they search through history with
// patterns, and a name must mean one commit.
func plainRef(s string) bool {
	return s != "" && len(s) < 256 && !strings.HasPrefix(s, "-") && !strings.ContainsAny(s, "^~:{}?*[\\ \t\n\x7f") && !strings.Contains(s, "..") && !strings.Contains(s, "@{")
}

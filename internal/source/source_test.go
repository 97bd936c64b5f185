package source

import (
	"context"
	"errors"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/sallyport/sallyport/internal/evidence"
)

var author = object.Signature{Name: "A", Email: "a@example.org", When: time.Unix(1700000000, 0)}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, body := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// repository has two commits on master; v1 is an annotated tag of the first.
func repository(t *testing.T) (dir string, first, second plumbing.Hash) {
	t.Helper()
	dir = t.TempDir()
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	tree, _ := repo.Worktree()
	commit := func(files map[string]string) plumbing.Hash {
		put(t, dir, files)
		if err := tree.AddGlob("."); err != nil {
			t.Fatal(err)
		}
		h, err := tree.Commit("m", &git.CommitOptions{Author: &author})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first = commit(map[string]string{"go.mod": "module m\n", "d/run.sh": "#!/bin/sh\n"})
	if _, err := repo.CreateTag("v1", first, &git.CreateTagOptions{Tagger: &author, Message: "m"}); err != nil {
		t.Fatal(err)
	}
	second = commit(map[string]string{"new": "n"})
	return dir, first, second
}

func listed(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	filepath.Walk(dir, func(p string, st os.FileInfo, err error) error {
		if err == nil && !st.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			names = append(names, rel)
		}
		return err
	})
	return strings.Join(names, " ")
}

func find(t *testing.T, r Request) (*Found, error) {
	t.Helper()
	r.Scratch = t.TempDir()
	return Find(t.Context(), r)
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestRepositoryAtRef(t *testing.T) {
	dir, first, second := repository(t)
	for _, c := range []struct {
		r      Request
		commit plumbing.Hash
		files  string
	}{
		{Request{Source: dir, Ref: "v1"}, first, "d/run.sh go.mod"},
		{Request{Source: dir, Ref: "master"}, second, "d/run.sh go.mod new"},
		{Request{Source: dir, Ref: first.String()}, first, "d/run.sh go.mod"},
		{Request{Source: "git+file://" + dir + "@v1"}, first, "d/run.sh go.mod"},
		{Request{Source: "git+file://" + dir, Ref: "HEAD"}, second, "d/run.sh go.mod new"},
		{Request{Source: "git+file://" + dir}, second, "d/run.sh go.mod new"},
	} {
		f, err := find(t, c.r)
		if err != nil {
			t.Errorf("%+v: %v", c.r, err)
			continue
		}
		if f.Source.Commit != c.commit.String() || listed(t, f.Path) != c.files {
			t.Errorf("%+v: commit %s with %s", c.r, f.Source.Commit, listed(t, f.Path))
		}
		if f.Source.URI != "git+file://"+dir+"@"+c.commit.String() {
			t.Errorf("uri %s", f.Source.URI)
		}
	}
}

func TestRefused(t *testing.T) {
	dir, _, _ := repository(t)
	file := filepath.Join(dir, "go.mod")
	for _, c := range []struct {
		r    Request
		code string
	}{
		{Request{Source: filepath.Join(dir, "nowhere")}, "source.missing"},
		{Request{Source: file}, "source.not-directory"},
		{Request{Source: dir, Ref: "v2"}, "source.ref"},
		{Request{Source: dir, Ref: "HEAD~1"}, "source.ref"},
		{Request{Source: dir, Ref: "HEAD^{/m}"}, "source.ref"},
		{Request{Source: dir, Ref: "--upload-pack=x"}, "source.ref"},
		{Request{Source: t.TempDir(), Ref: "v1"}, "source.not-git"},
		{Request{Source: "git+http://host.example/r@v1"}, "source.kind"},
		{Request{Source: "git+ext::sh -c x"}, "source.kind"},
		{Request{Source: "https://host.example/r"}, "source.kind"},
		{Request{Source: "git+file://" + dir + "@v1", Ref: "master"}, "source.ref"},
		{Request{Source: "pkg:golang/m@v1"}, "source.kind"},
	} {
		_, err := find(t, c.r)
		wantCode(t, err, c.code)
	}
}

// hostile commits a tree that git would not make.
func hostile(t *testing.T, entries ...object.TreeEntry) string {
	t.Helper()
	dir := t.TempDir()
	repo, err := git.PlainInit(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	store := func(o object.Object) plumbing.Hash {
		e := repo.Storer.NewEncodedObject()
		if err := o.Encode(e); err != nil {
			t.Fatal(err)
		}
		h, err := repo.Storer.SetEncodedObject(e)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	blob := repo.Storer.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	w, _ := blob.Writer()
	w.Write([]byte("../../outside"))
	w.Close()
	h, _ := repo.Storer.SetEncodedObject(blob)
	sub := store(&object.Tree{Entries: []object.TreeEntry{{Name: "f", Mode: filemode.Regular, Hash: h}}})
	for i := range entries {
		entries[i].Hash = h
		if entries[i].Mode == filemode.Dir {
			entries[i].Hash = sub
		}
	}
	tree := rawTree(entries)
	o := repo.Storer.NewEncodedObject()
	o.SetType(plumbing.TreeObject)
	tw, _ := o.Writer()
	tw.Write(tree)
	tw.Close()
	th, _ := repo.Storer.SetEncodedObject(o)
	c := store(&object.Commit{Author: author, Committer: author, TreeHash: th})
	repo.Storer.SetReference(plumbing.NewHashReference("refs/heads/master", c))
	return dir
}

// rawTree writes a tree object without the checks of the library.
func rawTree(entries []object.TreeEntry) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, strings.TrimPrefix(e.Mode.String(), "0")...)
		b = append(append(append(b, ' '), e.Name...), 0)
		b = append(b, e.Hash[:]...)
	}
	return b
}

func TestHostileTrees(t *testing.T) {
	for name, entries := range map[string][]object.TreeEntry{
		"parent":            {{Name: "..", Mode: filemode.Dir}},
		"git directory":     {{Name: ".git", Mode: filemode.Dir}},
		"GIT directory":     {{Name: ".GIT", Mode: filemode.Dir}},
		"slash":             {{Name: "../x", Mode: filemode.Regular}},
		"same name twice":   {{Name: "a", Mode: filemode.Regular}, {Name: "a", Mode: filemode.Regular}},
		"write by a link":   {{Name: "l", Mode: filemode.Symlink}, {Name: "l", Mode: filemode.Dir}},
		"file at the link":  {{Name: "l", Mode: filemode.Symlink}, {Name: "l", Mode: filemode.Regular}},
		"a device of a mod": {{Name: "x", Mode: 0o020644}},
	} {
		dir := hostile(t, entries...)
		r := Request{Source: dir, Ref: "master", Scratch: t.TempDir()}
		if f, err := Find(t.Context(), r); err == nil {
			t.Errorf("%s: taken: %s", name, listed(t, f.Path))
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(r.Scratch), "outside")); err == nil {
			t.Errorf("%s: wrote outside", name)
		}
	}
}

func TestSubmodulesAreTold(t *testing.T) {
	dir := hostile(t, object.TreeEntry{Name: "sub", Mode: filemode.Submodule})
	f, err := find(t, Request{Source: dir, Ref: "master"})
	if err != nil || len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "submodule") {
		t.Errorf("notes %v, %v", f, err)
	}
}

func TestLimits(t *testing.T) {
	dir, _, _ := repository(t)
	for _, l := range []Limits{{Files: 2}, {Bytes: 5}} {
		_, err := find(t, Request{Source: dir, Ref: "master", Limits: l})
		wantCode(t, err, "source.refused")
	}
}

func TestRemote(t *testing.T) {
	backend, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skip("not run: needs git, for the server's side")
	}
	dir, first, second := repository(t)
	srv := httptest.NewTLSServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	t.Cleanup(srv.Close)
	client.InstallProtocol("https", githttp.NewClient(srv.Client()))
	t.Cleanup(func() { client.InstallProtocol("https", githttp.DefaultClient) })
	base := "git+" + strings.Replace(srv.URL, "https://", "https://user:secret@", 1) + "/.git"
	for ref, want := range map[string]plumbing.Hash{"v1": first, "master": second, "": second, first.String(): first} {
		f, err := find(t, Request{Source: base, Ref: ref})
		if err != nil {
			t.Errorf("%q: %v", ref, err)
			continue
		}
		if f.Source.Commit != want.String() {
			t.Errorf("%q: commit %s, want %s", ref, f.Source.Commit, want)
		}
		if strings.Contains(f.Source.URI, "secret") {
			t.Errorf("the URI holds a credential: %s", f.Source.URI)
		}
	}
	_, err = find(t, Request{Source: base, Ref: "nope"})
	wantCode(t, err, "source.ref")
	_, err = find(t, Request{Source: base, Ref: "v1", Limits: Limits{Download: 100}})
	wantCode(t, err, "source.fetch")
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error holds a credential: %v", err)
	}
}

func TestDirectorySkipsWhatGitIgnores(t *testing.T) {
	dir, _, _ := repository(t)
	put(t, dir, map[string]string{".gitignore": "*.log\n.env\nd/\n", "a.log": "x", ".env": "TOKEN=x", "d/other": "x", "web/node_modules/p/i.js": "x"})
	f, err := find(t, Request{Source: dir})
	if err != nil {
		t.Fatal(err)
	}
	for rel, want := range map[string]bool{"a.log": true, ".env": true, "new": false, "d/other": true, "d/run.sh": false} {
		if got := f.Skip(rel, false); got != want {
			t.Errorf("skip %s: %v", rel, got)
		}
	}
	if f.Skip("d", true) || !f.Skip("web/node_modules", true) {
		t.Error("directories: tracked ones are source, installed packages are not")
	}
	if !strings.HasPrefix(f.Source.URI, "file:///") {
		t.Errorf("uri %s", f.Source.URI)
	}
}

func TestIgnoreFileThatNeverEnds(t *testing.T) {
	dir, _, _ := repository(t)
	if err := os.Symlink("/dev/zero", filepath.Join(dir, ".gitignore")); err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, Request{Source: dir}); err != nil {
		t.Error(err)
	}
}

type packages struct{ files map[string]string }

func (p packages) Source(_ context.Context, purl, dst string) (evidence.Material, error) {
	for n, b := range p.files {
		if err := os.WriteFile(filepath.Join(dst, n), []byte(b), 0o644); err != nil {
			return evidence.Material{}, err
		}
	}
	return evidence.Material{PURL: purl, Sum: "h1:x"}, nil
}

func TestPackage(t *testing.T) {
	f, err := find(t, Request{Source: "pkg:golang/m.example/m@v1.0.0", Packages: packages{map[string]string{"go.mod": "module m"}}})
	if err != nil || !f.Package || f.Source.URI != "pkg:golang/m.example/m@v1.0.0" || f.Source.Sum != "h1:x" || listed(t, f.Path) != "go.mod" {
		t.Errorf("%+v, %v", f, err)
	}
}

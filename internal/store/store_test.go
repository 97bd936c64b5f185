package store

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"), Owner{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen is a new process's view of the same store.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	n, err := Open(s.dir, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func write(t testing.TB, dir string, files map[string]string) {
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

func upper(t testing.TB, s *Store, files map[string]string) string {
	t.Helper()
	dir, err := s.Scratch("upper")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	return dir
}

func overwrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func names(entries []Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, string(e.Kind)+":"+e.Path)
	}
	return strings.Join(out, " ")
}

func TestBlob(t *testing.T) {
	s := open(t)
	d, n, err := s.PutBlob(strings.NewReader("bytes"))
	if err != nil || n != 5 || d != digest.OfString("bytes") {
		t.Fatalf("PutBlob = %v, %d, %v", d, n, err)
	}
	f, err := s.OpenBlob(d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, _ := io.ReadAll(f); string(b) != "bytes" {
		t.Errorf("read %q", b)
	}
	if _, err := s.OpenBlob(digest.OfString("other")); !errors.Is(err, ErrNotFound) {
		t.Errorf("open of what is not there: %v", err)
	}
	overwrite(t, s.blobPath(d), []byte("byteZ"))
	if _, err := reopen(t, s).OpenBlob(d); !errors.Is(err, ErrTampered) {
		t.Errorf("open of changed bytes: %v", err)
	}
}

func TestRecord(t *testing.T) {
	s := open(t)
	key := digest.OfString("key")
	if _, err := s.Record("memo", key); !errors.Is(err, ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
	if err := s.PutRecord("memo", key, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Record("memo", key); err != nil || string(b) != "{}" {
		t.Errorf("Record = %q, %v", b, err)
	}
	p := s.recordPath("memo", key)
	b, _ := os.ReadFile(p)
	b[len(b)-1] = ']'
	overwrite(t, p, b)
	if _, err := s.Record("memo", key); !errors.Is(err, ErrTampered) {
		t.Errorf("changed record: %v", err)
	}
	s.DropRecord("memo", key)
	if _, err := s.Record("memo", key); !errors.Is(err, ErrNotFound) {
		t.Errorf("dropped record: %v", err)
	}
}

func TestIngest(t *testing.T) {
	s, src := open(t), t.TempDir()
	write(t, src, map[string]string{"go.mod": "module m\n", "a/b/c.txt": "c", ".git/config": "x", "node_modules/p/i.js": "x", "a/.git/hooks/x": "x"})
	unix.Chmod(filepath.Join(src, "go.mod"), 0o4755)
	os.Symlink("b/c.txt", filepath.Join(src, "a/in"))
	os.Symlink("/etc/passwd", filepath.Join(src, "out"))
	o := IngestOptions{Prefix: "src", Skip: func(rel string, dir bool) bool { return dir && rel == "node_modules" }}
	tree, err := s.Ingest(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Manifest(tree.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(m), "d:src d:src/a d:src/a/b f:src/a/b/c.txt l:src/a/in x:src/go.mod"; got != want {
		t.Errorf("manifest %s, want %s", got, want)
	}
	if len(tree.Skipped) != 1 || !strings.Contains(tree.Skipped[0], "out") {
		t.Errorf("skipped %q", tree.Skipped)
	}
	st, err := os.Stat(filepath.Join(s.TreePath(tree.Digest), "src/go.mod"))
	if err != nil || st.Mode() != 0o755 || st.ModTime().Unix() != stampTime {
		t.Errorf("file in the tree: %v, %v, %v", st.Mode(), st.ModTime(), err)
	}
	again, err := reopen(t, s).Ingest(t.Context(), src, o)
	if err != nil || again.Digest != tree.Digest {
		t.Errorf("second time: %v, %v", again, err)
	}
}

func TestIngestKnowsAnUnchangedDirectory(t *testing.T) {
	s, src := open(t), t.TempDir()
	write(t, src, map[string]string{"a": "1", "b": "2"})
	old := time.Now().Add(-time.Hour)
	for _, n := range []string{"a", "b"} {
		os.Chtimes(filepath.Join(src, n), old, old)
	}
	ingest := func() Tree {
		t.Helper()
		tree, err := s.Ingest(t.Context(), src, IngestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	first := ingest()
	v := &visited{Taken: time.Now().UnixNano() + int64(time.Second)}
	fd, _ := openDir(src)
	defer unix.Close(fd)
	if err := s.survey(t.Context(), fd, IngestOptions{}, v); err != nil {
		t.Fatal(err)
	}
	v.Tree = first
	key := digest.OfString(src + "\x00")
	s.remember(key, v)
	if got, ok := s.known(t.Context(), key, v); !ok || got.Digest != first.Digest {
		t.Fatalf("unchanged directory is not known: %v, %v", got, ok)
	}
	write(t, src, map[string]string{"a": "9"}) // same size
	if second := ingest(); second.Digest == first.Digest {
		t.Error("a changed file was not seen")
	}
}

func TestIngestRefuses(t *testing.T) {
	for code, make := range map[string]func(dir string) error{
		"tree.fifo":     func(d string) error { return unix.Mkfifo(d+"/x", 0o644) },
		"tree.name":     func(d string) error { return os.WriteFile(d+"/a\nb", nil, 0o644) },
		"tree.too-big":  func(d string) error { return sparse(d+"/x", 4<<30) },
		"tree.too-deep": func(d string) error { return os.MkdirAll(d+strings.Repeat("/d", 120), 0o755) },
	} {
		s, src := open(t), t.TempDir()
		if err := make(src); err != nil {
			t.Fatal(err)
		}
		_, err := s.Ingest(t.Context(), src, IngestOptions{})
		if r, ok := errors.AsType[*Refused](err); !ok || r.Code != code {
			t.Errorf("%s: got %v", code, err)
		}
		leftNothing(t, s)
	}
}

func sparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// leftNothing fails when a tree or unfinished work is there.
func leftNothing(t *testing.T, s *Store) {
	t.Helper()
	for _, dir := range []string{filepath.Join(s.dir, "trees"), s.work} {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range left {
			if l.Name() != "lock" && !strings.HasSuffix(l.Name(), "-upper") {
				t.Errorf("left behind: %s/%s", dir, l.Name())
			}
		}
	}
}

func TestAdopt(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"src/dist/app": "binary", "src/other": "no", "go/mod/m@v1/x.go": "package x", "tmp": "no"})
	unix.Chmod(filepath.Join(up, "src/dist/app"), 0o6755)
	os.Link(filepath.Join(up, "src/dist/app"), filepath.Join(up, "src/dist/same"))
	os.Symlink("../dist/app", filepath.Join(up, "src/dist/l"))
	os.Symlink("/box/go/mod", filepath.Join(up, "src/dist/m"))
	os.Symlink("/usr/bin/python3", filepath.Join(up, "src/dist/py"))
	os.Chmod(filepath.Join(up, "go/mod/m@v1"), 0o555)
	tree, err := s.Adopt(t.Context(), AdoptSpec{Stage: "build", Upper: up, Box: "/box", Links: []string{"/usr"},
		Paths: []string{"src/dist", "go/mod", "src/dist/app", "src/missing", "nowhere/at/all"}})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := s.Manifest(tree.Digest)
	want := "d:go d:go/mod d:go/mod/m@v1 f:go/mod/m@v1/x.go d:src d:src/dist x:src/dist/app l:src/dist/l l:src/dist/m l:src/dist/py x:src/dist/same"
	if got := names(m); got != want {
		t.Errorf("manifest\n got %s\nwant %s", got, want)
	}
	st, _ := os.Stat(filepath.Join(s.TreePath(tree.Digest), "src/dist/app"))
	if st.Mode() != 0o755 {
		t.Errorf("mode %v: set-user-ID is not dropped", st.Mode())
	}
	if err := reopen(t, s).Check(t.Context(), tree.Digest); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestAdoptRefuses(t *testing.T) {
	link := func(target string) func(string) error {
		return func(d string) error { return os.Symlink(target, d+"/out/x") }
	}
	for name, c := range map[string]struct {
		code string
		make func(dir string) error
	}{
		"device":          {"tree.device", func(d string) error { return unix.Mknod(d+"/out/x", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }},
		"block device":    {"tree.device", func(d string) error { return unix.Mknod(d+"/out/x", unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))) }},
		"socket":          {"tree.socket", func(d string) error { return unix.Mknod(d+"/out/x", unix.S_IFSOCK|0o666, 0) }},
		"pipe":            {"tree.fifo", func(d string) error { return unix.Mkfifo(d+"/out/x", 0o666) }},
		"absolute link":   {"tree.link-out", link("/etc/passwd")},
		"sly absolute":    {"tree.link-out", link("/usr/../etc/passwd")},
		"sibling prefix":  {"tree.link-out", link("/boxer/x")},
		"relative link":   {"tree.link-out", link("../../etc/passwd")},
		"late dots":       {"tree.link-out", link("a/../b")},
		"newline target":  {"tree.link-out", link("a\nb")},
		"newline name":    {"tree.name", func(d string) error { return os.WriteFile(d+"/out/a\nb", nil, 0o644) }},
		"escape name":     {"tree.name", func(d string) error { return os.WriteFile(d+"/out/\x1b[2J", nil, 0o644) }},
		"not UTF-8":       {"tree.name", func(d string) error { return os.WriteFile(d+"/out/\xff", nil, 0o644) }},
		"4 GB":            {"tree.too-big", func(d string) error { return sparse(d+"/out/x", 4<<30) }},
		"many":            {"tree.too-many", func(d string) error { return many(d+"/out", 40) }},
		"much":            {"tree.too-big", func(d string) error { return errors.Join(sparse(d+"/out/1", 600<<10), sparse(d+"/out/2", 600<<10)) }},
		"deep":            {"tree.too-deep", func(d string) error { return os.MkdirAll(d+"/out"+strings.Repeat("/d", 20), 0o755) }},
		"link on the way": {"tree.link-out", func(d string) error { return errors.Join(os.RemoveAll(d+"/out"), os.Symlink("/etc", d+"/out")) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			up := upper(t, s, map[string]string{"out/ok": ""})
			if err := c.make(up); errors.Is(err, unix.EPERM) {
				t.Skip("not run: needs the right to make devices")
			} else if err != nil {
				t.Fatal(err)
			}
			_, err := s.Adopt(t.Context(), AdoptSpec{Stage: "build", Upper: up, Box: "/box", Links: []string{"/usr"},
				Paths: []string{"out/sub", "out"}[b2i(name != "link on the way"):], Limits: Limits{Entries: 30, Depth: 10, Bytes: 1 << 20, File: 1 << 30}})
			r, ok := errors.AsType[*Refused](err)
			if !ok || r.Code != c.code || r.Stage != "build" {
				t.Fatalf("got %v, want %s of stage build", err, c.code)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("the error holds what a terminal obeys: %q", err)
			}
			leftNothing(t, s)
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func many(dir string, n int) error {
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestAdoptKeepsMarksOfTheOverlay(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"src/web/node_modules/p/i.js": "x"})
	if err := unix.Mknod(filepath.Join(up, "src/web/node_modules/gone"), unix.S_IFCHR, 0); err != nil {
		t.Skip("not run: needs whiteouts: ", err)
	}
	if err := unix.Setxattr(filepath.Join(up, "src/web"), "user.overlay.opaque", []byte("y"), 0); err != nil {
		t.Skip("not run: needs user extended attributes: ", err)
	}
	tree, err := s.Adopt(t.Context(), AdoptSpec{Stage: "fetch", Upper: up, Paths: []string{"src/web/node_modules"}})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := s.Manifest(tree.Digest)
	// src/web hid everything below it, so what is taken of it must too.
	want := "d:src d:src/web o:src/web/node_modules w:src/web/node_modules/gone d:src/web/node_modules/p f:src/web/node_modules/p/i.js"
	if got := names(m); got != want {
		t.Errorf("manifest\n got %s\nwant %s", got, want)
	}
	unix.Setxattr(filepath.Join(s.TreePath(tree.Digest), "src/web/node_modules/p"), "user.overlay.opaque", []byte("y"), 0)
	if err := reopen(t, s).Check(t.Context(), tree.Digest); !errors.Is(err, ErrTampered) {
		t.Errorf("a mark set later: %v", err)
	}
}

func TestAdoptKnowsWhatWentWithItsParent(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"src/other": "x"})
	if err := unix.Mknod(filepath.Join(up, "src/web"), unix.S_IFCHR, 0); err != nil {
		t.Skip("not run: needs whiteouts: ", err)
	}
	tree, err := s.Adopt(t.Context(), AdoptSpec{Stage: "generate", Upper: up, Paths: []string{"src/web/app/node_modules", "src/other/x"}})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := s.Manifest(tree.Digest)
	if got, want := names(m), "d:src d:src/web d:src/web/app w:src/web/app/node_modules"; got != want {
		t.Errorf("manifest %s, want %s", got, want)
	}
}

func TestTamperedTree(t *testing.T) {
	for name, harm := range map[string]func(root string) error{
		"content": func(r string) error { return os.WriteFile(r+"/out/a", []byte("y"), 0o644) },
		"content and times": func(r string) error {
			at := time.Unix(stampTime, 0)
			return errors.Join(os.WriteFile(r+"/out/a", []byte("y"), 0o644), os.Chtimes(r+"/out/a", at, at))
		},
		"more":     func(r string) error { return os.WriteFile(r+"/out/b", nil, 0o644) },
		"less":     func(r string) error { return os.Remove(r + "/out/a") },
		"replaced": func(r string) error { return errors.Join(os.Remove(r+"/out/a"), os.Symlink("/etc/passwd", r+"/out/a")) },
		"manifest": func(r string) error {
			return os.WriteFile(filepath.Dir(r)+"/manifest", []byte(manifestHead), 0o644)
		},
	} {
		s := open(t)
		tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: upper(t, s, map[string]string{"out/a": "x"}), Paths: []string{"out"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := harm(s.TreePath(tree.Digest)); err != nil {
			t.Fatal(err)
		}
		if err := reopen(t, s).Check(t.Context(), tree.Digest); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
		n := reopen(t, s)
		again, err := n.Adopt(t.Context(), AdoptSpec{Upper: upper(t, n, map[string]string{"out/a": "x"}), Paths: []string{"out"}})
		if err != nil || again.Digest != tree.Digest {
			t.Errorf("%s: making it again: %v, %v", name, again, err)
		}
		if err := reopen(t, s).Check(t.Context(), tree.Digest); err != nil {
			t.Errorf("%s: mended tree: %v", name, err)
		}
	}
}

func TestTreeOfAnotherBootIsHashed(t *testing.T) {
	s := open(t)
	tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: upper(t, s, map[string]string{"out/a": "x"}), Paths: []string{"out"}})
	if err != nil {
		t.Fatal(err)
	}
	n := reopen(t, s)
	n.boot = "another"
	if err := n.Check(t.Context(), tree.Digest); err != nil {
		t.Errorf("whole tree: %v", err)
	}
	// Lost power can leave a file of the right size without its bytes; the
	// index cannot tell, since it was written with the same loss to come.
	os.WriteFile(filepath.Join(s.TreePath(tree.Digest), "out/a"), []byte{0}, 0o644)
	n = reopen(t, s)
	entries, _ := n.list(t.Context(), tree.Digest)
	n.writeIndex(n.treeDir(tree.Digest), entries)
	n.boot = "a third"
	if err := n.Check(t.Context(), tree.Digest); !errors.Is(err, ErrTampered) {
		t.Errorf("tree with lost bytes: %v", err)
	}
}

func TestRecoverRemovesWhatTheDeadLeft(t *testing.T) {
	s := open(t)
	dead := filepath.Join(s.dir, "work", "dead")
	deep := dead
	for range 200 {
		deep += "/" + strings.Repeat("d", 100) // longer than a path can be
	}
	fd, _ := openDir(filepath.Join(s.dir, "work"))
	unix.Mkdirat(fd, "dead", 0o755)
	at := fd
	for range 201 {
		next, err := makeDir(at, strings.Repeat("d", 100))
		if at == fd {
			next, err = makeDir(at, "dead")
		}
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	unix.Fchmod(at, 0)
	unix.Close(at)
	mine, err := s.Scratch("mine")
	if err != nil {
		t.Fatal(err)
	}
	reopen(t, s)
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a dead process left is there: %v", err)
	}
	if _, err := os.Lstat(mine); err != nil {
		t.Errorf("what a live process uses is gone: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, "work", "*deep*"))
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestMergeAndPack(t *testing.T) {
	s := open(t)
	adopt := func(files map[string]string, marks ...string) digest.Digest {
		t.Helper()
		up := upper(t, s, files)
		for _, m := range marks {
			if err := unix.Mknod(filepath.Join(up, m), unix.S_IFCHR, 0); err != nil {
				t.Skip("not run: needs whiteouts: ", err)
			}
		}
		tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: up, Paths: []string{"src"}})
		if err != nil {
			t.Fatal(err)
		}
		return tree.Digest
	}
	low := adopt(map[string]string{"src/d/a": "low a", "src/d/b": "low b", "src/d/sub/x": "x", "src/e": "e"})
	high := adopt(map[string]string{"src/d/b": "high b", "src/d/c": "c"}, "src/d/a", "src/d/sub")
	layers := []digest.Digest{high, low}
	found, err := s.Merge(t.Context(), layers, "src/d")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Path)
	}
	if !slices.Equal(got, []string{"src/d", "src/d/b", "src/d/c"}) {
		t.Errorf("merged: %v", got)
	}
	pack := func() []byte {
		var b bytes.Buffer
		if err := s.PackTar(t.Context(), &b, layers, "src/d"); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := pack()
	if !bytes.Equal(first, pack()) {
		t.Error("two archives of one tree differ")
	}
	r := tar.NewReader(bytes.NewReader(first))
	h, err := r.Next()
	if err != nil || h.Name != "b" || h.Uid != 0 || h.ModTime.Unix() != 0 {
		t.Errorf("first entry %+v, %v", h, err)
	}
	if b, _ := io.ReadAll(r); string(b) != "high b" {
		t.Errorf("content %q", b)
	}
}

func TestOpenBeneathFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"d/f": "x", "outside": "y"})
	os.Symlink("d", filepath.Join(dir, "l"))
	root, err := openDir(filepath.Join(dir, "d"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	top, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(top)
	for _, c := range []struct {
		root int
		rel  string
	}{{root, "../outside"}, {root, "/etc/passwd"}, {top, "l/f"}, {top, "l"}, {top, "d/../outside/../../etc"}} {
		if fd, err := openBeneath(c.root, c.rel, unix.O_RDONLY, 0); err == nil {
			unix.Close(fd)
			t.Errorf("%s was opened", c.rel)
		}
	}
}

func TestPathOf(t *testing.T) {
	var b bytes.Buffer
	entries := []Entry{{Path: "a", Kind: Dir}, {Path: "a/b c", Kind: Executable, Size: 3, Digest: digest.OfString("b")}, {Path: "a/l", Kind: Link, Target: "b"}, {Path: "o", Kind: Opaque}, {Path: "w", Kind: Whiteout}}
	encode(&b, entries)
	i := 0
	for line := range bytes.Lines(b.Bytes()[len(manifestHead):]) {
		if got := string(pathOf(line)); got != entries[i].Path {
			t.Errorf("%q: %q", line, got)
		}
		i++
	}
}

func TestExport(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"src/d/a": "A", "src/d/run": "#!"})
	os.Chmod(filepath.Join(up, "src/d/run"), 0o755)
	os.Symlink("a", filepath.Join(up, "src/d/l"))
	tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: up, Paths: []string{"src"}})
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "out")
	if err := s.Export(t.Context(), []digest.Digest{tree.Digest}, "src", dst); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dst, "d/l")); err != nil || string(b) != "A" {
		t.Errorf("%q, %v", b, err)
	}
	if st, err := os.Stat(filepath.Join(dst, "d/run")); err != nil || st.Mode() != 0o755 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestWorkspace(t *testing.T) {
	s := open(t)
	w, err := s.Workspace("Build/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{w.Upper, w.Work} {
		if st, err := os.Stat(d); err != nil || !st.IsDir() || filepath.Dir(d) != w.Dir {
			t.Errorf("%s: %v", d, err)
		}
	}
	if s.Room() <= 0 || s.Dir() == "" {
		t.Error("no room")
	}
}

func TestAdoptReadsWhatItsOwnerMayNot(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"out/d/a": "A", "out/f": "F"})
	os.Chmod(filepath.Join(up, "out/f"), 0)
	os.Chmod(filepath.Join(up, "out/d"), 0)
	os.Chmod(filepath.Join(up, "out"), 0o100)
	tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: up, Paths: []string{"out"}})
	if err != nil || tree.Entries != 4 {
		t.Errorf("%+v, %v", tree, err)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	s := open(t)
	if _, err := s.Open(Located{Entry: Entry{Path: "x", Kind: Link}}); err == nil {
		t.Error("a link was opened")
	}
	if err := s.Check(t.Context(), digest.OfString("x")); !errors.Is(err, ErrNotFound) {
		t.Errorf("check of nothing: %v", err)
	}
	if err := RemoveTree(filepath.Join(t.TempDir(), "a/b/c")); err != nil {
		t.Errorf("remove of nothing: %v", err)
	}
}

func TestTamperedFileIsSeenWhileItIsRead(t *testing.T) {
	s := open(t)
	tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: upper(t, s, map[string]string{"out": "x"}), Paths: []string{"out"}})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Merge(t.Context(), []digest.Digest{tree.Digest}, "out")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(s.TreePath(tree.Digest), "out"), []byte("y"), 0o644)
	f, err := s.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.ReadAll(f); !errors.Is(err, ErrTampered) {
		t.Errorf("read: %v", err)
	}
}

func TestPackRefusesLinksThatLeadOut(t *testing.T) {
	s := open(t)
	up := upper(t, s, map[string]string{"src/d/a": "", "src/secret": ""})
	os.Symlink("../secret", filepath.Join(up, "src/d/l"))
	tree, err := s.Adopt(t.Context(), AdoptSpec{Upper: up, Paths: []string{"src"}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.PackTar(t.Context(), io.Discard, []digest.Digest{tree.Digest}, "src/d")
	if r, ok := errors.AsType[*Refused](err); !ok || r.Code != "tree.link-out" {
		t.Errorf("got %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("not run: needs the right to mount: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s, err := Open(filepath.Join(dir, "store"), Owner{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	src := t.TempDir()
	write(t, src, map[string]string{"big": strings.Repeat("x", 2<<20)})
	if _, err := s.Ingest(t.Context(), src, IngestOptions{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("ingest: %v", err)
	}
	if _, _, err := s.PutBlob(io.LimitReader(zeros{}, 2<<20)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("blob: %v", err)
	}
	leftNothing(t, s)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestCancelled(t *testing.T) {
	s, src := open(t), t.TempDir()
	write(t, src, map[string]string{"a": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ingest(ctx, src, IngestOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	leftNothing(t, s)
}

func TestPrune(t *testing.T) {
	s := open(t)
	tree, _ := s.Adopt(t.Context(), AdoptSpec{Upper: upper(t, s, map[string]string{"out/a": "x"}), Paths: []string{"out"}})
	kept, _, _ := s.PutBlob(strings.NewReader("kept"))
	gone, _, _ := s.PutBlob(strings.NewReader("gone"))
	p, err := s.Prune(time.Now().Add(time.Hour), func(d digest.Digest) bool { return d == kept })
	if err != nil || p.Trees != 1 || p.Blobs != 1 {
		t.Errorf("Prune = %+v, %v", p, err)
	}
	if s.HasTree(tree.Digest) || s.HasBlob(gone) || !s.HasBlob(kept) {
		t.Error("the wrong things are gone")
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root")
	}
	s, err := Open(filepath.Join(t.TempDir(), "store"), Owner{UID: 4242, GID: 4243})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	src := t.TempDir()
	write(t, src, map[string]string{"d/a": "1"})
	tree, err := s.Ingest(t.Context(), src, IngestOptions{Prefix: "src"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "src", "src/d", "src/d/a"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(s.TreePath(tree.Digest), p), &st); err != nil || st.Uid != 4242 || st.Gid != 4243 {
			t.Errorf("%q is owned by %d:%d, %v", p, st.Uid, st.Gid, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	var b bytes.Buffer
	encode(&b, []Entry{{Path: "a", Kind: Dir}, {Path: "a/b", Kind: Executable, Size: 3, Digest: digest.OfString("b")},
		{Path: "a/l", Kind: Link, Target: "b"}, {Path: "o", Kind: Opaque}, {Path: "w", Kind: Whiteout}})
	f.Add(b.Bytes())
	for _, bad := range []string{"", manifestHead + "d a\nd a\n", manifestHead + "d ../a\n", manifestHead + "f 01 x a\n", manifestHead + "l a\n", manifestHead + "d /a\n", manifestHead + "z a\n", manifestHead + "d a"} {
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, err := parse(in)
		if err != nil {
			return
		}
		var out bytes.Buffer
		encode(&out, entries)
		if !bytes.Equal(in, out.Bytes()) {
			t.Errorf("accepted what is not canonical: %q", in)
		}
	})
}

func TestManifestRefuses(t *testing.T) {
	sum := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, bad := range []string{"", "x", "d a", "d a\nd a\n", "d b\nd a\n", "d ../a\n", "d a//b\n", "d a/./b\n", "d /a\n", "d \n", "q a\n",
		"f -1 " + sum + " a\n", "f 01 " + sum + " a\n", "f 1 " + strings.ToUpper(sum) + " a\n", "f 1 ab a\n", "f " + sum + "\n", "l a\n", "l a\x00\n", "l a\x00b\x00c\n", "d a\x1bb\n", "d \xff\n"} {
		in := manifestHead + bad
		if bad == "" || bad == "x" {
			in = bad
		}
		if _, err := parse([]byte(in)); err == nil {
			t.Errorf("accepted %q", in)
		}
	}
}

// BenchmarkHandOff adopts a tree of 30,000 files.
func BenchmarkHandOff(b *testing.B) {
	s := open(b)
	body := bytes.Repeat([]byte("x"), 8000)
	for b.Loop() {
		b.StopTimer()
		up, err := s.Scratch("upper")
		if err != nil {
			b.Fatal(err)
		}
		for d := range 1500 {
			dir := fmt.Sprintf("%s/src/node_modules/p%d", up, d)
			os.MkdirAll(dir, 0o755)
			for f := range 20 {
				os.WriteFile(fmt.Sprintf("%s/f%d.js", dir, f), body[:200+(d*31+f*997)%7000], 0o644)
			}
		}
		b.StartTimer()
		tree, err := s.Adopt(b.Context(), AdoptSpec{Stage: "fetch", Upper: up, Paths: []string{"src/node_modules"}})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		n := reopen(b, s)
		at := time.Now()
		if err := n.Check(b.Context(), tree.Digest); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(at).Microseconds())/1000, "check-ms")
		n.Close()
		s.DropTree(tree.Digest)
		b.StartTimer()
	}
}

// What a zone wrote to is known by what overlayfs copied up.
func TestRewritten(t *testing.T) {
	s := open(t)
	src := t.TempDir()
	write(t, src, map[string]string{"kept": "1", "changed": "2", "touched": "3", "removed": "4", "dir/changed": "5", "dir/link": "6", "becomes-dir": "7"})
	tree, err := s.Ingest(t.Context(), src, IngestOptions{Prefix: "src"})
	if err != nil {
		t.Fatal(err)
	}
	upper := t.TempDir()
	write(t, filepath.Join(upper, "src"), map[string]string{"changed": "x", "touched": "3", "dir/changed": "55", "new": "8", "new-dir/changed": "9", "becomes-dir/x": "10"})
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(upper, "src/dir/link")), unix.Mknod(filepath.Join(upper, "src/removed"), unix.S_IFCHR, 0)); err != nil {
		t.Skip("not run: needs root to mark a name as removed: ", err)
	}
	got, err := s.Rewritten(t.Context(), upper, tree.Digest, "src", nil)
	want := []Rewrite{{"src/becomes-dir", Changed}, {"src/changed", Changed}, {"src/dir/changed", Changed}, {"src/dir/link", Changed}, {"src/removed", Removed}, {"src/touched", Touched}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	anew := t.TempDir()
	write(t, filepath.Join(anew, "src/dir"), map[string]string{"new": "1"})
	if err := unix.Setxattr(filepath.Join(anew, "src/dir"), "user.overlay.opaque", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	want = []Rewrite{{"src/dir/changed", Removed}, {"src/dir/link", Removed}}
	if got, err := s.Rewritten(t.Context(), anew, tree.Digest, "src", nil); err != nil || !slices.Equal(got, want) {
		t.Errorf("a directory that was made anew: %v, %v", got, err)
	}
	if got, err := s.Rewritten(t.Context(), anew, tree.Digest, "src", []string{"src/dir/link"}); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("with a declared path: %v, %v", got, err)
	}
	if got, err := s.Rewritten(t.Context(), t.TempDir(), tree.Digest, "src", nil); err != nil || len(got) != 0 {
		t.Errorf("a zone that wrote nothing: %v, %v", got, err)
	}
}

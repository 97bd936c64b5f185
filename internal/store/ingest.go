package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/digest"
)

// IngestOptions choose what of a directory is taken.
type IngestOptions struct {
	Prefix string // where in the tree the directory is put, such as "src"; empty: at the root
	// Skip leaves out a name and all below it; rel is relative to the
	// directory. It is called by several goroutines. Names called .git are
	// never taken.
	Skip   func(rel string, dir bool) bool
	Limits Limits
}

// seen is one file of the last Ingest of a directory, to know it again.
type seen struct {
	Path   string `json:"p"`
	Kind   Kind   `json:"k"`
	Size   int64  `json:"s,omitempty"`
	Mtime  int64  `json:"m,omitempty"`
	Ctime  int64  `json:"c,omitempty"`
	Inode  uint64 `json:"i,omitempty"`
	Target string `json:"t,omitempty"`
}

// visited is what one Ingest found, and what it made of it.
type visited struct {
	Taken   int64 // when, in nanoseconds
	Files   []seen
	Skipped []string
	Tree    Tree
}

// racy is how old a change must be for equal times to mean equal content; file
// systems and the kernel's coarse clock tell changes apart no finer.
const racy = 2 * time.Second / 100

// Ingest copies a directory into a tree: regular files, directories, and links
// that stay inside it. Links that lead out are left out and told. Devices,
// sockets, pipes and names with control characters are refused. A directory in
// which nothing changed since the last time is not read again.
func (s *Store) Ingest(ctx context.Context, dir string, o IngestOptions) (Tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Tree{}, fmt.Errorf("take in %s: %w", dir, err)
	}
	src, err := openDir(abs)
	if err != nil {
		return Tree{}, fmt.Errorf("take in %s: %w", dir, err)
	}
	defer unix.Close(src)
	now := &visited{Taken: time.Now().UnixNano()}
	if err := s.survey(ctx, src, o, now); err != nil {
		return Tree{}, fmt.Errorf("take in %s: %w", dir, err)
	}
	key := digest.OfString(abs + "\x00" + o.Prefix)
	if t, ok := s.known(ctx, key, now); ok {
		return t, nil
	}
	t, err := s.copyIn(ctx, src, o, now)
	if err != nil {
		return Tree{}, diskFull(fmt.Errorf("take in %s: %w", dir, err))
	}
	now.Tree = t
	s.remember(key, now)
	return t, nil
}

// survey lists the directory without reading a file.
func (s *Store) survey(ctx context.Context, src int, o IngestOptions, now *visited) error {
	own, _ := filepath.EvalSymlinks(s.dir)
	self := statPath(own)
	v := &surveyor{skip: o.Skip, self: self, seal: &sealer{}}
	w := &walker{root: src, limits: o.Limits.orDefault(), visit: v.visit, enter: v.enter}
	w.skip = v.skipped
	entries, err := walk(ctx, w)
	if err != nil {
		return err
	}
	now.Files = make([]seen, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Kind == skippedLink {
			now.Skipped = append(now.Skipped, e.Path+": "+e.Target)
			continue
		}
		now.Files = append(now.Files, seen{Path: e.Path, Kind: e.Kind, Size: e.Size, Target: e.Target, Inode: e.ino, Ctime: e.ctime, Mtime: e.mtime})
	}
	return nil
}

// skippedLink marks a link that leads out, with the reason as its target.
const skippedLink Kind = 's'

type surveyor struct {
	skip func(string, bool) bool
	self [2]uint64 // device and inode of the store, which can lie in the directory
	seal *sealer
}

func statPath(p string) [2]uint64 {
	var st unix.Stat_t
	if unix.Stat(p, &st) != nil {
		return [2]uint64{}
	}
	return [2]uint64{st.Dev, st.Ino}
}

func (v *surveyor) skipped(dir int, rel string, e dirent) bool {
	isDir := e.typ == unix.DT_DIR
	if e.name == ".git" || v.skip != nil && v.skip(rel, isDir) {
		return true
	}
	if !isDir {
		return false
	}
	var st unix.Stat_t
	err := unix.Fstatat(dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && [2]uint64{st.Dev, st.Ino} == v.self
}

func (v *surveyor) enter(k *worker, _ int, rel string) error {
	k.entries = append(k.entries, Entry{Path: rel, Kind: Dir})
	return nil
}

func (v *surveyor) visit(k *worker, dir int, rel string, e dirent) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %+q: %w", rel, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind := File
		if st.Mode&0o100 != 0 {
			kind = Executable
		}
		k.entries = append(k.entries, Entry{Path: rel, Kind: kind, Size: st.Size, ino: st.Ino, ctime: st.Ctim.Nano(), mtime: st.Mtim.Nano()})
		return k.w.charge(rel, st.Size)
	case unix.S_IFLNK:
		n, err := unix.Readlinkat(dir, e.name, k.buf[:4096])
		if err != nil {
			return fmt.Errorf("read link %+q: %w", rel, err)
		}
		found := Entry{Path: rel, Kind: Link, Target: string(k.buf[:n])}
		if why := v.seal.linkOut(rel, found.Target); why != "" {
			found.Kind, found.Target = skippedLink, why
		}
		k.entries = append(k.entries, found)
		return nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return v.seal.refuse("tree.device", rel, "is a device")
	}
	return v.seal.visit(k, dir, rel, dirent{name: e.name, typ: uint8(st.Mode & unix.S_IFMT >> 12)})
}

// known returns the tree of the last Ingest when nothing changed since.
func (s *Store) known(ctx context.Context, key digest.Digest, now *visited) (Tree, bool) {
	b, err := s.Record("ingest", key)
	if err != nil {
		return Tree{}, false
	}
	var last visited
	if json.Unmarshal(b, &last) != nil || len(last.Files) != len(now.Files) {
		return Tree{}, false
	}
	for i := range now.Files {
		if now.Files[i] != last.Files[i] || now.Files[i].Ctime > last.Taken-int64(racy) {
			return Tree{}, false
		}
	}
	if s.Check(ctx, last.Tree.Digest) != nil {
		return Tree{}, false
	}
	return last.Tree, true
}

// remember is best effort: without the record the next Ingest reads again.
func (s *Store) remember(key digest.Digest, v *visited) {
	if b, err := json.Marshal(v); err == nil && len(b) < maxRecord {
		s.PutRecord("ingest", key, b)
	}
}

func (s *Store) copyIn(ctx context.Context, src int, o IngestOptions, v *visited) (Tree, error) {
	staging, err := s.stage("ingest")
	if err != nil {
		return Tree{}, err
	}
	t, err := s.copyTo(ctx, src, staging, o, v)
	if err != nil {
		return Tree{}, errors.Join(err, RemoveTree(staging))
	}
	t.Skipped = v.Skipped
	return t, nil
}

func (s *Store) copyTo(ctx context.Context, src int, staging string, o IngestOptions, v *visited) (Tree, error) {
	c := &copier{src: src, seal: &sealer{owner: s.owner}, prefix: o.Prefix, limit: o.Limits.orDefault()}
	root := filepath.Join(staging, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return Tree{}, err
	}
	dst, err := openDir(root)
	if err != nil {
		return Tree{}, err
	}
	defer unix.Close(dst)
	c.dst = dst
	if err := c.makeDirs(v.Files); err != nil {
		return Tree{}, err
	}
	if err := c.copyFiles(ctx, v.Files); err != nil {
		return Tree{}, err
	}
	if err := c.settleDirs(); err != nil {
		return Tree{}, err
	}
	sortEntries(c.entries)
	return s.commit(ctx, staging, c.entries)
}

// copier copies surveyed names from one directory to a fresh one.
type copier struct {
	src, dst int
	prefix   string
	limit    Limits
	seal     *sealer
	entries  []Entry
	total    atomic.Int64
}

func (c *copier) at(rel string) string { return path.Join(c.prefix, rel) }

func (c *copier) makeDirs(files []seen) error {
	for i, r := range strings.Split(c.prefix, "/") {
		if r != "" {
			c.entries = append(c.entries, Entry{Path: strings.Join(strings.Split(c.prefix, "/")[:i+1], "/"), Kind: Dir})
		}
	}
	for i := range files {
		if files[i].Kind == Dir {
			c.entries = append(c.entries, Entry{Path: c.at(files[i].Path), Kind: Dir})
		}
	}
	sortEntries(c.entries)
	for i := range c.entries {
		if err := unix.Mkdirat(c.dst, c.entries[i].Path, 0o755); err != nil {
			return fmt.Errorf("make directory %+q: %w", c.entries[i].Path, err)
		}
	}
	return nil
}

// settleDirs sets the times of directories, deepest first, after the files.
func (c *copier) settleDirs() error {
	if err := c.seal.settleRoot(c.dst); err != nil {
		return err
	}
	sort.SliceStable(c.entries, func(i, j int) bool { return c.entries[i].Path > c.entries[j].Path })
	for i := range c.entries {
		e := &c.entries[i]
		if e.Kind != Dir {
			continue
		}
		if err := c.settleDir(e); err != nil {
			return fmt.Errorf("settle %+q: %w", e.Path, err)
		}
	}
	return nil
}

func (c *copier) settleDir(e *Entry) error {
	fd, err := openBeneath(c.dst, e.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := c.seal.normalise(fd, &st, 0o755); err != nil {
		return err
	}
	e.ino, e.ctime = st.Ino, st.Ctim.Nano()
	return nil
}

func (c *copier) copyFiles(ctx context.Context, files []seen) error {
	base := len(c.entries)
	for i := range files {
		if files[i].Kind != Dir {
			c.entries = append(c.entries, Entry{Path: files[i].Path, Kind: files[i].Kind, Target: files[i].Target})
		}
	}
	todo := c.entries[base:]
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range 4 {
		g.Go(func() error {
			buf := make([]byte, 128<<10)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return nil
				}
				if err := context.Cause(ctx); err != nil {
					return err
				}
				if err := c.copyOne(&todo[i], buf); err != nil {
					return fmt.Errorf("copy %+q: %w", todo[i].Path, err)
				}
			}
		})
	}
	return g.Wait()
}

func (c *copier) copyOne(e *Entry, buf []byte) error {
	rel := e.Path
	e.Path = c.at(rel)
	if e.Kind == Link {
		return c.copyLink(e)
	}
	in, err := openBeneath(c.src, rel, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := openBeneath(c.dst, e.Path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	if err := c.pump(in, out, e, buf); err != nil {
		return err
	}
	mode := uint32(0o644)
	if e.Kind == Executable {
		mode = 0o755
	}
	var st unix.Stat_t
	if err := c.seal.normalise(out, &st, mode); err != nil {
		return err
	}
	e.ino, e.ctime = st.Ino, st.Ctim.Nano()
	return nil
}

func (c *copier) copyLink(e *Entry) error {
	if err := unix.Symlinkat(e.Target, c.dst, e.Path); err != nil {
		return err
	}
	if c.seal.owner != (Owner{}) {
		if err := unix.Fchownat(c.dst, e.Path, c.seal.owner.UID, c.seal.owner.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	ts := [2]unix.Timespec{{Sec: stampTime}, {Sec: stampTime}}
	if err := unix.UtimesNanoAt(c.dst, e.Path, ts[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(c.dst, e.Path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e.ino, e.ctime = st.Ino, st.Ctim.Nano()
	return nil
}

// pump copies and hashes; a file that grows meanwhile is bounded all the same.
func (c *copier) pump(in, out int, e *Entry, buf []byte) error {
	h := sha256.New()
	for {
		n, err := readFull(in, buf)
		if err != nil {
			return err
		}
		if e.Size += int64(n); e.Size > c.limit.File || c.total.Add(int64(n)) > c.limit.Bytes {
			return &Refused{Code: "tree.too-big", Path: e.Path, Why: "grew past the limit while it was read"}
		}
		h.Write(buf[:n])
		if err := writeAll(out, buf[:n]); err != nil {
			return err
		}
		if n < len(buf) {
			sum(h, e)
			return nil
		}
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// beneath is how every path below a root is resolved: no link is followed and
// nothing outside is reached, whoever made the names.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// openBeneath opens rel under the directory root.
func openBeneath(root int, rel string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: beneath, Mode: uint64(mode)}
	for {
		fd, err := unix.Openat2(root, rel, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// walker visits a tree by descriptors, several directories at a time. What it
// visits may be hostile; nothing may change it meanwhile.
type walker struct {
	root   int
	limits Limits
	visit  func(w *worker, dir int, rel string, e dirent) error
	enter  func(w *worker, dir int, rel string) error // may be nil
	skip   func(dir int, rel string, e dirent) bool   // may be nil: leave a name out
	mend   bool                                       // give the owner the right to read directories that lack it

	mu      sync.Mutex
	wake    *sync.Cond
	jobs    []job
	pending int
	err     error

	count atomic.Int64
	bytes atomic.Int64
}

// job is one directory to list, or some names of one that was listed.
type job struct {
	rel   string
	depth int
	names []dirent
}

// dirent is one name in a directory and its type as the directory tells it.
type dirent struct {
	name string
	typ  uint8
}

// worker is one goroutine of a walk with what it found and its buffers.
type worker struct {
	w       *walker
	entries []Entry
	buf     []byte
}

// perJob is how many names of a large directory one job takes.
const perJob = 256

// walk visits everything below root and returns the entries in the order of
// their paths.
func walk(ctx context.Context, w *walker) ([]Entry, error) {
	w.wake = sync.NewCond(&w.mu)
	w.jobs, w.pending = []job{{rel: "."}}, 1
	stop := context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	defer stop()
	workers := make([]worker, max(2, min(8, runtime.GOMAXPROCS(0))))
	var group sync.WaitGroup
	for i := range workers {
		workers[i] = worker{w: w, buf: make([]byte, 128<<10)}
		group.Go(workers[i].run)
	}
	group.Wait()
	if w.err != nil {
		return nil, w.err
	}
	all := make([]Entry, 0, w.count.Load())
	for i := range workers {
		all = append(all, workers[i].entries...)
		workers[i].entries = nil
	}
	sortEntries(all)
	return all, nil
}

func (w *walker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.wake.Broadcast()
}

func (w *walker) push(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = append(w.jobs, j)
	w.pending++
	w.wake.Signal()
}

// next waits for a job; ok is false when there will be none.
func (w *walker) next() (j job, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.jobs) == 0 && w.pending > 0 && w.err == nil {
		w.wake.Wait()
	}
	if w.err != nil || len(w.jobs) == 0 {
		return job{}, false
	}
	j = w.jobs[len(w.jobs)-1]
	w.jobs = w.jobs[:len(w.jobs)-1]
	return j, true
}

func (w *walker) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending--; w.pending == 0 {
		w.wake.Broadcast()
	}
}

func (k *worker) run() {
	for {
		j, ok := k.w.next()
		if !ok {
			return
		}
		if err := k.do(j); err != nil {
			k.w.fail(err)
		}
		k.w.done()
	}
}

func (k *worker) do(j job) error {
	fd, err := openBeneath(k.w.root, j.rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.EACCES) && k.w.mend {
		fd, err = k.w.openMended(j.rel)
	}
	if err != nil {
		return fmt.Errorf("open directory %+q: %w", j.rel, err)
	}
	defer unix.Close(fd)
	if j.names != nil {
		return k.visitAll(fd, j)
	}
	if k.w.enter != nil && j.rel != "." {
		if err := k.w.enter(k, fd, j.rel); err != nil {
			return err
		}
	}
	names, err := k.list(fd, j.rel)
	if err != nil {
		return err
	}
	for len(names) > perJob {
		k.w.push(job{rel: j.rel, depth: j.depth, names: names[:perJob:perJob]})
		names = names[perJob:]
	}
	j.names = names
	return k.visitAll(fd, j)
}

// openMended opens a directory whose mode keeps its own owner out.
func (w *walker) openMended(rel string) (int, error) {
	parent, err := openBeneath(w.root, path.Dir(rel), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	return openOwn(parent, path.Base(rel))
}

func (k *worker) visitAll(fd int, j job) error {
	for _, e := range j.names {
		rel := e.name
		if j.rel != "." {
			rel = j.rel + "/" + e.name
		}
		if err := k.one(fd, rel, j.depth, e); err != nil {
			return err
		}
	}
	return nil
}

func (k *worker) one(fd int, rel string, depth int, e dirent) error {
	if k.w.skip != nil && k.w.skip(fd, rel, e) {
		return nil
	}
	if err := checkName(e.name); err != nil {
		return &Refused{Code: "tree.name", Path: rel, Why: err.(*Refused).Why}
	}
	if k.w.count.Add(1) > int64(k.w.limits.Entries) {
		return &Refused{Code: "tree.too-many", Path: rel, Why: fmt.Sprintf("more than %d entries", k.w.limits.Entries)}
	}
	if e.typ != unix.DT_DIR {
		return k.w.visit(k, fd, rel, e)
	}
	if depth >= k.w.limits.Depth || len(rel) > maxPath {
		return &Refused{Code: "tree.too-deep", Path: rel[:min(len(rel), 200)], Why: fmt.Sprintf("more than %d directories deep, or a path of more than %d bytes", k.w.limits.Depth, maxPath)}
	}
	k.w.push(job{rel: rel, depth: depth + 1})
	return nil
}

// list returns the names in fd. It bounds what one directory can make it hold.
func (k *worker) list(fd int, rel string) ([]dirent, error) {
	names := []dirent{}
	for {
		n, err := unix.ReadDirent(fd, k.buf)
		if err != nil {
			return nil, fmt.Errorf("list %+q: %w", rel, err)
		}
		if n == 0 {
			return names, nil
		}
		if names, err = parseDirents(names, fd, k.buf[:n]); err != nil {
			return nil, fmt.Errorf("list %+q: %w", rel, err)
		}
		if len(names) > k.w.limits.Entries {
			return nil, &Refused{Code: "tree.too-many", Path: rel, Why: fmt.Sprintf("more than %d entries", k.w.limits.Entries)}
		}
	}
}

// parseDirents reads the kernel's linux_dirent64 records: inode (8), offset
// (8), length (2), type (1), name and a zero.
func parseDirents(names []dirent, fd int, b []byte) ([]dirent, error) {
	for len(b) >= 19 {
		n := int(b[16]) | int(b[17])<<8
		if n < 20 || n > len(b) {
			return nil, fmt.Errorf("directory record of %d bytes", n)
		}
		name, typ := b[19:n], b[18]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		b = b[n:]
		if s := string(name); s != "." && s != ".." {
			e := dirent{name: s, typ: typ}
			if typ == unix.DT_UNKNOWN {
				if err := e.stat(fd); err != nil {
					return nil, err
				}
			}
			names = append(names, e)
		}
	}
	return names, nil
}

// stat finds the type where the file system does not tell it in the directory.
func (e *dirent) stat(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e.typ = uint8(st.Mode & unix.S_IFMT >> 12)
	return nil
}

// openDir opens a directory that the controller itself named.
func openDir(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

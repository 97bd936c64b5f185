package namespaces

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// diskInterval is how often the growth of an upper directory is looked at.
const diskInterval = 250 * time.Millisecond

// looksToCount is after how many looks a tree is counted in any case: what one
// zone wrote can be hidden by what another process freed.
const looksToCount = 60

// diskWatch ends a zone whose upper directory on disk grows over its limit; a
// tmpfs has a size and needs no watching.
//
// Each look asks the file system how much of it is in use. Only when that has
// grown by what was left at the last count, or after a while, is the tree
// counted again.
//
// BUG: a file that was deleted while it is open is not in the tree. What it
// holds is bounded by the limits on file size and open files alone.
type diskWatch struct {
	dir   string
	limit int64
	taken int64 // bytes of the file system in use at the last count
	held  int64 // bytes that the tree held then
	looks int   // since then
	stop  chan struct{}
	ended chan struct{}
}

// watchDisk looks until the watch is ended, and calls over once.
func watchDisk(upper string, limit int64, over func()) *diskWatch {
	w := &diskWatch{dir: upper, limit: limit, stop: make(chan struct{}), ended: make(chan struct{})}
	if upper == "" {
		close(w.ended)
		return w
	}
	w.taken = inUse(upper)
	go w.run(over)
	return w
}

func (w *diskWatch) run(over func()) {
	defer close(w.ended)
	tick := time.NewTicker(diskInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		if w.looks++; w.grown() || w.looks >= looksToCount {
			w.count()
			if w.held > w.limit {
				over()
				return
			}
		}
	}
}

// grown tells whether the limit can have been reached since the last count.
func (w *diskWatch) grown() bool { return w.held+inUse(w.dir)-w.taken > w.limit }

func (w *diskWatch) count() {
	w.looks, w.taken, w.held = 0, inUse(w.dir), held(w.dir, w.limit)
}

// end ends the watch, once the zone is gone, and tells whether the limit is
// exceeded after all.
func (w *diskWatch) end() bool {
	close(w.stop)
	<-w.ended
	if w.dir == "" {
		return false
	}
	if w.grown() {
		w.count()
	}
	return w.held > w.limit
}

// inUse is how many bytes of a file system are taken.
func inUse(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize //nolint:gosec // far below 2^63
}

// held is how many bytes of disk a tree takes, counted until they exceed
// enough. It follows no link, and what vanishes meanwhile is not counted.
func held(dir string, enough int64) int64 {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0
	}
	defer func() { _ = root.Close() }()
	var sum int64
	_ = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it vanished, or is closed to us
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		if sum > enough {
			return fs.SkipAll
		}
		return nil
	})
	return sum
}

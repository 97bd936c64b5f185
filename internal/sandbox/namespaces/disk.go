package namespaces

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// diskInterval is how often the growth of an upper directory is looked at.
const diskInterval = 500 * time.Millisecond

// watchDisk calls over once when an upper directory on disk holds more than
// limit bytes; a tmpfs has a size and needs no watching. The function that it
// returns ends the watch.
//
// Each look asks the file system how much of it is in use. Only when that has
// grown by the limit since the start can the zone have written as much, and only
// then is the tree measured.
//
// BUG: a file that was deleted while it is open is not in the tree. What it
// holds is bounded by the limits on file size and open files alone.
func watchDisk(upper string, limit int64, over func()) func() {
	if upper == "" {
		return func() {}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	start := inUse(upper)
	go func() {
		defer close(ended)
		tick := time.NewTicker(diskInterval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if inUse(upper)-start >= limit && held(upper, limit) > limit {
				over()
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
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

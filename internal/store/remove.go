package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// RemoveTree removes a directory and all below it, whoever made the names:
// links are not followed, directories without rights are given them, and one
// that is nested deeper than descriptors or paths reach is taken apart.
func RemoveTree(path string) error {
	parent, err := openDir(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	defer unix.Close(parent)
	r := remover{top: parent, name: filepath.Base(path)}
	if err := r.remove(parent, r.name, 0); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// remover takes directories apart. Those below maxDescent are moved up beside
// the first one and removed from there.
type remover struct {
	top   int
	name  string
	moved int
}

const maxDescent = 64

func (r *remover) remove(dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.EACCES) {
		unix.Fchmod(dir, 0o700)
		if unix.Unlinkat(dir, name, 0) == nil {
			return nil
		}
	} else if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	if depth >= maxDescent {
		return r.lift(dir, name)
	}
	if err := r.empty(dir, name, depth); err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

// lift renames a directory to the top and removes it from there.
func (r *remover) lift(dir int, name string) error {
	r.moved++
	to := r.name + ".deep" + strconv.Itoa(r.moved)
	unix.Fchmodat(dir, name, 0o700, 0) // a move writes "..", in a directory that is one's own
	if err := unix.Renameat(dir, name, r.top, to); err != nil {
		return err
	}
	return r.remove(r.top, to, 0)
}

func (r *remover) empty(dir int, name string, depth int) error {
	fd, err := openOwn(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	k := &worker{w: &walker{limits: unlimited()}, buf: make([]byte, 16<<10)}
	names, err := k.list(fd, name)
	if err != nil {
		return err
	}
	for _, e := range names {
		if err := r.remove(fd, e.name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// openOwn opens a directory, after taking the right to when it lacks.
func openOwn(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		if err := unix.Fchmodat(dir, name, 0o700, 0); err != nil {
			return -1, err
		}
		fd, err = unix.Openat(dir, name, flags, 0)
	}
	return fd, err
}

package zoneinit

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Every mount here is made from descriptors: a tree is opened once, given its
// attributes while it is attached to nothing, and moved onto a mount point that
// was found without following any link. No path is looked up twice.

const (
	noPrivileges = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	readOnly     = unix.MOUNT_ATTR_RDONLY | noPrivileges
	device       = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	bare         = noPrivileges | unix.MOUNT_ATTR_NOEXEC
)

// within are the rules for a path that we look up: it stays below dir, and no
// component of it is a link, whoever may have made one.
const within = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// find opens path below dir as a place, to mount on or to clone. A link is not
// a place, even where it is the last component.
func find(dir int, path string) (int, error) {
	fd, err := lookUp(dir, path)
	if err != nil {
		return -1, at("find "+path, err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err != nil {
		unix.Close(fd)
		return -1, at("find "+path, err)
	}
	return fd, nil
}

func lookUp(dir int, path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: within}
	path = strings.Trim(path, "/")
	if path == "" {
		path = "."
	}
	for {
		fd, err := unix.Openat2(dir, path, &how)
		if err != unix.EAGAIN && err != unix.EINTR { // EAGAIN: a rename raced with the walk
			return fd, err
		}
	}
}

// tree clones what is mounted at path below dir, with everything below it, and
// gives the clone its attributes.
func tree(dir int, path string, attributes uint64) (int, error) {
	place, err := find(dir, path)
	if err != nil {
		return -1, err
	}
	defer unix.Close(place)
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	fd, err := unix.OpenTree(place, "", flags)
	if err != nil {
		return -1, at("clone "+path, err)
	}
	if err := restrict(fd, attributes, true); err != nil {
		unix.Close(fd)
		return -1, at("restrict "+path, err)
	}
	return fd, nil
}

// restrict adds attributes to a mount; they cannot be taken off inside.
func restrict(fd int, attributes uint64, below bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if below {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: attributes})
}

// move attaches a detached mount at path below dir, and closes it.
func move(mount, dir int, path string) error {
	defer unix.Close(mount)
	place, err := find(dir, path)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return at("mount at "+path, unix.MoveMount(mount, "", place, "", flags))
}

// option is one parameter of a file system.
type option struct{ key, value string }

// create makes a file system of a kind and leaves it detached.
func create(kind string, attributes uint64, options ...option) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, at("open "+kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if err := unix.FsconfigSetString(fs, o.key, o.value); err != nil {
			return -1, at(kind+" "+o.key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, at("create "+kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attributes))
	return fd, at("mount "+kind, err)
}

// directory makes path below dir, with its parents, and follows no link on the
// way. What is already there may be a directory only.
func directory(dir int, path string, mode uint32) error {
	current, err := find(dir, "")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err := unix.Mkdirat(current, name, mode); err != nil && err != unix.EEXIST && err != unix.EROFS {
			unix.Close(current)
			return at("make directory "+path, err)
		}
		next, err := unix.Openat(current, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(current)
		if err != nil {
			return at("directory "+path, err)
		}
		current = next
	}
	return unix.Close(current)
}

// file makes a file at path below dir, whose directory is there already.
func file(dir int, path, content string) error {
	parent, name := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	place, err := find(dir, parent)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	fd, err := unix.Openat(place, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return at("make file "+path, err)
	}
	defer unix.Close(fd)
	if content == "" {
		return nil
	}
	for rest := []byte(content); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return at("write "+path, err)
		}
		rest = rest[n:]
	}
	return nil
}

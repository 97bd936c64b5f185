package zoneinit

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leastLandlock is the oldest version of Landlock that is used: 2 knows
// renames between directories, without which compilers and package managers
// break, and 3 knows truncation, without which files could be emptied.
const leastLandlock = 3

const (
	reading = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR

	writingFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE

	// Devices are in no list: none can be made, not even in /tmp.
	writing = writingFile | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

	handled = reading | writing | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// The access rights and scopes that came with later versions.
const (
	ioctlSince = 5
	scopeSince = 6
	scopes     = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
)

// landlockRules is struct landlock_ruleset_attr.
type landlockRules struct{ fs, net, scoped uint64 }

// landlockVersion asks the kernel for its version; 0 where there is none.
func landlockVersion() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// landlock puts this thread behind the wall behind the mounts: everything below this root may be
// read and executed, only the writable places be written. A directory that is
// reached around the mounts, say by a descriptor that leaked, is below neither.
// It says why when the kernel does not know it.
func landlock(writable []string) (lack string, err error) {
	version := landlockVersion()
	if version < leastLandlock {
		return "the kernel has version " + strconv.Itoa(version) + ", " + strconv.Itoa(leastLandlock) + " is needed", nil
	}
	attr := landlockRules{fs: handled}
	size := unsafe.Sizeof(attr.fs)
	if version >= ioctlSince {
		attr.fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= scopeSince {
		attr.scoped = scopes
		size = unsafe.Sizeof(attr)
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return "", at("make the rules", e)
	}
	rules := int(fd) //nolint:gosec // a descriptor
	defer unix.Close(rules)
	if err := allowPaths(rules, attr.fs, writable); err != nil {
		return "", err
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); e != 0 {
		return "", at("restrict", e)
	}
	return "", nil
}

func allowPaths(rules int, known uint64, writable []string) error {
	if err := allow(rules, "/", reading); err != nil {
		return err
	}
	for _, path := range [...]string{"/dev/null", "/dev/zero", "/dev/full"} {
		if err := allow(rules, path, writingFile); err != nil {
			return err
		}
	}
	// Terminals are used by ioctl. What those can do to others, the filter
	// refuses: pushing characters back.
	for _, path := range [...]string{"/dev/tty", "/dev/pts"} {
		if err := allow(rules, path, known&(writingFile|unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)); err != nil && !isErrno(err, unix.ENOENT) {
			return err
		}
	}
	for _, path := range writable {
		if err := allow(rules, path, writing); err != nil {
			return err
		}
	}
	return nil
}

// landlockPath is struct landlock_path_beneath_attr, which is packed: the
// kernel reads its first twelve bytes.
type landlockPath struct {
	access uint64
	parent int32
}

func allow(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return at("open "+path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return at("look at "+path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= writingFile | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	attr := landlockPath{access: access, parent: int32(fd)} //nolint:gosec // a descriptor
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if e != 0 {
		return at("allow "+path, e)
	}
	return nil
}

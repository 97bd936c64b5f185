package zoneinit

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// empty are the directories of a root that programs expect to be there.
var empty = [...]string{"etc", "dev", "dev/shm", "proc", "sys", "tmp", "home", "run", "var", work}

// fromEtc are what a zone sees of the host's /etc: how libraries are found,
// which certificates are trusted, which program an alternative names. Nothing
// in it names a user, a server or a secret.
var fromEtc = [...]string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "ssl/openssl.cnf", "ca-certificates",
	"pki/tls/certs", "pki/ca-trust/extracted", "crypto-policies", "services", "protocols", "mime.types", "magic",
}

func (z *zone) openHost() (err error) {
	z.host, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// makeRoot mounts a tmpfs, on top of the host's root where there is no room
// for it, and makes its directories. It is reachable by its descriptor alone.
func (z *zone) makeRoot() (err error) {
	if z.root, err = newRoot(); err != nil {
		return err
	}
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH
	if z.room < 0 {
		err = unix.MoveMount(z.root, "", unix.AT_FDCWD, "/", flags)
	} else {
		err = unix.MoveMount(z.root, "", z.room, rootInRoom, flags)
	}
	if err != nil {
		return at("mount the root", err)
	}
	for _, name := range empty {
		if err := directory(z.root, name, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func newRoot() (int, error) {
	return create("tmpfs", noPrivileges, option{"mode", "0755"}, option{"size", "16m"}, option{"nr_inodes", "4096"})
}

// place is where a path below the zone's root stands for this process, which
// a container's zone is only a part of.
func (z *zone) place(path string) string {
	if z.room < 0 {
		return "/" + path
	}
	return "/" + rootInRoom + "/" + path
}

// showPrograms shows the programs of the host. A link among them (merged /usr)
// is made again.
func (z *zone) showPrograms() error {
	for _, name := range wire.Programs() {
		if err := z.show(name); err != nil {
			return err
		}
	}
	return nil
}

// showOwnPrograms leaves the zone without the host's programs where an image
// brings its own.
func (z *zone) showOwnPrograms() error {
	if z.prepare.Image {
		return nil
	}
	return z.showPrograms()
}

// show mounts a directory or a file of the host's root at the same place, or
// makes the link that it is. What the host does not have is left out.
func (z *zone) show(path string) error { return z.showFrom(z.host, path) }

// showFrom is show, of another root than the host's.
func (z *zone) showFrom(from int, path string) error {
	var st unix.Stat_t
	err := unix.Fstatat(from, path, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return at("look at "+path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return z.link(from, path)
	case unix.S_IFDIR:
		err = directory(z.root, path, 0o755)
	case unix.S_IFREG:
		if i := strings.LastIndexByte(path, '/'); i > 0 {
			err = directory(z.root, path[:i], 0o755)
		}
		if err == nil {
			err = file(z.root, path, "")
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	fd, err := tree(from, path, readOnly)
	if err != nil {
		return err
	}
	return move(fd, z.root, path)
}

// link makes a link of another root again. It leads to a place in the zone.
func (z *zone) link(from int, path string) error {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(from, path, buf[:])
	if err != nil {
		return at("read link "+path, err)
	}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		if err := directory(z.root, path[:i], 0o755); err != nil {
			return err
		}
	}
	return at("make link "+path, unix.Symlinkat(string(buf[:n]), z.root, path))
}

// writeEtc makes an /etc that knows one user, this host, and no server.
func (z *zone) writeEtc() error {
	id := strconv.Itoa(z.prepare.UID)
	ids := id + ":" + id
	for _, f := range [...]struct{ name, content string }{
		{"passwd", "root:x:0:0:root:/:/usr/sbin/nologin\n" +
			"sallyport:x:" + ids + ":sallyport:/home/sallyport:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
		{"group", "root:x:0:\nsallyport:x:" + id + ":\nnogroup:x:65534:\n"},
		{"hosts", "127.0.0.1 localhost sallyport\n::1 localhost ip6-localhost\n"},
		{"nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\n" +
			"protocols: files\nservices: files\nethers: files\nrpc: files\n"},
		{"host.conf", "multi on\n"},
		{"resolv.conf", ""},
	} {
		if err := file(z.root, "etc/"+f.name, f.content); err != nil {
			return err
		}
	}
	if err := unix.Symlinkat("/proc/self/mounts", z.root, "etc/mtab"); err != nil {
		return at("make link mtab", err)
	}
	if z.prepare.Image {
		return nil // the rest is the image's
	}
	for _, name := range fromEtc {
		if err := z.show("etc/" + name); err != nil {
			return err
		}
	}
	return z.showJava()
}

// showJava shows the configuration directories that Debian's Java links to
// from /usr: without them it does not start.
func (z *zone) showJava() error {
	return eachName(z.host, "etc", func(name string) error {
		if !strings.HasPrefix(name, "java-") {
			return nil
		}
		return z.show("etc/" + name)
	})
}

// eachName calls visit with each name in a directory; one that is not there, or
// may not be read, has none.
func eachName(from int, path string, visit func(name string) error) error {
	dir, err := unix.Openat(from, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if err != nil || n <= 0 {
			return at("read "+path, err)
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if err := visit(name); err != nil {
				return err
			}
		}
	}
}

// makeDev shows six devices, none of which holds anything, the usual links, and
// terminals of the zone's own: tests of command line programs open such pairs.
func (z *zone) makeDev() error {
	if err := z.showDevices(); err != nil {
		return err
	}
	for _, l := range [...]struct{ name, to string }{
		{"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	} {
		if err := unix.Symlinkat(l.to, z.root, "dev/"+l.name); err != nil {
			return at("make link "+l.name, err)
		}
	}
	return z.makeTerminals()
}

func (z *zone) showDevices() error {
	for _, name := range [...]string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := file(z.root, "dev/"+name, ""); err != nil {
			return err
		}
		fd, err := tree(z.host, "dev/"+name, device)
		if err != nil {
			return err
		}
		if err := move(fd, z.root, "dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// makeTerminals mounts an instance of devpts in which nobody else's terminals
// are. A kernel that refuses it leaves the zone without terminals.
func (z *zone) makeTerminals() error {
	if err := directory(z.root, "dev/pts", 0o755); err != nil {
		return err
	}
	fd, err := create("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, option{"ptmxmode", "0666"}, option{"mode", "0600"})
	if err != nil {
		return nil
	}
	return move(fd, z.root, "dev/pts")
}

// masked are what a process table says of the host: how it was booted, what
// runs on it, its keys. A file of the list is shown empty, so is a directory.
var masked = [...]string{
	"cmdline", "config.gz", "kallsyms", "kcore", "keys", "key-users", "kmsg", "modules", "sched_debug", "sysrq-trigger",
	"timer_list", "interrupts", "iomem", "ioports", "acpi", "asound", "bus", "driver", "fs", "scsi", "tty",
}

// makeProc mounts the process table of the zone's own pid namespace, in which a
// process sees only those that it could trace: not PID 1.
func (z *zone) makeProc() error {
	fd, err := z.newProc()
	if err != nil {
		// A host that masks its own /proc refuses a new one (a container in
		// a container). The zone then has none.
		z.lack(wire.Proc, err.Error())
		return nil
	}
	if !z.without(wire.Nesting) {
		if err := forbidNesting(fd); err != nil {
			z.lack(wire.Nesting, err.Error())
		}
	}
	if err := restrict(fd, bare|unix.MOUNT_ATTR_RDONLY, false); err != nil {
		unix.Close(fd)
		return at("make /proc read-only", err)
	}
	if err := move(fd, z.root, "proc"); err != nil {
		return err
	}
	return z.maskProc()
}

func (z *zone) maskProc() error {
	for _, name := range masked {
		if err := z.mask("proc/" + name); err != nil {
			return err
		}
	}
	return nil
}

func (z *zone) newProc() (int, error) {
	if z.without(wire.Proc) {
		return -1, unix.EPERM
	}
	return create("proc", bare, option{"hidepid", "invisible"})
}

// forbidNesting sets the number of user namespaces below the zone's to none.
// The filter refuses to make them; this is the wall behind it. Without one
// nothing inside gets a capability, and without that no other namespace.
func forbidNesting(proc int) error {
	fd, err := unix.Openat(proc, "sys/user/max_user_namespaces", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("0"))
	return err
}

// mask puts an empty file or directory over path; what is not there needs none.
// The empty things are those of the root that have to be empty anyway.
func (z *zone) mask(path string) error {
	place, err := find(z.root, path)
	if err != nil {
		if isErrno(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	var st unix.Stat_t
	err = unix.Fstat(place, &st)
	unix.Close(place)
	if err != nil {
		return at("look at "+path, err)
	}
	over := "etc/resolv.conf"
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		over = "sys"
	}
	fd, err := tree(z.root, over, readOnly|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	return move(fd, z.root, path)
}

// parts are the writable places that are parts of one tmpfs, so that one size
// bounds them together.
var parts = [...]struct{ name, inside string }{
	{"tmp", "tmp"}, {"home", "home/sallyport"}, {"shm", "dev/shm"},
}

// makeScratch makes the zone's tmpfs. Its size is set when the stage is known.
func (z *zone) makeScratch() error {
	fd, err := create("tmpfs", noPrivileges, option{"mode", "0700"}, option{"size", "1m"}, option{"nr_inodes", "2m"})
	if err != nil {
		return err
	}
	// The host's tree goes below it: one detach takes both.
	if err := move(fd, z.root, work); err != nil {
		return err
	}
	for _, name := range [...]string{"host", "layer", "upper", "work"} {
		if err := directory(z.root, work+"/"+name, 0o755); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := z.part(p.name, p.inside); err != nil {
			return err
		}
	}
	return nil
}

// part mounts one directory of the zone's tmpfs.
func (z *zone) part(name, inside string) error {
	if err := directory(z.root, work+"/"+name, 0o755); err != nil {
		return err
	}
	if err := directory(z.root, inside, 0o755); err != nil {
		return err
	}
	fd, err := tree(z.root, work+"/"+name, noPrivileges)
	if err != nil {
		return err
	}
	return move(fd, z.root, inside)
}

// enter makes the root the root of this process and of the payload's, which is
// the kernel's doing: both stand in the old one.
func (z *zone) enter() error {
	root := z.root
	if z.room >= 0 {
		root = z.room
	}
	if err := unix.Fchdir(root); err != nil {
		return at("go to the root", err)
	}
	if err := unix.PivotRoot(".", strings.TrimPrefix(z.place(work+"/host"), "/")); err != nil {
		return at("change the root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return at("go to /", err)
	}
	unix.Umask(0o022)
	if z.prepare.KeepHost {
		return nil
	}
	return z.leaveHost()
}

// leaveHost takes the host's tree away.
func (z *zone) leaveHost() error {
	unix.Close(z.host)
	z.host = -1
	return at("detach the host's tree", unix.Unmount(z.place(work+"/host"), unix.MNT_DETACH))
}

// detach takes away what is not the zone's: the host's tree where it is still
// there, and the places of the layers.
func (z *zone) detach() error {
	if z.host >= 0 {
		unix.Close(z.host)
		z.host = -1
	}
	if err := unix.Unmount(z.place(work), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return at("detach", err)
	}
	return at("remove the mount point", unix.Unlinkat(z.root, work, unix.AT_REMOVEDIR))
}

func (z *zone) resizeScratch(size int64) error {
	// At least a page: to tmpfs, zero means without bound.
	size = max(size, 4096)
	const flags = unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV
	return at("size", unix.Mount("", z.place(work), "", flags, "size="+strconv.FormatInt(size, 10)))
}

package probe

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writable are the fixed places that a zone may write to.
var writable = [...]string{"/box", "/tmp", "/home", "/dev/shm"}

// devices are the device numbers that a zone's /dev may hold.
var devices = [...]struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"ptmx", 5, 2},
}

// ownRoot is the kind of file system by which a runtime with its own kernel
// shows the zone's root, and ownDevices what its /dev holds beside the minimal
// set: none is a device of the host's.
const ownRoot = "9p"

var ownDevices = [...]string{"char", "fuse", "net"}

// plain are the names in /dev that are no devices: directories and links.
var plain = [...]string{"pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx"}

// files checks the zone's view of the file system.
func (p *prober) files() {
	all := p.mounts()
	p.found("fs.root", "the zone's own", p.rootAgainst(all))
	p.found("fs.mounts", "of the allowed kinds", p.mountsAgainst(all))
	p.found("fs.writable", "only "+strings.Join(writable[:], ", "), writableAgainst())
	p.found("fs.host", "not visible", hostAgainst())
	p.found("fs.devices", "the minimal set", p.devicesAgainst())
}

// mount is one line of a mount table.
type mount struct {
	root, point, kind string
	options           []string
}

// mounts reads the mount table; nil when it cannot be read.
func (p *prober) mounts() []mount {
	text, err := readFile(p.proc + "/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(text)
}

// parseMounts reads mountinfo (proc_pid_mountinfo(5)). A line that it cannot
// read makes the whole table unknown: nil.
func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		front, back, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 6 || len(b) < 2 {
			return nil
		}
		all = append(all, mount{root: f[3], point: unescape(f[4]), kind: b[0], options: strings.Split(f[5], ",")})
	}
	return all
}

// unescape undoes the octal escapes of a mount table.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (m mount) has(option string) bool {
	for _, o := range m.options {
		if o == option {
			return true
		}
	}
	return false
}

// rootAgainst checks that / is a file system made for the zone, not one that
// the host runs on.
func (p *prober) rootAgainst(all []mount) string {
	for i := len(all) - 1; i >= 0; i-- { // the last one on a point is the one that shows
		m := all[i]
		if m.point != "/" {
			continue
		}
		if m.kind != "tmpfs" && (!p.OwnKernel || m.kind != ownRoot) {
			return "a file system of kind " + m.kind
		}
		if !m.has("ro") {
			return "writable"
		}
		return ""
	}
	return "cannot tell: no mount table"
}

func (p *prober) mountsAgainst(all []mount) string {
	if len(all) == 0 {
		return "cannot tell: no mount table"
	}
	for _, m := range all {
		if against := p.mountAgainst(m); against != "" {
			return strconv.Quote(bounded(m.point)) + ": " + against
		}
	}
	return ""
}

func (p *prober) mountAgainst(m mount) string {
	switch m.kind {
	case "proc":
		return only(m, "/proc")
	case "devpts":
		return only(m, "/dev/pts")
	case "mqueue":
		return only(m, "/dev/mqueue")
	case "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "bpf", "securityfs", "efivarfs", "configfs",
		"fusectl", "binfmt_misc", "pstore", "hugetlbfs", "autofs", "nsfs":
		return "kind " + m.kind
	}
	if isDevice(m.point) {
		return ""
	}
	if p.OwnKernel {
		// Its mounts are between itself and its file server, which has the
		// zone's; no program gains a privilege after no_new_privs.
		if !m.has("ro") && !p.mayWrite(m.point) && m.point != "/dev" {
			return "writable"
		}
		return ""
	}
	if m.kind == "devtmpfs" {
		return "the host's /dev"
	}
	if !m.has("nosuid") {
		return "set-user-id programs count there"
	}
	if !m.has("nodev") && m.point != "/dev" {
		return "devices count there"
	}
	if !m.has("ro") && !p.mayWrite(m.point) {
		return "writable"
	}
	return ""
}

func only(m mount, point string) string {
	if m.point == point || strings.HasPrefix(m.point, point+"/") {
		return ""
	}
	return "kind " + m.kind
}

func isDevice(point string) bool {
	for _, d := range devices {
		if point == "/dev/"+d.name {
			return true
		}
	}
	return false
}

func (p *prober) mayWrite(point string) bool {
	for _, w := range append(writable[:len(writable):len(writable)], p.Writable...) {
		if point == w || strings.HasPrefix(point, strings.TrimSuffix(w, "/")+"/") {
			return true
		}
	}
	return false
}

// writableAgainst tries to make a file without a name, which vanishes with its
// descriptor, where nothing may be written.
func writableAgainst() string {
	for _, dir := range [...]string{"/", "/etc", "/usr", "/usr/bin", "/usr/local", "/opt", "/dev", "/var", "/run", "/lib", "/root", "/srv", "/mnt"} {
		fd, err := openRetry(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC)
		if err == nil {
			unix.Close(fd)
			return dir
		}
		if e := errno(err); !denied(e) && e != unix.EOPNOTSUPP && e != unix.EISDIR && e != unix.ELOOP {
			return dir + ": " + errnoName(err)
		}
	}
	return ""
}

// hostAgainst looks for what only a host has.
func hostAgainst() string {
	for _, path := range [...]string{
		"/etc/shadow", "/etc/ssh", "/etc/sudoers", "/root/.ssh", "/root/.npmrc", "/root/.docker", "/boot", "/var/lib", "/var/log",
		"/sys/kernel", "/sys/class", "/run/secrets", "/var/run/secrets", "/lost+found", "/proc/1/root/etc/shadow",
	} {
		var st unix.Stat_t
		if e := errno(unix.Lstat(path, &st)); !denied(e) {
			return path + ": " + found(e)
		}
	}
	return ""
}

func found(e unix.Errno) string {
	if e == 0 {
		return "is there"
	}
	return errnoName(e)
}

func (p *prober) devicesAgainst() string {
	names, _, err := readDir("/dev")
	if err == unix.ENOENT {
		return ""
	}
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	for _, n := range names {
		var st unix.Stat_t
		if err := unix.Lstat("/dev/"+n, &st); err != nil {
			return n + ": " + errnoName(err)
		}
		if p.OwnKernel && contains(ownDevices[:], n) {
			continue
		}
		if !deviceAllowed(n, st.Mode, unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))) {
			return strconv.Quote(bounded(n))
		}
	}
	return ""
}

func deviceAllowed(name string, mode, major, minor uint32) bool {
	switch mode & unix.S_IFMT {
	case unix.S_IFCHR:
		for _, d := range devices {
			if d.name == name && d.major == major && d.minor == minor {
				return true
			}
		}
	case unix.S_IFDIR, unix.S_IFLNK:
		for _, n := range plain {
			if n == name {
				return true
			}
		}
	}
	return false
}

// descriptors checks what the payload inherits: nothing but its three streams,
// and none of those a directory, from which "../" leads somewhere.
func (p *prober) descriptors() {
	const name, wanted = "fd.inherited", "0, 1 and 2"
	names, own, err := readDir(p.proc + "/self/fd")
	if err != nil {
		p.found(name, wanted, "cannot tell: "+errnoName(err))
		return
	}
	for _, n := range names {
		fd, err := strconv.Atoi(n)
		if err != nil || fd == own {
			continue
		}
		if against := p.descriptorAgainst(fd); against != "" {
			p.found(name, wanted, against)
			return
		}
	}
	p.found(name, wanted, "")
}

func (p *prober) descriptorAgainst(fd int) string {
	if fd > 2 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == unix.EBADF || (err == nil && flags&unix.FD_CLOEXEC != 0) || contains(p.FDs, fd) {
			return ""
		}
		return "descriptor " + strconv.Itoa(fd)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "descriptor " + strconv.Itoa(fd) + ": " + errnoName(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return "descriptor " + strconv.Itoa(fd) + " is a directory"
	}
	return ""
}

package namespaces

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// watcher hears of each connect(2) in a zone before the kernel does it, so that
// a denial can name the process and the address. It decides nothing: every call
// goes on, and there is no route it could take. What it reads of the caller's
// memory may be another thing by the time the kernel reads it again, which
// matters to a name in a message only.
//
// Names that a program looks up are not seen, only that it asked for one.
type watcher struct {
	file   *os.File // the filter's listener
	first  int      // PID 1 of the zone
	listen []int    // ports that something may well connect to

	mu   sync.Mutex
	seen []sandbox.Blocked
}

// maxBlocked bounds the different attempts that are kept of one zone.
const maxBlocked = 128

// notification is struct seccomp_notif, with struct seccomp_data in it.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// run answers until no process of the zone is left. When it stops earlier, the
// calls of the zone fail: none of them waits for ever.
func (w *watcher) run() {
	defer func() { _ = w.file.Close() }()
	fd := int(w.file.Fd()) //nolint:gosec // a descriptor
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents != 0 {
				return
			}
			continue
		}
		var n notification
		switch err := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err {
		case 0:
		case unix.EINTR, unix.ENOENT: // ENOENT: the caller was killed
			continue
		default:
			return
		}
		w.look(&n)
		_ = w.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}))
	}
}

func (w *watcher) ioctl(request uintptr, p unsafe.Pointer) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, w.file.Fd(), request, uintptr(p))
	return e
}

// look notes where a caller wants to connect to.
func (w *watcher) look(n *notification) {
	pid := int(n.pid)
	raw := make([]byte, min(n.args[2], unix.SizeofSockaddrAny))
	if pid == 0 || len(raw) == 0 {
		return
	}
	local := []unix.Iovec{{Base: &raw[0]}}
	local[0].SetLen(len(raw))
	remote := []unix.RemoteIovec{{Base: uintptr(n.args[1]), Len: len(raw)}}
	if got, err := unix.ProcessVMReadv(pid, local, remote, 0); err != nil || got != len(raw) {
		return
	}
	to, ok := address(raw)
	if !ok {
		return
	}
	what, target, ok := w.classify(to)
	if !ok {
		return
	}
	process, owner := chain(pid, w.first), ownerOf(pid)
	if w.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id)) != 0 {
		return // the number may be another process's by now
	}
	w.note(sandbox.Blocked{What: what, Target: target, Process: process, Package: owner, Time: time.Now(), Count: 1})
}

// classify tells what an attempt is. On the zone's own loopback nothing is
// refused; a question to a name server there is one that nobody answers.
func (w *watcher) classify(to netip.AddrPort) (what, target string, ok bool) {
	inside := to.Addr().IsLoopback() || to.Addr().IsUnspecified()
	switch {
	case !inside:
		return "connect", to.String(), true
	case to.Port() == 53 && !slices.Contains(w.listen, 53):
		return "lookup", "a name server", true
	}
	return "", "", false
}

func (w *watcher) note(b sandbox.Blocked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.seen {
		if s.What == b.What && s.Target == b.Target && s.Process == b.Process {
			w.seen[i].Count++
			return
		}
	}
	if len(w.seen) < maxBlocked {
		w.seen = append(w.seen, b)
	}
}

func (w *watcher) blocked() []sandbox.Blocked {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// address reads a struct sockaddr of the Internet families.
func address(raw []byte) (netip.AddrPort, bool) {
	if len(raw) < 2 {
		return netip.AddrPort{}, false
	}
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET && len(raw) >= 8:
		port := binary.BigEndian.Uint16(raw[2:])
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port), true
	case family == unix.AF_INET6 && len(raw) >= 24:
		port := binary.BigEndian.Uint16(raw[2:])
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])).Unmap(), port), true
	}
	return netip.AddrPort{}, false
}

// The bounds of a process chain in a message.
const (
	maxChain   = 12
	maxCommand = 80
)

// chain names a process and those that it comes from, outermost first, as far
// as the zone goes.
func chain(pid, first int) string {
	var names []string
	for n := 0; n < maxChain && pid > 1 && pid != first; n++ {
		dir := "/proc/" + strconv.Itoa(pid)
		command, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			break
		}
		names = append(names, printable(command))
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			break
		}
		pid = parent(stat)
	}
	slices.Reverse(names)
	return strings.Join(names, " > ")
}

// parent reads the fourth field of proc_pid_stat(5). The second is a name in
// parentheses, which may hold anything.
func parent(stat []byte) int {
	s := string(stat)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 2 {
		return 0
	}
	pid, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return pid
}

// maxEnviron bounds what is read of a process's environment, in bytes.
const maxEnviron = 256 << 10

// ownerOf names the package whose code a process runs, where a package manager
// told it: npm and cargo do so to the scripts that they start, and go generate
// to its commands.
func ownerOf(pid int) string {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEnviron))
	if err != nil {
		return ""
	}
	return owner(b)
}

// owner reads an environment as proc_pid_environ(5) gives it. Whoever wrote it
// may lie.
func owner(environ []byte) string {
	said := map[string]string{}
	for kv := range strings.SplitSeq(string(environ), "\x00") {
		if name, value, ok := strings.Cut(kv, "="); ok {
			said[name] = value
		}
	}
	text := ""
	switch {
	case said["npm_package_name"] != "" && said["npm_lifecycle_event"] != "":
		text = "npm:" + said["npm_package_name"] + "@" + said["npm_package_version"] + " " + said["npm_lifecycle_event"] + " script"
	case said["CARGO_PKG_NAME"] != "" && said["OUT_DIR"] != "":
		text = "cargo:" + said["CARGO_PKG_NAME"] + "@" + said["CARGO_PKG_VERSION"] + " build script"
	case said["GOFILE"] != "" && said["GOPACKAGE"] != "":
		text = "go generate of " + said["GOFILE"] + " in package " + said["GOPACKAGE"]
	}
	return printable([]byte(text))
}

// printable is a command line on one short line: it is the zone's own text.
func printable(command []byte) string {
	s := strings.TrimRight(string(command[:min(len(command), 4*maxCommand)]), "\x00")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return '?'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxCommand {
		s = string(runes[:maxCommand]) + "..."
	}
	return s
}

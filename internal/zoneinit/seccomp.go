package zoneinit

import (
	"slices"

	"golang.org/x/sys/unix"
)

// The filter's verdicts.
const (
	pass    = unix.SECCOMP_RET_ALLOW
	kill    = unix.SECCOMP_RET_KILL_PROCESS
	refuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	family  = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	proto   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT)
	notify  = unix.SECCOMP_RET_USER_NOTIF
)

// newest is the last system call that this filter was written for. What
// a newer kernel adds is unknown here, and answered so.
const newest = unix.SYS_RSEQ_SLICE_YIELD

// newNamespaces are the flags of clone and unshare that make a namespace.
// CLONE_NEWTIME is one of unshare's only: in clone its bit is part of a signal.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// refused are the calls that answer "not permitted", on every machine: what
// changes the host or the zone's view, looks into another process, or is a
// wide door into the kernel that no build goes through.
var refused = [...]uint32{
	// the view: mounts old and new, roots, namespaces
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT, unix.SYS_LISTNS,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT,
	// other processes
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	// the kernel's own
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL, unix.SYS_VHANGUP, unix.SYS_MEMFD_SECRET,
	// the host's clock and name
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// absent are the calls that programs probe for and do without when the kernel
// does not have them. Those of clone3 stand behind a pointer, which a filter
// cannot follow; the C library then takes clone.
var absent = [...]uint32{
	unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// systemCalls is the filter of a zone. Numbers come first and alone, so that
// the kernel can keep, for the calls that always pass, that they do, and asks
// the program no more.
func systemCalls() program {
	p := prologue()
	list := append(slices.Clone(refused[:]), refusedHere[:]...)
	for _, nr := range list {
		p.whenEqual(nr, refuse)
	}
	for _, nr := range absent {
		p.whenEqual(nr, unknown)
	}
	p.jump(unix.BPF_JGT, newest, 0, 1)
	p.verdict(unknown)
	p.arguments()
	p.verdict(pass)
	return p
}

// prologue ends a process that calls the kernel by another architecture's
// numbers: they mean other calls.
func prologue() program {
	var p program
	p.load(offArch)
	p.jump(unix.BPF_JEQ, auditArch, 1, 0)
	p.verdict(kill)
	p.load(offNumber)
	if foreignBit != 0 {
		p.whenAny(foreignBit, kill)
	}
	return p
}

// when adds a rule about one call. The accumulator holds the call's number
// before, and after it where the rule did not apply.
func (p *program) when(nr uint32, rule func(*program)) {
	var body program
	rule(&body)
	p.jump(unix.BPF_JEQ, nr, 0, uint8(len(body))) //nolint:gosec // a few instructions
	*p = append(*p, body...)
}

// arguments are the rules about calls that depend on what they are given.
func (p *program) arguments() {
	p.when(unix.SYS_CLONE, func(p *program) {
		p.argument(0)
		p.whenAny(newNamespaces, refuse)
		p.verdict(pass)
	})
	p.when(unix.SYS_UNSHARE, func(p *program) {
		p.argument(0)
		p.whenAny(newNamespaces|unix.CLONE_NEWTIME, refuse)
		p.verdict(pass)
	})
	p.when(unix.SYS_SOCKET, socketRule)
	p.when(unix.SYS_SOCKETPAIR, func(p *program) {
		p.argument(0)
		p.unlessIn([]uint32{unix.AF_UNIX}, family)
		p.verdict(pass)
	})
	p.when(unix.SYS_IOCTL, func(p *program) {
		p.argument(1)
		p.whenEqual(unix.TIOCSTI, refuse)
		p.whenEqual(tiocLinux, refuse)
		p.whenEqual(unix.TIOCSETD, refuse) // loads line disciplines
		p.whenEqual(unix.TIOCCONS, refuse)
		p.verdict(pass)
	})
	p.when(unix.SYS_PERSONALITY, func(p *program) {
		p.argument(0)
		// Linux as it is, and without address randomisation, which the race
		// detector asks for; all ones is the question for the current one.
		p.unlessIn([]uint32{0, noRandomize, 0xffffffff}, refuse)
		p.verdict(pass)
	})
	p.devices()
}

// Numbers that the headers of all architectures share.
const (
	tiocLinux   = 0x541c
	noRandomize = 0x0040000 // ADDR_NO_RANDOMIZE
)

// socketRule lets through what works without the world: local sockets, TCP,
// UDP and ping on what interfaces there are, and the routing table's netlink,
// which the C library reads interfaces by.
func socketRule(p *program) {
	p.argument(0)
	p.whenEqual(unix.AF_UNIX, pass)
	p.jump(unix.BPF_JEQ, unix.AF_NETLINK, 0, 4)
	p.argument(2)
	p.unlessIn([]uint32{unix.NETLINK_ROUTE}, refuse)
	p.verdict(pass)
	p.unlessIn([]uint32{unix.AF_INET, unix.AF_INET6}, family)
	p.argument(1)
	p.and(socketTypes)
	p.unlessIn([]uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}, refuse)
	p.argument(2)
	p.unlessIn([]uint32{0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6}, proto)
	p.verdict(pass)
}

const socketTypes = 0xf // the rest of the word are flags

// devices refuses to make device files.
func (p *program) devices() {
	rule := func(mode uint32) func(*program) {
		return func(p *program) {
			p.argument(mode)
			p.and(unix.S_IFMT)
			p.whenEqual(unix.S_IFCHR, refuse)
			p.whenEqual(unix.S_IFBLK, refuse)
			p.verdict(pass)
		}
	}
	if sysMknod != 0 {
		p.when(sysMknod, rule(1))
	}
	p.when(unix.SYS_MKNODAT, rule(2))
}

// connections is a second filter, which lets the controller see where the
// payload tries to connect. It enforces nothing.
func connections() program {
	p := prologue()
	p.whenEqual(unix.SYS_CONNECT, notify)
	p.verdict(pass)
	return p
}

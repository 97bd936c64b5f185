package probe

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// families checks that only sockets of the local kinds can be made.
func (p *prober) families() {
	for _, s := range [...]struct {
		name                   string
		family, kind, protocol int
	}{
		{"net.raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{"net.raw6", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		{"net.vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		{"net.packet", unix.AF_PACKET, unix.SOCK_DGRAM, 0},
		{"net.alg", unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"net.netlink.audit", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		{"net.netlink.netfilter", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		{"net.netlink.uevent", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT},
		{"net.xdp", unix.AF_XDP, unix.SOCK_RAW, 0},
		{"net.tipc", unix.AF_TIPC, unix.SOCK_STREAM, 0},
		{"net.bluetooth", unix.AF_BLUETOOTH, unix.SOCK_RAW, 0},
	} {
		p.found(s.name, "refused", socketRefused(s.family, s.kind, s.protocol))
	}
}

func socketRefused(family, kind, protocol int) string {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err == nil {
		unix.Close(fd)
		return "a socket was made"
	}
	switch e := errno(err); e {
	case unix.EPERM, unix.EACCES, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOSYS:
		return ""
	default:
		return errnoName(e)
	}
}

// call is one system call that a zone's filter has to refuse. Its arguments
// are such that a kernel without the filter answers something other than "not
// permitted" and does nothing.
type call struct {
	what string
	nr   uintptr
	args [5]uintptr
}

// bad is a descriptor that is never open, in the 32 bits that the kernel reads.
const bad = uintptr(0xffffffff)

// calls checks the system call filter. The kernel's own refusal for lack of
// a capability looks alike in some rows; id.capabilities stands beside them.
func (p *prober) calls() {
	nowhere := uintptr(unsafe.Pointer(&[]byte("/nowhere/of/sallyport\x00")[0]))
	// A lone high bit makes the flags invalid: no kernel makes a namespace.
	const broken = 0x1
	for _, g := range [...]struct {
		name  string
		calls []call
	}{
		{"call.userns", []call{
			{"unshare", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWUSER | broken}},
			{"clone", unix.SYS_CLONE, [5]uintptr{unix.CLONE_NEWUSER | unix.CLONE_FS}},
			{"clone3", unix.SYS_CLONE3, [5]uintptr{0, 0}},
			{"setns", unix.SYS_SETNS, [5]uintptr{bad, unix.CLONE_NEWUSER}}}},
		{"call.mount", []call{
			{"mount", unix.SYS_MOUNT, [5]uintptr{nowhere, nowhere, nowhere, 0, 0}},
			{"umount2", unix.SYS_UMOUNT2, [5]uintptr{nowhere, 0}},
			{"pivot_root", unix.SYS_PIVOT_ROOT, [5]uintptr{nowhere, nowhere}},
			{"chroot", unix.SYS_CHROOT, [5]uintptr{nowhere}},
			{"fsopen", unix.SYS_FSOPEN, [5]uintptr{nowhere, 0xffff}},
			{"open_tree", unix.SYS_OPEN_TREE, [5]uintptr{bad, nowhere, 0x8000}},
			{"move_mount", unix.SYS_MOVE_MOUNT, [5]uintptr{bad, nowhere, bad, nowhere, 0x8000}},
			{"mount_setattr", unix.SYS_MOUNT_SETATTR, [5]uintptr{bad, nowhere, 0x8000}}}},
		{"call.ptrace", []call{
			// 2 is PTRACE_PEEKDATA: of a process that is not traced it answers ESRCH.
			{"ptrace", unix.SYS_PTRACE, [5]uintptr{2, 1}},
			{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [5]uintptr{1, 0, 0, 0, 0}},
			{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [5]uintptr{1, 0, 0, 0, 0}},
			{"pidfd_getfd", unix.SYS_PIDFD_GETFD, [5]uintptr{bad, 0, 0}}}},
		{"call.keyring", []call{
			{"keyctl", unix.SYS_KEYCTL, [5]uintptr{0xffff}},
			{"add_key", unix.SYS_ADD_KEY, [5]uintptr{0, 0}},
			{"request_key", unix.SYS_REQUEST_KEY, [5]uintptr{0, 0}}}},
		{"call.bpf", []call{{"bpf", unix.SYS_BPF, [5]uintptr{0xffff, 0, 0}}}},
		{"call.userfaultfd", []call{{"userfaultfd", unix.SYS_USERFAULTFD, [5]uintptr{0xffff}}}},
		{"call.io_uring", []call{
			{"io_uring_setup", unix.SYS_IO_URING_SETUP, [5]uintptr{0, 0}},
			{"io_uring_enter", unix.SYS_IO_URING_ENTER, [5]uintptr{bad}},
			{"io_uring_register", unix.SYS_IO_URING_REGISTER, [5]uintptr{bad}}}},
		{"call.perf", []call{{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [5]uintptr{0, 0, 0, bad, 0}}}},
		{"call.modules", []call{
			{"init_module", unix.SYS_INIT_MODULE, [5]uintptr{0, 0, 0}},
			{"finit_module", unix.SYS_FINIT_MODULE, [5]uintptr{bad, 0, 0}},
			{"kexec_load", unix.SYS_KEXEC_LOAD, [5]uintptr{0, 0, 0, 0xffff}}}},
		{"call.terminal", []call{
			{"TIOCSTI", unix.SYS_IOCTL, [5]uintptr{bad, unix.TIOCSTI}},
			{"TIOCSTI with a high bit", unix.SYS_IOCTL, [5]uintptr{bad, unix.TIOCSTI | 1<<32}},
			{"TIOCLINUX", unix.SYS_IOCTL, [5]uintptr{bad, 0x541c}}}},
	} {
		p.found(g.name, "refused", callsAgainst(g.calls))
	}
}

func callsAgainst(calls []call) string {
	for _, c := range calls {
		_, _, e := unix.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
		if !refused(e) {
			return c.what + ": " + reached(e)
		}
	}
	return ""
}

// reached says what a call answered that the filter let through.
func reached(e unix.Errno) string {
	if e == 0 {
		return "done"
	}
	if n := unix.ErrnoName(e); n != "" {
		return "reaches the kernel (" + n + ")"
	}
	return "reaches the kernel (errno " + strconv.Itoa(int(e)) + ")"
}

func ioctlPtr(fd int, request uintptr, req *ifreq) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(req)))
	return e
}

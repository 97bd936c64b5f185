package zoneinit

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// call is what the kernel gives a filter.
type call struct {
	nr   uint32
	arch uint32
	args [6]uint64
}

// verdict runs a filter as the kernel does (seccomp(2)), far enough for what
// this package assembles. It fails on what the kernel would refuse to load.
func verdict(t *testing.T, p program, c call) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data, c.nr)
	binary.LittleEndian.PutUint32(data[4:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(data[16+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(p); pc++ {
		in := p[pc]
		taken := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = acc > in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			taken = acc&in.K != 0
		default:
			t.Fatalf("instruction %d has code %#x", pc, in.Code)
		}
		if taken {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("the program runs off its end")
	return 0
}

func native(nr uint32, args ...uint64) call {
	c := call{nr: nr, arch: auditArch}
	copy(c.args[:], args)
	return c
}

// high sets a bit that the kernel does not read of an int.
const high = 1 << 32

func TestFilterVerdicts(t *testing.T) {
	p := systemCalls()
	for _, c := range []struct {
		what string
		call call
		want uint32
	}{
		{"read", native(unix.SYS_READ), pass},
		{"execve", native(unix.SYS_EXECVE), pass},
		{"another architecture", call{nr: unix.SYS_READ, arch: 0x40000003}, kill},
		{"fork", native(unix.SYS_CLONE, uint64(unix.SIGCHLD)), pass},
		{"a thread", native(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_FS|unix.CLONE_THREAD|unix.CLONE_SIGHAND), pass},
		{"clone into a user namespace", native(unix.SYS_CLONE, unix.CLONE_NEWUSER), refuse},
		{"the same with a high bit", native(unix.SYS_CLONE, unix.CLONE_NEWUSER|high), refuse},
		{"clone into a mount namespace", native(unix.SYS_CLONE, unix.CLONE_NEWNS|unix.CLONE_VM), refuse},
		{"clone3", native(unix.SYS_CLONE3), unknown},
		{"unshare files", native(unix.SYS_UNSHARE, unix.CLONE_FILES), pass},
		{"unshare a user namespace", native(unix.SYS_UNSHARE, unix.CLONE_NEWUSER), refuse},
		{"unshare a time namespace", native(unix.SYS_UNSHARE, unix.CLONE_NEWTIME), refuse},
		{"io_uring", native(unix.SYS_IO_URING_SETUP), unknown},
		{"the newest call", native(newest), pass},
		{"a newer call", native(newest + 1), unknown},
		{"the largest number", native(0x3fffffff), unknown},

		{"unix socket", native(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM), pass},
		{"unix datagrams", native(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), pass},
		{"tcp", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP), pass},
		{"tcp6", native(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC), pass},
		{"udp", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM), pass},
		{"raw", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), refuse},
		{"raw with flags", native(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 58), refuse},
		{"sctp", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 132), proto},
		{"mptcp", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 262), proto},
		{"route netlink", native(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE), pass},
		{"netfilter", native(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER), refuse},
		{"vsock", native(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM), family},
		{"vsock with a high bit", native(unix.SYS_SOCKET, unix.AF_VSOCK|high, unix.SOCK_STREAM), family},
		{"unix with a high bit is unix to the kernel", native(unix.SYS_SOCKET, unix.AF_UNIX|high, unix.SOCK_STREAM), pass},
		{"packet", native(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_DGRAM), family},
		{"alg", native(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET), family},
		{"a pair", native(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM), pass},
		{"a pair of another family", native(unix.SYS_SOCKETPAIR, unix.AF_TIPC, unix.SOCK_STREAM), family},

		{"TCGETS", native(unix.SYS_IOCTL, 0, unix.TCGETS), pass},
		{"TIOCSTI", native(unix.SYS_IOCTL, 0, unix.TIOCSTI), refuse},
		{"TIOCSTI with a high bit", native(unix.SYS_IOCTL, 0, unix.TIOCSTI|high), refuse},
		{"TIOCLINUX", native(unix.SYS_IOCTL, 0, tiocLinux), refuse},
		{"personality as it is", native(unix.SYS_PERSONALITY, 0xffffffff), pass},
		{"without randomisation", native(unix.SYS_PERSONALITY, noRandomize), pass},
		{"READ_IMPLIES_EXEC", native(unix.SYS_PERSONALITY, 0x0400000), refuse},
		{"a fifo", native(unix.SYS_MKNODAT, 0, 0, unix.S_IFIFO|0o600), pass},
		{"a file", native(unix.SYS_MKNODAT, 0, 0, 0o600), pass},
		{"a character device", native(unix.SYS_MKNODAT, 0, 0, unix.S_IFCHR|0o600), refuse},
		{"a block device", native(unix.SYS_MKNODAT, 0, 0, unix.S_IFBLK|high), refuse},
	} {
		if got := verdict(t, p, c.call); got != c.want {
			t.Errorf("%s: verdict %#x, want %#x", c.what, got, c.want)
		}
	}
}

func TestFilterRefusesItsList(t *testing.T) {
	p := systemCalls()
	for _, nr := range append(append([]uint32{}, refused[:]...), refusedHere[:]...) {
		if got := verdict(t, p, native(nr, 0, 0, 0)); got != refuse {
			t.Errorf("call %d: verdict %#x", nr, got)
		}
	}
	if len(p) > 4096 {
		t.Errorf("%d instructions: the kernel takes 4096", len(p))
	}
}

// Every number has a verdict, and what is not named passes unasked: a compiler
// or a runtime must not find a call missing.
func TestFilterNamesWhatItRefuses(t *testing.T) {
	p := systemCalls()
	named := make(map[uint32]bool)
	for _, nr := range append(append(append([]uint32{}, refused[:]...), refusedHere[:]...), absent[:]...) {
		named[nr] = true
	}
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		named[nr] = true // family 0 is none of the allowed
	}
	for nr := range uint32(newest + 1) {
		if got := verdict(t, p, native(nr)); (got != pass) != named[nr] {
			t.Errorf("call %d: verdict %#x, named %v", nr, got, named[nr])
		}
	}
}

func TestConnectionsOnlyTells(t *testing.T) {
	p := connections()
	if got := verdict(t, p, native(unix.SYS_CONNECT)); got != notify {
		t.Errorf("connect: %#x", got)
	}
	if got := verdict(t, p, native(unix.SYS_SENDTO)); got != pass {
		t.Errorf("sendto: %#x", got)
	}
}

// FuzzFilter looks for a call that gets through with arguments of which the
// kernel would read something forbidden.
func FuzzFilter(f *testing.F) {
	f.Add(uint32(unix.SYS_SOCKET), uint64(unix.AF_VSOCK), uint64(1), uint64(0))
	f.Add(uint32(unix.SYS_CLONE), uint64(unix.CLONE_NEWUSER|high), uint64(0), uint64(0))
	f.Add(uint32(unix.SYS_IOCTL), uint64(0), uint64(unix.TIOCSTI|high), uint64(0))
	p := systemCalls()
	f.Fuzz(func(t *testing.T, nr uint32, a, b, c uint64) {
		if verdict(t, p, native(nr, a, b, c)) != pass {
			return
		}
		switch a32, b32 := uint32(a), uint32(b); nr { //nolint:gosec // what the kernel reads of an int
		case unix.SYS_CLONE:
			if a32&newNamespaces != 0 {
				t.Errorf("clone with %#x", a)
			}
		case unix.SYS_SOCKET:
			if a32 != unix.AF_UNIX && a32 != unix.AF_INET && a32 != unix.AF_INET6 && a32 != unix.AF_NETLINK {
				t.Errorf("socket of family %#x", a)
			}
		case unix.SYS_IOCTL:
			if b32 == unix.TIOCSTI || b32 == tiocLinux {
				t.Errorf("ioctl %#x", b)
			}
		}
	})
}

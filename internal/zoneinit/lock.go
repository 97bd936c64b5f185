package zoneinit

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// secureBits take every way away in which a user id could give capabilities,
// and lock that (capabilities(7); each lock is the bit after its own).
const (
	noRoot         = 1 << 0
	noSetuidFixup  = 1 << 2
	keepCaps       = 1 << 4
	noAmbientRaise = 1 << 6
	secureBits     = noRoot | noSetuidFixup | noAmbientRaise | (noRoot|noSetuidFixup|keepCaps|noAmbientRaise)<<1
)

// dropBounding makes this thread one whose children have no capability and get
// none: bounding, inheritable and ambient sets are empty, and a program's file
// gives no privilege. The thread itself keeps what it needs to make mounts.
func dropBounding() error {
	if err := emptyBounding(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
		return at("secure bits", err)
	}
	return dropInheritable()
}

func emptyBounding() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return at("clear the ambient set", err)
	}
	for c := uintptr(0); c < 64; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL && c > unix.CAP_LAST_CAP {
			break // the kernel's last one was before
		}
		if err != nil {
			return at("bounding set", err)
		}
	}
	return nil
}

// dropBoundingOf is dropBounding under a container runtime's kernel. One of its
// own has no secure bits; the empty bounding set is the same wall there.
func dropBoundingOf(ownKernel bool) error {
	if !ownKernel {
		return dropBounding()
	}
	if err := emptyBounding(); err != nil {
		return err
	}
	return dropInheritable()
}

func dropInheritable() error {
	header, sets := capabilityHeader(), [2]unix.CapUserData{}
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return at("capget", err)
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return at("inheritable set", err)
	}
	return at("no new privileges", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

func capabilityHeader() unix.CapUserHeader {
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// dropAll leaves no thread of this process a capability. None can come back:
// that takes a program with privileges, and this thread, the only one that ever
// started one, cannot have those any more.
func dropAll() error {
	header, none := capabilityHeader(), [2]unix.CapUserData{}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if e != 0 {
		return e
	}
	return nil
}

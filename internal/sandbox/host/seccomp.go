package host

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// seccompAction asks the kernel whether it knows a filter action (seccomp(2),
// SECCOMP_GET_ACTION_AVAIL); it installs nothing.
func seccompAction(action *uint32) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(action)))
	return e
}

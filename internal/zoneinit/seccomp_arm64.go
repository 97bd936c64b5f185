package zoneinit

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	foreignBit = 0 // no second set of numbers
	sysMknod   = 0 // mknodat only
)

// refusedHere are the calls that only this architecture has.
var refusedHere = [...]uint32{}

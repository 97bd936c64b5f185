package zoneinit

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The fields of struct seccomp_data. Arguments have 64 bits, but for an int the
// kernel reads the low half only: a comparison of all 64 is passed by setting a
// high bit. Everything here compares the low half.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// program assembles a classic BPF program. Jumps go to rules' ends only, so
// a rule is: load, tests that skip to the next rule, a verdict.
type program []unix.SockFilter

func (p *program) load(offset uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

func (p *program) argument(n uint32) { p.load(offArgs + 8*n) }

func (p *program) and(mask uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
}

func (p *program) verdict(v uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v})
}

// jump compares the accumulator: when the test holds the next yes instructions
// are skipped, else no of them.
func (p *program) jump(test uint16, k uint32, yes, no uint8) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no})
}

// whenEqual gives a verdict when the accumulator is k.
func (p *program) whenEqual(k, v uint32) {
	p.jump(unix.BPF_JEQ, k, 0, 1)
	p.verdict(v)
}

// whenAny gives a verdict when the accumulator has any bit of mask.
func (p *program) whenAny(mask, v uint32) {
	p.jump(unix.BPF_JSET, mask, 0, 1)
	p.verdict(v)
}

// unlessIn gives a verdict when the accumulator is none of the values.
func (p *program) unlessIn(values []uint32, v uint32) {
	for i, k := range values {
		p.jump(unix.BPF_JEQ, k, uint8(len(values)-i), 0) //nolint:gosec // a handful
	}
	p.verdict(v)
}

// installFilter gives this thread, or with flags all of them, a filter. The
// result is the listener where flags ask for one.
func installFilter(p program, flags uintptr) (int, error) {
	fprog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]} //nolint:gosec // far below 4096
	r, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if e != 0 {
		return -1, at("filter", e)
	}
	return int(r), nil //nolint:gosec // a descriptor
}

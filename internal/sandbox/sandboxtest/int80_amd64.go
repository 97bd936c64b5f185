package sandboxtest

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 makes the 32-bit getpid, past a filter that knows the 64-bit numbers
// alone. The code is put into a page of its own, since Go has no such call:
//
//	mov eax, 20; int 0x80; ret
func int80() error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	copy(page, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3})
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	// A func value points to a word that holds the address of the code.
	code := unsafe.Pointer(&page[0])
	word := unsafe.Pointer(&code)
	call := *(*func() uintptr)(unsafe.Pointer(&word))
	got := int32(call())
	if got < 0 {
		return syscall.Errno(-got)
	}
	return nil
}

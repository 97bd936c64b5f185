package zoneinit

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/probe"
)

// request is the kernel's struct ifreq, as far as flags go.
type request struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

// loopback brings the one interface of the zone up or down.
func loopback(up bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return at("socket", err)
	}
	defer unix.Close(fd)
	r := request{name: [unix.IFNAMSIZ]byte{'l', 'o'}}
	if up {
		r.flags = unix.IFF_UP | unix.IFF_RUNNING
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&r))); e != 0 {
		return at("flags of lo", e)
	}
	return nil
}

// backlog is how many connections wait until the controller serves a socket.
const backlog = 1024

// listen opens the sockets of the stage, in the zone's network namespace. They
// stay in it wherever their descriptors go.
func (b *box) listen() error {
	if b.NoLoopback {
		if len(b.Listen) > 0 {
			return at("a socket without loopback", unix.EINVAL)
		}
		return loopback(false)
	}
	for _, port := range b.Listen {
		fd, err := listenOn([4]byte{127, 0, 0, 1}, port)
		if err != nil {
			return at("port "+strconv.Itoa(port), err)
		}
		b.listeners = append(b.listeners, fd)
	}
	if !b.Metadata {
		return nil
	}
	if err := addAddress(probe.MetadataAddress()); err != nil {
		return err
	}
	fd, err := listenOn(probe.MetadataAddress(), probe.MetadataPort)
	if err != nil {
		return at("the metadata address", err)
	}
	b.listeners = append(b.listeners, fd)
	return nil
}

// addressRequest is the kernel's struct ifreq with an address in it.
type addressRequest struct {
	name [unix.IFNAMSIZ]byte
	addr unix.RawSockaddrInet4
	_    [8]byte
}

// addAddress gives the loopback interface one more address, and no more than
// that one: the whole network of its class would be answered otherwise.
func addAddress(address [4]byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return at("socket", err)
	}
	defer unix.Close(fd)
	for _, step := range [...]struct {
		request uintptr
		value   [4]byte
	}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 255}}} {
		r := addressRequest{name: [unix.IFNAMSIZ]byte{'l', 'o', ':', '0'}, addr: unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: step.value}}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), step.request, uintptr(unsafe.Pointer(&r))); e != 0 {
			return at("address of lo", e)
		}
	}
	return nil
}

func listenOn(address [4]byte, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: address}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

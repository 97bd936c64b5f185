package zoneinit

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
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
		fd, err := listenOn(port)
		if err != nil {
			return at("port "+strconv.Itoa(port), err)
		}
		b.listeners = append(b.listeners, fd)
	}
	return nil
}

func listenOn(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

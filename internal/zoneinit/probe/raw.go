package probe

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// maxRead bounds what is read of any one file: a mount table of a zone has a few
// dozen lines.
const maxRead = 1 << 20

// readFile reads a file of the zone, at most maxRead bytes of it.
func readFile(path string) (string, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var all []byte
	buf := make([]byte, 8192)
	for len(all) < maxRead {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(all), nil
		}
		all = append(all, buf[:n]...)
	}
	return "", unix.EFBIG
}

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0o600)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func readlink(path string) (string, error) {
	var buf [4096]byte
	n, err := unix.Readlink(path, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// readDir returns the names in a directory and the descriptor number that was
// open while it was read.
func readDir(path string) ([]string, int, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, -1, err
	}
	defer unix.Close(fd)
	var names []string
	buf := make([]byte, 8192)
	for len(names) < 1<<16 {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, -1, err
		}
		if n <= 0 {
			return names, fd, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	return nil, -1, unix.EFBIG
}

// errnoName gives the symbol of an error number.
func errnoName(err error) string {
	e, ok := err.(unix.Errno)
	if !ok {
		return "unknown error"
	}
	if n := unix.ErrnoName(e); n != "" {
		return n
	}
	return "errno " + strconv.Itoa(int(e))
}

// refused tells whether the answer is one that only a filter, or a kernel
// without the call, gives to arguments that are wrong in every other way.
func refused(e unix.Errno) bool {
	return e == unix.EPERM || e == unix.ENOSYS || e == unix.EACCES
}

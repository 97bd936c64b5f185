package zoneinit

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// maxFDs is the most descriptors that the kernel passes with one message.
const maxFDs = 253

// line is a process's socket to the controller. Reads and writes block.
type line int

var errFrame = errors.New("unexpected frame")

// receive reads one frame of the wanted kind into m, and the descriptors that
// came with it, all of them close-on-exec.
func (l line) receive(want wire.Kind, m wire.Message) ([]int, error) {
	var h [wire.HeaderSize]byte
	fds, err := l.header(h[:])
	if err != nil {
		return nil, err
	}
	kind, n, err := wire.ParseHeader(h)
	if err != nil {
		return nil, err
	}
	if kind != want {
		return nil, errFrame
	}
	body := make([]byte, n)
	if err := l.fill(body); err != nil {
		return nil, err
	}
	if m == nil {
		return fds, nil
	}
	return fds, wire.Unmarshal(body, m)
}

// header reads h; the descriptors of a frame arrive with its first byte.
func (l line) header(h []byte) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(maxFDs*4))
	n, oobn, err := l.recvmsg(h, oob)
	if err != nil {
		return nil, err
	}
	fds, err := rights(oob[:oobn])
	if err != nil {
		return nil, err
	}
	return fds, l.fill(h[n:])
}

func (l line) recvmsg(p, oob []byte) (int, int, error) {
	for {
		n, oobn, flags, _, err := unix.Recvmsg(int(l), p, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, 0, err
		case n == 0:
			return 0, 0, unix.EPIPE
		case flags&unix.MSG_CTRUNC != 0:
			return 0, 0, unix.EMFILE
		}
		return n, oobn, nil
	}
}

func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range messages {
		got, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func (l line) fill(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Read(int(l), p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.EPIPE
		}
		p = p[n:]
	}
	return nil
}

// send writes one frame, fds with its first byte.
func (l line) send(kind wire.Kind, m wire.Message, fds ...int) error {
	var body []byte
	if m != nil {
		body = wire.Marshal(m)
	}
	h := wire.Header(kind, len(body))
	frame := append(h[:], body...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for len(frame) > 0 {
		n, err := unix.SendmsgN(int(l), frame, oob, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		frame, oob = frame[n:], nil
	}
	return nil
}

// fail tells the controller which step failed, as far as it still can.
func (l line) fail(err error) {
	m := wire.Failed{What: err.Error()}
	var s *stepError
	if errors.As(err, &s) {
		m.Step = s.step
		m.What = s.err.Error()
		if s.what != "" {
			m.What = s.what
		}
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		m.Errno = int(errno)
	}
	_ = l.send(wire.KindFailed, &m)
}

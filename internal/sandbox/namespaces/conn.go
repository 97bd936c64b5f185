package namespaces

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// setupTime bounds each wait while a zone is made; a sound host takes
// milliseconds.
const setupTime = 30 * time.Second

// maxFDs is the most descriptors that one frame carries (SCM_MAX_FD).
const maxFDs = 253

// conn is the controller's end of a line to one of the zone's processes.
type conn struct{ *net.UnixConn }

// linePair makes a line: the controller's end, and the one that the zone's
// process gets.
func linePair() (conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return conn{}, nil, err
	}
	near, far := os.NewFile(uintptr(fds[0]), "line"), os.NewFile(uintptr(fds[1]), "line") //nolint:gosec // descriptors
	defer func() { _ = near.Close() }()                                                   // FileConn has its own
	c, err := net.FileConn(near)
	if err != nil {
		_ = far.Close()
		return conn{}, nil, err
	}
	return conn{c.(*net.UnixConn)}, far, nil
}

// send writes one frame, files with its first byte.
func (c conn) send(kind wire.Kind, m wire.Message, files ...*os.File) error {
	var body []byte
	if m != nil {
		body = wire.Marshal(m)
	}
	if len(body) > wire.MaxBody {
		return fmt.Errorf("%w: %d bytes for a zone", syscall.E2BIG, len(body))
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd()) //nolint:gosec // descriptors
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := c.SetWriteDeadline(time.Now().Add(setupTime)); err != nil {
		return err
	}
	h := wire.Header(kind, len(body))
	frame := append(h[:], body...)
	n, _, err := c.WriteMsgUnix(frame, oob, nil)
	if err == nil && n < len(frame) {
		_, err = c.Write(frame[n:])
	}
	return err
}

// receive reads one frame of the wanted kind into m, within setupTime. It gives
// a *setupError when the other side failed, and io.EOF when it is gone.
func (c conn) receive(want wire.Kind, m wire.Message) ([]*os.File, error) {
	if err := c.SetReadDeadline(time.Now().Add(setupTime)); err != nil {
		return nil, err
	}
	return c.read(want, m)
}

// await is receive without a bound on time.
func (c conn) await(want wire.Kind, m wire.Message) error {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	files, err := c.read(want, m)
	closeAll(files)
	return err
}

func (c conn) read(want wire.Kind, m wire.Message) ([]*os.File, error) {
	var h [wire.HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(maxFDs*4))
	n, oobn, flags, _, err := c.ReadMsgUnix(h[:], oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := rights(oob[:oobn])
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("more descriptors than were expected")
	}
	if err == nil {
		_, err = io.ReadFull(c, h[n:])
	}
	if err == nil {
		err = c.body(h, want, m)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func (c conn) body(h [wire.HeaderSize]byte, want wire.Kind, m wire.Message) error {
	kind, size, err := wire.ParseHeader(h)
	if err != nil {
		return err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	switch {
	case kind == wire.KindFailed:
		var f wire.Failed
		if err := wire.Unmarshal(body, &f); err != nil {
			return err
		}
		return &setupError{f}
	case kind != want:
		return fmt.Errorf("the zone said %q where %q was expected", kind, want)
	case m == nil:
		return nil
	}
	return wire.Unmarshal(body, m)
}

// rights gives the files of a control message.
func rights(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "from the zone")) //nolint:gosec // a descriptor
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // read-only handles
		}
	}
}

// setupError is a step of making a zone that failed. No payload ran.
type setupError struct{ wire.Failed }

func (e *setupError) Error() string {
	if e.Step == "" {
		return e.What
	}
	return e.Step + ": " + e.What
}

// Unwrap gives the kernel's answer, where there was one.
func (e *setupError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return syscall.Errno(e.Errno) //nolint:gosec // as the kernel gave it
}

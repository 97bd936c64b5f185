package zoneinit

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// In a zone with a container, PID 1 does not run the payload. It puts the
// zone's root together as ever, as a part of a room that holds what an OCI
// runtime needs and nothing of the host's beside its programs, and lets the
// runtime make a container of that root. The container's first process is this
// program again: it starts the payload's process, which does in the container
// what it does in a zone. Whoever breaks the container stands in the zone.

// rootInRoom is the zone's root, below the room.
const rootInRoom = wire.ContainerDir

// makeRoom mounts the room on top of the host's root: the host's programs, the
// six devices, a process table that is whole, since the kernel lets nobody
// mount another one who sees only a part, and the zone's own control groups.
func (z *zone) makeRoom() (err error) {
	if z.root, err = create("tmpfs", noPrivileges, option{"mode", "0755"}, option{"size", "64m"}, option{"nr_inodes", "4096"}); err != nil {
		return err
	}
	if err := unix.MoveMount(z.root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return at("mount the room", err)
	}
	for _, name := range [...]string{"etc", "dev", "proc", "tmp", "sys/fs/cgroup", rootInRoom, wire.ContainerBundle, wire.ContainerState} {
		if err := directory(z.root, name, 0o755); err != nil {
			return err
		}
	}
	if err := z.all([]step{
		{"show the host's programs to the runtime", z.showPrograms},
		{"show devices to the runtime", z.showDevices},
		{"show the runtime's libraries", func() error { return z.show("etc/ld.so.cache") }},
	}); err != nil {
		return err
	}
	for _, fs := range [...]struct{ kind, at string }{{"proc", "proc"}, {"cgroup2", "sys/fs/cgroup"}} {
		fd, err := create(fs.kind, bare)
		if err != nil {
			return err
		}
		if err := move(fd, z.root, fs.at); err != nil {
			return err
		}
	}
	z.room = z.root
	return nil
}

// furnishRoom puts into the room what depends on the stage: the runtime, the
// bundle, and the container's first process.
func (b *box) furnishRoom() error {
	fd, err := b.open(b.Runtime.Program, readOnly)
	if err != nil {
		return at("the runtime", err)
	}
	if err := file(b.room, strings.TrimPrefix(wire.ContainerRuntime, "/"), ""); err != nil {
		return err
	}
	if err := move(fd, b.room, wire.ContainerRuntime); err != nil {
		return err
	}
	if err := file(b.room, strings.TrimPrefix(wire.ContainerBundle, "/")+"/config.json", b.Runtime.Config); err != nil {
		return err
	}
	return b.showInit()
}

// showInit copies this program, which has no path, to where the runtime can
// start it.
func (b *box) showInit() error {
	const name = "zoneinit"
	code, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return at("read the init", err)
	}
	if err := file(b.room, name, string(code)); err != nil {
		return err
	}
	if err := unix.Fchmodat(b.room, name, 0o555, 0); err != nil {
		return at("make the init executable", err)
	}
	if err := file(b.root, strings.TrimPrefix(wire.ContainerInit, "/"), ""); err != nil {
		return err
	}
	fd, err := tree(b.room, name, readOnly)
	if err != nil {
		return err
	}
	return move(fd, b.root, wire.ContainerInit)
}

// boundNesting lets one more user namespace be made below this one, which is
// the payload's. A runtime with a kernel of its own makes some for itself, and
// its payload none that the host's kernel hears of.
func (b *box) boundNesting() error {
	if b.Runtime.OwnKernel || b.without(wire.Nesting) {
		return nil
	}
	fd, err := unix.Open("/proc/sys/user/max_user_namespaces", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte("1"))
		unix.Close(fd)
	}
	if err != nil {
		b.lack(wire.Nesting, err.Error())
	}
	return nil
}

// contain makes the zone, and a container in it.
func (b *box) contain() error {
	if len(b.fds) < 3 {
		return errStreams
	}
	streams := b.fds[len(b.fds)-3:]
	b.fds = b.fds[:len(b.fds)-3]
	if err := b.makeZone(
		step{"put the runtime in place", b.furnishRoom},
		step{"bound nested namespaces", b.boundNesting},
	); err != nil {
		return err
	}
	return b.runContainer(streams)
}

// runContainer starts the runtime with both lines and the payload's streams,
// and waits for its end. From then on the container's first process speaks.
func (b *box) runContainer(streams []int) error {
	if err := b.all([]step{{"start the container's runtime", func() error { return b.startRuntime(streams) }}}); err != nil {
		return err
	}
	for _, fd := range streams {
		unix.Close(fd)
	}
	if err := b.all([]step{
		{"give up capabilities", dropBounding},
		{"drop capabilities", dropAll},
		{"filter system calls", b.filter},
	}); err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return at("wait for the container", err)
		case pid == b.payload:
			// The controller has heard of the payload's end, if it ever ran.
			return &stepError{step: "run the container", what: runtimeLog(), err: unix.ECHILD}
		}
	}
}

var errStreams error = unix.EBADF

func (b *box) startRuntime(streams []int) error {
	if len(streams) != 3 || len(b.Runtime.Args) == 0 {
		return errStreams
	}
	var err error
	b.payload, err = syscall.ForkExec(wire.ContainerRuntime, b.Runtime.Args, &syscall.ProcAttr{
		Dir: "/",
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + wire.ContainerState, "XDG_RUNTIME_DIR=" + wire.ContainerState, "TMPDIR=/tmp"},
		Files: []uintptr{
			uintptr(streams[0]), uintptr(streams[1]), uintptr(streams[2]), controlFD, payloadFD,
		},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	unix.Close(payloadFD)
	return at(b.Runtime.Args[0], err)
}

// maxLog bounds what is repeated of a runtime's log, in bytes.
const maxLog = 2048

// runtimeLog is the end of what the runtime had to say.
func runtimeLog() string {
	fd, err := unix.Open(wire.ContainerLog, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "the runtime ended"
	}
	defer unix.Close(fd)
	if size, err := unix.Seek(fd, 0, unix.SEEK_END); err == nil {
		_, _ = unix.Seek(fd, max(size-maxLog, 0), unix.SEEK_SET)
	}
	buf := make([]byte, maxLog)
	n, err := unix.Read(fd, buf)
	if err != nil || n == 0 {
		return "the runtime ended"
	}
	return "the runtime ended: " + string(buf[:n])
}

// contained is PID 1 of a container.
type contained struct {
	zone
	enter   wire.Enter
	started line // to the payload's process: ends when it becomes the payload
}

func containerMain() int {
	c := &contained{zone: zone{line: controlFD, host: -1, room: -1, root: -1}}
	if err := c.run(); err != nil {
		c.line.fail(err)
		return exitFailed
	}
	return exitEnded
}

func (c *contained) run() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return at("be not dumpable", err)
	}
	if _, err := c.line.receive(wire.KindEnter, &c.enter); err != nil {
		return at("receive the container's part", err)
	}
	c.fail = c.enter.FailStep
	c.prepare.Without = c.enter.Without
	if err := c.all([]step{
		{"start the payload's process", c.startPayload},
		{"close the root and /proc", c.closeMounts},
		{"give up capabilities", func() error { return dropBoundingOf(c.enter.OwnKernel) }},
		{"drop capabilities", dropAll},
		{"filter system calls", c.filter},
	}); err != nil {
		return err
	}
	if err := c.line.send(wire.KindLocked, nil); err != nil {
		return at("tell that it is locked", err)
	}
	if err := c.tellStart(); err != nil {
		return err
	}
	go c.lifeline()
	return c.reap()
}

// startPayload starts the payload's process in a user namespace of its own, in
// which it is an ordinary user: the container's is that of the runtime, which
// wants to be root.
func (c *contained) startPayload() error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ids := []syscall.SysProcIDMap{{ContainerID: c.enter.UID, HostID: 0, Size: 1}}
	c.payload, err = syscall.ForkExec(wire.ContainerInit, []string{"init", "contained"}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{0, 1, 2, payloadFD, uintptr(ends[1])},
		Sys: &syscall.SysProcAttr{
			Setsid: true, Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
			AmbientCaps: []uintptr{unix.CAP_SETPCAP}, // to empty its own bounding set
		},
	})
	unix.Close(ends[1])
	unix.Close(payloadFD)
	c.started = line(ends[0])
	return at("start the process", err)
}

// closeMounts makes the container's process table read-only: until the payload's
// process had its user, it could not be. And it gives the root back what a
// runtime takes from it when it mounts it again. Another kernel's mounts are no
// part of the host's.
func (c *contained) closeMounts() error {
	if c.enter.OwnKernel {
		return nil
	}
	var err error
	if c.root, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	defer unix.Close(c.root)
	if err := c.maskProc(); err != nil {
		return err
	}
	for _, m := range [...]struct {
		path       string
		attributes uint64
	}{{".", readOnly}, {"dev", readOnly}, {"proc", bare | unix.MOUNT_ATTR_RDONLY}} {
		fd, err := find(c.root, m.path)
		if err != nil {
			return at(m.path, err)
		}
		err = restrict(fd, m.attributes, false)
		unix.Close(fd)
		if err != nil {
			return at(m.path, err)
		}
	}
	return nil
}

// tellStart waits until the payload's process has become the payload, and tells
// the controller; what the process says instead is told, too. The process's own
// line does not end then: the runtime keeps a descriptor of it.
func (c *contained) tellStart() error {
	var failed wire.Failed
	if _, err := c.started.receive(wire.KindFailed, &failed); err == nil {
		return c.line.send(wire.KindFailed, &failed)
	}
	return c.line.send(wire.KindStarted, nil)
}

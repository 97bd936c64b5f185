package zoneinit

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/probe"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// zone is PID 1 and what it holds while it makes the zone's root.
type zone struct {
	steps
	line    line
	prepare wire.Prepare
	missing []wire.Lack

	root    int // the zone's root directory, as a descriptor of its mount
	room    int // what the root is a part of, where a container is made of it; else -1
	host    int // the host's root; -1 once it is gone
	payload int // pid of the payload's process
}

// work is the directory of the root in which everything lies that the
// payload must not see: the host's tree, overlay layers, the tmpfs that /tmp
// and others are parts of. One detach takes all of it away.
const work = ".zone"

func zoneMain() int {
	z := &zone{line: controlFD, host: -1, room: -1}
	if err := z.run(); err != nil {
		z.line.fail(err)
		return exitFailed
	}
	return exitEnded
}

func (z *zone) run() error {
	// From here on nobody but the kernel looks into this process, not even
	// another one of the same user.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return at("be not dumpable", err)
	}
	unix.Close(programFD)
	if _, err := z.line.receive(wire.KindPrepare, &z.prepare); err != nil {
		return at("receive preparation", err)
	}
	z.fail = z.prepare.FailStep
	if err := z.all(z.preparation()); err != nil {
		return err
	}
	if err := z.line.send(wire.KindReady, nil); err != nil {
		return at("tell that it is prepared", err)
	}
	var m wire.Setup
	fds, err := z.line.receive(wire.KindSetup, &m)
	if err != nil {
		return at("receive the stage's part", err)
	}
	b := &box{zone: z, Setup: m, fds: fds}
	if z.prepare.Container {
		return b.contain()
	}
	if err := b.makeZone(); err != nil {
		return err
	}
	if err := z.lock(); err != nil {
		return err
	}
	go z.lifeline()
	return z.reap()
}

// preparation is what does not depend on the stage, in the order in which it
// has to happen.
func (z *zone) preparation() []step {
	own := []step{
		{"give up capabilities", dropBounding},
		{"start the payload's process", z.startPayload},
	}
	proc := []step{{"make /proc", z.makeProc}}
	room := []step{}
	if z.prepare.Container {
		// The runtime has to have capabilities, and makes the rest.
		own, proc, room = nil, nil, []step{{"make the runtime's room", z.makeRoom}}
	}
	return slices.Concat([]step{
		{"leave the controller's cgroups", z.leaveCgroups},
		{"die with the controller", func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }},
	}, own, []step{
		{"keep mounts to ourselves", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"open the host's root", z.openHost},
	}, room, []step{
		{"make the root", z.makeRoot},
		{"show the host's programs", z.showOwnPrograms},
		{"write /etc", z.writeEtc},
		{"make /dev", z.makeDev},
	}, proc, []step{
		{"make the writable places", z.makeScratch},
		{"enter the root", z.enter},
		{"bring up the loopback interface", func() error { return loopback(true) }},
	})
}

// makeZone does the stage's part, to the point where this process has nothing
// left that the payload could want. The steps of extra come before the host is
// out of reach.
func (b *box) makeZone(extra ...step) error {
	z := b.zone
	var root unix.Stat_t
	if err := z.all(slices.Concat([]step{
		{"name the host", func() error { return unix.Sethostname([]byte(b.Hostname)) }},
		{"size the writable places", func() error { return z.resizeScratch(b.Disk) }},
		{"show the image", b.showImage},
		{"put files into the home directory", b.furnish},
		{"mount the box", b.mountBox},
		{"mount what the stage may see", b.mountAll},
		{"mask paths", b.maskAll},
		{"open the listening sockets", b.listen},
	}, extra, []step{
		{"detach what is not the zone's", z.detach},
		{"make the root read-only", func() error { return restrict(z.root, readOnly, false) }},
		{"look at the root", func() error { return unix.Fstat(z.root, &root) }},
	})); err != nil {
		return err
	}
	var around []wire.Probe
	if z.prepare.Container {
		around = told(probe.RunAround(probe.Config{AllowedListen: b.Listen, Metadata: b.Metadata, NoLoopback: b.NoLoopback}))
	}
	made := wire.Made{Probes: around, Root: wire.Root{Dev: int64(root.Dev), Ino: int64(root.Ino)}, Missing: z.missing} //nolint:gosec // compared, not counted with
	if err := z.line.send(wire.KindMade, &made, b.listeners...); err != nil {
		return at("tell that the zone is made", err)
	}
	for _, fd := range b.listeners {
		unix.Close(fd)
	}
	unix.Close(z.root)
	return nil
}

// lock takes from this process what it no longer needs, while the payload's
// probes the zone. The controller releases the payload only after both.
func (z *zone) lock() error {
	z.missing = nil
	if err := z.all([]step{
		{"drop capabilities", dropAll},
		{"filter system calls", z.filter},
	}); err != nil {
		return err
	}
	return at("tell that it is locked", z.line.send(wire.KindLocked, nil))
}

// lack notes a primitive that the zone does without. The controller decides
// whether that is good enough.
func (z *zone) lack(primitive, why string) {
	z.missing = append(z.missing, wire.Lack{Primitive: primitive, Why: why})
}

// without tells whether the controller, in a test of what happens then, asked
// to leave a primitive out; it is then missing like any other.
func (z *zone) without(primitive string) bool {
	for _, w := range z.prepare.Without {
		if w == primitive {
			z.lack(primitive, "left out on request")
			return true
		}
	}
	return false
}

// leaveCgroups hides where in the host's hierarchy the zone's cgroup is, in
// which this process was born.
func (z *zone) leaveCgroups() error {
	if z.without(wire.CgroupNS) {
		return nil
	}
	return unix.Unshare(unix.CLONE_NEWCGROUP)
}

// startPayload starts the process that becomes the payload: in a session of
// its own, with nothing open but its line, and, since this thread has given
// them up, with no capability. It waits while the zone is being made.
func (z *zone) startPayload() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return at("open /dev/null", err)
	}
	defer unix.Close(null)
	z.payload, err = syscall.ForkExec("/proc/self/exe", []string{"init", "payload"}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), payloadFD},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	unix.Close(payloadFD)
	return at("start the process", err)
}

func (z *zone) filter() error {
	if z.without(wire.Seccomp) {
		return nil
	}
	_, err := installFilter(systemCalls(), unix.SECCOMP_FILTER_FLAG_TSYNC)
	return err
}

// lifeline ends the zone when the controller is gone: its end of the line
// closes with it, even when it is killed.
func (z *zone) lifeline() {
	var b [1]byte
	for {
		if _, err := unix.Read(int(z.line), b[:]); err != unix.EINTR {
			unix.Exit(exitEnded)
		}
	}
}

// reap waits for all processes of the zone and reports the payload's end. When
// this process then ends, the kernel kills what is left.
func (z *zone) reap() error {
	for {
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, 0, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return at("wait", err)
		case pid != z.payload:
			continue
		}
		var all unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &all); err != nil {
			all = usage
		}
		return z.line.send(wire.KindEnded, &wire.Ended{
			Status: int64(status), CPU: all.Utime.Nano() + all.Stime.Nano(), MaxRSS: all.Maxrss << 10,
		})
	}
}

package zoneinit

import (
	"errors"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/probe"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// payload is the process that becomes the payload. It starts without any
// capability and only ever loses more. What it does, it does on its first
// thread, to which Landlock and the filter are put, and which is the one that
// remains when it becomes the payload: the kernel ends all others then.
type payload struct {
	steps
	line    line
	launch  wire.Launch
	fds     []int
	missing []wire.Lack
	results []probe.Result
	told    []int // the listener of the second filter

	contained bool // in a container, in a user namespace of its own
}

func payloadMain(contained bool) int {
	p := &payload{line: controlFD, contained: contained}
	if err := p.run(); err != nil {
		p.line.fail(err)
	}
	return exitFailed // a payload that runs never comes back here
}

func (p *payload) run() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return at("be not dumpable", err)
	}
	var err error
	if p.fds, err = p.line.receive(wire.KindLaunch, &p.launch); err != nil {
		return at("receive the payload", err)
	}
	p.fail = p.launch.FailStep
	if err := p.all([]step{
		{"stand in the zone's root", p.checkRoot},
		{"give up capabilities", p.dropCapabilities},
		{"take the standard streams", p.takeStreams},
		{"set resource limits", p.setLimits},
		{"hand on no other descriptor", closeOnExec},
		{"restrict file access", p.restrictFiles},
		{"filter system calls", p.filterCalls},
		{"probe the zone", p.probeZone},
		{"tell of connections", p.tellConnections},
	}); err != nil {
		return err
	}
	if err := p.report(); err != nil {
		return at("report", err)
	}
	if _, err := p.line.receive(wire.KindGo, nil); err != nil {
		return at("wait for the word", err)
	}
	if p.contained {
		p.line = startedFD
	}
	return p.all([]step{
		{"enter the working directory", func() error { return at(p.launch.Dir, unix.Chdir(p.launch.Dir)) }},
		{"hand on no other descriptor", closeOnExec}, // those that the probe opened
		{"ignore no signal", defaultSignals},
		{"run the payload", p.exec},
	})
}

var errRoot = errors.New("it is another one")

// checkRoot compares the root that the kernel gave this process when PID 1
// changed its own with the one that PID 1 made.
func (p *payload) checkRoot() error {
	for _, dir := range [...]string{"/", "."} {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return at(dir, err)
		}
		if p.launch.OwnKernel {
			continue // its numbers are its own
		}
		if int64(st.Dev) != p.launch.Root.Dev || int64(st.Ino) != p.launch.Root.Ino { //nolint:gosec // as they were sent
			return at(dir, errRoot)
		}
	}
	unix.Umask(0o022)
	return nil
}

// dropCapabilities gives up what came with a user namespace of its own.
func (p *payload) dropCapabilities() error {
	if !p.contained {
		return nil // it was born without
	}
	if err := dropBoundingOf(p.launch.OwnKernel); err != nil {
		return err
	}
	return dropAll()
}

// takeStreams takes the streams that came with the payload. In a container they
// are the process's own from its start.
func (p *payload) takeStreams() error {
	if p.contained && len(p.fds) == 0 {
		return nil
	}
	if len(p.fds) != 3 {
		return unix.EBADF
	}
	for i, fd := range p.fds {
		if err := unix.Dup3(fd, i, 0); err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
}

func closeOnExec() error { return unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) }

// setLimits sets each limit, soft and hard, as far as the inherited hard limit
// goes: it cannot be raised here.
func (p *payload) setLimits() error {
	for _, l := range p.launch.Limits {
		var now unix.Rlimit
		if err := unix.Prlimit(0, l.Resource, nil, &now); err != nil {
			return err
		}
		v := min(uint64(max(l.Value, 0)), now.Max) //nolint:gosec // not negative
		if err := unix.Prlimit(0, l.Resource, &unix.Rlimit{Cur: v, Max: v}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (p *payload) without(primitive string) bool {
	for _, w := range p.launch.Without {
		if w == primitive {
			p.missing = append(p.missing, wire.Lack{Primitive: primitive, Why: "left out on request"})
			return true
		}
	}
	return false
}

func (p *payload) restrictFiles() error {
	if p.without(wire.Landlock) || p.launch.OwnKernel {
		return nil
	}
	lack, err := landlock(p.launch.Writable)
	if lack != "" {
		p.missing = append(p.missing, wire.Lack{Primitive: wire.Landlock, Why: lack})
	}
	return err
}

func (p *payload) filterCalls() error {
	if p.without(wire.Seccomp) {
		return nil
	}
	_, err := installFilter(systemCalls(), 0)
	return err
}

// probeZone tries, with what the payload will have, what must not work.
func (p *payload) probeZone() error {
	c := p.launch.Probe
	names := make([]string, 0, len(p.launch.Env))
	for _, kv := range p.launch.Env {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	p.results = probe.Run(probe.Config{
		HostPIDs: c.HostPIDs, HostNS: c.HostNS, StateDir: c.StateDir, AllowedListen: c.AllowedListen,
		Canaries: c.Canaries, Forbidden: c.Forbidden, NoLoopback: c.NoLoopback, Metadata: c.Metadata, Zone: c.Zone,
		OwnKernel: p.launch.OwnKernel, HostRelease: c.HostRelease,
		AllowedEnv: names, Env: p.launch.Env, Writable: p.launch.Writable,
	})
	return nil
}

// tellConnections puts up the second filter, by which the controller hears of
// connections. A kernel that cannot do that is not weaker: nothing is enforced
// by it. It comes after the probe, whose own connections nobody hears of.
func (p *payload) tellConnections() error {
	if !p.launch.Notify {
		return nil
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	if fd, err := installFilter(connections(), flags); err == nil {
		p.told = []int{fd}
	}
	return nil
}

// report tells what the probe found. After a single bad result this process
// will not run the payload, whatever the controller says.
func (p *payload) report() error {
	m := wire.Probed{Missing: p.missing}
	clean := len(p.results) > 0
	for _, r := range p.results {
		clean = clean && r.OK
	}
	m.Probes = told(p.results)
	if err := p.line.send(wire.KindProbed, &m, p.told...); err != nil {
		return err
	}
	if !clean {
		unix.Exit(exitFailed)
	}
	return nil
}

func told(results []probe.Result) []wire.Probe {
	all := make([]wire.Probe, 0, len(results))
	for _, r := range results {
		all = append(all, wire.Probe{Name: r.Name, Wanted: r.Wanted, Got: r.Got, OK: r.OK})
	}
	return all
}

var errNotFound error = syscall.ENOENT

// defaultSignals gives every signal its default action, so that the payload does
// not inherit what whoever started the controller ignores. The call is a raw one:
// nothing of ours handles a signal from here on.
func defaultSignals() error {
	var act [32]byte // the kernel's struct sigaction: SIG_DFL, no flags, no mask
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&act[0])), 0, 8, 0, 0); e != 0 {
			return e
		}
	}
	return nil
}

// exec becomes the payload. Its line closes with that, which tells the
// controller that it runs.
func (p *payload) exec() error {
	if len(p.launch.Args) == 0 || p.launch.Args[0] == "" {
		return unix.EINVAL
	}
	name := p.launch.Args[0]
	if strings.Contains(name, "/") {
		return at(name, syscall.Exec(name, p.launch.Args, p.launch.Env))
	}
	last := errNotFound
	for dir := range strings.SplitSeq(lookup(p.launch.Env, "PATH"), ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // never the working directory
		}
		err := syscall.Exec(dir+"/"+name, p.launch.Args, p.launch.Env)
		if err != syscall.ENOENT && err != syscall.ENOTDIR {
			last = err
		}
		if err != syscall.ENOENT && err != syscall.ENOTDIR && err != syscall.EACCES {
			break
		}
	}
	return at(name, last)
}

func lookup(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

package namespaces

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// process is a zone whose payload runs.
type process struct {
	zone      *zone
	spec      sandbox.Spec
	limits    sandbox.Limits
	streams   *streams
	listeners []net.Listener
	receipt   evidence.Receipt
	began     time.Time
	watcher   *watcher // nil: the kernel cannot tell
	stop      func() bool

	mu    sync.Mutex
	limit string // the limit that ended it

	done   chan struct{} // closed when result and err are there
	result sandbox.Result
	err    error
}

var _ sandbox.Process = (*process)(nil)

func (r *process) Listeners() []net.Listener { return r.listeners }

func (r *process) Receipt() evidence.Receipt { return r.receipt }

func (r *process) PID() int { return r.zone.process.Pid }

func (r *process) Kill() { r.zone.kill() }

func (r *process) Wait() (sandbox.Result, error) {
	<-r.done
	return r.result, r.err
}

// over ends the zone because of a limit. The first one counts.
func (r *process) over(limit string) {
	r.mu.Lock()
	if r.limit == "" {
		r.limit = limit
	}
	r.mu.Unlock()
	r.zone.kill()
}

// run looks after the zone to its end.
func (r *process) run(ctx context.Context) {
	defer close(r.done)
	r.streams.copy(func() { r.over("output") })
	timer := time.AfterFunc(r.limits.Time, func() { r.over("time") })
	disk := watchDisk(r.spec.Overlay.Upper, r.limits.Disk, func() { r.over("disk") })
	var ended wire.Ended
	told := r.zone.control.await(wire.KindEnded, &ended) == nil
	r.zone.kill() // what the payload left behind
	r.zone.wait()
	timer.Stop()
	if disk.end() {
		r.over("disk")
	}
	r.stop()
	r.err = r.streams.end()
	r.result = sandbox.Result{Wall: time.Since(r.began), CPU: time.Duration(ended.CPU), MaxRSS: ended.MaxRSS}
	if told {
		r.status(syscall.WaitStatus(ended.Status)) //nolint:gosec // as the kernel gave it
	} else {
		r.result.Signal, r.result.ExitCode = syscall.SIGKILL, 128+int(syscall.SIGKILL)
		r.err = errors.Join(r.err, ctx.Err())
	}
	r.result.Blocked = append(r.result.Blocked, r.watcher.blocked()...)
	r.account(r.zone.used)
}

// status reads the payload's wait status.
func (r *process) status(ws syscall.WaitStatus) {
	r.result.ExitCode = ws.ExitStatus()
	if !ws.Signaled() {
		return
	}
	r.result.Signal, r.result.ExitCode = ws.Signal(), 128+int(ws.Signal())
	switch ws.Signal() {
	case syscall.SIGSYS:
		r.result.Blocked = append(r.result.Blocked, sandbox.Blocked{
			What: "syscall", Target: "a call by another architecture's numbers", Process: r.spec.Args[0], Count: 1,
		})
	case syscall.SIGXFSZ:
		r.result.Limit = "filesize"
	}
}

// account adds what the control group counted, and finds the limit that ended
// the payload where the controller did not end it itself.
func (r *process) account(u usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.cpu > 0 {
		r.result.CPU = u.cpu
	}
	if u.memory > 0 {
		r.result.MaxRSS = u.memory
	}
	switch {
	case r.limit != "":
		r.result.Limit = r.limit
	case r.result.ExitCode == 0 || r.result.Limit != "":
	case u.outOfMemory > 0:
		r.result.Limit = "memory"
	case u.forksRefused > 0:
		r.result.Limit = "pids"
	}
	r.result.Bound = bound(r.result.Limit, r.limits)
}

// bound is the value of a limit by its name; zero for none.
func bound(name string, l sandbox.Limits) int64 {
	switch name {
	case "time":
		return int64(l.Time)
	case "memory":
		return l.Memory
	case "disk":
		return l.Disk
	case "filesize":
		return l.FileSize
	case "pids":
		return int64(l.PIDs)
	case "output":
		return l.Output
	}
	return 0
}

package namespaces

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer stops a controller, and each process that it starts, at every system
// call, up to where a payload's program begins. It can let one call fail: the
// kernel is given another one, which does nothing, and the caller an error.
type tracer struct {
	ended chan struct{} // closed when the controller is gone

	// The tracing thread's own.
	pid     int
	process map[int]*traced // by the number of a process
	thread  map[int]*traced // by the number of a thread
	failing map[int]bool    // threads in a call that fails
	open    bool            // the controller is making a zone

	mu     sync.Mutex
	target call          // the call to fail, or of number none
	errno  syscall.Errno // how
	trail  trail
}

// traced is one process.
type traced struct {
	who      string // where it comes from: "0" the controller, "0.2" its second child
	children int
	execs    int
}

// call is one system call while a zone is made: the n-th with its number by one
// process, with what all threads of the process do in one count.
type call struct {
	who string
	nr  uint64
	n   int
}

// none is the number of no call: all are counted, and none fails.
const none = ^uint64(0)

func (c call) String() string { return fmt.Sprintf("%s of %s, call %d", callName(c.nr), c.who, c.n) }

// trail is what was seen while one zone was made.
type trail struct {
	calls  []call
	counts map[call]int // by calls without their n
	failed bool         // the target was met
	ran    bool         // a payload's program was begun
}

// The signals of the controller to itself, which it never gets: a zone is made
// between the first two. The third lets a thread stop once.
const (
	zoneBegins = unix.SIGUSR1
	zoneEnds   = unix.SIGUSR2
	stopOnce   = unix.SIGWINCH
)

// threadOnly restricts wait to what this thread traces (__WNOTHREAD).
const threadOnly = 0x20000000

// startTraced starts a program under a tracer.
func startTraced(args, env []string, files []*os.File) (*tracer, error) {
	t := &tracer{ended: make(chan struct{}), process: make(map[int]*traced), thread: make(map[int]*traced), failing: make(map[int]bool)}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: what it traces ends with the thread
		err := t.begin(args, env, files)
		begun <- err
		if err == nil {
			t.run()
		}
		close(t.ended)
	}()
	return t, <-begun
}

func (t *tracer) begin(args, env []string, files []*os.File) error {
	p, err := os.StartProcess(args[0], args, &os.ProcAttr{Env: env, Files: files, Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		return err
	}
	t.pid = p.Pid
	t.process[t.pid] = &traced{who: "0"}
	t.thread[t.pid] = t.process[t.pid]
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE |
		unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return err
	}
	return unix.PtraceSyscall(t.pid, 0)
}

// run goes on until the controller ends.
func (t *tracer) run() {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL|threadOnly, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return
		case status.Stopped():
			t.stopped(tid, status)
		default:
			delete(t.thread, tid)
			delete(t.process, tid)
			delete(t.failing, tid)
			if tid == t.pid {
				return
			}
		}
	}
}

// stopped looks at what a thread stands still for, and lets it go on. One that
// was killed in the meantime is not there to be asked or told anything.
func (t *tracer) stopped(tid int, status unix.WaitStatus) {
	p, known := t.thread[tid]
	if !known {
		if p = t.meet(tid); p == nil {
			_ = unix.PtraceCont(tid, 0)
			return
		}
	}
	signal := status.StopSignal()
	switch {
	case signal == unix.SIGTRAP|0x80:
		t.call(tid, p)
		signal = 0
	case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		p.execs++
		// The init is executed, then, by its child, itself and the payload.
		if depth := len(p.who); depth > len("0.1") && p.execs == 2 {
			t.mu.Lock()
			t.trail.ran = true
			t.mu.Unlock()
			delete(t.thread, tid)
			delete(t.process, tid)
			_ = unix.PtraceDetach(tid)
			return
		}
		signal = 0
	case signal == unix.SIGTRAP && status.TrapCause() > 0, signal == unix.SIGSTOP && !known:
		signal = 0
	case p.who == "0":
		signal = t.mark(p, signal)
	}
	t.resume(tid, p, int(signal))
}

// mark takes the controller's signals to itself.
func (t *tracer) mark(p *traced, signal syscall.Signal) syscall.Signal {
	switch signal {
	case zoneBegins:
		t.open, p.children = true, 0
	case zoneEnds:
		t.open = false
	case stopOnce:
	default:
		return signal
	}
	return 0
}

// resume lets a thread go on: to its next system call or, where no call of its
// process is of interest, to whatever else stops it.
func (t *tracer) resume(tid int, p *traced, signal int) {
	t.mu.Lock()
	every := t.target.nr == none || p.who == t.target.who && !t.trail.failed || t.failing[tid]
	t.mu.Unlock()
	if every {
		_ = unix.PtraceSyscall(tid, signal)
		return
	}
	_ = unix.PtraceCont(tid, signal)
}

// meet finds out whose a thread is that was not seen before.
func (t *tracer) meet(tid int) *traced {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return nil
	}
	leader, parent := statusNumber(status, "Tgid:"), statusNumber(status, "PPid:")
	p := t.process[leader]
	if p == nil {
		from := t.process[parent]
		if from == nil {
			return nil
		}
		from.children++
		p = &traced{who: from.who + "." + strconv.Itoa(from.children)}
		t.process[leader] = p
	}
	t.thread[tid] = p
	return p
}

func statusNumber(status []byte, name string) int {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, _ := strconv.Atoi(string(bytes.TrimSpace(rest)))
			return n
		}
	}
	return 0
}

// callInfo is struct ptrace_syscall_info. At an entry the number comes first.
type callInfo struct {
	op    uint8
	_     [3]byte
	arch  uint32
	ip    uint64
	sp    uint64
	entry struct {
		nr   uint64
		args [6]uint64
	}
	_ uint64
}

// The stops that callInfo tells of.
const (
	atEntry = 1
	atExit  = 2
)

// call is at the entry or the exit of a system call.
func (t *tracer) call(tid int, p *traced) {
	var info callInfo
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if e != 0 {
		return
	}
	switch info.op {
	case atEntry:
		t.enter(tid, p, info)
	case atExit:
		if t.failing[tid] {
			delete(t.failing, tid)
			t.change(tid, func(r *unix.PtraceRegs) { r.Rax = -uint64(t.errno) })
		}
	}
}

// enter counts a call, and lets it fail if it is the one.
func (t *tracer) enter(tid int, p *traced, info callInfo) {
	if !t.open || excluded(info.entry.nr, info.entry.args[0]) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := call{who: p.who, nr: info.entry.nr}
	t.trail.counts[c]++
	c.n = t.trail.counts[c]
	t.trail.calls = append(t.trail.calls, c)
	if c != t.target {
		return
	}
	// A number that no filter minds, in place of one that no kernel has: the
	// zone's own filter kills at some of these.
	if t.change(tid, func(r *unix.PtraceRegs) { r.Orig_rax = unix.SYS_GETPID }) == nil {
		t.failing[tid] = true
		t.trail.failed = true
	}
}

func (t *tracer) change(tid int, f func(*unix.PtraceRegs)) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	f(&regs)
	return unix.PtraceSetRegs(tid, &regs)
}

// arm says which call is to fail from now on, and how.
func (t *tracer) arm(target call, errno syscall.Errno) {
	t.mu.Lock()
	t.target, t.errno, t.trail = target, errno, trail{counts: make(map[call]int)}
	t.mu.Unlock()
	if target.nr != none && target.who != "0" {
		return
	}
	// The controller's threads went on without a look at their calls.
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(t.pid) + "/task")
	for _, thread := range threads {
		if tid, aerr := strconv.Atoi(thread.Name()); err == nil && aerr == nil {
			_ = unix.Tgkill(t.pid, tid, stopOnce) // it may have ended
		}
	}
}

// seen gives what was seen since arm.
func (t *tracer) seen() trail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trail
}

// kill ends the controller and, with the tracing thread, all that it started.
func (t *tracer) kill() {
	_ = unix.Kill(t.pid, unix.SIGKILL) // it may be gone already
	<-t.ended
}

package namespaces

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

// faultEnv makes TestFailsClosedAtEachSystemCall the controller of the zones
// that another run of it traces. Its value is a directory for them.
const faultEnv = "SALLYPORT_TEST_FAULTS"

// TestFailsClosedAtEachSystemCall makes each system call fail by which a zone is
// made: the controller's, those of its children until they are the init, PID 1's
// and those of the payload's process. Whatever fails, no payload may run in a
// zone that is weaker than the one in which nothing failed.
func TestFailsClosedAtEachSystemCall(t *testing.T) {
	if dir := os.Getenv(faultEnv); dir != "" {
		serveZones(t, dir)
		return
	}
	if os.Getenv(everyFaultEnv) == "" && os.Getenv(allFaultsEnv) == "" {
		t.Skip("not run: make fault-zone runs it, which takes minutes")
	}
	if level := newSandbox(t, nil).Level(t.Context()); level.Name != sandbox.LevelFull {
		t.Skipf("not run: needs a host that lacks nothing: %v", level.Missing)
	}
	f := &faults{same: make(map[string]int)}
	workers := []*controlled{newControlled(t), newControlled(t)}
	began := time.Now()
	f.measure(t, workers[0])
	for _, c := range workers { // far more than two zones take under the tracer
		c.patience = max(3*time.Second, 10*time.Since(began))
	}
	for range 3 { // a call that was not met this time may be the next time
		f.round(t, workers)
	}
	f.conclude(t)
}

// everyFaultEnv asks for each kind of call to fail.
const everyFaultEnv = "SALLYPORT_TEST_EACH_FAULT"

// allFaultsEnv asks for every call to fail, in each way: it takes minutes.
const allFaultsEnv = "SALLYPORT_TEST_ALL_FAULTS"

// choose gives the faults of this run. Calls that are made over and over by one
// function of ours or of the runtime are failed so many times, evenly spread;
// of the others, and where all are asked for, each one is.
func choose(calls []call) []fault {
	type kind struct {
		who string
		nr  uint64
	}
	of := make(map[kind][]call)
	for _, k := range calls {
		of[kind{k.who, k.nr}] = append(of[kind{k.who, k.nr}], k)
	}
	var list []fault
	for kind, same := range of {
		most := len(same)
		errnos := []syscall.Errno{unix.EPERM}
		if mounts(kind.nr) {
			errnos[0] = unix.ENOENT // which our code takes for an answer elsewhere
		}
		switch {
		case os.Getenv(allFaultsEnv) != "":
			// As of a policy, of a kernel that does not know it, of one at its end.
			errnos = append(errnos, unix.ENOSYS, unix.ENOMEM, unix.EIO)
		case testing.Short():
			most = 2
		case repeated(kind.nr):
			most = 6
		}
		for n := range min(most, len(same)) {
			for _, e := range errnos {
				list = append(list, fault{same[n*len(same)/min(most, len(same))], e})
			}
		}
	}
	return list
}

// fault is a call that is to fail, and how.
type fault struct {
	call
	errno syscall.Errno
}

func (f fault) String() string { return f.call.String() + ", " + unix.ErrnoName(f.errno) }

// faults are the calls to fail, and what became of it.
type faults struct {
	sound state // the zone in which nothing failed

	mu      sync.Mutex
	total   int
	left    []fault        // not met yet
	hung    []fault        // no zone, and no answer
	refused int            // no zone
	same    map[string]int // the very zone: calls that nothing depends on
}

// measure makes the zone in which nothing fails, twice: a call that is in one of
// them alone depends on chance.
func (f *faults) measure(t *testing.T, c *controlled) {
	t.Helper()
	var before map[call]bool
	var calls []call
	for range 2 {
		a, trail := c.zone(t, fault{call: call{nr: none}})
		if !a.Started || !trail.ran {
			t.Fatalf("without a fault: %+v, program begun %v", a, trail.ran)
		}
		if before != nil && f.sound != a.State {
			t.Fatalf("two zones differ without a fault:\n%s", a.State.differs(f.sound))
		}
		f.sound, calls = a.State, nil
		seen := make(map[call]bool)
		for _, k := range trail.calls {
			seen[k] = true
			if before[k] {
				calls = append(calls, k)
			}
		}
		before = seen
	}
	f.left = choose(calls)
	f.total = len(f.left)
	t.Logf("the zone in which nothing fails:\n%s", f.sound.text())
}

// round fails what is left, once each.
func (f *faults) round(t *testing.T, workers []*controlled) {
	list := f.left
	f.left = nil
	work := make(chan fault)
	var all sync.WaitGroup
	for _, c := range workers {
		all.Go(func() {
			for k := range work {
				a, trail := c.zone(t, k)
				f.judge(t, k, a, trail)
			}
		})
	}
	for _, k := range list {
		work <- k
	}
	close(work)
	all.Wait()
}

// judge holds a zone in which a call failed against the sound one.
func (f *faults) judge(t *testing.T, k fault, a attempt, seen trail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch ran := seen.ran || a.State.Inside != ""; {
	case !seen.failed:
		f.left = append(f.left, k)
	case !ran && a.Hung:
		f.hung = append(f.hung, k)
	case !ran && a.Err != "":
		f.refused++
	case !ran:
		t.Errorf("%s: no payload and no error", k)
	case a.Started && !a.Ended:
		if d := a.State.differs(f.sound); d != "" {
			t.Errorf("%s: a payload ran in another zone:\n%s", k, d)
		}
		f.same[k.who+" "+callName(k.nr)]++
	// Who looks after the zone fails after the word: it was sound, and is ended.
	case k.who != "0" && k.nr != unix.SYS_WAIT4 || !strings.HasPrefix(f.sound.Inside, a.State.Inside):
		t.Errorf("%s: a payload ran although the zone was refused (%s): %q", k, a.Err, a.State.Inside)
	default:
		f.refused++
	}
}

func (f *faults) conclude(t *testing.T) {
	var same []string
	n := 0
	for k, times := range f.same {
		same = append(same, fmt.Sprintf("%s (%d)", k, times))
		n += times
	}
	slices.Sort(same)
	t.Logf("%d faults: %d zones refused, %d the very same, %d never met %v", f.total, f.refused, n, len(f.left), f.left)
	t.Logf("the controller waits for ever, and no payload runs: %v", f.hung)
	t.Logf("nothing depends on: %s", strings.Join(same, ", "))
	if f.refused < 100 {
		t.Errorf("%d zones were refused: there are more steps that can fail", f.refused)
	}
	if len(f.hung) > f.total/50 {
		t.Errorf("%d of %d controllers had no answer", len(f.hung), f.total)
	}
	if len(f.left) > f.total/50 {
		t.Errorf("%d of %d calls were never met", len(f.left), f.total)
	}
}

// attempt is how one zone went, as far as its controller tells.
type attempt struct {
	Started bool
	Hung    bool // the controller: there is no end to wait for
	Ended   bool // before the payload had looked around
	Err     string
	State   state
}

// controlled is a controller that is traced. One that dies of a fault is
// replaced by the next.
type controlled struct {
	dir      string
	patience time.Duration // for one zone
	tracer   *tracer
	command  *os.File
	reply    *os.File
	lines    *bufio.Scanner
}

func newControlled(t *testing.T) *controlled {
	t.Helper()
	c := &controlled{dir: t.TempDir(), patience: 2 * setupTime}
	c.start(t)
	t.Cleanup(c.stop)
	return c
}

func (c *controlled) start(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside, command, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reply, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.command, c.reply = command, reply
	c.lines = bufio.NewScanner(reply)
	c.lines.Buffer(nil, 1<<20)
	code := filepath.Join(c.dir, "zoneinit")
	if err := os.WriteFile(code, testInit(t), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), faultEnv+"="+c.dir, sandboxtest.InitFile+"="+code, "GODEBUG=asyncpreemptoff=1")
	c.tracer, err = startTraced([]string{self, "-test.run=^TestFailsClosedAtEachSystemCall$"}, env,
		[]*os.File{os.Stdin, os.Stderr, os.Stderr, inside, answer})
	_, _ = inside.Close(), answer.Close()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *controlled) stop() {
	c.tracer.kill()
	_, _ = c.command.Close(), c.reply.Close()
}

// zone has one zone made, in which a call fails.
func (c *controlled) zone(t *testing.T, k fault) (attempt, trail) {
	var a attempt
	c.tracer.arm(k.call, k.errno)
	_ = c.reply.SetReadDeadline(time.Now().Add(c.patience))
	_, err := c.command.Write([]byte{'.'})
	if err == nil && c.lines.Scan() && json.Unmarshal(c.lines.Bytes(), &a) == nil {
		return a, c.tracer.seen()
	}
	a = attempt{Err: "the controller ended"}
	if a.Hung = os.IsTimeout(c.lines.Err()); a.Hung {
		a.Err = "the controller hangs"
	}
	// It ends, and all that it had started with it.
	c.stop()
	seen := c.tracer.seen()
	a.State.Inside = lastReport(c.dir)
	c.start(t)
	return a, seen
}

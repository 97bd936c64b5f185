package sandboxtest

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// fuzzFor says how long a zone is fuzzed, such as 30m; without it, a moment.
const fuzzFor = "SANDBOXTEST_FUZZ"

// fuzzRound is how long one zone is fuzzed: then, in the same zone, everything
// forbidden is tried again.
const fuzzRound = 20 * time.Second

// testFuzz has a payload make random system calls with arguments that are nearly
// right, and then, in the same zone, try every forbidden thing again: nothing
// that the kernel lets through may have weakened a wall. What fuzzes is a child
// that may crash; its seed is in the output of a round that finds something.
func (s *suite) testFuzz(t *testing.T) {
	total, err := time.ParseDuration(os.Getenv(fuzzFor))
	if err != nil {
		total = time.Second
	}
	var sum fuzzTally
	for end := time.Now().Add(total); time.Now().Before(end); {
		one := s.fuzzZone(t, min(fuzzRound, time.Until(end)))
		sum.add(one)
		if t.Failed() {
			break
		}
	}
	if sum.Calls == 0 {
		t.Error("no call was made")
	}
	t.Logf("%d calls by %d processes, %d different calls, %d of them not refused", sum.Calls, sum.Children, len(sum.Tried), len(sum.Passed))
}

// fuzzTally is what one zone's fuzzing came to.
type fuzzTally struct {
	Calls, Children int
	Tried, Passed   map[int]int // by number
}

func (f *fuzzTally) add(o fuzzTally) {
	if f.Tried == nil {
		f.Tried, f.Passed = map[int]int{}, map[int]int{}
	}
	f.Calls, f.Children = f.Calls+o.Calls, f.Children+o.Children
	for n, c := range o.Tried {
		f.Tried[n] += c
	}
	for n, c := range o.Passed {
		f.Passed[n] += c
	}
}

func (s *suite) fuzzZone(t *testing.T, length time.Duration) fuzzTally {
	t.Helper()
	w := newWorld(t)
	s.own(t, w.Input)
	for _, n := range inputFiles() {
		s.own(t, w.Input+"/"+n)
	}
	before := readTree(t, w.Input)
	in := w
	in.Input, in.Scratch, in.Setuid = "/input", sandbox.Temp, ""
	seed := rand.Uint64()
	spec := s.spec(t, "fuzz", encode(t, in), strconv.FormatUint(seed, 10), length.String())
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: w.Input, Inside: "/input"})
	spec.Limits.Time = length + time.Minute
	o := s.run(t, spec)
	head, rest, _ := cutLine(o.stdout)
	var tally fuzzTally
	if err := json.Unmarshal([]byte(head), &tally); err != nil {
		t.Fatalf("seed %d: the zone ended without an answer: %v", seed, o)
	}
	got := verdicts(t, rest)
	for _, tb := range tables() {
		for _, a := range tb.attempts {
			if v, ran := got[a.id]; !ran || !s.refused(v) {
				t.Errorf("seed %d: after it %s is not refused: %s", seed, a.id, v.Note)
			}
		}
	}
	if after := readTree(t, w.Input); after != before {
		t.Errorf("seed %d: the input was\n%sand is\n%s", seed, before, after)
	}
	if err := unix.Kill(w.HostPID, 0); err != nil {
		t.Errorf("seed %d: a process of the host is gone: %v", seed, err)
	}
	return tally
}

func cutLine(text string) (first, rest string, ok bool) {
	for i := range len(text) {
		if text[i] == '\n' {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// The tally is shared memory: a child that crashes leaves what it counted.
const (
	fuzzNumbers = 480 // past the last call that the kernel has
	tallySize   = 2 * fuzzNumbers * 4
	tallyFD     = 3 // in the child
)

// fuzz is the payload: child after child, then the attempts.
func fuzz(args []string) int {
	seed, err1 := strconv.ParseUint(args[1], 10, 64)
	length, err2 := time.ParseDuration(args[2])
	if err1 != nil || err2 != nil {
		return 2
	}
	sum := fuzzTally{}
	for end := time.Now().Add(length); time.Now().Before(end); sum.Children++ {
		one, err := fuzzChild(seed + uint64(sum.Children)) //nolint:gosec // a count
		if err != nil {
			return fail(err)
		}
		sum.add(one)
	}
	b, err := json.Marshal(sum)
	if err != nil {
		return fail(err)
	}
	fmt.Println(string(b))
	_ = os.Chmod(sandbox.Temp, 0o777) // a child may have closed it
	return drive(args[0], nil)
}

func fuzzChild(seed uint64) (fuzzTally, error) {
	var tally fuzzTally
	f, err := newTally()
	if err != nil {
		return tally, err
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", word, "fuzz-child", strconv.FormatUint(seed, 10))
	// No stream of it is /dev/null, which an earlier one may have closed to itself.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), io.Discard, struct{ io.Writer }{io.Discard}
	cmd.Dir, cmd.Env, cmd.ExtraFiles = "/", os.Environ(), []*os.File{f}
	if err := cmd.Start(); err != nil {
		return tally, err
	}
	stop := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() }) // it may wait for ever
	_ = cmd.Wait()                                                           // it may crash
	stop.Stop()
	b := make([]byte, tallySize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return tally, fmt.Errorf("read the tally: %w", err)
	}
	tally.add(fuzzTally{})
	for n := range fuzzNumbers {
		tried, passed := count(b, n), count(b, fuzzNumbers+n)
		if tried == 0 {
			continue
		}
		tally.Calls += tried
		tally.Tried[n] = tried
		if passed > 0 {
			tally.Passed[n] = passed
		}
	}
	if tally.Calls > fuzzCalls { // the child wrote over it
		return fuzzTally{}, nil
	}
	return tally, nil
}

// fuzzCalls is how many calls one child makes, if it lives so long.
const fuzzCalls = 20000

// newTally is memory that its size cannot be taken from.
func newTally() (*os.File, error) {
	fd, err := unix.MemfdCreate("tally", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a tally: %w", err)
	}
	f := os.NewFile(uintptr(fd), "tally") //nolint:gosec // a descriptor
	if err := f.Truncate(tallySize); err != nil {
		return nil, fmt.Errorf("make a tally: %w", err)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	return f, err
}

func count(b []byte, i int) int { return int(*(*uint32)(unsafe.Pointer(&b[4*i]))) }

// left out are the calls that only end the child, or its parent.
func leftOut() []int {
	return []int{
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PAUSE, unix.SYS_RT_SIGSUSPEND, unix.SYS_RT_SIGRETURN, unix.SYS_VFORK, unix.SYS_FORK, unix.SYS_CLONE,
		unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM,
	}
}

// fuzzOne makes random calls until it crashes or has made enough.
func fuzzOne(args []string) int {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return 2
	}
	shared, err := unix.Mmap(tallyFD, 0, tallySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 1
	}
	runtime.LockOSThread()
	z := newFuzzer(seed)
	for range fuzzCalls {
		nr := z.r.IntN(fuzzNumbers)
		if slices.Contains(z.skip, nr) {
			continue
		}
		*(*uint32)(unsafe.Pointer(&shared[4*nr]))++
		_, _, e := unix.RawSyscall6(uintptr(nr), z.argument(), z.argument(), z.argument(), z.argument(), z.argument(), z.argument())
		if e != unix.EPERM && e != unix.ENOSYS {
			*(*uint32)(unsafe.Pointer(&shared[4*(fuzzNumbers+nr)]))++
		}
	}
	return 0
}

// fuzzer makes arguments that a kernel looks at twice.
type fuzzer struct {
	r     *rand.Rand
	skip  []int
	space []byte
	paths []uintptr
}

func newFuzzer(seed uint64) *fuzzer {
	z := &fuzzer{r: rand.New(rand.NewPCG(seed, 1)), skip: leftOut(), space: make([]byte, 1<<16)} //nolint:gosec // to be repeated
	for i := range z.space {
		z.space[i] = byte(z.r.Uint32())
	}
	at := 0
	for _, p := range []string{"/", ".", "/proc/self", "/proc/1/root", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup", "/dev/null", "/dev/tty", "/input", "/usr/bin/sh", sandbox.Home, sandbox.Temp, "/etc", "x", "../../..", "/proc/self/ns/user"} {
		copy(z.space[at:], p+"\x00")
		z.paths = append(z.paths, uintptr(unsafe.Pointer(&z.space[at])))
		at += 64
	}
	return z
}

func (z *fuzzer) argument() uintptr {
	switch z.r.IntN(9) {
	case 0:
		return uintptr(z.r.IntN(24)) // a descriptor, a small number
	case 1:
		return ^uintptr(0) - uintptr(z.r.IntN(110)) // -1, AT_FDCWD
	case 2:
		return z.paths[z.r.IntN(len(z.paths))]
	case 3:
		return uintptr(unsafe.Pointer(&z.space[2048+8*z.r.IntN(4096)]))
	case 4:
		return 1 << z.r.IntN(32) // a flag
	case 5:
		return uintptr(z.r.Uint32() & z.r.Uint32()) // a few flags
	case 6:
		return uintptr(z.r.Uint64())
	case 7:
		return uintptr(os.Getpid())
	}
	return 0
}

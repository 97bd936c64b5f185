package namespaces

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/sandboxtest"
)

// lack is a primitive that a host is made to be without, and what has to come
// of it. docs/sandbox.md has the same table.
type lack struct {
	primitive string // as `sallyport doctor` names it
	level     string // what the host then measures
	off       func() error
}

// lacks are the rows. Each is switched off for a process and all its children, by
// the kernel and not by the code that is tested.
func lacks() []lack {
	return []lack{
		{"userns", sandbox.LevelNone, noNamespaces("user")},
		{"mountns", sandbox.LevelNone, noNamespaces("mnt")},
		{"pidns", sandbox.LevelNone, noNamespaces("pid")},
		{"netns", sandbox.LevelNone, noNamespaces("net")},
		{"ipcns", sandbox.LevelNone, noNamespaces("ipc")},
		{"utsns", sandbox.LevelNone, noNamespaces("uts")},
		{"cgroupns", sandbox.LevelNone, noNamespaces("cgroup")},
		{"overlay", sandbox.LevelNone, noFileSystem("overlay")},
		{"proc", sandbox.LevelNone, noFileSystem("proc")},
		{"seccomp", sandbox.LevelNone, noCalls(unix.SYS_SECCOMP)},
		{"landlock", sandbox.LevelReduced, noCalls(unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF)},
		{"cgroup.memory", sandbox.LevelReduced, noCgroups},
	}
}

// TestDocumentedLacks holds the table of docs/sandbox.md to the rows that are tried.
func TestDocumentedLacks(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "| primitive | level | without it |\n")
	table, _, ended := strings.Cut(text, "\n\n")
	if !found || !ended {
		t.Fatal("docs/sandbox.md has no table of primitives")
	}
	levels := map[string]string{}
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) != 5 {
			t.Fatalf("a row of other cells: %q", row)
		}
		for i, name := range strings.Split(cells[1], "`") {
			if i%2 == 1 {
				levels[name] = strings.TrimSpace(cells[2])
			}
		}
	}
	for _, l := range lacks() {
		if levels[l.primitive] != l.level {
			t.Errorf("docs/sandbox.md says %q of a host without %s, the kernel says %s", levels[l.primitive], l.primitive, l.level)
		}
		delete(levels, l.primitive)
	}
	for _, untried := range []string{"nesting", "idmap"} { // a host has them or has not: no filter takes them away
		delete(levels, untried)
	}
	for name := range levels {
		t.Errorf("docs/sandbox.md says what comes without %s, and nothing tries it", name)
	}
}

// lackEnv makes TestHostLacks the controller on a host that lacks a primitive,
// and lackAnswer is the file that it says in what came of it.
const (
	lackEnv    = "SALLYPORT_TEST_LACKS"
	lackAnswer = "SALLYPORT_TEST_LACKS_ANSWER"
)

// trial is what came of zones on a host that lacks something.
type trial struct {
	Level   string
	Missing []string
	Starts  map[string]string // required level: the receipt's, or "refused"
	Blind   string            // the same for a controller that believes in a full host
	Ran     bool              // a payload ran that was refused
}

// TestHostLacks makes zones on hosts that lack one primitive each. Such a host
// says so, and a zone is refused or has the lower level in its receipt, also
// where the host was measured before the primitive went away.
func TestHostLacks(t *testing.T) {
	if name := os.Getenv(lackEnv); name != "" {
		beLacking(t, name)
		return
	}
	whole := lackingHost(t, "nothing")
	if whole.Level == sandbox.LevelNone || whole.Starts[whole.Level] != whole.Level || whole.Ran {
		t.Fatalf("a host that lacks nothing more than this one: %+v", whole)
	}
	for _, l := range lacks() {
		t.Run(l.primitive, func(t *testing.T) {
			got := lackingHost(t, l.primitive)
			if got.Level != l.level || !slices.Contains(got.Missing, l.primitive) {
				t.Errorf("the host measures %s, missing %v; want %s", got.Level, got.Missing, l.level)
			}
			want := "refused"
			if l.level == sandbox.LevelReduced {
				want = sandbox.LevelReduced
			}
			if got.Starts[sandbox.LevelFull] != "refused" || got.Starts[sandbox.LevelReduced] != want {
				t.Errorf("zones: %v", got.Starts)
			}
			if got.Blind != "refused" || got.Ran {
				t.Errorf("a controller that believes in the host: %s; a refused payload ran: %v", got.Blind, got.Ran)
			}
		})
	}
}

// lackingHost runs this test as the controller on another host: in a user and a
// mount namespace, as in a container, which can be made to lack things.
func lackingHost(t *testing.T, primitive string) trial {
	t.Helper()
	dir := t.TempDir()
	code, answer := filepath.Join(dir, "zoneinit"), filepath.Join(dir, "answer")
	if err := os.WriteFile(code, testInit(t), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestHostLacks$", "-test.v")
	cmd.Env = append(os.Environ(), lackEnv+"="+primitive, lackAnswer+"="+answer, sandboxtest.InitFile+"="+code, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(answer)
	var got trial
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil {
		t.Fatalf("no answer: %v: %s", err, out)
	}
	t.Logf("%+v", got)
	return got
}

// beLacking makes zones where a primitive is switched off.
func beLacking(t *testing.T, primitive string) {
	before := newSandbox(t, nil)
	for _, l := range lacks() {
		if l.primitive == primitive {
			if err := l.off(); err != nil {
				t.Fatalf("switch off %s: %v", primitive, err)
			}
		}
	}
	s := newSandbox(t, nil)
	level := s.Level(t.Context())
	got := trial{Level: level.Name, Starts: make(map[string]string)}
	for _, m := range level.Missing {
		got.Missing = append(got.Missing, m.Primitive)
	}
	for _, require := range []string{sandbox.LevelFull, sandbox.LevelReduced} {
		got.Starts[require] = tryZone(t, s, require, &got)
	}
	before.level = func() sandbox.Level { return sandbox.Level{Name: sandbox.LevelFull} }
	got.Blind = tryZone(t, before, sandbox.LevelFull, &got)
	b, err := json.Marshal(got)
	if err == nil {
		err = os.WriteFile(os.Getenv(lackAnswer), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tryZone starts a zone with everything and gives its level, or "refused".
func tryZone(t *testing.T, s *Sandbox, require string, got *trial) string {
	t.Helper()
	spec, upper := withUpper(t, s, script("echo ran > /box/ran"))
	spec.Require, spec.Overlay.Lower = require, []string{owned(t, s)}
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Logf("at %s: %v", require, err)
		if left, rerr := os.ReadDir(upper); rerr != nil || len(left) > 0 {
			got.Ran = true
		}
		return "refused"
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(upper, "ran")); err != nil {
		t.Errorf("the payload left nothing: the test shows nothing: %v", err)
	}
	return p.Receipt().Level
}

// noNamespaces lets this user namespace have no more namespaces of a kind.
func noNamespaces(kind string) func() error {
	return func() error { return os.WriteFile("/proc/sys/user/max_"+kind+"_namespaces", []byte("0"), 0) }
}

// noCgroups takes every control group out of sight.
func noCgroups() error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		front, back, _ := strings.Cut(line, " - ")
		if f := strings.Fields(front); strings.HasPrefix(back, "cgroup") && len(f) > 4 {
			err = errors.Join(err, unix.Mount("none", f[4], "tmpfs", unix.MS_RDONLY, ""))
		}
	}
	return err
}

// noCalls answers system calls as a kernel that does not have them.
func noCalls(numbers ...uint32) func() error {
	return func() error {
		_, err := filterCalls(numbers, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS), unix.SECCOMP_FILTER_FLAG_TSYNC)
		return err
	}
}

// filterCalls gives all threads of this process, and all its children, a filter
// that has a verdict on some system calls.
func filterCalls(numbers []uint32, verdict uint32, flags uintptr) (int, error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, nr := range numbers {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return -1, fmt.Errorf("filter system calls: %w", e)
	}
	return int(fd), nil
}

// noFileSystem answers a mount as a kernel that does not have the file system.
// Its name stands in the caller's memory, where no filter can look: this process
// is asked.
func noFileSystem(name string) func() error {
	return func() error {
		const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		fd, err := filterCalls([]uint32{unix.SYS_MOUNT, unix.SYS_FSOPEN}, unix.SECCOMP_RET_USER_NOTIF, flags)
		if err != nil {
			return err
		}
		go answerMounts(&watcher{file: os.NewFile(uintptr(fd), "filter")}, name)
		return nil
	}
}

func answerMounts(w *watcher, name string) {
	for {
		var n notification
		switch e := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); e {
		case 0:
		case unix.EINTR, unix.ENOENT:
			continue
		default:
			return
		}
		at := n.args[0] // fsopen's only string
		if n.nr == unix.SYS_MOUNT {
			at = n.args[2]
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if said := make([]byte, len(name)+1); readMemory(int(n.pid), at, said) && string(said) == name+"\x00" {
			a.flags, a.err = 0, -int32(unix.ENODEV)
		}
		_ = w.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
	}
}

// readMemory reads as much of another process as there is room for.
func readMemory(pid int, at uint64, into []byte) bool {
	local := []unix.Iovec{{Base: &into[0]}}
	local[0].SetLen(len(into))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(into)}}, 0)
	return err == nil && n == len(into)
}

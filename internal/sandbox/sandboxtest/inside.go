package sandboxtest

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside is what the test binary does when it is a payload.
func inside(role string, args []string) int {
	if role == "try" || role == "drive" {
		var w world
		if err := json.Unmarshal([]byte(args[0]), &w); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		if role == "try" {
			return tryOne(w, args[1])
		}
		return drive(args[0], args[1:])
	}
	if role == "fuzz-child" {
		return fuzzOne(args)
	}
	do, ok := roles()[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no role", role)
		return 2
	}
	return do(args)
}

// atOnce lets a program that was built to find races end without waiting a second.
const atOnce = "GORACE=atexit_sleep_ms=0"

// again is this program in another role.
func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{word, role}, args...)...)
	cmd.Env = append(os.Environ(), atOnce)
	return cmd
}

// roles are the simple payloads.
func roles() map[string]func(args []string) int {
	return map[string]func([]string) int{
		"exit":    func(a []string) int { return number(a[0]) },
		"signal":  signalSelf,
		"wait":    waitForInput,
		"sleep":   func([]string) int { fmt.Println("asleep"); return pause() },
		"id":      func([]string) int { fmt.Println(os.Getuid(), os.Geteuid()); return 0 },
		"say":     say,
		"status":  func(a []string) int { return cat("/proc/self/status") },
		"cat":     func(a []string) int { _, err := io.Copy(os.Stdout, os.Stdin); return fail(err) },
		"search":  search,
		"fds":     descriptors,
		"fork":    fork,
		"alloc":   alloc,
		"fill":    fill,
		"print":   printForEver,
		"open":    openMany,
		"change":  change,
		"write":   func(a []string) int { return fail(os.WriteFile(a[0], []byte(a[1]), 0o644)) },
		"daemon":  daemon,
		"beat":    beat,
		"killall": func([]string) int { return fail(unix.Kill(-1, unix.SIGKILL)) },
		"peer":    peer,
		"meet":    meet,
		"get":     get,
		"self":    self,
		"fuzz":    fuzz,
		"setuid":  func([]string) int { return fail(unix.Setuid(0)) },
	}
}

func fail(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 2
	}
	return n
}

func cat(path string) int {
	b, err := os.ReadFile(path)
	os.Stdout.Write(b)
	return fail(err)
}

func signalSelf(a []string) int {
	if err := unix.Kill(os.Getpid(), syscall.Signal(number(a[0]))); err != nil {
		return fail(err)
	}
	return pause()
}

// pause stays until a signal ends the process.
func pause() int {
	for {
		unix.Pause()
	}
}

// waitForInput says that it is there and stays until its input ends.
func waitForInput([]string) int {
	fmt.Println("here")
	_, err := io.Copy(io.Discard, os.Stdin)
	return fail(err)
}

// say prints what the payload was given, one "what=value" a line.
func say([]string) int {
	dir, err := os.Getwd()
	if err != nil {
		return fail(err)
	}
	host, err := os.Hostname()
	if err != nil {
		return fail(err)
	}
	fmt.Printf("dir=%s\nhost=%s\nuid=%d\nargs=%q\n", dir, host, os.Getuid(), os.Args)
	for _, kv := range os.Environ() {
		fmt.Println("env=" + kv)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fail(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "SigIgn:") || strings.HasPrefix(line, "Umask:") {
			fmt.Println(strings.ReplaceAll(line, ":\t", "="))
		}
	}
	return 0
}

// search walks everything that the zone shows, but tools and kernel files, for
// the canary, and prints where it stands.
func search(a []string) int {
	canary := reversed(a[0])
	skip := []string{"/proc", "/dev", "/usr", "/lib", "/lib64", "/bin", "/sandboxtest"}
	err := filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read cannot be found
		}
		if d.IsDir() && slices.Contains(skip, path) {
			return filepath.SkipDir
		}
		if b, err := os.ReadFile(path); d.Type().IsRegular() && err == nil && strings.Contains(string(b), canary) {
			fmt.Println("file", path)
		}
		return nil
	})
	for _, kv := range os.Environ() {
		if strings.Contains(kv, canary) {
			fmt.Println("environment", kv)
		}
	}
	for _, where := range []string{"environ", "cmdline"} {
		if searchProcesses(world{Canary: a[0]}, where) == nil {
			fmt.Println("process", where)
		}
	}
	return fail(err)
}

// descriptors prints what the payload inherited. Those that this program opened
// itself, which are marked to close, are not among them.
func descriptors([]string) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		fd := number(e.Name())
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		fmt.Println(e.Name(), target)
	}
	return 0
}

// fork makes processes that stay, until one is refused, and says how many there
// were. They are copies of this one that do nothing: other programs would cost
// the host more than the limit is about.
func fork(a []string) int {
	want := number(a[0])
	for n := range want {
		pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			fmt.Println("refused after", n, e)
			return 0
		}
		for pid == 0 {
			unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	fmt.Println("all", want)
	return 0
}

// alloc touches memory, so many megabytes of it.
func alloc(a []string) int {
	var all [][]byte
	for n := range number(a[0]) {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = byte(n)
		}
		all = append(all, block)
	}
	fmt.Println("all", len(all))
	return 0
}

// fill writes one file of so many megabytes and prints what stopped it.
func fill(a []string) int {
	f, err := os.Create(a[0])
	if err != nil {
		return fail(err)
	}
	block := make([]byte, 1<<20)
	for n := range number(a[1]) {
		if _, err := f.Write(block); err != nil {
			fmt.Println("refused after", n, err)
			return 0
		}
	}
	if err := f.Close(); err != nil {
		fmt.Println("refused at the end:", err)
		return 0
	}
	fmt.Println("all", a[1])
	return 0
}

func printForEver([]string) int {
	block := []byte(strings.Repeat(strings.Repeat("x", 79)+"\n", 100))
	for {
		if _, err := os.Stdout.Write(block); err != nil {
			return fail(err)
		}
	}
}

func openMany(a []string) int {
	for n := range number(a[0]) {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			fmt.Println("refused after", n, err)
			return 0
		}
	}
	fmt.Println("all", a[0])
	return 0
}

// change does to a tree what a build does: it changes, adds, removes, links.
func change(a []string) int {
	in := func(name string) string { return filepath.Join(a[0], name) }
	for _, err := range []error{
		os.WriteFile(in("changed"), []byte("new"), 0o644),
		os.WriteFile(in("added"), []byte("added"), 0o755),
		os.Remove(in("removed")),
		os.Rename(in("dir/old"), in("dir/new")),
		os.Symlink("added", in("link")),
		os.MkdirAll(in("deep/er"), 0o755),
		os.Chmod(in("mode"), 0o700),
	} {
		if err != nil {
			return fail(err)
		}
	}
	return 0
}

// daemon leaves a process behind that has cut every tie: another session,
// another parent, no open descriptor.
func daemon(a []string) int {
	if len(a) == 2 { // the first child
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		if err != nil {
			return fail(err)
		}
		cmd := again("beat", a[0], a[1])
		cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return fail(cmd.Start())
	}
	cmd := again("daemon", a[0], "again")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fail(err)
	}
	for range 1000 {
		if st, err := os.Stat(a[0]); err == nil && st.Size() > 0 {
			fmt.Println("left behind")
			return 0
		}
		time.Sleep(2 * time.Millisecond)
	}
	fmt.Println("it never came up")
	return 1
}

// beat writes into a file for ever.
func beat(a []string) int {
	f, err := os.OpenFile(a[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fail(err)
	}
	for {
		if _, err := f.WriteString("."); err != nil {
			return fail(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// get reads what a listener on the zone's loopback says: a port there, or an
// address.
func get(a []string) int {
	to := a[0]
	if !strings.Contains(to, ":") {
		to = "127.0.0.1:" + to
	}
	c, err := net.DialTimeout("tcp4", to, 5*time.Second)
	if err != nil {
		fmt.Println("refused:", err)
		return 0
	}
	defer c.Close()
	b, err := io.ReadAll(io.LimitReader(c, 1000))
	fmt.Println("got:", string(b))
	return fail(err)
}

// self connects to a listener of its own.
func self([]string) int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Println("refused:", err)
		return 0
	}
	defer l.Close()
	c, err := net.DialTimeout("tcp4", l.Addr().String(), time.Second)
	if err != nil {
		fmt.Println("refused:", err)
		return 0
	}
	fmt.Println("reached")
	return fail(c.Close())
}

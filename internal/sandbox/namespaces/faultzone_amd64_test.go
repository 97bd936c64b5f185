package namespaces

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// reporter is a payload that looks around, says what it found in a file of the
// box, and waits until it was looked at from outside.
const reporter = `exec 3>&1 > /box/report 2>&1
while read -r name value; do
	case $name in
	NSpid:) set -- $value; echo $name $# ;;
	Uid:|Gid:|Groups:|Cap*|NoNewPrivs:|Seccomp*|Sig*|Umask:) echo $name $value ;;
	esac
done < /proc/self/status
readlink /proc/self/ns/*
cat /proc/self/cgroup /proc/self/limits /proc/self/mountinfo /proc/sys/kernel/hostname /proc/sys/user/max_user_namespaces /etc/passwd
while read -r line; do echo "${line%%:*}"; done < /proc/net/dev
cat /proc/net/route /proc/net/if_inet6 /proc/net/fib_trie
set -- /proc/[0-9]*; echo $# processes
cat /proc/cmdline /proc/keys /box/src/.env
for place in / /usr /etc /dev /shown /box /box/src /box/src/.git /theirs /tmp /dev/shm /home/sallyport; do
	(: > $place/new) && echo $place is writable
done
for device in null zero full random urandom tty ptmx; do
	(: > /dev/$device) && echo $device is writable
done
ls -a / /box /dev /home/sallyport
(cd /proc/$$/fd && echo *)
ulimit -a
echo done >&3
read -r word
`

// wanted are the lines of a process's status that say how it is confined.
var wanted = regexp.MustCompile(`^(Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp\w*|Umask):`)

// state is what a zone was like, with what differs from one zone to the next
// taken out.
type state struct {
	Level   string // with the sandbox's name all there is in a builder id
	Probes  string
	Inside  string // the payload's own words
	Outside string // what the host's /proc and its control groups say
}

func (s state) text() string {
	return strings.Join([]string{"level " + s.Level, s.Probes, "inside:", s.Inside, "outside:", s.Outside}, "\n")
}

// differs tells what is not as in the sound zone, but for what takes nothing
// from its strength.
func (s state) differs(sound state) string {
	got, want := s.lines(), sound.lines()
	var d []string
	for _, l := range want {
		if !slices.Contains(got, l) && !spared.MatchString(l) {
			d = append(d, "- "+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) && !spared.MatchString(l) {
			d = append(d, "+ "+l)
		}
	}
	return strings.Join(d, "\n")
}

// spared are the lines that may differ. A zone may be without terminals, which
// it gets of an instance of its own or not at all, and without the second
// filter, which enforces nothing: the first one's line is "Seccomp: 2".
var spared = regexp.MustCompile(`^mount / /dev/pts .* - devpts |^ptmx is writable$|cannot create /dev/ptmx: |Seccomp_filters:\s+[12]$`)

func (s state) lines() []string { return strings.Split(s.text(), "\n") }

// serveZones makes a zone for each byte that it is sent, tells when it has begun
// or was refused, and then what it was like.
func serveZones(t *testing.T, dir string) {
	runtime.LockOSThread() // the thread that tells the tracer
	level := newSandbox(t, nil).level()
	for {
		z := &served{dir: dir, level: level, init: testInit(t)}
		z.furnish(t)
		var word [1]byte
		if n, err := unix.Read(commandFD, word[:]); n == 0 || err != nil {
			return
		}
		sign(t, zoneBegins)
		z.start()
		sign(t, zoneEnds)
		z.finish()
		answer, err := json.Marshal(z.attempt)
		if err == nil {
			_, err = unix.Write(replyFD, append(answer, '\n'))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The descriptors by which a controller is told to make a zone, and tells what
// became of it.
const (
	commandFD = 3
	replyFD   = 4
)

// sign tells the tracer, which keeps the signal to itself.
func sign(t *testing.T, signal syscall.Signal) {
	if err := unix.Tgkill(os.Getpid(), unix.Gettid(), signal); err != nil {
		t.Fatal(err)
	}
}

// served is one zone of a traced controller. It has of everything that a zone
// can have: layers, an upper directory, mounts, masks, files and sockets.
type served struct {
	dir     string
	level   sandbox.Level
	init    []byte
	spec    sandbox.Spec
	said    *io.PipeReader // the payload's output
	word    *io.PipeWriter // its input
	sandbox *Sandbox
	process *process
	attempt attempt
}

func (z *served) furnish(t *testing.T) {
	ids := ownIdentity()
	_ = os.Chmod(filepath.Join(z.dir, "scratch/work/work"), 0o700) // overlayfs leaves it with no mode
	for _, name := range []string{"scratch", "theirs"} {
		if err := os.RemoveAll(filepath.Join(z.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "lower/src/.git", "shown", "theirs", "scratch/upper", "scratch/work"} {
		if err := os.MkdirAll(filepath.Join(z.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(z.dir, "lower/src/.env"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lower", "lower/src", "lower/src/.git", "lower/src/.env", "scratch", "scratch/upper", "scratch/work"} {
		if err := os.Chown(filepath.Join(z.dir, name), ids.uid, ids.gid); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(z.dir, name) }
	z.spec = script(reporter)
	z.spec.Require = sandbox.LevelFull
	z.spec.Overlay = sandbox.Overlay{Lower: []string{at("lower")}, Upper: at("scratch/upper"), Work: at("scratch/work")}
	z.spec.Mounts = []sandbox.Mount{{Host: at("shown"), Inside: "/shown"}, {Host: at("theirs"), Inside: "/theirs", Writable: true}}
	z.spec.Masks = []string{"/box/src/.git", "-/box/src/.env"}
	z.spec.Files = []sandbox.File{{Path: "dir/file", Text: "x"}}
	z.spec.Listen, z.spec.Metadata = []int{9153}, true
	z.spec.Stdin, z.word = io.Pipe()
	z.said, z.spec.Stdout = io.Pipe()
	z.spec.Limits.Memory, z.spec.Limits.PIDs = 256<<20, 100
}

// start makes the zone, and the sandbox for it: all of that may fail.
func (z *served) start() {
	var err error
	if z.sandbox, err = New(Options{StateDir: "/nowhere", Init: z.init}); err == nil {
		z.sandbox.level = func() sandbox.Level { return z.level }
		var p sandbox.Process
		if p, err = z.sandbox.Start(context.Background(), z.spec); err == nil {
			z.process = p.(*process)
		}
	}
	if err != nil {
		z.attempt.Err = err.Error()
	}
}

// finish looks at the zone from outside, while its payload waits, and ends it.
func (z *served) finish() {
	s := &z.attempt.State
	if z.process != nil {
		z.attempt.Started = true
		timer := time.AfterFunc(setupTime, z.process.Kill)
		if _, err := bufio.NewReader(z.said).ReadString('\n'); err != nil {
			z.attempt.Ended = true
		}
		s.Level, s.Probes = z.process.receipt.Level, fmt.Sprint(z.process.receipt.Probes)
		s.Outside = z.outside()
		_ = z.word.Close()
		if r, err := z.process.Wait(); err != nil || r.ExitCode > 1 {
			s.Outside += fmt.Sprintf("\nthe payload ended with %+v, %v", r, err)
		}
		timer.Stop()
		closeListeners(z.process.listeners)
	}
	if z.sandbox != nil {
		_ = z.sandbox.Close() // what failed may have to be told once more
	}
	s.Inside = lastReport(z.dir)
	s.Inside, s.Outside = z.general(s.Inside), z.general(s.Outside)
}

// lastReport is what the last payload said, if one ran.
func lastReport(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "scratch/upper/report"))
	return string(b)
}

// outside is what the host tells of the zone's processes.
func (z *served) outside() string {
	pids := []string{strconv.Itoa(z.process.PID())}
	threads, _ := filepath.Glob("/proc/" + pids[0] + "/task/*/children")
	for _, name := range threads {
		b, _ := os.ReadFile(name)
		pids = append(pids, strings.Fields(string(b))...)
	}
	var all []string
	for n, pid := range pids {
		for _, line := range z.outsideOf("/proc/" + pid) {
			all = append(all, fmt.Sprintf("%d: %s", n+1, line))
		}
	}
	for _, set := range z.process.zone.cgroup.settings(z.process.limits) {
		b, _ := os.ReadFile(filepath.Join(set.dir, set.file))
		all = append(all, "group's "+set.file+" "+strings.TrimSpace(string(b)))
	}
	return strings.Join(all, "\n")
}

func (z *served) outsideOf(proc string) []string {
	var st unix.Stat_t
	_ = unix.Stat(proc, &st)
	all := []string{fmt.Sprintf("process of user %d", st.Uid)}
	for _, file := range []string{"status", "cgroup", "uid_map", "gid_map", "limits"} {
		b, err := os.ReadFile(filepath.Join(proc, file))
		if err != nil {
			all = append(all, err.Error())
		}
		for line := range strings.Lines(string(b)) {
			if file != "status" || wanted.MatchString(line) {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		own, _ := os.Readlink("/proc/self/ns/" + kind)
		theirs, err := os.Readlink(filepath.Join(proc, "ns", kind))
		all = append(all, fmt.Sprintf("%s namespace of its own: %v, %v", kind, theirs != own, err))
	}
	return all
}

// general takes out what differs from one zone to the next.
func (z *served) general(text string) string {
	own, err := ownNamespaces(os.Readlink)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), z.dir, "DIR")
		line = groupName.ReplaceAllString(line, "/GROUP")
		line = mountNumbers.ReplaceAllString(line, "mount ")
		line = namespace.ReplaceAllStringFunc(line, func(ns string) string {
			if slices.Contains(own, ns) {
				return "the host's " + ns
			}
			kind, _, _ := strings.Cut(ns, ":")
			return kind + " of its own"
		})
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// What has another number in each zone.
var (
	groupName    = regexp.MustCompile(`/sallyport-\d+-\d+`)
	mountNumbers = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `)
	namespace    = regexp.MustCompile(`\w+:\[\d+\]`)
)

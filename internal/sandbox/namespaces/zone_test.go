package namespaces

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// Tests called TestZone... run again as an ordinary user (TestConformanceRootless).

// owned gives a directory that belongs to the zone's user, with more in it.
func owned(t testing.TB, s *Sandbox, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{""}, names...) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p, s.ids.uid, s.ids.gid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t testing.TB, s *Sandbox, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, s.ids.uid, s.ids.gid); err != nil {
		t.Fatal(err)
	}
}

// withUpper makes a Spec whose Box is a directory that the test can look into.
func withUpper(t testing.TB, s *Sandbox, spec sandbox.Spec) (sandbox.Spec, string) {
	t.Helper()
	dir := owned(t, s, "upper", "work")
	spec.Overlay.Upper, spec.Overlay.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	t.Cleanup(func() {
		// overlayfs leaves a directory of mode 0.
		_ = os.Chmod(filepath.Join(dir, "work", "work"), 0o700)
	})
	return spec, spec.Overlay.Upper
}

// Each step of making a zone is made to fail in turn: none of them may lead to
// a payload that runs.
func TestZoneFailsClosedAtEachStep(t *testing.T) {
	seen := 0
	for n := 1; ; n++ {
		s := newSandbox(t, func(o *Options) { o.FailStepUnsafe = n })
		spec, upper := withUpper(t, s, script("echo ran > /box/ran"))
		p, err := s.Start(t.Context(), spec)
		if err == nil {
			if r, err := p.Wait(); err != nil || r.ExitCode != 0 {
				t.Errorf("after the last step: exit code %d, %v", r.ExitCode, err)
			}
			if _, err := os.Stat(filepath.Join(upper, "ran")); err != nil {
				t.Errorf("the payload left nothing: the test shows nothing: %v", err)
			}
			break
		}
		var step *setupError
		if !errors.As(err, &step) || !errors.Is(err, syscall.ECANCELED) {
			t.Fatalf("step %d: %v", n, err)
		}
		if left, err := os.ReadDir(upper); err != nil || len(left) > 0 {
			t.Fatalf("step %d, %s: the payload ran: %v %v", n, step.Step, left, err)
		}
		seen++
	}
	// PID 1 and the payload's process count their steps each; the longer of
	// the two lists is what this loop goes through.
	if seen < 20 {
		t.Errorf("%d steps: there are more", seen)
	}
}

// A zone without one of its primitives is refused at the full level, whatever
// the host has.
func TestZoneWithoutAPrimitiveIsNotFull(t *testing.T) {
	for _, primitive := range []string{
		wire.Landlock, wire.Seccomp, wire.Proc, wire.CgroupNS, wire.Nesting, wire.Cgroup, "mount", "pid", "net", "ipc", "uts", "idmap",
	} {
		s := newSandbox(t, func(o *Options) { o.WithoutUnsafe = []string{primitive} })
		spec, upper := withUpper(t, s, script("echo ran > /box/ran"))
		spec.Require = ""
		_, err := s.Start(t.Context(), spec)
		var not *sandbox.NotIsolated
		if !errors.As(err, &not) || not.Got == sandbox.LevelFull {
			t.Errorf("without %s: %v", primitive, err)
			continue
		}
		if !slices.ContainsFunc(not.Missing, func(l sandbox.Lack) bool { return l.Primitive == primitive }) {
			t.Errorf("without %s: missing is %v", primitive, not.Missing)
		}
		if left, _ := os.ReadDir(upper); len(left) > 0 {
			t.Errorf("without %s: the payload ran", primitive)
		}
	}
}

// The probe stops a zone that lacks what makes it one, even where a reduced
// level would do: here the level is not what is believed, but what is found.
func TestZoneProbeSeesWhatIsMissing(t *testing.T) {
	for primitive, probe := range map[string]string{
		wire.Seccomp: "id.seccomp", "net": "ns.own", "ipc": "ns.own", "uts": "ns.own", wire.CgroupNS: "ns.own", wire.Proc: "id.capabilities",
		"pid": "ns.own", "mount": "ns.own",
	} {
		s := newSandbox(t, func(o *Options) { o.WithoutUnsafe = []string{primitive} })
		spec, upper := withUpper(t, s, script("echo ran > /box/ran"))
		p, err := s.Start(t.Context(), spec)
		if err == nil {
			p.Kill()
			_, _ = p.Wait()
		}
		var not *sandbox.NotIsolated
		if !errors.As(err, &not) {
			if (primitive == "net" || primitive == "uts" || primitive == "mount") && err != nil {
				continue // what is the host's cannot even be set up
			}
			t.Errorf("without %s: %v", primitive, err)
			continue
		}
		if !slices.ContainsFunc(not.Probes, func(p evidence.Probe) bool { return p.Name == probe }) {
			t.Errorf("without %s: the probes that failed are %v", primitive, not.Probes)
		}
		if left, _ := os.ReadDir(upper); len(left) > 0 {
			t.Errorf("without %s: the payload ran", primitive)
		}
	}
}

// Landlock and the control group may be missing at a reduced level, and the
// receipt says so.
func TestZoneReducedIsRecorded(t *testing.T) {
	for _, primitive := range []string{wire.Landlock, wire.Cgroup} {
		s := newSandbox(t, func(o *Options) { o.WithoutUnsafe = []string{primitive} })
		p, err := s.Start(t.Context(), script("exit 0"))
		if err != nil {
			t.Fatalf("without %s: %v", primitive, err)
		}
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
		if r := p.Receipt(); r.Level != sandbox.LevelReduced || !r.Clean() {
			t.Errorf("without %s: level %s, clean %v", primitive, r.Level, r.Clean())
		}
	}
}

func TestZoneLinksAreNotMountPoints(t *testing.T) {
	s := newSandbox(t, nil)
	victim := owned(t, s, "inner")
	for name, target := range map[string]string{
		"absolute": victim, "up": "../../../../../../.." + victim, "proc": "/proc/self/root" + victim,
	} {
		lower := owned(t, s)
		if err := os.Symlink(target, filepath.Join(lower, "link")); err != nil {
			t.Fatal(err)
		}
		spec := script("exit 0")
		spec.Overlay.Lower = []string{lower}
		spec.Mounts = []sandbox.Mount{{Inside: sandbox.Box + "/link/inner/made"}}
		if _, err := s.Start(t.Context(), spec); err == nil {
			t.Errorf("%s: a mount point was reached through a link", name)
		}
		spec.Mounts, spec.Masks = nil, []string{sandbox.Box + "/link"}
		if _, err := s.Start(t.Context(), spec); err == nil {
			t.Errorf("%s: a mask was put on a link", name)
		}
		if left, err := os.ReadDir(filepath.Join(victim, "inner")); err != nil || len(left) > 0 {
			t.Errorf("%s: something was made on the host: %v %v", name, left, err)
		}
	}
}

func TestZoneMasks(t *testing.T) {
	s := newSandbox(t, nil)
	lower := owned(t, s, "src/.git")
	write(t, s, filepath.Join(lower, "src/.git/config"), "visible")
	write(t, s, filepath.Join(lower, "src/.env"), "secret")
	spec := script("cat /box/src/.git/config; echo x > /box/src/.git/hook; cat /box/src/.env; rm -f /box/src/.env; echo x > /box/src/.env; ls -A /box/src")
	spec.Overlay.Lower = []string{lower}
	spec.Masks = []string{sandbox.Box + "/src/.git", "-" + sandbox.Box + "/src/.env", sandbox.Box + "/src/none"}
	out, _ := run(t, s, spec)
	if !strings.HasPrefix(out, "visible") || strings.Contains(out, "secret") || strings.Count(out, "Read-only file system") != 2 {
		t.Errorf("got %s", out)
	}
}

// A path that only its owner may reach is shown by the controller, as root.
func TestHostPathBelowAClosedDirectory(t *testing.T) {
	s := newSandbox(t, nil)
	if !s.ids.root {
		t.Skip("not run: needs root")
	}
	closed := t.TempDir()
	for _, name := range []string{"lower", "data", "scratch/upper", "scratch/work"} {
		if err := os.MkdirAll(filepath.Join(closed, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"lower", "scratch", "scratch/upper", "scratch/work"} {
		if err := os.Chown(filepath.Join(closed, name), hostID, hostID); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s, filepath.Join(closed, "lower/file"), "of the layer ")
	if err := os.WriteFile(filepath.Join(closed, "data/file"), []byte("of the mount"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := script("cat /box/file /data/file; echo changed > /box/file; echo x > /data/file || true; ls " + closed)
	spec.Overlay = sandbox.Overlay{Lower: []string{closed + "/lower"}, Upper: closed + "/scratch/upper", Work: closed + "/scratch/work"}
	spec.Mounts = []sandbox.Mount{{Host: closed + "/data", Inside: "/data"}}
	out, r := run(t, s, spec)
	if !strings.HasPrefix(out, "of the layer of the mount") || r.ExitCode == 0 {
		t.Errorf("exit code %d: %s", r.ExitCode, out)
	}
	if b, err := os.ReadFile(closed + "/scratch/upper/file"); err != nil || string(b) != "changed\n" {
		t.Errorf("the upper layer holds %q, %v", b, err)
	}
}

// Of what is shown as a copy the mount table does not say where it lies, nor does
// anything that is done to it come out.
func TestZoneCopy(t *testing.T) {
	s := newSandbox(t, nil)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // as root: closed to the zone's user
		t.Fatal(err)
	}
	name := filepath.Join(dir, "stand-in")
	text := strings.Repeat("0123456789abcdef", sandbox.MaxCopy/16)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, copied := range []bool{true, false} {
		spec := script("wc -c </box/.config; tail -c 3 /box/.config; echo x >>/box/.config; rm -f /box/.config; grep -c " + filepath.Base(dir) + "/stand-in /proc/self/mountinfo")
		spec.Mounts = []sandbox.Mount{{Host: name, Inside: "/box/.config", Copy: copied}}
		if !copied {
			if err := errors.Join(os.Chmod(name, 0o644), os.Chmod(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := run(t, s, spec)
		if !strings.HasPrefix(out, fmt.Sprintf("%d\ndef", sandbox.MaxCopy)) {
			t.Errorf("copy %v: %s", copied, out)
		}
		if named := !strings.HasSuffix(strings.TrimSpace(out), "\n0"); named == copied {
			t.Errorf("copy %v: the mount table names its place %v: %s", copied, named, out)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("copy %v: the file has changed: %d bytes, %v", copied, len(b), err)
		}
	}
}

// The mount table names the places of an overlay's layers as the zone's init had
// them, not where they lie on the host. Without layers the directory itself is
// mounted, and named: that the search would find it.
func TestZoneOverlayNamesNoHostPath(t *testing.T) {
	s := newSandbox(t, nil)
	for _, layered := range []bool{true, false} {
		dir := owned(t, s, "tell-tale", "tell-tale/lower", "tell-tale/upper", "tell-tale/work")
		spec := script("grep -c ' /box ' /proc/self/mountinfo; grep -c tell-tale /proc/self/mountinfo")
		spec.Overlay = sandbox.Overlay{Upper: dir + "/tell-tale/upper", Work: dir + "/tell-tale/work"}
		want := "1\n1\n"
		if layered {
			t.Cleanup(func() { // overlayfs leaves them with mode 0
				for _, name := range []string{"", "incompat", "incompat/volatile"} {
					_ = os.Chmod(filepath.Join(dir, "tell-tale/work/work", name), 0o700)
				}
			})
			spec.Overlay.Lower = []string{dir + "/tell-tale/lower"}
			want = "1\n0\n"
		}
		if out, _ := run(t, s, spec); out != want {
			t.Errorf("layered %v: lines for /box and lines that name the host's directory: %q, want %q", layered, out, want)
		}
	}
}

// A project of root's is writable without anything in the zone being root: its
// files seem to belong to the zone's user, and what is new belongs to root.
func TestWritableMountOfAnotherOwner(t *testing.T) {
	s := newSandbox(t, nil)
	if !s.ids.root {
		t.Skip("not run: needs root")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := script("stat -c %u /project/old && echo changed > /project/old && echo x > /project/new && cat /proc/self/uid_map")
	spec.Mounts = []sandbox.Mount{{Host: dir, Inside: "/project", Writable: true}}
	out, r := run(t, s, spec)
	if r.ExitCode != 0 || !strings.HasPrefix(out, "1000\n") || !strings.Contains(out, "64913") {
		t.Errorf("exit code %d: %s", r.ExitCode, out)
	}
	info, err := os.Stat(filepath.Join(dir, "new"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the new file: %v %v", info, err)
	}
}

// Where the file system cannot map owners, the level is reduced, never in
// silence.
func TestWritableMountThatCannotBeMapped(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.WithoutUnsafe = []string{"idmap"} })
	if !s.ids.root {
		t.Skip("not run: needs root")
	}
	spec := script("echo x > /project/new; id -u")
	spec.Mounts = []sandbox.Mount{{Host: t.TempDir(), Inside: "/project", Writable: true}}
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := p.Wait(); err != nil || r.ExitCode != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if level := p.Receipt().Level; level != sandbox.LevelReduced {
		t.Errorf("level %s", level)
	}
	spec.Require = sandbox.LevelFull
	var not *sandbox.NotIsolated
	if _, err := s.Start(t.Context(), spec); !errors.As(err, &not) {
		t.Errorf("at the full level: %v", err)
	}
}

func TestZoneStreamsCanBeOpenedAgain(t *testing.T) {
	s := newSandbox(t, nil)
	if out, r := run(t, s, script("echo one > /dev/stdout; echo two > /proc/self/fd/2; test -t 1 || echo pipe")); out != "one\ntwo\npipe\n" {
		t.Errorf("exit code %d: %q", r.ExitCode, out)
	}
}

func TestZoneNoSuchProgram(t *testing.T) {
	s := newSandbox(t, nil)
	spec := script("")
	spec.Args = []string{"no-such-program"}
	if _, err := s.Start(t.Context(), spec); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	spec.Args = []string{"/etc/passwd"}
	if _, err := s.Start(t.Context(), spec); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestZoneEndsWithItsContext(t *testing.T) {
	s := newSandbox(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := s.Start(ctx, script("sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, err := p.Wait(); !errors.Is(err, context.Canceled) || r.Signal != syscall.SIGKILL {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := s.Start(ctx, script("exit 0")); !errors.Is(err, context.Canceled) {
		t.Errorf("a start after the end: %v", err)
	}
}

// PID 1 ends with its line to the controller, also when nothing else tells it.
func TestZoneEndsWithItsLine(t *testing.T) {
	s := newSandbox(t, nil)
	p, err := s.newPlan(script("sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	z, err := s.take(p.user, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.start(p, s.level()); err != nil {
		z.discard()
		t.Fatal(err)
	}
	if err := z.control.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		z.wait()
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the zone lives on")
		z.kill()
		<-ended
	}
}

func TestZoneClosedSandbox(t *testing.T) {
	s, err := New(Options{Init: testInit(t), StateDir: t.TempDir(), Prepare: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(t.Context(), script("exit 0")); err == nil {
		t.Error("a closed sandbox starts zones")
	}
}

func TestZonesAtOnce(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Prepare = true })
	errs := make(chan error)
	for range 20 {
		go func() {
			p, err := s.Start(t.Context(), script("exit 4"))
			if err == nil {
				var r sandbox.Result
				if r, err = p.Wait(); err == nil && r.ExitCode != 4 {
					err = errors.New("another exit code")
				}
			}
			errs <- err
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// What developers use has to work: runtimes with threads and JITs, compilers,
// and the race detector, which changes its own address layout.
func TestZoneTools(t *testing.T) {
	s := newSandbox(t, nil)
	for tool, text := range map[string]string{
		"node":    `node -e 'const w=require("worker_threads");require("fs").readFileSync("/proc/meminfo");require("child_process").execSync("true");console.log(w.isMainThread, require("os").cpus().length>0, require("os").userInfo().username)'`,
		"go":      `cd /tmp && mkdir m && cd m && go mod init example.com/m >/dev/null 2>&1 && printf 'package main\nfunc main(){println("ok")}\n' > m.go && GOCACHE=/tmp/c GOFLAGS=-mod=mod go run . `,
		"gcc":     `cd /tmp && printf 'int main(){return 0;}' > a.c && gcc -o a a.c && ./a`,
		"python3": `/usr/bin/python3 -c 'import multiprocessing,socket,tempfile; s=socket.socket(); s.bind(("127.0.0.1",0)); print(multiprocessing.Queue())'`,
		"java":    `java -version`,
		"git":     `cd /tmp && git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git log --oneline`,
		"make":    `cd /tmp && printf 'all:\n\t@echo made\n' > Makefile && make`,
	} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath("/usr/bin/" + tool); err != nil && tool != "go" {
				t.Skip("not run: needs " + tool)
			}
			spec := script(text)
			spec.Env = []string{"PATH=/usr/local/go/bin:/usr/bin:/bin", "HOME=" + sandbox.Home, "TMPDIR=/tmp", "GOTOOLCHAIN=local", "GOPROXY=off"}
			spec.Limits.Time = 2 * time.Minute
			if out, r := run(t, s, spec); r.ExitCode != 0 {
				t.Errorf("exit code %d, limit %q:\n%s", r.ExitCode, r.Limit, out)
			}
		})
	}
}

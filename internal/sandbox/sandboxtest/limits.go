package sandboxtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// testTree checks what the overlay keeps, and what it does not touch.
func (s *suite) testTree(t *testing.T) {
	t.Run("upper", func(t *testing.T) {
		dir := s.owned(t, "lower", "upper", "work", "lower/dir", "lower/.git")
		lower, upper := filepath.Join(dir, "lower"), filepath.Join(dir, "upper")
		for _, n := range []string{"changed", "removed", "dir/old", "mode", "kept", ".git/config"} {
			s.write(t, filepath.Join(lower, n), "old")
		}
		before := readTree(t, lower)
		spec := s.spec(t, "change", sandbox.Box)
		spec.Overlay = sandbox.Overlay{Lower: []string{lower}, Upper: upper, Work: filepath.Join(dir, "work")}
		spec.Dir = sandbox.Box
		s.say(t, spec)
		if after := readTree(t, lower); after != before {
			t.Errorf("the lower layer was\n%sand is\n%s", before, after)
		}
		after := readTree(t, upper)
		for _, want := range []string{"-rw-r--r-- changed new\n", "-rwxr-xr-x added added\n", "link -> added\n", " deep/er\n", "-rwx------ mode old\n", " dir/new old\n"} {
			if !strings.Contains(after, want) {
				t.Errorf("no %q in the upper layer:\n%s", want, after)
			}
		}
		if strings.Contains(after, "kept") {
			t.Errorf("an unchanged file was copied:\n%s", after)
		}
		if st, err := os.Lstat(filepath.Join(upper, "removed")); err != nil || st.Mode()&os.ModeCharDevice == 0 {
			t.Errorf("the removal left no mark: %v %v", st, err)
		}
	})
	t.Run("layers", func(t *testing.T) {
		dir := s.owned(t, "top", "bottom")
		s.write(t, filepath.Join(dir, "top", "both"), "top")
		s.write(t, filepath.Join(dir, "bottom", "both"), "bottom")
		s.write(t, filepath.Join(dir, "bottom", "one"), "canary-of-the-bottom")
		spec := s.spec(t, "search", reversed("canary-of-the-bottom"))
		spec.Overlay.Lower = []string{filepath.Join(dir, "top"), filepath.Join(dir, "bottom")}
		if out := s.say(t, spec); out != "file "+sandbox.Box+"/one\n" {
			t.Errorf("the bottom layer shows as %q", out)
		}
	})
	t.Run("thrown away", func(t *testing.T) {
		dir := s.owned(t, "lower")
		spec := s.spec(t, "fill", sandbox.Box+"/new", "1")
		spec.Overlay.Lower = []string{dir}
		if out := s.say(t, spec); !strings.HasPrefix(out, "all") {
			t.Errorf("writing without an upper layer: %s", out)
		}
		if after := readTree(t, dir); strings.Contains(after, "new") {
			t.Errorf("it came out:\n%s", after)
		}
	})
	t.Run("masks", func(t *testing.T) {
		dir := s.owned(t, "lower", "lower/.git")
		s.write(t, filepath.Join(dir, "lower/.git/config"), "old")
		spec := s.spec(t, "write", sandbox.Box+"/.git/config", "new")
		spec.Overlay.Lower = []string{filepath.Join(dir, "lower")}
		if o := s.run(t, spec); o.ExitCode != 0 {
			t.Fatalf("without a mask it has to work: %s", o.stderr)
		}
		spec.Masks = []string{sandbox.Box + "/.git"}
		if o := s.run(t, spec); o.ExitCode == 0 {
			t.Error("a masked file was written")
		}
		spec.Args[3] = sandbox.Box + "/.git/hook"
		if o := s.run(t, spec); o.ExitCode == 0 {
			t.Error("a file was made below a mask")
		}
	})
	t.Run("writable mount", func(t *testing.T) {
		dir := s.owned(t)
		spec := s.spec(t, "write", "/cache/new", "x")
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: dir, Inside: "/cache", Writable: true})
		s.say(t, spec)
		if b, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(b) != "x" {
			t.Errorf("it holds %q: %v", b, err)
		}
	})
	t.Run("not executable", func(t *testing.T) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		spec := s.spec(t, "exit", "0")
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: self, Inside: "/data/program"})
		spec.Args[0] = "/data/program"
		p, err := s.sb.Start(t.Context(), spec)
		if err != nil {
			return
		}
		if r, err := p.Wait(); err == nil && r.ExitCode == 0 {
			t.Error("a program on a mount without Exec ran")
		}
	})
}

// testGateway checks the sockets that the controller serves.
func (s *suite) testGateway(t *testing.T) {
	t.Run("served", func(t *testing.T) {
		for n, want := range []string{"first", "second"} {
			spec := s.spec(t, "get", itoa(9101+n))
			spec.Listen = []int{9101, 9102}
			if out := s.serveAndRun(t, spec, "first", "second"); out != "got: "+want+"\n" {
				t.Errorf("port %d: %q", 9101+n, out)
			}
		}
	})
	t.Run("other ports", func(t *testing.T) {
		spec := s.spec(t, "get", "9103")
		spec.Listen = []int{9101}
		if out := s.serveAndRun(t, spec, "first"); !strings.HasPrefix(out, "refused") {
			t.Errorf("a port that nobody serves: %q", out)
		}
	})
	t.Run("not from the host", func(t *testing.T) {
		spec := s.spec(t, "wait")
		spec.Listen = []int{9104}
		in, hold := io.Pipe()
		spec.Stdin = in
		p, err := s.sb.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if dial("127.0.0.1", 9104) == nil {
			t.Error("the host reaches the zone's socket")
		}
		other := s.spec(t, "get", "9104")
		if out := s.say(t, other); !strings.HasPrefix(out, "refused") {
			t.Errorf("another zone reaches it: %q", out)
		}
		for _, l := range p.Listeners() {
			l.Close()
		}
		hold.Close()
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("no loopback", func(t *testing.T) {
		spec := s.spec(t, "self")
		if out := s.say(t, spec); out != "reached\n" {
			t.Errorf("with a loopback, a zone does not reach itself: %q", out)
		}
		spec.NoLoopback = true
		if out := s.say(t, spec); !strings.HasPrefix(out, "refused") {
			t.Errorf("lo is up: %q", out)
		}
	})
}

// serveAndRun serves each listener of a zone with a text of its own.
func (s *suite) serveAndRun(t *testing.T, spec sandbox.Spec, texts ...string) string {
	t.Helper()
	var out strings.Builder
	spec.Stdout = &out
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	all := p.Listeners()
	if len(all) != len(texts) {
		p.Kill()
		t.Fatalf("%d listeners for %d ports", len(all), len(texts))
	}
	for i, l := range all {
		if port := l.Addr().(*net.TCPAddr).Port; port != spec.Listen[i] {
			t.Errorf("listener %d is on port %d", i, port)
		}
		defer l.Close()
		go serve(l, texts[i])
	}
	if r, err := p.Wait(); err != nil || r.ExitCode != 0 {
		t.Fatalf("exit code %d, %v", r.ExitCode, err)
	}
	return out.String()
}

// testLimits checks that each bound holds and is named.
func (s *suite) testLimits(t *testing.T) {
	t.Run("processes", func(t *testing.T) {
		spec := s.spec(t, "fork", "400")
		spec.Limits.PIDs = 150
		if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") {
			t.Errorf("400 processes in a zone of 150: %v", o)
		}
		bystander(t) // the host still forks
	})
	t.Run("memory", func(t *testing.T) {
		if s.lacks("cgroup") || s.lacks("cgroup.memory") || s.lacks("memory") {
			t.Skip("not run: needs a control group with the memory controller")
		}
		spec := s.spec(t, "alloc", "512")
		spec.Limits.Memory = 128 << 20
		o := s.run(t, spec)
		if strings.Contains(o.stdout, "all") || o.ExitCode == 0 && o.Signal == nil {
			t.Errorf("512 MiB in a zone of 128: %q, exit code %d, signal %v", o.stdout, o.ExitCode, o.Signal)
		}
		if o.Limit != "memory" {
			t.Errorf("the limit that ended it is %q", o.Limit)
		}
	})
	t.Run("disk", func(t *testing.T) {
		for _, dir := range []string{sandbox.Temp, sandbox.Home, sandbox.Box, "/dev/shm"} {
			spec := s.spec(t, "fill", dir+"/file", "64")
			spec.Limits.Disk = 16 << 20
			if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") && o.Limit == "" {
				t.Errorf("64 MiB in %s with a limit of 16", dir)
			}
		}
	})
	t.Run("disk of the upper layer", func(t *testing.T) {
		dir := s.owned(t, "lower", "upper", "work")
		spec := s.spec(t, "fill", sandbox.Box+"/file", "256")
		spec.Overlay = sandbox.Overlay{Lower: []string{filepath.Join(dir, "lower")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
		spec.Limits.Disk, spec.Limits.FileSize = 16<<20, 1<<30
		if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") && o.Limit != "disk" {
			t.Errorf("256 MiB with a limit of 16: %q, limit %q", o.stdout, o.Limit)
		}
	})
	t.Run("file size", func(t *testing.T) {
		spec := s.spec(t, "fill", sandbox.Temp+"/file", "8")
		spec.Limits.FileSize = 2 << 20
		if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") {
			t.Error("a file of 8 MiB with a limit of 2")
		}
	})
	t.Run("open files", func(t *testing.T) {
		spec := s.spec(t, "open", "500")
		spec.Limits.OpenFiles = 100
		if o := s.run(t, spec); !strings.HasPrefix(o.stdout, "refused after") {
			t.Errorf("500 open files with a limit of 100: %q", o.stdout)
		}
	})
	t.Run("time", func(t *testing.T) {
		spec := s.spec(t, "sleep")
		spec.Limits.Time = 300 * time.Millisecond
		if o := s.run(t, spec); o.Limit != "time" || o.ExitCode == 0 && o.Signal == nil {
			t.Errorf("a payload that sleeps for ever: limit %q, exit code %d", o.Limit, o.ExitCode)
		}
	})
	t.Run("output", func(t *testing.T) {
		spec := s.spec(t, "print")
		spec.Limits.Output = 100000
		o := s.run(t, spec)
		if o.Limit != "output" || len(o.stdout) > 100000 {
			t.Errorf("a payload that prints for ever: limit %q, %d bytes", o.Limit, len(o.stdout))
		}
	})
	t.Run("default", func(t *testing.T) {
		if o := s.run(t, s.spec(t, "fork", "33000")); strings.HasPrefix(o.stdout, "all") {
			t.Errorf("without limits in the Spec there are none: %v", o)
		}
	})
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d, signal %v, limit %q, error %v\n%s%s", o.ExitCode, o.Signal, o.Limit, o.err, o.stdout, o.stderr)
}

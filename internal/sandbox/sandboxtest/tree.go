package sandboxtest

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// testTree checks what the overlay keeps, and what it does not touch.
func (s *suite) testTree(t *testing.T) {
	t.Run("upper", s.testUpper)
	t.Run("layers", s.testLayers)
	t.Run("thrown away", s.testThrownAway)
	t.Run("masks", s.testMasks)
	t.Run("writable mount", s.testWritableMount)
	t.Run("not executable", s.testNotExecutable)
}

// testUpper checks that what a build does comes out in the upper layer, and the lower one stays.
func (s *suite) testUpper(t *testing.T) {
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
}

// testLayers checks that lower layers lie on one another in order.
func (s *suite) testLayers(t *testing.T) {
	dir := s.owned(t, "top", "bottom")
	s.write(t, filepath.Join(dir, "top", "both"), "canary-of-the-top")
	s.write(t, filepath.Join(dir, "bottom", "both"), "canary-that-is-covered")
	s.write(t, filepath.Join(dir, "bottom", "one"), "canary-of-the-bottom")
	for canary, want := range map[string]string{
		"canary-of-the-top":      "file " + sandbox.Box + "/both\n",
		"canary-of-the-bottom":   "file " + sandbox.Box + "/one\n",
		"canary-that-is-covered": "",
	} {
		spec := s.spec(t, "search", reversed(canary))
		spec.Overlay.Lower = []string{filepath.Join(dir, "top"), filepath.Join(dir, "bottom")}
		if out := s.say(t, spec); out != want {
			t.Errorf("%s shows as %q, not %q", canary, out, want)
		}
	}
}

// testThrownAway checks that without an upper layer nothing comes out.
func (s *suite) testThrownAway(t *testing.T) {
	dir := s.owned(t, "lower")
	spec := s.spec(t, "fill", sandbox.Box+"/new", "1")
	spec.Overlay.Lower = []string{dir}
	if out := s.say(t, spec); !strings.HasPrefix(out, "all") {
		t.Errorf("writing without an upper layer: %s", out)
	}
	if after := readTree(t, dir); strings.Contains(after, "new") {
		t.Errorf("it came out:\n%s", after)
	}
}

// testMasks checks that a masked path cannot be written, nor anything below it.
func (s *suite) testMasks(t *testing.T) {
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
}

// testWritableMount checks that a mount for writing is one.
func (s *suite) testWritableMount(t *testing.T) {
	dir := s.owned(t)
	spec := s.spec(t, "write", "/cache/new", "x")
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: dir, Inside: "/cache", Writable: true})
	s.say(t, spec)
	if b, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(b) != "x" {
		t.Errorf("it holds %q: %v", b, err)
	}
}

// testNotExecutable checks that nothing runs from a mount without Exec.
func (s *suite) testNotExecutable(t *testing.T) {
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
	t.Run("metadata", s.testMetadata)
	t.Run("not from the host", s.testOnlyInside)
	t.Run("no loopback", s.testNoLoopback)
}

// testMetadata checks that the clouds' address is the controller's where a zone
// is given that, alone with it, and nobody's elsewhere.
func (s *suite) testMetadata(t *testing.T) {
	for to, want := range map[string]string{"169.254.169.254:80": "got: second\n", "169.254.170.2:80": "refused", "169.254.169.254:81": "refused", "9101": "got: first\n"} {
		spec := s.spec(t, "get", to)
		spec.Listen, spec.Metadata = []int{9101}, true
		if out := s.serveAndRun(t, spec, "first", "second"); !strings.HasPrefix(out, want) {
			t.Errorf("%s: %q, not %q", to, out, want)
		}
	}
	if out := s.say(t, s.spec(t, "get", "169.254.169.254:80")); !strings.HasPrefix(out, "refused") {
		t.Errorf("a zone without the address: %q", out)
	}
	spec := s.spec(t, "exit", "0")
	spec.NoLoopback, spec.Metadata = true, true
	s.impossible(t, spec)
}

// impossible checks that a Spec which makes no sense starts nothing.
func (s *suite) impossible(t *testing.T, spec sandbox.Spec) {
	t.Helper()
	if p, err := s.sb.Start(t.Context(), spec); err == nil {
		p.Kill()
		p.Wait()
		t.Error("the zone was started")
	}
}

// testHomeFiles checks that files are put into HOME, and are the payload's own.
func (s *suite) testHomeFiles(t *testing.T) {
	canary := "canary-of-the-home"
	files := []sandbox.File{{Path: ".npmrc", Text: canary}, {Path: "a/b/c", Text: canary + "\n"}}
	spec := s.spec(t, "search", reversed(canary))
	spec.Files = files
	if out := s.say(t, spec); out != "file "+sandbox.Home+"/.npmrc\nfile "+sandbox.Home+"/a/b/c\n" {
		t.Errorf("the files show as %q", out)
	}
	spec = s.spec(t, "write", sandbox.Home+"/.npmrc", "mine")
	spec.Files = files
	s.say(t, spec)
	for _, bad := range []string{"../x", "/etc/x", "a/../b", "", strings.Repeat("a", 300)} {
		spec := s.spec(t, "exit", "0")
		spec.Files = []sandbox.File{{Path: bad}}
		s.impossible(t, spec)
	}
}

// testOnlyInside checks that the sockets of a zone are reached from nowhere else.
func (s *suite) testOnlyInside(t *testing.T) {
	m := newMeeting(t, "")
	spec := s.spec(t, "wait")
	spec.Listen = []int{number(m.port)}
	in, hold := io.Pipe()
	spec.Stdin = in
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if dial("127.0.0.1", number(m.port)) == nil {
		t.Error("the host reaches the zone's socket")
	}
	other := s.spec(t, "get", m.port)
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
}

// testNoLoopback checks that lo can be left down.
func (s *suite) testNoLoopback(t *testing.T) {
	spec := s.spec(t, "self")
	if out := s.say(t, spec); out != "reached\n" {
		t.Errorf("with a loopback, a zone does not reach itself: %q", out)
	}
	spec.NoLoopback = true
	if out := s.say(t, spec); !strings.HasPrefix(out, "refused") {
		t.Errorf("lo is up: %q", out)
	}
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
		if port := l.Addr().(*net.TCPAddr).Port; i < len(spec.Listen) && port != spec.Listen[i] {
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

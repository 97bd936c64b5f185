package sandboxtest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// testAttempts makes every attempt from inside one zone.
func (s *suite) testAttempts(t *testing.T) {
	w := newWorld(t)
	s.own(t, w.Input)
	for _, n := range inputFiles() {
		s.own(t, filepath.Join(w.Input, n))
	}
	leak := leakDescriptor(t, w.HostFile)
	defer syscall.Close(leak)
	before := readTree(t, w.Input)
	in := w
	in.Input, in.Scratch, in.Setuid = "/input", sandbox.Temp, ""
	spec := s.spec(t, "drive", "")
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: w.Input, Inside: "/input"})
	if w.Setuid != "" {
		in.Setuid = "/setuid/program"
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: w.Setuid, Inside: in.Setuid, Exec: true})
	}
	spec.Args[3] = encode(t, in)
	got := verdicts(t, s.say(t, spec))
	for _, tb := range tables() {
		for _, a := range tb.attempts {
			t.Run(a.id, func(t *testing.T) {
				v, ran := got[a.id]
				if !ran {
					t.Fatal("it was not tried")
				}
				if !s.refused(v) {
					t.Errorf("not refused: %s", v.Note)
				}
				t.Log(v.Note)
			})
		}
	}
	if after := readTree(t, w.Input); after != before {
		t.Errorf("the input was\n%sand is\n%s", before, after)
	}
}

// leakDescriptor opens a file of the host without the mark to close it, as a
// library in the controller might.
func leakDescriptor(t *testing.T, path string) int {
	t.Helper()
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// readTree is a text of everything in a directory: modes, sizes, contents.
func readTree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b.WriteString(st.Mode().String() + " " + rel)
		switch {
		case st.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + string(text))
		case st.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			b.WriteString(" -> " + to)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// testReceipt checks that the probe ran, and that a zone in which it finds
// something does not start.
func (s *suite) testReceipt(t *testing.T) {
	t.Run("clean", s.testClean)
	t.Run("forbidden value", s.testForbidden)
	t.Run("canary", func(t *testing.T) {
		spec := s.spec(t, "exit", "0")
		spec.Env = append(spec.Env, "TOKEN=a-honey-token")
		spec.Canaries, spec.Forbidden = []string{"a-honey-token"}, []string{"a-honey-token", ""}
		s.say(t, spec)
	})
	t.Run("level", func(t *testing.T) {
		if s.level.Name == sandbox.LevelFull {
			t.Skip("not run: needs a host that cannot give the full level")
		}
		spec := s.spec(t, "exit", "0")
		spec.Require = sandbox.LevelFull
		s.refuses(t, spec, "")
	})
}

// testClean checks that a receipt says what was started and that all is well.
func (s *suite) testClean(t *testing.T) {
	spec := s.spec(t, "exit", "0")
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	r := p.Receipt()
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if !r.Clean() || len(r.Probes) < 30 {
		t.Errorf("%d probes, clean %v", len(r.Probes), r.Clean())
	}
	if r.Zone != boundary.Build || r.Identity != identity || r.Sandbox != s.sb.Name() || r.Level == "" || r.Time.IsZero() {
		t.Errorf("receipt of zone %v, identity %q, sandbox %q, level %q, time %v", r.Zone, r.Identity, r.Sandbox, r.Level, r.Time)
	}
}

// testForbidden checks that a payload to which a secret would be shown does not run.
func (s *suite) testForbidden(t *testing.T) {
	dir := s.owned(t, "upper", "work")
	spec := s.spec(t, "write", sandbox.Box+"/ran", "x")
	spec.Overlay = sandbox.Overlay{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	spec.Env = append(spec.Env, "TOKEN=a-secret-of-the-controller")
	spec.Forbidden = []string{"a-secret-of-the-controller"}
	s.refuses(t, spec, "env.values")
	if left, err := os.ReadDir(spec.Overlay.Upper); err != nil || len(left) > 0 {
		t.Errorf("the payload ran: it left %v (%v)", left, err)
	}
}

// refuses checks that a zone is not started, by which probe, and that the
// secret is not in the words.
func (s *suite) refuses(t *testing.T, spec sandbox.Spec, probe string) {
	t.Helper()
	p, err := s.sb.Start(t.Context(), spec)
	if err == nil {
		p.Kill()
		p.Wait()
		t.Fatal("the zone was started")
	}
	var not *sandbox.NotIsolated
	if !errors.As(err, &not) {
		t.Fatalf("an error of type %T: %v", err, err)
	}
	if probe != "" && (len(not.Probes) == 0 || not.Probes[0].Name != probe) {
		t.Errorf("the probes that failed are %v, not %s", not.Probes, probe)
	}
	for _, secret := range spec.Forbidden {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
}

// testPayload checks that a payload gets what the Spec says, and no more.
func (s *suite) testPayload(t *testing.T) {
	for _, c := range []struct {
		what   string
		role   []string
		code   int
		signal os.Signal
	}{
		{"code 0", []string{"exit", "0"}, 0, nil},
		{"code 7", []string{"exit", "7"}, 7, nil},
		{"code 125", []string{"exit", "125"}, 125, nil},
		{"code 255", []string{"exit", "255"}, 255, nil},
		{"signal 15", []string{"signal", "15"}, 0, syscall.SIGTERM},
		{"signal 9", []string{"signal", "9"}, 0, syscall.SIGKILL},
	} {
		t.Run(c.what, func(t *testing.T) {
			o := s.run(t, s.spec(t, c.role[0], c.role[1:]...))
			if o.err != nil || o.Signal != c.signal || c.signal == nil && o.ExitCode != c.code {
				t.Errorf("exit code %d, signal %v, error %v", o.ExitCode, o.Signal, o.err)
			}
			if c.signal != nil && o.ExitCode == 0 {
				t.Error("a payload that a signal ended has exit code 0")
			}
		})
	}
	t.Run("given", s.testGiven)
	t.Run("uid", s.testUID)
	t.Run("stdin", s.testStdin)
	t.Run("no stdin", func(t *testing.T) {
		if out := s.say(t, s.spec(t, "cat")); out != "" {
			t.Errorf("got %q", out)
		}
	})
	t.Run("path", func(t *testing.T) {
		spec := s.spec(t, "exit", "0")
		spec.Args[0] = "inside"
		s.say(t, spec)
	})
	t.Run("no such program", s.testNoProgram)
	t.Run("files of the home", s.testHomeFiles)
	t.Run("descriptors", s.testDescriptors)
	t.Run("canary", func(t *testing.T) {
		w := newWorld(t)
		if out := s.say(t, s.spec(t, "search", w.Canary)); out != "" {
			t.Errorf("the controller's secret stands in\n%s", out)
		}
	})
}

// testUID checks that a payload can be another user.
func (s *suite) testUID(t *testing.T) {
	spec := s.spec(t, "say")
	spec.UID = 4242
	if out := s.say(t, spec); !slices.Contains(lines(out), "uid=4242") {
		t.Errorf("uid 4242 is\n%s", out)
	}
}

// testStdin checks that all input arrives.
func (s *suite) testStdin(t *testing.T) {
	spec := s.spec(t, "cat")
	spec.Stdin = strings.NewReader(strings.Repeat("0123456789", 100000))
	if out := s.say(t, spec); out != strings.Repeat("0123456789", 100000) {
		t.Errorf("%d bytes came back of 1000000", len(out))
	}
}

// testNoProgram checks that a program that is not there does not end well.
func (s *suite) testNoProgram(t *testing.T) {
	spec := s.spec(t, "exit", "0")
	spec.Args = []string{"no-such-program"}
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		return
	}
	if r, err := p.Wait(); err == nil && r.ExitCode == 0 {
		t.Error("a program that does not exist ended well")
	}
}

// testGiven checks everything that the payload can ask about itself.
func (s *suite) testGiven(t *testing.T) {
	t.Setenv("SANDBOXTEST_LEAK", "1")
	spec := s.spec(t, "say")
	spec.Args = append(spec.Args, "an argument", "")
	spec.Env = []string{"PATH=/sandboxtest", "B=2=3", "EMPTY=", "A=\u00e4 \"'\n"}
	spec.Hostname, spec.Dir = "stage-7", sandbox.Home
	out := s.say(t, spec)
	wanted := []string{"dir=" + sandbox.Home, "host=stage-7", "uid=1000", `"an argument" ""]`}
	if !s.ownKernel() { // which need not say what signals are ignored
		wanted = append(wanted, "SigIgn=0000000000000000")
	}
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	_, env, _ := strings.Cut(out, "env=")
	env, _, _ = strings.Cut("env="+env, "\nUmask")
	if want := "env=" + strings.Join(spec.Env, "\nenv="); strings.TrimRight(env, "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("the environment is\n%s\nnot\n%s", env, want)
	}
}

// testDescriptors checks that a descriptor of the controller's that was not
// marked to close does not get in.
func (s *suite) testDescriptors(t *testing.T) {
	defer syscall.Close(leakDescriptor(t, "/etc"))
	defer syscall.Close(leakDescriptor(t, "/proc/self/mem"))
	out := s.say(t, s.spec(t, "fds"))
	for _, line := range lines(out) {
		fd, _, _ := strings.Cut(line, " ")
		if fd != "0" && fd != "1" && fd != "2" {
			t.Errorf("descriptor %s", line)
		}
	}
	if len(lines(out)) != 3 {
		t.Errorf("not three descriptors:\n%s", out)
	}
}

// testPair checks that two zones that run at once do not meet.
func (s *suite) testPair(t *testing.T) {
	m := newMeeting(t, sandbox.Temp+"/peer")
	spec := s.spec(t, "peer", m.peer()...)
	in, hold := io.Pipe()
	said, say := io.Pipe()
	spec.Stdin, spec.Stdout, spec.Stderr = in, say, os.Stderr
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		hold.Close()
		go io.Copy(io.Discard, said)
		if r, err := p.Wait(); err != nil || r.ExitCode != 0 {
			t.Errorf("the first zone: exit code %d, %v", r.ExitCode, err)
		}
	}()
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "here\n" {
		p.Kill()
		t.Fatalf("the first zone said %q: %v", line, err)
	}
	got := verdicts(t, s.say(t, s.spec(t, "meet", m.meet()...)))
	for _, a := range meetings() {
		t.Run(a.id, func(t *testing.T) {
			if v, ran := got[a.id]; !ran || !s.refused(v) {
				t.Errorf("not refused (tried: %v): %s", ran, v.Note)
			}
		})
	}
	t.Run("host", func(t *testing.T) {
		if dial("127.0.0.1", number(m.port)) == nil {
			t.Error("the host reaches a listener of the zone")
		}
	})
}

package sandboxtest

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// controllerEnv makes a test process the controller that is to be killed; its
// value is the mark of the zone's payload.
const controllerEnv = "SANDBOXTEST_CONTROLLER"

// testEnd checks that nothing outlives its zone.
func (s *suite) testEnd(t *testing.T) {
	t.Run("daemon", s.testDaemon)
	t.Run("kill", s.testKill)
	t.Run("kill all", s.testKillAll)
	t.Run("close", s.testClose)
	t.Run("controller killed", s.testControllerKilled)
	t.Run("many", func(t *testing.T) {
		before := openFiles(t)
		for range 5 {
			s.say(t, s.spec(t, "exit", "0"))
		}
		if after := openFiles(t); after > before+10 {
			t.Errorf("%d open files before, %d after five zones", before, after)
		}
	})
}

// testDaemon checks that a process that has cut every tie is gone with its zone.
func (s *suite) testDaemon(t *testing.T) {
	dir := s.owned(t, "upper", "work")
	mark := sandbox.Box + "/mark-" + rand.Text()
	spec := s.spec(t, "daemon", mark)
	spec.Overlay = sandbox.Overlay{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	if out := s.say(t, spec); out != "left behind\n" {
		t.Fatalf("got %q", out)
	}
	if alive(t, mark) {
		t.Error("a process lives on after Wait")
	}
	file := filepath.Join(dir, "upper", filepath.Base(mark))
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(file); err != nil || len(second) != len(first) {
		t.Errorf("it still writes: %d bytes, then %d (%v)", len(first), len(second), err)
	}
}

// testKill checks that a zone can be ended from outside, at any time.
func (s *suite) testKill(t *testing.T) {
	mark := "mark-" + rand.Text()
	p := s.startSleeper(t, mark)
	lives := s.watch(t, mark, p.PID())
	p.Kill()
	if r, err := p.Wait(); err == nil && r.ExitCode == 0 && r.Signal == nil {
		t.Error("a zone that was killed ended well")
	}
	if lives() {
		t.Error("a process lives on after Kill and Wait")
	}
	p.Kill() // at any time, also afterwards
}

// testKillAll checks that a signal to everybody stays inside.
func (s *suite) testKillAll(t *testing.T) {
	pid := bystander(t)
	o := s.run(t, s.spec(t, "killall"))
	if o.err != nil {
		t.Errorf("wait: %v", o.err)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("the host's process: %v", err)
	}
}

// testClose checks that no zone outlives its sandbox.
func (s *suite) testClose(t *testing.T) {
	mark := "mark-" + rand.Text()
	other := &suite{sb: s.fresh(t), fresh: s.fresh, level: s.level}
	p := other.startSleeper(t, mark)
	lives := other.watch(t, mark, p.PID())
	if err := other.sb.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a closed sandbox has no zone", func() bool { return !lives() })
	p.Wait()
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// startSleeper starts a zone whose payload is there and stays.
func (s *suite) startSleeper(t *testing.T, mark string) sandbox.Process {
	t.Helper()
	spec := s.spec(t, "sleep", mark)
	said, say := io.Pipe()
	spec.Stdout = say
	p, err := s.sb.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "asleep\n" {
		p.Kill()
		t.Fatalf("the payload said %q: %v", line, err)
	}
	go io.Copy(io.Discard, said)
	return p
}

// testControllerKilled kills a controller as nothing can be done about, and
// looks whether its zone is gone.
func (s *suite) testControllerKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mark := "mark-" + rand.Text()
	suite := strings.Split(t.Name(), "/")
	suite = suite[:len(suite)-2] // the name of Run's test
	cmd := exec.Command(self, "-test.run=^"+strings.Join(suite, "$/^")+"$", "-test.v")
	// It has no time to clean up: its directories lie in one of this test's.
	cmd.Env = append(os.Environ(), controllerEnv+"="+mark, "TMPDIR="+s.owned(t))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill() // where the test ends early
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "zone is up" {
		if strings.Contains(lines.Text(), "FAIL") || strings.Contains(lines.Text(), "SKIP") {
			t.Fatalf("the controller: %s", lines.Text())
		}
	}
	lives := s.watch(t, mark, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the zone dies with its controller", func() bool { return !lives() })
}

// beController starts a zone and waits to be killed.
func beController(t *testing.T, sb sandbox.Sandbox) {
	s := &suite{sb: sb, level: sb.Level(t.Context())}
	p := s.startSleeper(t, os.Getenv(controllerEnv))
	fmt.Println("zone is up")
	p.Wait()
}

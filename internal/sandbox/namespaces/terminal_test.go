package namespaces

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestTerminalsOfItsOwn(t *testing.T) {
	out, r := run(t, newSandbox(t, nil), script(`python3 -c '
import os, pty
pid, fd = pty.fork()
if pid == 0:
    open("/dev/tty", "w").write(os.ttyname(0) + "\n")
    os._exit(0)
print(os.read(fd, 100).decode().strip(), sorted(os.listdir("/dev/pts")))
'`))
	if r.ExitCode != 0 || !strings.Contains(out, "/dev/pts/0 ['0', 'ptmx']") {
		t.Errorf("exit %d, %s", r.ExitCode, out)
	}
}

func TestOverlayAtAnotherPlace(t *testing.T) {
	s := newSandbox(t, nil)
	spec := script("echo x >/box2/new && cat /box2/new && ! test -e /box")
	spec.Overlay.At = "/box2"
	if out, r := run(t, s, spec); r.ExitCode != 0 || out != "x\n" {
		t.Errorf("exit %d, %s", r.ExitCode, out)
	}
	for _, bad := range []string{"/etc", "/box/x", "/box2/..", "box2", "/usr"} {
		spec := sandbox.Spec{Args: []string{"true"}, Require: sandbox.LevelReduced, Overlay: sandbox.Overlay{At: bad}}
		if p, err := s.Start(t.Context(), spec); err == nil {
			p.Kill()
			_, _ = p.Wait() // it should not have begun
			t.Errorf("an overlay at %s was mounted", bad)
		}
	}
}

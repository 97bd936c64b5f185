package namespaces

import (
	"context"
	"io"
	"os/exec"
	"testing"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// The payload of every benchmark: its first instructions write one byte, whose
// arrival ends the measured time.
var tick = []string{"/usr/bin/printf", "x"}

// firstByte is a writer that tells when something is written.
type firstByte chan struct{}

func (f firstByte) Write(p []byte) (int, error) {
	f <- struct{}{}
	return len(p), nil
}

func startOnce(b *testing.B, s *Sandbox) {
	spec := script("")
	spec.Args = tick
	begun := make(firstByte, 1)
	spec.Stdout = begun
	p, err := s.Start(context.Background(), spec)
	if err != nil {
		b.Fatal(err)
	}
	<-begun
	b.StopTimer()
	if _, err := p.Wait(); err != nil {
		b.Fatal(err)
	}
	if s.options.Prepare {
		// The next one is prepared while a stage runs, which takes longer
		// than this payload does.
		s.prepareNext()
		s.mu.Lock()
		next := s.prepared
		s.mu.Unlock()
		next <- <-next
	}
	b.StartTimer()
}

// BenchmarkStart is a zone with every layer, one being kept prepared.
func BenchmarkStart(b *testing.B) {
	s := newSandbox(b, func(o *Options) { o.Prepare = true })
	s.Level(context.Background())
	for b.Loop() {
		startOnce(b, s)
	}
}

// BenchmarkStartUnprepared makes each zone from nothing.
func BenchmarkStartUnprepared(b *testing.B) {
	s := newSandbox(b, nil)
	s.Level(context.Background())
	for b.Loop() {
		startOnce(b, s)
	}
}

// BenchmarkBwrap is bubblewrap with all its namespaces and a like view: no
// overlay, no Landlock, no seccomp, no control group, no probe.
func BenchmarkBwrap(b *testing.B) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		b.Skip("not run: needs bubblewrap")
	}
	args := append([]string{"--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
		"--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
		"--tmpfs", sandbox.Home, "--chdir", "/", "--"}, tick...)
	for b.Loop() {
		plainOnce(b, exec.Command("bwrap", args...))
	}
}

// BenchmarkPlain is the payload alone.
func BenchmarkPlain(b *testing.B) {
	for b.Loop() {
		plainOnce(b, exec.Command(tick[0], tick[1:]...))
	}
}

func plainOnce(b *testing.B, cmd *exec.Cmd) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

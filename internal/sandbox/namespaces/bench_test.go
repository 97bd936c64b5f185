package namespaces

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"testing"
	"time"

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

// startZone gives the time from the request to the payload's byte, then waits
// for the zone's end, and for the next one to be prepared: a stage takes longer
// than this payload does.
func startZone(b *testing.B, s *Sandbox) time.Duration {
	spec := script("")
	spec.Args = tick
	begun := make(firstByte, 1)
	spec.Stdout = begun
	start := time.Now()
	p, err := s.Start(context.Background(), spec)
	if err != nil {
		b.Fatal(err)
	}
	<-begun
	took := time.Since(start)
	if _, err := p.Wait(); err != nil {
		b.Fatal(err)
	}
	if s.options.Prepare {
		s.prepareNext()
		s.mu.Lock()
		next := s.prepared
		s.mu.Unlock()
		next <- <-next
	}
	return took
}

func startCommand(b *testing.B, args ...string) time.Duration {
	args = append(slices.Clone(args), tick...)
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// bwrap is bubblewrap with all its namespaces and a like view: no overlay, no
// Landlock, no seccomp, no control group, no probe.
var bwrap = []string{
	"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
	"--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
	"--tmpfs", sandbox.Home, "--chdir", "/", "--",
}

// BenchmarkStart takes turns between a zone that was prepared, one that was
// not, bubblewrap, and the payload alone, so that all meet the same machine. It
// reports medians in milliseconds, and the first as a ratio to bubblewrap's.
func BenchmarkStart(b *testing.B) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		b.Skip("not run: needs bubblewrap")
	}
	prepared := newSandbox(b, func(o *Options) { o.Prepare = true })
	fresh := newSandbox(b, nil)
	turns := []struct {
		name string
		run  func() time.Duration
		took []time.Duration
	}{
		{name: "zone", run: func() time.Duration { return startZone(b, prepared) }},
		{name: "unprepared", run: func() time.Duration { return startZone(b, fresh) }},
		{name: "bwrap", run: func() time.Duration { return startCommand(b, bwrap...) }},
		{name: "plain", run: func() time.Duration { return startCommand(b) }},
	}
	for i := range turns {
		turns[i].run() // what is measured once, and cold files
	}
	for b.Loop() {
		for i := range turns {
			turns[i].took = append(turns[i].took, turns[i].run())
		}
	}
	median := make(map[string]float64)
	for _, t := range turns {
		slices.Sort(t.took)
		median[t.name] = float64(t.took[len(t.took)/2].Microseconds()) / 1000
		b.ReportMetric(median[t.name], t.name+"-ms")
	}
	b.ReportMetric(median["zone"]/median["bwrap"], "of-bwrap")
	b.ReportMetric(median["unprepared"]/median["bwrap"], "unprepared-of-bwrap")
	b.ReportMetric(0, "ns/op")
}

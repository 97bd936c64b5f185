package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
)

// zoneStarts is how many pairs are measured: a start takes milliseconds.
const zoneStarts = 40

// settle is how long is waited between two starts, so that what one leaves to be
// done in the background does not count against the other.
const settle = 60 * time.Millisecond

// zoneStart measures the time from the controller's request to the first byte
// of /bin/echo, which is as near to its first instruction as can be seen from
// outside on both sides.
func zoneStart(b *bench, ctx context.Context) (row, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return row{}, fmt.Errorf("%w; sudo apt-get install bubblewrap", err)
	}
	state := filepath.Join(b.dir, "zone-state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return row{}, err
	}
	s, err := namespaces.New(namespaces.Options{StateDir: state, Prepare: true})
	if err != nil {
		return row{}, err
	}
	defer s.Close()
	level := s.Level(ctx) // measured once, before the first start
	r, err := pairs(ctx, zoneStarts,
		func(ctx context.Context) (time.Duration, error) { return bwrapStart(ctx, bwrap) },
		func(ctx context.Context) (time.Duration, error) { return ownStart(ctx, s) })
	r.missed = r.ratio > 1.5
	r.note = "to the first byte of /bin/echo; ours with Landlock, seccomp, limits and probe, level " + level.Name
	return r, err
}

// firstByte is a writer that knows when it was first written to.
type firstByte struct {
	once sync.Once
	at   time.Time
}

func (f *firstByte) Write(p []byte) (int, error) {
	f.once.Do(func() { f.at = time.Now() })
	return len(p), nil
}

func bwrapStart(ctx context.Context, bwrap string) (time.Duration, error) {
	time.Sleep(settle)
	cmd := exec.CommandContext(ctx, bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv",
		"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/box", "--", "/usr/bin/echo", "x")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	var first firstByte
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := io.Copy(&first, out); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("bwrap: %w", err)
	}
	return first.at.Sub(start), nil
}

func ownStart(ctx context.Context, s sandbox.Sandbox) (time.Duration, error) {
	time.Sleep(settle)
	var first firstByte
	start := time.Now()
	p, err := s.Start(ctx, sandbox.Spec{
		Zone: boundary.Build, Identity: "spiffe://sallyport.local/bench/build/bench", Require: sandbox.LevelReduced,
		Args: []string{"/usr/bin/echo", "x"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Stdout: &first,
	})
	if err != nil {
		return 0, err
	}
	if _, err := p.Wait(); err != nil {
		return 0, err
	}
	return first.at.Sub(start), nil
}

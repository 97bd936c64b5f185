package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/store"
)

// controllerMemory runs the shop with an empty state directory and asks the
// kernel for the controller's largest resident set, not for its children's.
func controllerMemory(b *bench, ctx context.Context) (row, error) {
	dir, err := b.shop(ctx, "shop")
	if err != nil {
		return row{}, err
	}
	var peaks []int64
	for i := range 2 { // a peak, not a time: it hardly varies
		peak, err := b.peak(ctx, dir, filepath.Join(b.dir, "memory-"+strconv.Itoa(i)))
		if err != nil {
			return row{}, err
		}
		peaks = append(peaks, peak)
	}
	m := median(peaks)
	return row{figure: fmt.Sprintf("%d MiB", m>>20), missed: m >= 100<<20, note: "cold run of the shop, peak resident set of the controller's process"}, nil
}

func (b *bench) peak(ctx context.Context, dir, state string) (int64, error) {
	cmd := exec.CommandContext(ctx, b.sallyport, "run", "--quiet", dir)
	cmd.Env = append(os.Environ(), "SALLYPORT_STATE="+state)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer os.RemoveAll(state)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak := int64(0)
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return 0, fmt.Errorf("run the shop: %w\n%s", err, tail(out.Bytes()))
			}
			return peak, nil
		case <-every.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

// highWater reads VmHWM, which never shrinks: the last reading is the peak.
func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// handOff measures what lies between two stages: a tree of 30,000 files that a
// zone left in its overlay becomes an input of the next.
func handOff(b *bench, ctx context.Context) (row, error) {
	s, err := store.Open(filepath.Join(b.dir, "handoff"), store.Owner{})
	if err != nil {
		return row{}, err
	}
	defer s.Close()
	var times []time.Duration
	for i := range b.rounds {
		upper, err := s.Scratch("upper")
		if err != nil {
			return row{}, err
		}
		if err := manyFiles(filepath.Join(upper, "src", "node_modules"), i); err != nil {
			return row{}, err
		}
		start := time.Now()
		if _, err := s.Adopt(ctx, store.AdoptSpec{Stage: "generate", Upper: upper, Paths: []string{"src/node_modules"}, Box: "/box"}); err != nil {
			return row{}, err
		}
		times = append(times, time.Since(start))
	}
	m := median(times)
	return row{figure: short(m), missed: m >= 300*time.Millisecond, note: "30,000 files of 1 KiB in 1,000 directories, checked, hashed and taken into the store"}, nil
}

func manyFiles(dir string, seed int) error {
	content := bytes.Repeat([]byte("x"), 1000)
	for d := range 1000 {
		sub := filepath.Join(dir, fmt.Sprintf("package-%d", d))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		for f := range 30 {
			body := fmt.Appendf(content, "%d %d %d", seed, d, f)
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%d.js", f)), body, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

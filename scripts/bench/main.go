// Command bench measures what Sallyport costs, as ratios to the same commands
// run plainly on the same machine, in turns: the median of the ratios of at
// least five pairs. Absolute times of a shared machine say little; a pair that
// ran one after the other says more.
//
//	go run ./scripts/bench -sallyport bin/sallyport [-rounds 5] [-only zone,npm]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	binary := flag.String("sallyport", "bin/sallyport", "the program to measure")
	rounds := flag.Int("rounds", 5, "pairs to measure, at least 5")
	only := flag.String("only", "", "names of the measurements to make, with commas; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, max(5, *rounds), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is where the measurements work.
type bench struct {
	sallyport string // absolute
	rounds    int
	dir       string // on a real file system, removed at the end
	state     string // SALLYPORT_STATE
}

// measurement is one line of the table.
type measurement struct {
	name string
	aim  string
	run  func(*bench, context.Context) (row, error)
}

// row is what a measurement found.
type row struct {
	plain, ours time.Duration // medians
	ratio       float64       // median of the pairs' ratios
	figure      string        // instead of a ratio, where there is no plain command
	missed      bool
	note        string
}

var measurements = []measurement{
	{"zone", "start of a zone against bwrap with all namespaces: aim 1.0, at most 1.5", zoneStart},
	{"build", "cold go build in a zone against plain: at most 1.05", goBuild},
	{"npm", "npm ci of 500 packages in a zone, warm gateway, against plain: at most 1.05", npmCI},
	{"gomod", "go mod download, warm gateway, against plain: at most 1.0", goModDownload},
	{"again", "second run of the shop, nothing changed, against its plain build: under 0.1", secondRun},
	{"memory", "memory of the controller during a run: under 100 MiB", controllerMemory},
	{"handoff", "hand-off of a tree of 30,000 files: under 0.3 s", handOff},
}

func run(ctx context.Context, binary string, rounds int, only string) error {
	b, err := newBench(binary, rounds)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	fmt.Printf("%-8s %10s %10s %8s\n", "", "plain", "ours", "ratio")
	for _, m := range measurements {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.name) {
			continue
		}
		r, err := m.run(b, ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Printf("%-8s not measured: %v\n", m.name, err)
			continue
		}
		r.print(m)
	}
	return nil
}

func newBench(binary string, rounds int) (*bench, error) {
	abs, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("build first: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(cache, "sallyport-bench-")
	if err != nil {
		return nil, err
	}
	return &bench{sallyport: abs, rounds: rounds, dir: dir, state: filepath.Join(dir, "state")}, nil
}

func (r row) print(m measurement) {
	verdict := "ok"
	if r.missed {
		verdict = "MISSED"
	}
	if r.figure != "" {
		fmt.Printf("%-8s %10s %10s %8s  %-6s %s\n", m.name, "", r.figure, "", verdict, m.aim)
	} else {
		fmt.Printf("%-8s %10s %10s %8.2f  %-6s %s\n", m.name, short(r.plain), short(r.ours), r.ratio, verdict, m.aim)
	}
	if r.note != "" {
		fmt.Printf("%8s %s\n", "", r.note)
	}
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// pairs runs plain and ours in turns, the first of each pair by turns too, and
// gives medians and the median of the ratios.
func pairs(ctx context.Context, rounds int, plain, ours func(context.Context) (time.Duration, error)) (row, error) {
	var ps, os_ []time.Duration
	var ratios []float64
	for i := range rounds {
		first, second := plain, ours
		if i%2 == 1 {
			first, second = ours, plain
		}
		a, err := first(ctx)
		if err != nil {
			return row{}, err
		}
		b, err := second(ctx)
		if err != nil {
			return row{}, err
		}
		if i%2 == 1 {
			a, b = b, a
		}
		ps, os_ = append(ps, a), append(os_, b)
		ratios = append(ratios, float64(b)/float64(a))
	}
	return row{plain: median(ps), ours: median(os_), ratio: median(ratios)}, nil
}

func median[T time.Duration | float64 | int64](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

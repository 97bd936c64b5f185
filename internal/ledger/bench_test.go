package ledger

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// BenchmarkAppend writes entries from 1, 16 and 256 writers, each durable
// before the next of its writer.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			l := newPlace(b).open(b)
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for n := w; n < b.N; n += writers {
						if _, err := l.Append(context.Background(), entry("1", n)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkRun writes what one run writes: 30 entries without waiting, one flush.
func BenchmarkRun(b *testing.B) {
	l := newPlace(b).open(b)
	for b.Loop() {
		for n := range 30 {
			if err := l.AppendAsync(entry("1", n)); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify walks a log of 10,000 entries.
func BenchmarkVerify(b *testing.B) {
	p := newPlace(b)
	l := p.open(b)
	fill(b, l, "1", 10_000)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := l.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkProve makes one portable proof.
func BenchmarkProve(b *testing.B) {
	l := newPlace(b).open(b)
	fill(b, l, "1", 1000)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := l.Prove(b.Context(), 700); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenClose is what a command pays that appends one entry.
func BenchmarkOpenClose(b *testing.B) {
	p := newPlace(b)
	for b.Loop() {
		l := p.open(b)
		if _, err := l.Append(b.Context(), entry("1", 1)); err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

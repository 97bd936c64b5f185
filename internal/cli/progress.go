package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
)

// progress shows a run two levels deep: the stages, and under each that runs
// what it does now. On a terminal the running ones are drawn over; elsewhere
// each stage is one line when it starts and one when it ends.
type progress struct {
	words *words
	live  bool
	quiet bool
	width func() int
	now   func() time.Time
	done  chan struct{}

	mu      sync.Mutex
	running []*stageRow
	drawn   int // lines that are drawn over next time
}

type stageRow struct {
	name    string
	zone    boundary.Zone
	started time.Time
	step    string
}

func (a *app) newProgress() *progress {
	p := &progress{
		words: a.words(),
		live:  a.live(),
		quiet: a.quiet,
		width: func() int { return terminalWidth(a.stderr) },
		now:   time.Now,
		done:  make(chan struct{}),
	}
	if p.live {
		go p.tick()
	}
	return p
}

// tick draws anew each second, so that the times go on.
func (p *progress) tick() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.update(func() {})
		case <-p.done:
			return
		}
	}
}

func terminalWidth(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if cols, _, err := term.GetSize(int(f.Fd())); err == nil && cols > 20 {
			return cols
		}
	}
	return 80
}

// start says that a stage began.
func (p *progress) start(name string, zone boundary.Zone) {
	p.update(func() {
		p.running = append(p.running, &stageRow{name: name, zone: zone, started: p.now()})
		if !p.live {
			p.print(fmt.Sprintf("   %-14s started", name))
		}
	})
}

// step says what a stage does now.
func (p *progress) step(name, text string) {
	p.update(func() {
		for _, r := range p.running {
			if r.name == name {
				r.step = text
			}
		}
	})
}

// end says how a stage ended. One without a record, such as a second build, only
// goes away.
func (p *progress) end(name string, s *evidence.Stage) {
	p.update(func() {
		for i, r := range p.running {
			if r.name == name {
				p.running = append(p.running[:i], p.running[i+1:]...)
				break
			}
		}
		if s != nil && s.Name != "" {
			p.print(p.ended(*s))
		}
	})
}

func (p *progress) ended(s evidence.Stage) string {
	mark := p.words.paint(green, "ok")
	took := seconds(s.Ended.Sub(s.Started))
	switch {
	case s.State == evidence.Skipped:
		mark, took = p.words.paint(dim, "--"), "left out"
	case s.State != evidence.Success:
		mark = p.words.paint(red, "NO")
	case s.Cached:
		took = "unchanged, not run again"
	}
	line := fmt.Sprintf("%s %-14s %s", mark, clean(s.Name), p.words.paint(dim, took))
	if s.Reason != "" {
		line += "  " + clean(s.Reason)
	}
	return line
}

// note prints one line that stays.
func (p *progress) note(text string) { p.update(func() { p.print(text) }) }

// close takes the live lines away.
func (p *progress) close() {
	p.update(func() { p.running = nil })
	close(p.done)
}

// update changes the rows and draws what follows from it.
func (p *progress) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	change()
	p.draw()
}

func (p *progress) print(line string) {
	if !p.quiet {
		fmt.Fprintln(p.words.w, line)
	}
}

func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.words.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) draw() {
	if !p.live {
		return
	}
	width := p.width()
	var b strings.Builder
	for _, r := range p.running {
		fmt.Fprintf(&b, ".. %-14s %s\n", clean(r.name), p.words.paint(dim, seconds(p.now().Sub(r.started))))
		p.drawn++
		if r.step != "" {
			b.WriteString(p.words.paint(dim, cut("   "+clean(r.step), width-1)) + "\n")
			p.drawn++
		}
	}
	io.WriteString(p.words.w, b.String())
}

// cut shortens s to n columns, one to a rune.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n || n < 1 {
		return s
	}
	return string(runes[:n-1]) + "…"
}

func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
}

func secondsOf(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

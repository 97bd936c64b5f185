package conductor

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/joblog"
)

const (
	maxLog   = 64 << 20 // bytes of one stage's log that are kept
	maxLine  = 8 << 10  // bytes of a line that are kept
	tailSize = 20       // last lines, for the report of a failure
	lineGap  = 50 * time.Millisecond
)

// stageLog keeps the output of a stage as text that nothing obeys: control
// characters, escape sequences and marks that reorder text are spelled out, and
// so are lines that CI systems take for commands.
type stageLog struct {
	mu     sync.Mutex
	f      *os.File
	line   []byte
	over   bool // the line is too long; the rest of it is dropped
	back   bool // a carriage return came last
	left   int64
	err    error
	tail   []string
	lines  int    // kept so far
	marked []mark // earlier lines that look like what went wrong
	tell   func(string)
	told   time.Time
	newest string      // not told yet
	timer  *time.Timer // that will tell it
	now    func() time.Time
}

func newStageLog(path string, now func() time.Time, tell func(string)) (*stageLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &stageLog{f: f, left: maxLog, tell: tell, now: now}, nil
}

// Write takes output. It never fails: a stage is not to notice a full log disk.
func (l *stageLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		p = l.take(p)
	}
	return n, nil
}

// take takes what comes up to the end of a line. A carriage return ends one
// that is drawn over, unless a newline follows.
func (l *stageLog) take(p []byte) []byte {
	if l.back {
		l.back = false
		if p[0] != '\n' {
			l.flush(true)
		}
	}
	i := 0
	for i < len(p) && p[i] != '\n' && p[i] != '\r' {
		i++
	}
	l.add(p[:i])
	if i == len(p) {
		return nil
	}
	if p[i] == '\n' {
		l.flush(false)
	}
	l.back = p[i] == '\r'
	return p[i+1:]
}

func (l *stageLog) add(p []byte) {
	if room := maxLine - len(l.line); len(p) > room {
		p, l.over = p[:room], true
	}
	l.line = append(l.line, p...)
}

// flush writes the line. One that ends with a carriage return is a progress
// display that is drawn over: it is told, not kept.
func (l *stageLog) flush(drawnOver bool) {
	text := harmless(l.line)
	if l.over {
		text += " [cut]"
	}
	l.line, l.over = l.line[:0], false
	if !drawnOver {
		l.keep(text)
	}
	if text != "" {
		l.newest = text
		l.show()
	}
}

// show tells the newest line, but not more often than anyone can read.
func (l *stageLog) show() {
	at := l.now()
	if wait := lineGap - at.Sub(l.told); wait > 0 {
		if l.timer == nil {
			l.timer = time.AfterFunc(wait, l.late)
		}
		return
	}
	l.told = at
	l.tell(l.newest)
	l.newest = ""
}

func (l *stageLog) late() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer = nil; l.newest != "" {
		l.show()
	}
}

// mark is a line that stands out, and where it is.
type mark struct {
	line int
	text string
}

// maxMarked is how many lines that stand out are shown before the last ones.
const maxMarked = 12

// standsOut tells of a line that it probably says what went wrong: in the output
// of a hundred tests the last lines seldom do.
func standsOut(s string) bool {
	for _, sign := range []string{"--- FAIL", "panic:", "error:", "Error:", "npm ERR!", "npm error", "not ok ", "GOPROXY=off", "undefined:", "cannot find"} {
		if strings.Contains(s, sign) {
			return true
		}
	}
	return strings.HasPrefix(s, "FAIL\t")
}

func (l *stageLog) keep(text string) {
	if l.lines++; len(l.marked) < maxMarked && standsOut(text) {
		l.marked = append(l.marked, mark{l.lines, text})
	}
	l.tail = append(l.tail, text)
	if len(l.tail) > 2*tailSize {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-tailSize:]...)
	}
	if l.left < 0 {
		return
	}
	l.left -= int64(len(text)) + 1
	if l.left < 0 {
		text = fmt.Sprintf("[the log is cut here: more than %d bytes]", maxLog)
	}
	if _, err := io.WriteString(l.f, text+"\n"); err != nil && l.err == nil {
		l.err = err
	}
}

// finish writes what is left and returns the last lines, after those that stood
// out before them.
func (l *stageLog) finish() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.flush(false)
	}
	if l.newest = ""; l.timer != nil {
		l.timer.Stop()
	}
	tail := l.tail[max(0, len(l.tail)-tailSize):]
	var out []string
	for _, m := range l.marked {
		if m.line <= l.lines-len(tail) {
			out = append(out, m.text)
		}
	}
	if len(out) > 0 {
		out = append(out, "...")
	}
	return append(out, tail...), l.err
}

// harmless spells out what a terminal, a reader's eye or a CI system obeys.
func harmless(b []byte) string {
	if plain(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&s, `\x%02x`, b[0])
		case r == 0x1b:
			if skip := colour(b); skip > 0 {
				n = skip
				break
			}
			s.WriteString(`\x1b`)
		case r < 0x20 && r != '\t' || r == 0x7f:
			fmt.Fprintf(&s, `\x%02x`, r)
		case obeyed(r):
			fmt.Fprintf(&s, `\u%04x`, r)
		default:
			s.WriteRune(r)
		}
		b = b[n:]
	}
	return joblog.Disarm(s.String())
}

// plain tells whether nothing in a line needs a second look, which is the case
// for nearly all of them.
func plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c >= 0x7f || c == ':' || c == '#' {
			return false
		}
	}
	return true
}

// colour returns the length of a colour sequence, which is dropped whole: ESC [
// digits and semicolons m.
func colour(b []byte) int {
	if len(b) < 3 || b[1] != '[' {
		return 0
	}
	for i := 2; i < len(b) && i < 40; i++ {
		switch c := b[i]; {
		case c == 'm' || c == 'K':
			return i + 1
		case c != ';' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// obeyed tells whether a rune changes how others are shown, or starts a control
// sequence in terminals that know eight-bit controls.
func obeyed(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

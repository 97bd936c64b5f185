package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/internal/evidence"
)

// words writes for people: colour where it is wanted, nothing that a terminal
// would obey.
type words struct {
	w      io.Writer
	colour bool
}

// words returns the writer of talk.
func (a *app) words() *words { return &words{w: a.stderr, colour: a.tty && a.wantsColour()} }

func (a *app) wantsColour() bool {
	if v, ok := a.lookup("NO_COLOR"); ok && v != "" {
		return false
	}
	term, _ := a.lookup("TERM")
	return term != "dumb"
}

// live tells whether lines may be drawn over: a terminal that can, and no CI.
func (a *app) live() bool {
	ci, _ := a.lookup("CI")
	term, _ := a.lookup("TERM")
	return a.tty && !a.quiet && (ci == "" || ci == "false") && term != "dumb" && term != ""
}

// say is talk; --quiet leaves it out.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// result writes text to stdout, or v as JSON with -o json.
func (a *app) result(v any, text func(w io.Writer)) error {
	var out bytes.Buffer
	if a.format == "json" {
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
	} else {
		text(&out)
	}
	if _, err := a.stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func (w *words) paint(colour, s string) string {
	if !w.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// problem says what went wrong, where, by which rule, and what to do.
func (w *words) problem(p *problem) {
	fmt.Fprintf(w.w, "%s: %s\n", w.paint(red, "error["+string(p.Code)+"]"), clean(p.What))
	if p.Where != "" {
		fmt.Fprintf(w.w, "  %s %s\n", w.paint(dim, "-->"), clean(p.Where))
	}
	for _, line := range p.Snippet {
		fmt.Fprintf(w.w, "      %s\n", clean(line))
	}
	for _, line := range p.Also {
		fmt.Fprintf(w.w, "      %s\n", clean(line))
	}
	w.field("rule", p.Rule)
	w.field("log", p.Log)
	w.field("do", p.Next)
}

// denial says what was refused, in the form that DESIGN gives.
func (w *words) denial(d evidence.Denial) {
	who := "stage " + d.Stage
	if d.Package != "" {
		who += ", " + d.Package
	}
	times := ""
	if d.Count > 1 {
		times = fmt.Sprintf(" (%d times)", d.Count)
	}
	fmt.Fprintf(w.w, "%s %s  %s -> %s%s\n", w.paint(yellow, "denied["+d.Class+"]"), d.ID, clean(who), clean(d.Target), times)
	w.field("process", d.Process)
	rule := string(d.Rule)
	if d.Why != "" {
		rule += ": " + d.Why
	}
	if d.Where != "" {
		rule += " (" + d.Where + ")"
	}
	w.field("rule", rule)
	w.field("verdict", d.Verdict)
	w.field("do", d.Do)
}

func (w *words) field(name, value string) {
	if value != "" {
		fmt.Fprintf(w.w, "  %s %s\n", w.paint(dim, fmt.Sprintf("%-8s", name)), clean(value))
	}
}

// clean makes text that others wrote safe to print: one line, no control
// characters, no marks that turn the direction of writing, bounded.
func clean(s string) string {
	const most = 2000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar, unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong with a pipeline file or a project.
type Error struct {
	Code    string `json:"code"` // stable, such as E-YAML-UNKNOWN-KEY; see Codes
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Column  int    `json:"column,omitempty"` // from 1, in characters
	Msg     string `json:"message"`
	Hint    string `json:"hint,omitempty"`    // what to write instead
	Snippet string `json:"snippet,omitempty"` // the line, and a caret below
}

// Error prints as a compiler would: place, code, message, line, caret, help.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	fmt.Fprintf(&b, ": %s: %s", e.Code, e.Msg)
	if e.Snippet != "" {
		b.WriteString("\n" + e.Snippet)
	}
	if e.Hint != "" {
		b.WriteString("\n  help: " + e.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with one file, in the file's order.
type Errors []*Error

// Error prints all of them.
func (e Errors) Error() string {
	parts := make([]string, len(e))
	for i, p := range e {
		parts[i] = p.Error()
	}
	return strings.Join(parts, "\n")
}

// Unwrap lets errors.As find the first *Error.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, p := range e {
		out[i] = p
	}
	return out
}

// maxProblems is how many errors of one file are told.
const maxProblems = 40

// mark is a place in the file, and how many characters it spans.
type mark struct{ line, column, width int }

// report gathers what is wrong with one file.
type report struct {
	file  string
	lines []string
	errs  Errors
}

func newReport(file string, data []byte) *report {
	return &report{file: file, lines: strings.Split(string(data), "\n")}
}

// add notes one error. The message is given as for fmt.Sprintf.
func (r *report) add(code string, at mark, hint, format string, args ...any) {
	e := &Error{Code: code, File: r.file, Line: at.line, Column: at.column, Msg: fmt.Sprintf(format, args...), Hint: hint}
	e.Snippet = r.snippet(at)
	r.errs = append(r.errs, e)
}

// err returns what was gathered, in the order of the file, or nil.
func (r *report) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(r.errs) > maxProblems {
		rest := len(r.errs) - maxProblems
		r.errs = append(r.errs[:maxProblems:maxProblems], &Error{Code: "E-MORE", File: r.file, Msg: fmt.Sprintf("and %d more", rest)})
	}
	return r.errs
}

const snippetWidth = 100

// snippet is the line with its number, and a caret below. Of a long line the
// part around the place is shown; what a terminal would obey is shown as text.
func (r *report) snippet(at mark) string {
	if at.line < 1 || at.line > len(r.lines) || at.column < 1 {
		return ""
	}
	line := []rune(printable(strings.TrimSuffix(r.lines[at.line-1], "\r")))
	column := min(at.column-1, len(line))
	start := 0
	if column > snippetWidth*3/4 {
		start = column - snippetWidth/2
	}
	end := min(len(line), start+snippetWidth)
	number := fmt.Sprintf("%5d", at.line)
	width := max(1, min(at.width, end-column))
	return number + " | " + string(line[start:end]) + "\n" +
		strings.Repeat(" ", len(number)) + " | " + strings.Repeat(" ", column-start) + "^" + strings.Repeat("~", width-1)
}

// printable replaces every character that is not plainly visible by one that
// is, one for one, so that columns stay right.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || hidden(c) {
			return '\ufffd'
		}
		return c
	}, s)
}

// hidden tells whether c does not show as itself: controls, tabs, and the
// characters that reorder or hide text.
func hidden(c rune) bool {
	switch {
	case c < ' ', c >= 0x7f && c <= 0x9f, c == 0xad, c == 0x61c, c == 0x180e,
		c >= 0x200b && c <= 0x200f, c >= 0x2028 && c <= 0x202e, c >= 0x2060 && c <= 0x206f,
		c >= 0xfe00 && c <= 0xfe0f, c == 0xfeff, c >= 0xfff0 && c <= 0xfffb, c >= 0xe0000:
		return true
	}
	return false
}

// nearest returns the candidate that s was most likely meant to be, or "".
func nearest(s string, candidates []string) string {
	best, bestAt := "", (len(s)+2)/3+1
	for _, c := range candidates {
		if d := distance(s, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// didYouMean words the nearest candidate as a hint, else lists them all.
func didYouMean(s string, candidates []string) string {
	if n := nearest(s, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(candidates) == 0 {
		return ""
	}
	return "there is " + strings.Join(candidates, ", ")
}

// distance counts the letters to change, add, take or swap to get from a to b.
// It is bounded: names longer than 64 bytes are simply far from all.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[2][j] = min(rows[1][j]+1, rows[2][j-1]+1, rows[1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[2][j] = min(rows[2][j], rows[0][j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
	}
	return rows[1][len(b)]
}

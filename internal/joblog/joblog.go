// Package joblog keeps what hostile code prints from being taken for commands by
// the CI runner that reads the job's log.
//
// GitHub obeys lines that begin with ::, Azure and TeamCity obey ##vso[ and
// ##teamcity[ anywhere in a line, and ##[ is known to the first two. A backslash
// is put into such marks; everything else goes through byte for byte, and at
// once.
package joblog

import (
	"bytes"
	"io"
	"strings"
)

// marks are what runners obey anywhere in a line.
func marks() [][]byte {
	return [][]byte{[]byte("##["), []byte("##vso["), []byte("##teamcity[")}
}

// Disarm spells out what a runner would obey in one line.
func Disarm(line string) string {
	var out strings.Builder
	w := NewWriter(&out)
	_, err1 := io.WriteString(w, line)
	err2 := w.Flush()
	if err1 != nil || err2 != nil {
		return "" // a strings.Builder takes everything
	}
	return out.String()
}

// Obeyed says whether this job's log is read by a runner that obeys commands in
// it, from the environment that the runner sets.
func Obeyed(lookup func(string) (string, bool)) bool {
	for _, name := range []string{"GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION", "GITEA_ACTIONS", "FORGEJO_ACTIONS"} {
		if v, ok := lookup(name); ok && v != "" && !strings.EqualFold(v, "false") {
			return true
		}
	}
	return false
}

// Writer passes on what is written to it, without commands. The zero value is
// not ready: see NewWriter.
type Writer struct {
	to    io.Writer
	start bool   // only white space came since the line began
	held  []byte // the begin of what may become a mark
}

// NewWriter passes on to w. Flush has to be called at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w, start: true} }

// Write never holds back more than the first bytes of a mark.
func (w *Writer) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+8)
	for _, c := range b {
		out = w.next(out, c)
	}
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Flush writes what was held back.
func (w *Writer) Flush() error {
	out := w.held
	w.held = nil
	_, err := w.to.Write(out)
	return err
}

// next takes one byte: it ends a mark, could still lead to one, or leads to none.
func (w *Writer) next(out []byte, c byte) []byte {
	held := append(w.held, c)
	if w.start && bytes.HasPrefix([]byte("::"), held) {
		if len(held) == 2 {
			w.start, w.held = false, nil
			return append(out, `\::`...)
		}
		w.held = held
		return out
	}
	for _, m := range marks() {
		if !bytes.HasPrefix(m, held) {
			continue
		}
		if len(held) == len(m) {
			w.start, w.held = false, nil
			return append(append(out, `#\#`...), held[2:]...)
		}
		w.held = held
		return out
	}
	return w.release(out, held)
}

// release passes on what is no mark; its last byte may begin another.
func (w *Writer) release(out, held []byte) []byte {
	w.held = nil
	if len(held) > 1 {
		// "###vso[" has a mark from its second byte on.
		first := held[0]
		rest := bytes.Clone(held[1:])
		out = append(out, first)
		w.start = false
		for _, c := range rest {
			out = w.next(out, c)
		}
		return out
	}
	// Runners skip white space of every kind before ::, which has many forms
	// beyond ASCII; other letters beyond it are taken for it, too.
	c := held[0]
	w.start = c == '\n' || c == '\r' || w.start && (c <= ' ' || c >= 0x7f)
	return append(out, c)
}

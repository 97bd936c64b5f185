package joblog

import (
	"bytes"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Wish is something that a program says it could not have. It is the program's
// own word, for people to read; nothing is decided by it.
type Wish struct {
	Kind   string // WishPackage, WishWrite, WishFile
	Target string // what the program calls it
}

// The kinds of wishes.
const (
	WishPackage = "package" // a package that is not there, and would be fetched
	WishWrite   = "write"   // a file that cannot be written: the file system is read-only
	WishFile    = "file"    // a file that is not there, by its absolute path
)

// maxWishLine is how much of a line is looked at, in bytes.
const maxWishLine = 2048

// The forms in which shells, coreutils, Go, Python and Node name a path: in
// quotes on either side of the message, or before it. Compiled once.
var (
	readOnlyForm = regexp.MustCompile(`(?i)read-only file system`)
	missingForm  = regexp.MustCompile(`(?i)no such file or directory|ENOENT`)
	quotedForm   = regexp.MustCompile("['\"‘`]([^'\"’`]+)['\"’`]")
	beforeForm   = regexp.MustCompile(`(?i)(?:^|[\s:])([^\s:]+): (?:read-only file system|no such file or directory)`)
)

// WishOf reads one line of output.
func WishOf(line string) (Wish, bool) {
	line = line[:min(len(line), maxWishLine)]
	if target, ok := packageWish(line); ok {
		return Wish{WishPackage, target}, true
	}
	switch {
	case readOnlyForm.MatchString(line):
		if p := pathIn(line); p != "" {
			return Wish{WishWrite, path.Clean(p)}, true
		}
	case missingForm.MatchString(line):
		if p := pathIn(line); strings.HasPrefix(p, "/") {
			return Wish{WishFile, path.Clean(p)}, true
		}
	}
	return Wish{}, false
}

// packageWish knows what go and npm say when they are told to be offline.
func packageWish(line string) (string, bool) {
	if before, _, ok := strings.Cut(line, ": module lookup disabled by GOPROXY=off"); ok {
		fields := strings.Fields(before)
		if len(fields) == 0 {
			return "", false
		}
		return strings.Trim(fields[len(fields)-1], `":,`), true
	}
	if strings.Contains(line, "ENOTCACHED") || strings.Contains(line, "cache mode is 'only-if-cached'") {
		return "a package that is not in npm's cache", true
	}
	return "", false
}

func pathIn(line string) string {
	if all := quotedForm.FindAllStringSubmatch(line, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	if m := beforeForm.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

// maxWishes is how many different wishes of one command are kept: the last.
const maxWishes = 8

// Ear hears the wishes in what passes through. It is safe for several streams at
// once; the zero Ear is ready.
type Ear struct {
	mu   sync.Mutex
	kept []Wish
}

// Stream passes on what is written to it.
func (e *Ear) Stream(to io.Writer) io.Writer { return &heard{ear: e, to: to} }

// Wishes are the last different ones, in their order.
func (e *Ear) Wishes() []Wish {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.kept)
}

func (e *Ear) line(line []byte) {
	w, ok := WishOf(string(line))
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.kept, w) {
		return
	}
	if e.kept = append(e.kept, w); len(e.kept) > maxWishes {
		e.kept = e.kept[1:]
	}
}

// heard is one stream. It keeps no more than the line that has not ended.
type heard struct {
	ear  *Ear
	to   io.Writer
	rest []byte
}

func (h *heard) Write(b []byte) (int, error) {
	for p := b; len(p) > 0; {
		line, after, whole := bytes.Cut(p, []byte("\n"))
		if room := maxWishLine - len(h.rest); room > 0 {
			h.rest = append(h.rest, line[:min(len(line), room)]...)
		}
		if whole {
			h.ear.line(h.rest)
			h.rest = h.rest[:0]
		}
		p = after
	}
	return h.to.Write(b)
}

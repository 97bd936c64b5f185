package suppress

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// Comment is one suppression that stands in a CI file:
//
//	# sallyport: ignore[SPA-001] reason=... until=2027-01-01
//
// It is for findings of its own line; where it has a line of its own, also for
// those of the next line that is no comment, and of the job that begins there.
type Comment struct {
	Line   int // where it stands
	For    int // the line that it is about
	Rules  []finding.ID
	Reason string
	Until  time.Time // zero: for ever
	Wrong  string    // why it does not count; empty: it does
}

// The limits of the suppressions of one file.
const (
	maxComments = 1000
	maxRules    = 50
)

// Comments reads the suppressions of one file. Comments begin with # or, as in
// a Jenkinsfile, with //.
func Comments(text []byte) []Comment {
	var all []Comment
	var open []int // comments whose line is yet to come
	for i, line := range strings.Split(string(text), "\n") {
		body, at := commentOf(line)
		if !isComment(line) {
			for _, k := range open {
				all[k].For = i + 1
			}
			open = nil
		}
		if at < 0 {
			continue
		}
		if len(all) == maxComments {
			return append(all, Comment{Line: i + 1, For: i + 1, Wrong: fmt.Sprintf("the file has more than %d", maxComments)})
		}
		all = append(all, parseComment(body, i+1))
		if isComment(line) {
			open = append(open, len(all)-1)
		}
	}
	return all
}

// isComment tells whether a line says nothing to a CI system.
func isComment(line string) bool {
	s := strings.TrimSpace(line)
	return s == "" || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "//")
}

// commentOf finds a suppression in a line, and where its comment begins. A mark
// in the middle of a word begins no comment.
func commentOf(line string) (body string, at int) {
	for i := range len(line) {
		mark := markAt(line, i)
		if mark == "" || i > 0 && line[i-1] != ' ' && line[i-1] != '\t' {
			continue
		}
		after := strings.TrimLeft(line[i+len(mark):], " \t")
		if b, ok := strings.CutPrefix(after, "sallyport:"); ok {
			return strings.TrimSpace(b), i
		}
	}
	return "", -1
}

func markAt(line string, i int) string {
	switch {
	case line[i] == '#':
		return "#"
	case strings.HasPrefix(line[i:], "//"):
		return "//"
	}
	return ""
}

func parseComment(body string, line int) Comment {
	c := Comment{Line: line, For: line}
	list, ok := strings.CutPrefix(body, "ignore[")
	list, rest, closed := strings.Cut(list, "]")
	if !ok || !closed {
		c.Wrong = "it is to be: ignore[SPA-001] reason=..."
		return c
	}
	if strings.Count(list, ",") >= maxRules {
		c.Wrong = fmt.Sprintf("it names more than %d rules", maxRules)
		return c
	}
	for id := range strings.SplitSeq(list, ",") {
		r, known := finding.Find(finding.ID(strings.TrimSpace(id)))
		if !known {
			c.Wrong = fmt.Sprintf("there is no rule %s", quoted(strings.TrimSpace(id)))
			return c
		}
		c.Rules = append(c.Rules, r.ID)
	}
	c.Wrong = c.fields(rest)
	return c
}

// fields reads reason=... and until=..., in any order, and says what is wrong
// with them. A reason goes up to until= or to the end of the line.
func (c *Comment) fields(text string) string {
	type field struct {
		name  string
		begin int
	}
	var found []field
	for _, name := range []string{"reason=", "until="} {
		if i := strings.Index(text, name); i >= 0 {
			found = append(found, field{name, i})
		}
	}
	slices.SortFunc(found, func(a, b field) int { return a.begin - b.begin })
	end := len(text)
	for _, f := range slices.Backward(found) {
		value := strings.Trim(strings.TrimSpace(text[f.begin+len(f.name):end]), `"'`)
		if end = f.begin; f.name == "reason=" {
			c.Reason = strings.TrimSpace(value)
			continue
		}
		t, err := time.Parse(time.DateOnly, value)
		if err != nil {
			return fmt.Sprintf("until=%s is no day: write until=2027-01-31", quoted(value))
		}
		c.Until = t
	}
	switch {
	case strings.TrimSpace(text[:end]) != "":
		return fmt.Sprintf("%s is not reason=... nor until=...", quoted(strings.TrimSpace(text[:end])))
	case c.Reason == "":
		return "it gives no reason: add reason=..."
	case utf8.RuneCountInString(c.Reason) > maxWord:
		return fmt.Sprintf("its reason has more than %d characters", maxWord)
	}
	return ""
}

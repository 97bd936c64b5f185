package script

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"mvdan.cc/sh/v3/syntax"
)

// arg is one word of a command.
type arg struct {
	text string // quotes off, values put in where they are known
	// at is where the content begins in the text, where content is written
	// there as it is; else -1.
	at int
	// fetched is the download whose output the word is: "$(curl https://x)".
	fetched string
}

// call is one command.
type call struct {
	name string // of the program, without its folder: npm, docker, build.sh
	path string // as it is written
	args []arg
	env  map[string]string // set for this command only
	// valued are the flags of the program that take the next word.
	valued string

	place ci.Place
	text  string // as shown: the line of the CI file
	own   string // as written, in whatever file

	stdin   string // the download that is piped in, or ""
	pipe    *pipe  // the pipeline that it is part of
	heredoc *syntax.Word
	here    string // the text of a here-string, or of echo before the pipe
	remote  bool   // it runs on another machine
	at      int    // where it begins in the text
}

// pipe is a pipeline as it is shown: where a download is run at once, all of it
// is the command.
type pipe struct {
	text  string
	place ci.Place
}

// with returns a command that c stands for: the same place, other words.
func (c *call) with(args []arg) *call {
	n := *c
	n.args, n.valued = nil, ""
	n.name, n.path = "", ""
	if len(args) > 0 {
		n.path, n.args = args[0].text, args[1:]
		n.name = program(n.path)
	}
	return &n
}

// program returns the name of a program by what is written in its place.
func program(s string) string {
	if strings.HasPrefix(s, "$") {
		return variable(s)
	}
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 && oneOf(strings.ToLower(s[i:]), ".exe|.cmd|.bat") {
		s = s[:i]
	}
	return s
}

// variable returns the program that a variable or an expression stands for, by
// its name: $PIP, ${NPM_BIN}, ${{ matrix.cargo }}.
func variable(s string) string {
	if all := Expressions(s); len(all) == 1 {
		if !strings.HasSuffix(s, "}}") {
			return path.Base(s)
		}
		s = all[0][strings.LastIndexByte(all[0], '.')+1:]
	}
	name := strings.ToLower(strings.Trim(s, "${}\""))
	if i := strings.IndexAny(name, ":-/"); i > 0 {
		return path.Base(strings.TrimRight(name, "}"))
	}
	for _, tail := range []string{"_bin", "_cmd", "_exe", "_bin_path"} {
		name = strings.TrimSuffix(name, tail)
	}
	return strings.ReplaceAll(name, "_", "-")
}

// texts returns the words after the name.
func (c *call) texts() []string {
	all := make([]string, len(c.args))
	for i, a := range c.args {
		all[i] = a.text
	}
	return all
}

// operands returns the indices of the words that are no flags and no values of
// flags.
func (c *call) operands() []int {
	var all []int
	for i := 0; i < len(c.args); i++ {
		s := c.args[i].text
		switch {
		case s == "--":
			for i++; i < len(c.args); i++ {
				all = append(all, i)
			}
		case len(s) > 1 && s[0] == '-':
			if !strings.Contains(s, "=") && flagged(s, c.valued) && !c.alone(i) {
				i++
			}
		default:
			all = append(all, i)
		}
	}
	return all
}

// alone tells whether a flag that may take a value has none: make -j all.
func (c *call) alone(i int) bool {
	return c.args[i].text == "-j" && i+1 < len(c.args) && !isNumber(c.args[i+1].text)
}

// operand returns the word of that number among the operands, or "".
func (c *call) operand(n int) string {
	all := c.operands()
	if n < 0 || n >= len(all) {
		return ""
	}
	return c.args[all[n]].text
}

// after returns the words after the operand of that number.
func (c *call) after(n int) []arg {
	all := c.operands()
	if n < 0 || n >= len(all) {
		return nil
	}
	return c.args[all[n]+1:]
}

// from returns the words from the operand of that number on.
func (c *call) from(n int) []arg {
	all := c.operands()
	if n < 0 || n >= len(all) {
		return nil
	}
	return c.args[all[n]:]
}

// flagged tells whether a word is one of some flags, written with spaces
// between. A flag of one dash and one letter is also found within others: -x in
// -ex.
func flagged(s, flags string) bool {
	if s == "" || s[0] != '-' {
		return false
	}
	for flags != "" {
		one, rest, _ := strings.Cut(flags, " ")
		if s == one || len(s) > len(one) && s[len(one)] == '=' && s[:len(one)] == one {
			return true
		}
		flags = rest
	}
	return false
}

// has tells whether one of some flags is there. A flag that is switched off by
// =false is not.
func (c *call) has(flags string) bool {
	for _, a := range c.args {
		if a.text == "--" && flags != "--" {
			return false
		}
		if flagged(a.text, flags) {
			return !strings.HasSuffix(a.text, "=false")
		}
	}
	return false
}

// letter tells whether a flag of one letter is there, alone or among others.
func (c *call) letter(l byte) bool {
	for _, a := range c.args {
		s := a.text
		if len(s) > 1 && s[0] == '-' && s[1] != '-' && strings.IndexByte(s[1:], l) >= 0 {
			return true
		}
	}
	return false
}

// value returns what a flag is set to, "" without it.
func (c *call) value(flags string) string {
	all := c.values(flags)
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// values returns all that a flag is set to.
func (c *call) values(flags string) []string {
	var all []string
	for i, a := range c.args {
		if !flagged(a.text, flags) {
			continue
		}
		if _, v, ok := strings.Cut(a.text, "="); ok {
			all = append(all, v)
		} else if i+1 < len(c.args) {
			all = append(all, c.args[i+1].text)
		}
	}
	return all
}

// joined returns all words on one line.
func (c *call) joined() string { return strings.Join(c.texts(), " ") }

// matches returns how many operands a pattern of subcommands takes, -1 where it
// does not match: words with spaces between, alternatives with bars.
func (c *call) matches(sub string, operands []int) int {
	n := 0
	for sub != "" {
		one, rest, _ := strings.Cut(sub, " ")
		if n >= len(operands) || !alike(c.args[operands[n]].text, one) {
			return -1
		}
		sub = rest
		n++
	}
	return n
}

// alike tells whether a word is one of those of a pattern; * is any word, a
// pattern with a * at its end is any word of that beginning.
func alike(s, list string) bool {
	for list != "" {
		one, rest, _ := strings.Cut(list, "|")
		if one == s {
			return true
		}
		if head, ok := strings.CutSuffix(one, "*"); ok && strings.HasPrefix(s, head) {
			return true
		}
		list = rest
	}
	return false
}

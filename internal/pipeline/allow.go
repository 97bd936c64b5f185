package pipeline

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/boundary"
)

// AllowFile is where a project keeps its exceptions. They stand apart from
// sallyport.yaml, so that a project that has none can have them too, and other
// people can own them.
const AllowFile = ".sallyport/allow.yaml"

// LoadAllow reads a file of exceptions, as strictly as Load. Whether one is in
// force is boundary.Decide's to say.
func LoadAllow(name string, data []byte) ([]boundary.Allowance, error) {
	r := newReport(name, data)
	root := parse(r, data)
	if root == nil {
		return nil, r.err()
	}
	var f allowFile
	f.read(r, root)
	if len(r.errs) > 0 {
		return nil, r.err()
	}
	out := make([]boundary.Allowance, 0, len(f.Allow.items))
	for i := range f.Allow.items {
		out = append(out, f.Allow.items[i].allowance())
	}
	return out, nil
}

// Except gives the pipeline the exceptions that are in force at a moment:
// packages to its gateway, limits to its stages. Those that have run out change
// nothing.
func (p *Pipeline) Except(list []boundary.Allowance, now time.Time) {
	for _, a := range list {
		switch {
		case !a.InForce(now):
		case a.Package != "":
			p.Gateway.Allow = append(p.Gateway.Allow, a)
		default:
			for i := range p.Stages {
				if s := &p.Stages[i]; s.Name == a.Stage && s.Zone < boundary.Verify {
					s.Limits.raise(a.Limit, a.UpTo)
				}
			}
		}
	}
}

// raise sets one limit, unless more is given already.
func (l *Limits) raise(name string, upTo int64) {
	switch name {
	case "time":
		l.Time = max(l.Time, time.Duration(upTo))
	case "memory":
		l.Memory = max(l.Memory, upTo)
	case "disk":
		l.Disk = max(l.Disk, upTo)
	case "pids":
		l.PIDs = max(l.PIDs, int(upTo))
	}
}

// AppendAllow adds an exception to the text of a file, empty for a new one, and
// leaves what stands there as it is. The result is read again: a text to which
// nothing can be appended, and an exception that it cannot say, are errors.
func AppendAllow(text []byte, a boundary.Allowance) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("version: 1\nallow:\n")
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	out := append(slices.Clip(text), EntryOf(a)...)
	after, err := LoadAllow(AllowFile, out)
	if err != nil {
		return nil, err
	}
	if !same(after[len(after)-1], a) {
		return nil, fmt.Errorf("an exception is not written as it is meant:\n%s", EntryOf(a))
	}
	return out, nil
}

func same(a, b boundary.Allowance) bool {
	a.Line, b.Line = 0, 0
	return a == b
}

// EntryOf is an exception as it stands in the file.
func EntryOf(a boundary.Allowance) string {
	var b strings.Builder
	write := func(key, value string) {
		lead := "    "
		if b.Len() == 0 {
			lead = "  - "
		}
		fmt.Fprintf(&b, "%s%s: %s\n", lead, key, value)
	}
	if a.Package != "" {
		write("package", strconv.Quote(a.Package))
		write("sum", a.Sum)
	} else {
		write("stage", a.Stage)
		write("limit", a.Limit)
		write("up_to", a.Bound())
	}
	write("reason", strconv.Quote(a.Reason))
	if !a.Until.IsZero() {
		write("until", a.Until.AddDate(0, 0, -1).Format(time.DateOnly))
	}
	return b.String()
}

// ParseBound reads the value of a limit as the file says it.
func ParseBound(limit, text string) (int64, error) {
	switch limit {
	case "time":
		var s span
		err := s.set(text)
		return int64(s.d), err
	case "memory", "disk":
		var s size
		err := s.set(text)
		return s.bytes, err
	case "pids":
		var n processes
		err := n.set(text)
		return int64(n.n), err
	}
	return 0, fmt.Errorf("%q is no limit that an exception raises: there are %s", clip(limit), strings.Join(raised(), ", "))
}

func raised() []string { return []string{"time", "memory", "disk", "pids"} }

// AllowSchemaID is the $id of the JSON Schema of a file of exceptions.
const AllowSchemaID = "https://github.com/sallyport/sallyport/spec/allow-v1.schema.json"

// AllowSchema returns the JSON Schema (draft-07) of a file of exceptions.
func AllowSchema() []byte {
	s := (&allowFile{}).schema()
	return schemaText(s, AllowSchemaID, AllowFile, "What is let through in spite of a rule, why, and until when.")
}

// allowFile is a whole .sallyport/allow.yaml.
type allowFile struct {
	Version aVersion                    `key:"version" need:"true" doc:"The version of this file format: 1."`
	Allow   list[allowForm, *allowForm] `key:"allow" need:"true" doc:"The exceptions."`
}

func (f *allowFile) read(r *report, n *yaml.Node) { readForm(r, n, f) }
func (f *allowFile) schema() object               { return formSchema(f) }

// allowForm is one exception: a package by checksum, or more of one resource for
// one stage.
type allowForm struct {
	Package aPurl     `key:"package" doc:"Package URL with a version, such as pkg:npm/left-pad@1.3.0."`
	Sum     aSum      `key:"sum" doc:"The ecosystem's checksum of that version: sha512-... or h1:..."`
	Stage   aStage    `key:"stage" doc:"The stage that is given more."`
	Limit   aLimit    `key:"limit" doc:"Of what: time, memory, disk or pids."`
	UpTo    boundForm `key:"up_to" doc:"How much, as below limits: of a stage, such as 40m, 8GiB or 4096."`
	Reason  aReason   `key:"reason" need:"true" doc:"Why; for whoever reads this later."`
	Until   aDay      `key:"until" doc:"The last day on which it holds, in UTC, such as 2027-01-31. Left out: no end."`
	at      mark
	upTo    int64
}

func (f *allowForm) read(r *report, n *yaml.Node) {
	f.at = place(n)
	before := len(r.errs)
	readForm(r, n, f)
	if len(r.errs) > before {
		return
	}
	pack := f.Package.set && f.Sum.set && !f.Stage.set && !f.Limit.set && !f.UpTo.set
	more := !f.Package.set && !f.Sum.set && f.Stage.set && f.Limit.set && f.UpTo.set
	if !pack && !more {
		r.add("E-YAML-VALUE", f.at, "", "an exception is for a package (package and sum), or for a limit (stage, limit and up_to)")
		return
	}
	if pack {
		if strings.HasPrefix(string(f.Package.V.word), "pkg:golang/") != strings.HasPrefix(string(f.Sum.V.word), "h1:") {
			r.add("E-YAML-VALUE", f.Sum.at, "a Go module has h1:..., an npm package sha512-...", "the checksum is not of that ecosystem")
		}
		return
	}
	var err error
	if f.upTo, err = ParseBound(string(f.Limit.V.word), f.UpTo.text); err != nil {
		r.add("E-YAML-VALUE", f.UpTo.at, "", "%s", err)
	}
}

func (f *allowForm) schema() object {
	s := formSchema(f)
	keys := func(k ...any) object { return object{"required": k} }
	s["oneOf"] = []any{keys("package", "sum"), keys("stage", "limit", "up_to")}
	s["dependencies"] = object{"package": []any{"sum"}, "sum": []any{"package"},
		"stage": []any{"limit", "up_to"}, "limit": []any{"stage", "up_to"}, "up_to": []any{"stage", "limit"}}
	return s
}

func (f *allowForm) allowance() boundary.Allowance {
	return boundary.Allowance{
		Package: string(f.Package.V.word), Sum: string(f.Sum.V.word), Stage: string(f.Stage.V.word), Limit: string(f.Limit.V.word), UpTo: f.upTo,
		Reason: string(f.Reason.V.word), Until: f.Until.V.end, Line: f.at.line,
	}
}

type (
	aPurl   = val[purl, *purl]
	aSum    = val[checksum, *checksum]
	aLimit  = val[limitName, *limitName]
	aReason = val[reason, *reason]
	aDay    = val[day, *day]

	purl      struct{ word }
	checksum  struct{ word }
	limitName struct{ word }
	reason    struct{ word }
)

var (
	purlPattern     = regexp.MustCompile(`^pkg:(npm|golang)/[^@ \r\n?#]+@[^@ \r\n?#]+$`)
	checksumPattern = regexp.MustCompile(`^(h1:[A-Za-z0-9+/]{43}=|sha512-[A-Za-z0-9+/]{86}==)$`)
	limitPattern    = regexp.MustCompile(`^(time|memory|disk|pids)$`)
	dayPattern      = regexp.MustCompile(`^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`)
)

func (w *purl) set(s string) error {
	w.word = word(s)
	return fits("package URL with a version", purlPattern, s, 512)
}
func (*purl) schema() object { return textSchema(purlPattern, 512) }

func (w *checksum) set(s string) error {
	w.word = word(s)
	return fits("checksum", checksumPattern, s, 128)
}
func (*checksum) schema() object { return textSchema(checksumPattern, 128) }

func (w *limitName) set(s string) error {
	w.word = word(s)
	return fits("limit", limitPattern, s, 10)
}
func (*limitName) schema() object { return textSchema(limitPattern, 10) }

func (w *reason) set(s string) error {
	w.word = word(s)
	return fits("reason", oneLinePattern, s, 500)
}
func (*reason) schema() object { return textSchema(oneLinePattern, 500) }

// day is the last day on which something holds. Its end is the start of the
// next, in UTC.
type day struct{ end time.Time }

func (*day) kind() string   { return wantString }
func (*day) schema() object { return textSchema(dayPattern, 10) }

func (d *day) set(s string) (err error) {
	d.end, err = ParseDay(s)
	return err
}

// ParseDay reads the last day on which an exception holds and returns when it
// has run out.
func ParseDay(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || !dayPattern.MatchString(s) {
		return time.Time{}, fmt.Errorf("%q is no day: write it as 2027-01-31", clip(s))
	}
	return t.AddDate(0, 0, 1), nil
}

// boundForm is the value of a limit: a number of processes, else a word.
type boundForm struct {
	text string
	at   mark
	set  bool
}

func (b *boundForm) read(r *report, n *yaml.Node) {
	b.at, b.set = place(n), true
	if got := kindOf(n); got != wantString && got != wantInt {
		r.add("E-YAML-TYPE", b.at, "", "here stands %s; wanted is a limit, such as 40m, 8GiB or 4096", got)
		return
	}
	b.text = n.Value
}

func (b *boundForm) schema() object {
	return object{"anyOf": []any{(&span{}).schema(), (&size{}).schema(), (&processes{}).schema()}}
}

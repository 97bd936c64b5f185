package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/boundary"
)

// textSchema is the schema of a string that matches a pattern.
func textSchema(pattern *regexp.Regexp, most int) object {
	return object{"type": "string", "pattern": pattern.String(), "minLength": 1, "maxLength": most}
}

// fits checks s as textSchema's result would.
func fits(what string, pattern *regexp.Regexp, s string, most int) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > most {
		return fmt.Errorf("%s has 1 to %d characters; this has %d", what, most, n)
	}
	if !pattern.MatchString(s) {
		return fmt.Errorf("%q is no %s: wanted is %s", clip(s), what, pattern)
	}
	return nil
}

// word makes the methods of a string scalar short; each type below gives its
// own pattern.
type word string

func (*word) kind() string { return wantString }

type (
	projectName  struct{ word }
	stageName    struct{ word }
	artifactName struct{ word }
	identityName struct{ word }
	envName      struct{ word }
	envValue     struct{ word }
	pathText     struct{ word }
	command      struct{ word }
	refGlob      struct{ word }
	person       struct{ word }
	audience     struct{ word }
	packageGlob  struct{ word }
	location     struct{ word }
	authority    struct{ word }
	reportKind   struct{ word }
	checkArg     struct{ word }
)

// The patterns keep to what ECMA-262, JSON Schema's dialect, and Go understand
// alike. They are compiled once and never changed.
var (
	projectPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	stagePattern     = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	artifactPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	packagePattern   = regexp.MustCompile(`^(@[A-Za-z0-9*~_.-]+/)?[A-Za-z0-9*~_.-]+$`)
	identityPattern  = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	envNamePattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	oneLinePattern   = regexp.MustCompile(`^[^\r\n]+$`)
	commandPattern   = regexp.MustCompile(`[^ \r\n]`)
	globPattern      = regexp.MustCompile(`^[A-Za-z0-9._/*?-]+$`)
	personPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@/+-]*$`)
	audiencePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*$`)
	locationPattern  = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9._:/-]*$`)
	authorityPattern = regexp.MustCompile(`^(fetch|secret|sign|publish|deploy|reach|run):[^ \r\n]+$`)
	spanPattern      = regexp.MustCompile(`^[1-9][0-9]{0,3}(s|m|h|d|w)$`)
	sizePattern      = regexp.MustCompile(`^[1-9][0-9]{0,4}(KiB|MiB|GiB|TiB)$`)
	reportPattern    = regexp.MustCompile(`^junit$`)
)

func (w *projectName) set(s string) error {
	w.word = word(s)
	return fits("project name", projectPattern, s, 63)
}
func (*projectName) schema() object { return textSchema(projectPattern, 63) }

func (w *stageName) set(s string) error {
	w.word = word(s)
	return fits("stage name", stagePattern, s, 63)
}
func (*stageName) schema() object { return textSchema(stagePattern, 63) }

func (w *artifactName) set(s string) error {
	w.word = word(s)
	return fits("artifact name", artifactPattern, s, 127)
}
func (*artifactName) schema() object { return textSchema(artifactPattern, 127) }

func (w *identityName) set(s string) error {
	w.word = word(s)
	return fits("identity name", identityPattern, s, 63)
}
func (*identityName) schema() object { return textSchema(identityPattern, 63) }

func (w *envName) set(s string) error {
	w.word = word(s)
	return fits("variable name", envNamePattern, s, 127)
}
func (*envName) schema() object { return textSchema(envNamePattern, 127) }

func (w *envValue) set(s string) error {
	w.word = word(s)
	if utf8.RuneCountInString(s) > 4096 {
		return fmt.Errorf("a variable's value has at most 4096 characters")
	}
	return nil
}
func (*envValue) schema() object { return object{"type": "string", "maxLength": 4096} }

func (w *pathText) set(s string) error {
	w.word = word(s)
	return fits("path", oneLinePattern, s, 1024)
}
func (*pathText) schema() object { return textSchema(oneLinePattern, 1024) }

func (w *command) set(s string) error {
	w.word = word(s)
	return fits("command", commandPattern, s, 65536)
}
func (*command) schema() object { return textSchema(commandPattern, 65536) }

func (w *packageGlob) set(s string) error {
	w.word = word(s)
	return fits("pattern for package names", packagePattern, s, 214)
}
func (*packageGlob) schema() object { return textSchema(packagePattern, 214) }

func (w *refGlob) set(s string) error {
	w.word = word(s)
	return fits("pattern of refs", globPattern, s, 255)
}
func (*refGlob) schema() object { return textSchema(globPattern, 255) }

func (w *person) set(s string) error {
	w.word = word(s)
	return fits("name of a person or group", personPattern, s, 255)
}
func (*person) schema() object { return textSchema(personPattern, 255) }

func (w *audience) set(s string) error {
	w.word = word(s)
	return fits("audience", audiencePattern, s, 255)
}
func (*audience) schema() object { return textSchema(audiencePattern, 255) }

func (w *location) set(s string) error {
	w.word = word(s)
	return fits("place to publish to", locationPattern, s, 512)
}
func (*location) schema() object { return textSchema(locationPattern, 512) }

func (w *authority) set(s string) error {
	w.word = word(s)
	return fits("authority", authorityPattern, s, 512)
}
func (*authority) schema() object { return textSchema(authorityPattern, 512) }

func (w *reportKind) set(s string) error {
	w.word = word(s)
	return fits("kind of report", reportPattern, s, 63)
}
func (*reportKind) schema() object { return textSchema(reportPattern, 63) }

func (w *checkArg) set(s string) error {
	w.word = word(s)
	return fits("argument of a check", artifactPattern, s, 127)
}
func (*checkArg) schema() object { return textSchema(artifactPattern, 127) }

// zoneWord is a zone's name.
type zoneWord struct{ zone boundary.Zone }

func (*zoneWord) kind() string { return wantString }

func (z *zoneWord) set(s string) (err error) {
	z.zone, err = boundary.ParseZone(s)
	return err
}

func (*zoneWord) schema() object {
	var names []any
	for _, z := range boundary.Zones() {
		names = append(names, z.String())
	}
	return object{"type": "string", "enum": names}
}

// formatVersion is the number 1.
type formatVersion struct{}

func (*formatVersion) kind() string { return wantInt }

func (*formatVersion) set(s string) error {
	if s != "1" {
		return fmt.Errorf("format version %s is not known here: this program reads version 1", clip(s))
	}
	return nil
}

func (*formatVersion) schema() object { return object{"const": 1} }

// yesNo is true or false.
type yesNo struct{ on bool }

func (*yesNo) kind() string   { return wantBool }
func (*yesNo) schema() object { return object{"type": "boolean"} }
func (f *yesNo) set(s string) error {
	f.on = strings.EqualFold(s, "true")
	return nil
}

// count is a whole number from 1 to 100.
type count struct{ n int }

const maxCount = 100

func (*count) kind() string   { return wantInt }
func (*count) schema() object { return object{"type": "integer", "minimum": 1, "maximum": maxCount} }
func (c *count) set(s string) error {
	return c.within(s, maxCount)
}

func (c *count) within(s string, most int) error {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 0, 32)
	if strings.HasPrefix(s, "0") && !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0o") {
		// YAML 1.2 has no octal numbers that start with a bare 0.
		n, err = strconv.ParseInt(s, 10, 32)
	}
	if err != nil || n < 1 || n > int64(most) {
		return fmt.Errorf("%s is not from 1 to %d", clip(s), most)
	}
	c.n = int(n)
	return nil
}

// processes is a whole number from 1 to 100000.
type processes struct{ count }

const maxProcesses = 100000

func (*processes) schema() object {
	return object{"type": "integer", "minimum": 1, "maximum": maxProcesses}
}
func (p *processes) set(s string) error { return p.within(s, maxProcesses) }

// span is a length of time: a number and one unit, such as 10m or 3d.
type span struct{ d time.Duration }

func (*span) kind() string   { return wantString }
func (*span) schema() object { return textSchema(spanPattern, 5) }

func (d *span) set(s string) error {
	if !spanPattern.MatchString(s) {
		return fmt.Errorf("%q is no length of time: write a number up to 9999 and one of s, m, h, d, w, such as 90s, 10m, 24h or 3d", clip(s))
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil {
		return fmt.Errorf("length of time %q: %w", s, err)
	}
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	d.d = time.Duration(n) * unit[s[len(s)-1]]
	return nil
}

// size is a number of bytes with a binary unit, such as 2GiB.
type size struct{ bytes int64 }

func (*size) kind() string   { return wantString }
func (*size) schema() object { return textSchema(sizePattern, 8) }

func (b *size) set(s string) error {
	if !sizePattern.MatchString(s) {
		return fmt.Errorf("%q is no size: write a number up to 99999 and one of KiB, MiB, GiB, TiB, such as 512MiB or 2GiB", clip(s))
	}
	n, err := strconv.ParseInt(s[:len(s)-3], 10, 64)
	if err != nil {
		return fmt.Errorf("size %q: %w", s, err)
	}
	b.bytes = n << map[byte]int{'K': 10, 'M': 20, 'G': 30, 'T': 40}[s[len(s)-3]]
	return nil
}

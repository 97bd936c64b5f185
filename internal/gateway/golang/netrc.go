package golang

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// Netrc holds logins by machine name. It has no way to print itself.
type Netrc struct{ logins map[string]login }

type login struct{ name, password string }

// String hides everything.
func (Netrc) String() string { return "(hidden)" }

// GoString hides everything.
func (Netrc) GoString() string { return "(hidden)" }

// maxNetrc bounds a netrc file.
const maxNetrc = 1 << 20

func readNetrc(getenv func(string) string) Netrc {
	path := getenv("NETRC")
	if path == "" {
		path = filepath.Join(getenv("HOME"), ".netrc")
	}
	f, err := os.Open(path)
	if err != nil {
		return Netrc{} // as the go command: no file, no logins
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNetrc))
	if err != nil {
		return Netrc{}
	}
	return ParseNetrc(string(b))
}

// ParseNetrc reads machine entries. As the go command does, it takes the first
// entry of a machine, knows no "default", and skips macros.
func ParseNetrc(text string) Netrc {
	rc := Netrc{map[string]login{}}
	var machine string
	var l login
	macro := false
	for line := range strings.Lines(text) {
		if macro {
			macro = strings.TrimSpace(line) != ""
			continue
		}
		fields := strings.Fields(line)
		for i := 0; i < len(fields); i++ {
			if fields[i] == "macdef" {
				macro = true
				break
			}
			if fields[i] == "default" {
				return rc
			}
			if i+1 >= len(fields) {
				break
			}
			switch fields[i] {
			case "machine":
				machine, l = fields[i+1], login{}
			case "login":
				l.name = fields[i+1]
			case "password":
				l.password = fields[i+1]
			}
			i++
			rc.keep(machine, l)
		}
	}
	return rc
}

func (rc Netrc) keep(machine string, l login) {
	if _, have := rc.logins[machine]; machine != "" && l.name != "" && l.password != "" && !have {
		rc.logins[machine] = l
	}
}

// apply gives a site its login, where it has no credential yet.
func (rc Netrc) apply(s upstream.Site) upstream.Site {
	l, ok := rc.logins[s.Hostname()]
	if !ok || s.HasCredential() {
		return s
	}
	return s.WithBasic(l.name, l.password)
}

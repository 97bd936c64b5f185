package golang

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/module"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Limits of foreign files.
const (
	maxSumFile = 16 << 20
	maxModFile = 4 << 20
	maxModules = 20_000
)

// sumLine is one promise of a go.sum file.
type sumLine struct {
	module.Version // the version without /go.mod
	mod            bool
	sum            string
	line           int
}

// parseGoSum reads a go.sum file. It is strict: a line that the go command
// would not write is an error, since two readers that disagree about a file are
// how a promise is got round.
func parseGoSum(name string, b []byte) ([]sumLine, error) {
	var out []sumLine
	n := 0
	for text := range strings.Lines(string(b)) {
		n++
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(out) >= 2*maxModules {
			return nil, fault.New(fault.Limit, fmt.Sprintf("more than %d lines", 2*maxModules)).At(name)
		}
		l, err := parseSumLine(fields)
		if err != nil {
			return nil, fault.Wrap(fault.Lockfile, "not a line of go.sum", err).At(fmt.Sprintf("%s:%d", name, n)).Mend("go mod tidy")
		}
		l.line = n
		out = append(out, l)
	}
	return out, nil
}

func parseSumLine(fields []string) (sumLine, error) {
	if len(fields) != 3 {
		return sumLine{}, fmt.Errorf("%d fields, wanted 3", len(fields))
	}
	version, mod := strings.CutSuffix(fields[1], "/go.mod")
	if err := module.Check(fields[0], version); err != nil {
		return sumLine{}, err
	}
	if module.CanonicalVersion(version) != version {
		return sumLine{}, fmt.Errorf("version %s is not canonical", version)
	}
	if err := checkH1(fields[2]); err != nil {
		return sumLine{}, err
	}
	return sumLine{Version: module.Version{Path: fields[0], Version: version}, mod: mod, sum: fields[2]}, nil
}

func checkH1(sum string) error {
	enc, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return fmt.Errorf("checksum %.20q is not h1", sum)
	}
	if raw, err := base64.StdEncoding.Strict().DecodeString(enc); err != nil || len(raw) != 32 {
		return fmt.Errorf("checksum %.60q is not 32 bytes of base64", sum)
	}
	return nil
}

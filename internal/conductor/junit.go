package conductor

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/store"
)

const (
	maxReport  = 32 << 20 // bytes of one report
	maxReports = 2000
	maxNesting = 64
)

// readReports counts the test cases of all JUnit reports that match.
func (r *run) readReports(ctx context.Context, tree digest.Digest, glob string, t *evidence.Tests) error {
	found, err := r.Store.Merge(ctx, []digest.Digest{tree}, ".")
	if err != nil {
		return err
	}
	read := 0
	for _, f := range found {
		if ok, err := path.Match(glob, f.Path); err != nil || !ok || f.Kind != store.File && f.Kind != store.Executable {
			continue
		}
		if read++; read > maxReports || f.Size > maxReport {
			return fmt.Errorf("%w: %+q is too large, or one too many", errReports, f.Path)
		}
		in, err := r.Store.Open(f)
		if err != nil {
			return err
		}
		total, failures, err := countCases(in)
		in.Close()
		if err != nil {
			return fmt.Errorf("%w: %+q: %w", errReports, f.Path, err)
		}
		t.Total, t.Failures = t.Total+total, t.Failures+failures
	}
	t.Passed = t.Failures == 0
	return nil
}

// countCases counts the testcase elements of a JUnit report, and those of them
// that hold a failure or an error. The counts that a report states are not
// believed; entities and anything outside the elements are not read.
func countCases(r io.Reader) (total, failures int, err error) {
	d := xml.NewDecoder(io.LimitReader(r, maxReport))
	d.Entity = map[string]string{}
	d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("charset %.40q", charset)
	}
	depth, failed := 0, false
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return total, failures, nil
		}
		if err != nil {
			return 0, 0, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxNesting {
				return 0, 0, fmt.Errorf("more than %d elements deep", maxNesting)
			}
			switch e.Name.Local {
			case "testcase":
				total, failed = total+1, false
			case "failure", "error":
				if !failed && total > 0 {
					failures, failed = failures+1, true
				}
			}
		case xml.EndElement:
			depth--
		}
	}
}

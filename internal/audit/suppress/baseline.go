package suppress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// BaselineSchema names the form of a baseline.
const BaselineSchema = "sallyport/baseline/v1"

// Baseline is the findings that were known when it was written.
type Baseline struct {
	Schema       string  `json:"schema"`
	Fingerprints []Known `json:"fingerprints"`
}

// Known is one finding of a baseline. The fingerprint decides; the rest is for
// people.
type Known struct {
	Fingerprint string     `json:"fingerprint"`
	Rule        finding.ID `json:"rule"`
	File        string     `json:"file"`
	Job         string     `json:"job,omitempty"`
	Title       string     `json:"title,omitempty"`
}

// NewBaseline takes the findings of a report that count, and those that an
// earlier baseline held. What a comment or the configuration suppresses is left
// out: it counts again when they go.
func NewBaseline(r finding.Report) Baseline {
	b := Baseline{Schema: BaselineSchema, Fingerprints: []Known{}}
	seen := map[string]bool{}
	for _, f := range r.Findings {
		if f.Suppressed != "" && f.SuppressedBy != ByBaseline || seen[f.Fingerprint] {
			continue
		}
		seen[f.Fingerprint] = true
		b.Fingerprints = append(b.Fingerprints, Known{f.Fingerprint, f.Rule, f.File, f.Domain, f.Title})
	}
	return b
}

// JSON returns the baseline's file.
func (b Baseline) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(b, "", "  ")
	return append(raw, '\n'), err
}

// maxBaseline bounds a baseline, in bytes.
const maxBaseline = 16 << 20

var fingerprint = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ParseBaseline reads a baseline strictly. An error begins with line:column
// where that is known.
func ParseBaseline(raw []byte) (Baseline, error) {
	var b Baseline
	if len(raw) > maxBaseline {
		return b, fmt.Errorf("more than %d bytes", maxBaseline)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return Baseline{}, placed(raw, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Baseline{}, placed(raw, d.InputOffset(), errors.New("something stands after the baseline"))
	}
	if b.Schema != BaselineSchema {
		return Baseline{}, fmt.Errorf("schema %s is not %q", quoted(b.Schema), BaselineSchema)
	}
	for i, k := range b.Fingerprints {
		if !fingerprint.MatchString(k.Fingerprint) {
			return Baseline{}, fmt.Errorf("entry %d: %s is no fingerprint", i+1, quoted(k.Fingerprint))
		}
	}
	return b, nil
}

// placed adds the line and column where reading came to an end.
func placed(raw []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	before := raw[:min(max(offset, 0), int64(len(raw)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Errorf("%d:%d: %w", line, len(before)-bytes.LastIndexByte(before, '\n'), err)
}

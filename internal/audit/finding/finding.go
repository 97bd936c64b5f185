// Package finding is what the audit says: findings, each under one rule SPA-001
// to SPA-024 or SPA-090, and the report that holds them.
//
// It is plain values; internal/audit makes them, and every output format reads
// the same ones.
package finding

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/boundary"
)

// Schema names the report's JSON form.
const Schema = "sallyport/audit/v1"

// Severity is how bad a finding is. The zero Severity is none.
type Severity uint8

// The severities.
const (
	Note Severity = iota + 1
	Medium
	High
	Critical
)

var severities = [...]string{"", "note", "medium", "high", "critical"}

// String returns the severity's name.
func (s Severity) String() string {
	if int(s) < len(severities) {
		return severities[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// ParseSeverity returns the severity of that name.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severities[1:], name); i >= 0 {
		return Severity(i + 1), nil
	}
	return 0, fmt.Errorf("no severity %q: they are note, medium, high, critical", name)
}

// MarshalText gives the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(b []byte) error {
	p, err := ParseSeverity(string(b))
	if err == nil {
		*s = p
	}
	return err
}

// Confidence is how sure the audit is that the path is there.
type Confidence string

// The levels of confidence.
const (
	Proven   Confidence = "proven"   // every part of the path is in the files
	Likely   Confidence = "likely"   // one part is inferred from a name or a default
	Possible Confidence = "possible" // one part could not be read
)

// Finding is one broken rule in one isolation domain.
type Finding struct {
	Rule       ID          `json:"rule"`
	Severity   Severity    `json:"severity"`
	Confidence Confidence  `json:"confidence"`
	System     ci.System   `json:"system"`
	File       string      `json:"file"`
	Line       int         `json:"line"`
	Domain     string      `json:"domain"` // the job's id; empty: the file as a whole
	Title      string      `json:"title"`  // what is wrong here, one line
	Untrusted  *Untrusted  `json:"untrusted,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
	// Others are further credentials of the domain that the same code reaches.
	Others []Credential `json:"others,omitempty"`
	// Path leads from where untrusted code starts to the credential.
	Path     []Step          `json:"path"`
	Fix      []string        `json:"fix"`                // what to do, concrete for this file, best first
	Credited []string        `json:"credited,omitempty"` // mitigations that were recognised
	Crossing []boundary.Rule `json:"crossing,omitempty"` // rules of the boundary that the path breaks
	// JobLine is where the job begins; 0: there is none.
	JobLine int `json:"job_line,omitempty"`
	// Fingerprint names the finding across changes of lines; see Finding.Print.
	Fingerprint string `json:"fingerprint"`
	// Strict: reported with the strict profile only.
	Strict bool `json:"strict,omitempty"`
	// Suppressed says why it does not count; empty: it counts.
	Suppressed string `json:"suppressed,omitempty"`
	// SuppressedBy is where that is said: comment, configuration or baseline.
	SuppressedBy string `json:"suppressed_by,omitempty"`
}

// Untrusted is where code starts that nobody here verified.
type Untrusted struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// Credential is where a credential enters.
type Credential struct {
	File   string   `json:"file,omitempty"`
	Line   int      `json:"line"`
	Name   string   `json:"name"`
	Kind   ci.Kind  `json:"kind"`
	Can    []string `json:"can"` // its classes
	Enters string   `json:"enters"`
}

// Step is one step of a path.
type Step struct {
	Text string `json:"text"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Gap is something that was not analysed.
type Gap struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Job  string `json:"job,omitempty"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// Totals are the figures of a report.
type Totals struct {
	Files        int            `json:"files"`
	Jobs         int            `json:"jobs"`
	Credentialed int            `json:"credentialed"` // jobs that hold a credential worth reporting
	Crossed      int            `json:"crossed"`      // of those, with untrusted code beside it
	Unknown      int            `json:"unknown"`
	Suppressed   int            `json:"suppressed"`
	BySeverity   map[string]int `json:"by_severity"`
}

// Report is what one audit found.
type Report struct {
	Schema   string    `json:"schema"`
	Files    int       `json:"files"`   // CI files read
	Unknown  int       `json:"unknown"` // parts that were not analysed
	Findings []Finding `json:"findings"`
	Gaps     []Gap     `json:"gaps"`
	Totals   Totals    `json:"totals"`
	// Errors are files that are no CI definition although their name says so.
	Errors []Gap `json:"errors,omitempty"`
	// Notes are suppressions that could not be followed.
	Notes []Gap `json:"notes,omitempty"`
}

// Print is the finding's fingerprint: rule, file, job, and the text of the
// untrusted step and the credential's name, never a line number.
func (f Finding) Print() string {
	parts := []string{string(f.Rule), f.File, f.Domain}
	if f.Untrusted != nil {
		parts = append(parts, strings.Join(strings.Fields(f.Untrusted.Text), " "))
	}
	if f.Credential != nil {
		parts = append(parts, f.Credential.Name)
	}
	if f.Untrusted == nil && f.Credential == nil {
		parts = append(parts, f.Title)
	}
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s;", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Sort puts findings in their order: file, line, rule, domain.
func Sort(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Title, b.Title))
	})
}

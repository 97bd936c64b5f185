package render

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out,omitempty"`
}

type junitCase struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Failure *junitEvent `xml:"failure,omitempty"`
	Error   *junitEvent `xml:"error,omitempty"`
	Skipped *junitEvent `xml:"skipped,omitempty"`
}

type junitEvent struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes a test case for each job of a file that has findings: a failure,
// or skipped where all of them are suppressed. A file that could not be read is
// an error. With none of these, one test case passes.
func JUnit(w io.Writer, r finding.Report, c Context) error {
	s := junitSuite{Name: "sallyport audit"}
	c.Color = false
	for _, j := range byJob(r) {
		s.add(j.testcase(c))
	}
	var rest strings.Builder
	for _, m := range remarks(r) {
		if m.Kind == "not read" {
			s.add(junitCase{Class: short(m.File), Name: "read", Error: &junitEvent{Message: m.text(), Type: "SPA-090"}})
			continue
		}
		fmt.Fprintf(&rest, "%s: %s: %s\n", m.Kind, place(m.File, m.Line), m.text())
	}
	if s.Out = rest.String(); len(s.Cases) == 0 {
		s.add(junitCase{Class: "sallyport", Name: "audit"})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

// jobFindings are the findings of one job of one file.
type jobFindings struct {
	file, job  string
	counted    []finding.Finding
	suppressed []finding.Finding
}

func byJob(r finding.Report) []*jobFindings {
	var all []*jobFindings
	at := map[[2]string]*jobFindings{}
	for _, f := range r.Findings {
		key := [2]string{f.File, f.Domain}
		j := at[key]
		if j == nil {
			j = &jobFindings{file: f.File, job: f.Domain}
			at[key], all = j, append(all, j)
		}
		if f.Suppressed == "" {
			j.counted = append(j.counted, f)
		} else {
			j.suppressed = append(j.suppressed, f)
		}
	}
	return all
}

func (j *jobFindings) testcase(c Context) junitCase {
	out := junitCase{Class: short(j.file), Name: short(cmp.Or(j.job, "the file as a whole"))}
	if len(j.counted) == 0 {
		out.Skipped = &junitEvent{Message: short(string(j.suppressed[0].Rule) + ": " + j.suppressed[0].Suppressed)}
		return out
	}
	var b strings.Builder
	p := painter{&b, newSources(c), false, defaultWidth}
	worst := j.counted[0]
	for _, f := range j.counted {
		p.finding(f)
		if f.Severity > worst.Severity {
			worst = f
		}
	}
	message := short(worst.Title)
	if n := len(j.counted); n > 1 {
		message = fmt.Sprintf("%d findings, the worst: %s", n, message)
	}
	out.Failure = &junitEvent{Message: message, Type: string(worst.Rule), Text: b.String()}
	return out
}

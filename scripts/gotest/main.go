// Command gotest runs `go test -json` with its arguments and says what came of
// it: each package when it ends, the output of what failed, and as the last
// line "N passed, N failed, N not run".
//
// It fails when a test failed, when a package did not build, and when nothing
// ran at all: a suite that is silently empty must not look green.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	s := newSummary(os.Stdout)
	err := s.test(os.Args[1:])
	s.close()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	case s.failed > 0 || s.passed == 0:
		os.Exit(1)
	}
}

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// summary counts tests and keeps the output of those that have not ended.
type summary struct {
	w                        io.Writer
	passed, failed, skipped  int
	packages, brokenPackages int

	output map[string][]string // package and test -> lines
	builds map[string][]string // import path -> compiler's lines
	ran    map[string]int      // package -> tests that ended in it
	broken map[string]int      // package -> tests that failed in it
	reason []string            // why tests were not run
}

func newSummary(w io.Writer) *summary {
	return &summary{
		w:      w,
		output: map[string][]string{},
		builds: map[string][]string{},
		ran:    map[string]int{},
		broken: map[string]int{},
	}
}

// test runs go test and reads its events to the end. A failing test is in the
// counts, not in the error.
func (s *summary) test(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	if err := s.read(out); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil && s.failed == 0 {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

func (s *summary) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (s *summary) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(s.w, "%s", line)
		return
	}
	switch e.Action {
	case "output":
		s.output[e.key()] = append(s.output[e.key()], e.Output)
	case "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e)
		}
		delete(s.output, e.key())
	}
}

func (e event) key() string { return e.Package + " " + e.Test }

func (s *summary) endTest(e event) {
	s.ran[e.Package]++
	switch e.Action {
	case "pass":
		s.passed++
	case "fail":
		s.failed++
		s.broken[e.Package]++
		fmt.Fprintf(s.w, "FAIL %s %s\n%s", short(e.Package), e.Test, strings.Join(s.output[e.key()], ""))
	case "skip":
		s.skipped++
		s.reason = append(s.reason, short(e.Package)+" "+e.Test+": "+why(s.output[e.key()]))
	}
}

func (s *summary) endPackage(e event) {
	s.packages++
	if e.Action != "fail" {
		if s.ran[e.Package] > 0 {
			fmt.Fprintf(s.w, "ok   %-40s %4d tests %7.1f s\n", short(e.Package), s.ran[e.Package], e.Elapsed)
		}
		return
	}
	s.brokenPackages++
	if s.broken[e.Package] == 0 { // did not build, panicked, or ran out of time
		s.failed++
		fmt.Fprintf(s.w, "%s%s", strings.Join(s.builds[e.FailedBuild], ""), strings.Join(s.output[e.key()], ""))
		for key, lines := range s.output {
			if strings.HasPrefix(key, e.Package+" ") && key != e.key() {
				fmt.Fprintf(s.w, "in %s:\n%s", key, strings.Join(lines, ""))
			}
		}
	}
	fmt.Fprintf(s.w, "FAIL %-40s %4d tests %7.1f s\n", short(e.Package), s.ran[e.Package], e.Elapsed)
}

func (s *summary) close() {
	for _, r := range s.reason {
		fmt.Fprintln(s.w, "not run:", r)
	}
	if s.passed+s.failed == 0 {
		fmt.Fprintln(s.w, "no test ran")
	}
	fmt.Fprintf(s.w, "%d packages, %d with failures\n", s.packages, s.brokenPackages)
	fmt.Fprintf(s.w, "%d passed, %d failed, %d not run\n", s.passed, s.failed, s.skipped)
}

// short leaves out the module's path.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/sallyport/sallyport/")
}

// why returns the last words of a test that was not run.
func why(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		t := strings.TrimSpace(lines[i])
		if t != "" && !strings.HasPrefix(t, "---") && !strings.HasPrefix(t, "===") {
			return t
		}
	}
	return "no reason given"
}

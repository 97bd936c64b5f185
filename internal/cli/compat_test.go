package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// compatTable is where make compat writes what it saw.
const compatTable = "../../docs/compatibility.md"

// compatSources are well-known packages that nobody here wrote, commands and
// libraries, large and small. They run with no configuration.
var compatSources = []string{
	"pkg:golang/filippo.io/age@v1.2.1",
	"pkg:golang/rsc.io/quote@v1.5.2",
	"pkg:golang/github.com/google/uuid@v1.6.0",
	"pkg:golang/github.com/fatih/color@v1.18.0",
	"pkg:golang/github.com/tidwall/gjson@v1.18.0",
	"pkg:golang/github.com/BurntSushi/toml@v1.5.0",
	"pkg:golang/github.com/pelletier/go-toml/v2@v2.2.4",
	"pkg:golang/github.com/yuin/goldmark@v1.7.12",
	"pkg:golang/github.com/go-chi/chi/v5@v5.2.2",
	"pkg:golang/github.com/gorilla/mux@v1.8.1",
	"pkg:golang/github.com/sirupsen/logrus@v1.9.3",
	"pkg:golang/github.com/spf13/cobra@v1.9.1",
	"pkg:golang/github.com/rs/zerolog@v1.34.0",
	"pkg:golang/github.com/stretchr/testify@v1.10.0",
	"pkg:golang/github.com/itchyny/gojq@v0.12.17",
	"pkg:golang/github.com/rakyll/hey@v0.1.4",
	"pkg:golang/github.com/charmbracelet/gum@v0.17.0",
	"pkg:golang/github.com/junegunn/fzf@v0.65.2",
	"pkg:golang/github.com/mikefarah/yq/v4@v4.47.1",
	"pkg:golang/github.com/mgechev/revive@v1.11.0",
	"pkg:golang/mvdan.cc/gofumpt@v0.8.0",
	"pkg:npm/left-pad@1.3.0",
	"pkg:npm/is-number@7.0.0",
	"pkg:npm/lodash@4.17.21",
	"pkg:npm/chalk@5.4.1",
	"pkg:npm/semver@7.7.2",
	"pkg:npm/express@4.21.2",
	"pkg:npm/axios@1.10.0",
	"pkg:npm/zod@4.0.5",
	"pkg:npm/ws@8.18.3",
	"pkg:npm/commander@14.0.0",
	"pkg:npm/prettier@3.6.2",
	"pkg:npm/typescript@5.8.3",
	"pkg:npm/esbuild@0.25.8",
	"pkg:npm/mocha@11.7.1",
	"pkg:npm/eslint@9.31.0",
	"pkg:npm/bufferutil@4.0.9",
	"pkg:golang/github.com/gohugoio/hugo@v0.148.2",
}

// compatRun is the part of sallyport/run/v1 that the table shows.
type compatRun struct {
	Outcome   string        `json:"outcome"`
	Isolation string        `json:"isolation"`
	Reason    string        `json:"reason"`
	Stages    []compatStage `json:"stages"`
	Artifacts []struct {
		Name string `json:"name"`
	} `json:"artifacts"`
	Rebuilds []struct {
		Identical bool `json:"identical"`
	} `json:"rebuilds"`
	Denials []struct {
		Target string `json:"target"`
	} `json:"denials"`
}

// compatStage is one stage of a run.
type compatStage struct {
	Name    string  `json:"name"`
	Outcome string  `json:"outcome"`
	Reason  string  `json:"reason"`
	Seconds float64 `json:"seconds"`
}

// TestCompatibility runs every source through all zones and writes the table.
// It takes tens of minutes and reaches the machine's configured upstreams, so
// only make compat asks for it.
func TestCompatibility(t *testing.T) {
	if os.Getenv("SALLYPORT_COMPAT") == "" {
		t.Skip("not run: needs SALLYPORT_COMPAT=1; make compat")
	}
	sources := compatSources
	if only := os.Getenv("SALLYPORT_COMPAT_ONLY"); only != "" {
		sources = strings.Fields(only)
	}
	state := t.TempDir()
	var rows []string
	released, alike := 0, 0 // alike: fails, but plainly as well
	for _, src := range sources {
		row, ok := compatRow(t, state, src)
		if ok {
			released++
		} else if strings.Contains(row, failsPlainly) {
			alike++
		}
		rows = append(rows, row)
		t.Log(row)
		if len(sources) == len(compatSources) {
			writeCompat(t, rows, released, alike) // what is known so far stays when this is stopped
		}
	}
	t.Logf("%d of %d released, %d others fail plainly, too", released, len(sources), alike)
	if able := len(sources) - alike; released*10 < able*9 {
		t.Errorf("%d of %d sources that pass plainly were released, want at least 90 %%", released, able)
	}
}

// compatRow runs one source in the state directory and describes the outcome.
func compatRow(t *testing.T, state, src string) (row string, released bool) {
	t.Helper()
	bin, err := filepath.Abs("../../bin/sallyport")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "run", "-o", "json", src)
	cmd.Env = append(os.Environ(), "SALLYPORT_STATE="+state)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	runErr := cmd.Run()
	took := time.Since(start)
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		t.Fatal(runErr)
	}
	var run compatRun
	if err := json.Unmarshal(stdout.Bytes(), &run); err != nil {
		return fmt.Sprintf("| `%s` | error | - | - | - | %.0f | %s |", src, took.Seconds(), lastLine(stderr.String())), false
	}
	why := whyOf(run)
	if module, ok := strings.CutPrefix(src, "pkg:golang/"); ok && testsFailed(run) {
		why += "; " + plainly(t, module)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %d | %s | %.0f | %s |", src, run.Outcome, stagesOf(run), len(run.Artifacts),
		rebuildsOf(run), took.Seconds(), why), run.Outcome == "released"
}

func testsFailed(r compatRun) bool {
	return slices.ContainsFunc(r.Stages, func(s compatStage) bool { return s.Name == "test" && s.Outcome == "failed" })
}

// failsPlainly is said of sources whose own tests fail anywhere.
const failsPlainly = "its tests fail plainly, too"

// plainly says how the same tests end without Sallyport, in a copy of the module
// with the machine's own network.
func plainly(t *testing.T, module string) string {
	t.Helper()
	var m struct{ Dir string }
	get := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	get.Dir = t.TempDir()
	if out, err := get.Output(); err != nil || json.Unmarshal(out, &m) != nil {
		return "plainly: not known"
	}
	dir := filepath.Join(t.TempDir(), "m")
	if err := os.CopyFS(dir, os.DirFS(m.Dir)); err != nil {
		return "plainly: not known"
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "./...")
	test.Dir = dir
	if test.Run() != nil {
		return failsPlainly
	}
	return "its tests pass plainly"
}

func stagesOf(r compatRun) string {
	var parts []string
	for _, s := range r.Stages {
		mark := s.Name
		if s.Outcome != "success" {
			mark += " (" + s.Outcome + ")"
		}
		parts = append(parts, mark)
	}
	return strings.Join(parts, ", ")
}

func rebuildsOf(r compatRun) string {
	same := 0
	for _, b := range r.Rebuilds {
		if b.Identical {
			same++
		}
	}
	return fmt.Sprintf("%d of %d", same, len(r.Rebuilds))
}

func whyOf(r compatRun) string {
	if r.Outcome == "released" {
		return ""
	}
	why := r.Reason
	for _, s := range r.Stages {
		if s.Reason != "" {
			why = s.Name + ": " + s.Reason
			break
		}
	}
	if len(r.Denials) > 0 {
		why += fmt.Sprintf("; %d refusals, first: %s", len(r.Denials), r.Denials[0].Target)
	}
	return oneCell(why)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return oneCell(lines[len(lines)-1])
}

// address is an upstream's, which is this machine's own business.
var address = regexp.MustCompile(`https?://[^/\s]+/`)

// oneCell makes s fit one cell of a Markdown table.
func oneCell(s string) string {
	s = address.ReplaceAllString(s, "")
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s)
}

func writeCompat(t *testing.T, rows []string, released, alike int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Compatibility\n\nMade by `make compat`: each package runs through all zones with no configuration, in one state directory,\nwith the machine's own upstreams. \"Rebuilt the same\" counts artifacts whose second build, under varied conditions, gave the same bytes.\n\n")
	fmt.Fprintf(&b, "%d of %d released; %d of the others fail plainly, too. %s.\n\n", released, len(rows), alike, time.Now().UTC().Format("2006-01-02"))
	b.WriteString("| source | outcome | stages | artifacts | rebuilt the same | seconds | why not |\n|---|---|---|---:|---|---:|---|\n")
	b.WriteString(strings.Join(rows, "\n") + "\n")
	if err := os.WriteFile(compatTable, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

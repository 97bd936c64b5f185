// Package integrations_test holds the files of this folder to what they call:
// each is parsed, and what it would run is run, with the real command.
package integrations_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/cli"
)

const (
	releaseFile = ".github/workflows/release.yml" // has findings
	cleanFile   = ".github/workflows/ci.yml"
)

// TestMain puts the real command on PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": func() { os.Exit(cli.Main("v0.0.0-test", os.Args[1:])) }})
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// repository is a project with a finding, and a file whose name is a flag, which
// a pattern would find.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, releaseFile), `name: release
on: { push: { tags: ["v*"] } }
permissions: {}
jobs:
  release:
    runs-on: ubuntu-latest
    steps:
      - run: npm ci
      - run: npm publish
        env:
          NODE_AUTH_TOKEN: ${{ secrets.NPM_TOKEN }}
`, 0o644)
	write(t, filepath.Join(dir, cleanFile), "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo\n", 0o644)
	write(t, filepath.Join(dir, "--fail-on=critical"), "", 0o644)
	return dir
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(raw)
}

// run runs a command in a folder and returns its exit code and what it said.
func run(t *testing.T, dir string, env []string, name string, args ...string) (code int, out string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	raw, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return c.ProcessState.ExitCode(), string(raw)
}

// actionFile is action.yml, as GitHub reads it.
type actionFile struct {
	Name, Description string
	Inputs            map[string]struct{ Description, Default string }
	Outputs           map[string]struct{ Description, Value string }
	Runs              struct {
		Using string
		Steps []struct {
			ID, Shell, Run, Uses string
			Env                  map[string]string
		}
	}
}

// TestAction: what the action refers to is there, and no input is ever the text
// of a script.
func TestAction(t *testing.T) {
	var a actionFile
	load(t, "github/action.yml", &a)
	if a.Name == "" || a.Description == "" || a.Runs.Using != "composite" || len(a.Runs.Steps) != 1 {
		t.Fatalf("the action is %+v", a)
	}
	s := a.Runs.Steps[0]
	if s.Shell != "bash" || strings.Contains(s.Run, "${{") || s.Uses != "" {
		t.Errorf("the step is %+v", s)
	}
	called := regexp.MustCompile(`^bash "\$GITHUB_ACTION_PATH/([\w.]+)"$`).FindStringSubmatch(s.Run)
	if called == nil {
		t.Fatalf("it runs %s", s.Run)
	}
	script := read(t, filepath.Join("github", called[1]))
	var used []string
	for name, value := range s.Env {
		m := regexp.MustCompile(`^\$\{\{ inputs\.(\w+) \}\}$`).FindStringSubmatch(value)
		if m == nil || a.Inputs[m[1]].Description == "" {
			t.Errorf("%s is %s, which is no input", name, value)
			continue
		}
		used = append(used, m[1])
		if !strings.Contains(script, "${"+name+":-") {
			t.Errorf("%s does not read %s", called[1], name)
		}
	}
	if len(used) != len(a.Inputs) {
		t.Errorf("inputs %v, used %v", a.Inputs, used)
	}
	for name, o := range a.Outputs {
		if o.Value != "${{ steps."+s.ID+".outputs."+name+" }}" || !strings.Contains(script, `echo "`+name+"=") {
			t.Errorf("output %s is %s", name, o.Value)
		}
	}
	readme := read(t, "README.md")
	for name, in := range a.Inputs {
		if d := in.Default; !strings.Contains(readme, "| `"+name+"` | "+map[bool]string{true: "`" + d + "` ", false: ""}[d != ""]+"|") {
			t.Errorf("README.md does not tell of the input %s with its default %q", name, d)
		}
	}
}

// actionRun is one run of the action.
type actionRun struct {
	name  string
	env   []string
	code  int
	out   string // of the log
	sarif int    // results at least; 0: none, -1: no file
}

func actionRuns() []actionRun {
	return []actionRun{
		{"findings", nil, 3, "::error file=" + releaseFile + ",line=8,title=SPA-001::", 1},
		{"none", []string{"AUDIT_PATH=" + cleanFile}, 0, "", 0},
		{"advisory", []string{"AUDIT_ARGS=--exit-zero"}, 0, "::error file=", 1},
		{"several flags", []string{"AUDIT_ARGS= --profile  strict\n--fail-on critical "}, 3, "title=SPA-023::", 4},
		{"no SARIF", []string{"AUDIT_SARIF="}, 3, "::error file=", -1},
		{"a wrong flag", []string{"AUDIT_ARGS=--nonsense"}, 2, "nonsense", -1},
		{"a pattern is none", []string{"AUDIT_ARGS=--fail-on=crit*"}, 2, "crit*", -1},
		{"nothing is evaluated", []string{"AUDIT_ARGS=$(touch owned) ;touch${IFS}owned"}, 2, "", -1},
		{"a path that looks like a flag", []string{"AUDIT_PATH=--exit-zero"}, 2, "E-NO-FILE", -1},
		{"a path", []string{"AUDIT_PATH=" + releaseFile}, 3, "::error file=", 1},
		{"no such program", []string{"AUDIT_BINARY=/nowhere/sallyport"}, 1, "no program /nowhere/sallyport", -1},
		{"the version", []string{"AUDIT_VERSION=0.0.0-test"}, 3, "::error file=", 1},
		{"another version", []string{"AUDIT_VERSION=1.0.0"}, 2, "this is sallyport v0.0.0-test, not 1.0.0", -1},
	}
}

// TestActionRuns runs what the action runs.
func TestActionRuns(t *testing.T) {
	script, err := filepath.Abs("github/audit.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range actionRuns() {
		t.Run(c.name, func(t *testing.T) {
			dir, temp := repository(t), t.TempDir()
			env := append([]string{"AUDIT_SARIF=out.sarif", "GITHUB_OUTPUT=" + temp + "/output", "GITHUB_STEP_SUMMARY=" + temp + "/summary"}, c.env...)
			code, out := run(t, dir, env, "bash", script)
			if code != c.code || !strings.Contains(out, c.out) {
				t.Errorf("exit code %d, want %d; want %q in\n%s", code, c.code, c.out, out)
			}
			c.left(t, dir, temp)
		})
	}
}

// left checks what a run left behind.
func (c actionRun) left(t *testing.T, dir, temp string) {
	t.Helper()
	if n := results(t, read(t, filepath.Join(dir, "out.sarif"))); n < c.sarif || c.sarif <= 0 && n != c.sarif {
		t.Errorf("%d results in SARIF, want %d", n, c.sarif)
	}
	if told := strings.Contains(read(t, temp+"/output"), "sarif=out.sarif\n"); told != (c.sarif >= 0) {
		t.Errorf("output: %q", read(t, temp+"/output"))
	}
	if ran := c.code == 0 || c.code == 3; ran != strings.HasPrefix(read(t, temp+"/summary"), "## Sallyport audit\n") {
		t.Errorf("summary: %q", read(t, temp+"/summary"))
	}
	if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
		t.Error("an input was run")
	}
}

// results counts the results of SARIF; -1: there is no file.
func results(t *testing.T, text string) int {
	t.Helper()
	if text == "" {
		return -1
	}
	var log struct {
		Version string
		Runs    []struct{ Results []any }
	}
	if err := json.Unmarshal([]byte(text), &log); err != nil || log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("no SARIF: %v", err)
	}
	return len(log.Runs[0].Results)
}

// TestActionBuilds: without a sallyport, the action's own checkout is built. Go
// is a stand-in here that notes what it was asked for.
func TestActionBuilds(t *testing.T) {
	command, err := exec.LookPath("sallyport")
	if err != nil {
		t.Fatal(err)
	}
	dir, bin := repository(t), t.TempDir()
	for _, tool := range []string{"bash", "mktemp", "cut"} {
		at, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	action, err := filepath.Abs("github")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + bin, "GITHUB_ACTION_PATH=" + action, "RUNNER_TEMP=" + t.TempDir()}
	if code, out := run(t, dir, env, filepath.Join(bin, "bash"), filepath.Join(action, "audit.sh")); code != 1 || !strings.Contains(out, "neither sallyport nor go") {
		t.Errorf("without Go: exit code %d\n%s", code, out)
	}
	write(t, filepath.Join(bin, "go"), "#!"+filepath.Join(bin, "bash")+`
echo "go $* in $PWD with $GOFLAGS" >&2
[ "$1 $2 $3" = "build -trimpath -o" ] && [ -d "$5" ] || exit 1
printf '#!%s\nexec "%s" "$@"\n' "$BASH" "$REAL" > "$4"; `+lookPath(t, "chmod")+` +x "$4"
`, 0o755)
	code, out := run(t, dir, append(env, "REAL="+command), filepath.Join(bin, "bash"), filepath.Join(action, "audit.sh"))
	root, _ := filepath.Abs("..") // the working folder of a test is there
	if code != 3 || !strings.Contains(out, "::error file=") || !strings.Contains(out, "./cmd/sallyport in "+root+" with -mod=readonly") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	at, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// gitlabJob is a job, as GitLab reads it.
type gitlabJob struct {
	Script    []string
	Variables map[string]string
	Artifacts struct {
		When    string
		Reports map[string]string
	}
}

// TestGitLab runs the script of the template, as a runner does.
func TestGitLab(t *testing.T) {
	var f map[string]gitlabJob
	load(t, "gitlab/sallyport.gitlab-ci.yml", &f)
	job, ok := f[".sallyport-audit"]
	if !ok || len(f) != 1 || job.Artifacts.When != "always" {
		t.Fatalf("the template is %+v", f)
	}
	for _, name := range []string{"AUDIT_ARGS", "AUDIT_BINARY"} {
		if _, ok := job.Variables[name]; !ok {
			t.Errorf("%s has no value of its own", name)
		}
	}
	for _, c := range []struct {
		args, binary string
		code         int
	}{{"", "sallyport", 3}, {"--exit-zero", "sallyport", 0}, {"--nonsense", "sallyport", 2}, {"--fail-on=crit*", "sallyport", 2}, {"", "no-such-sallyport", 2}} {
		dir := repository(t)
		code, out := run(t, dir, []string{"AUDIT_ARGS=" + c.args, "AUDIT_BINARY=" + c.binary}, "sh", "-ec", strings.Join(job.Script, "\n"))
		if code != c.code || c.code != 2 && !strings.Contains(out, "critical[SPA-001]") {
			t.Errorf("%v: exit code %d\n%s", c, code, out)
		}
		if c.code != 2 {
			job.reports(t, dir)
		}
	}
}

// reports reads the files that the job hands to GitLab.
func (j gitlabJob) reports(t *testing.T, dir string) {
	t.Helper()
	var entries []struct {
		Check string `json:"check_name"`
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, j.Artifacts.Reports["codequality"]))), &entries); err != nil || len(entries) == 0 || entries[0].Check != "SPA-001" {
		t.Errorf("code quality %+v, %v", entries, err)
	}
	var suite struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal([]byte(read(t, filepath.Join(dir, j.Artifacts.Reports["junit"]))), &suite); err != nil || suite.Failures != 1 {
		t.Errorf("JUnit %+v, %v", suite, err)
	}
}

// hook is one entry of .pre-commit-hooks.yaml.
type hook struct {
	ID, Name, Entry, Language, Files string
	PassFilenames                    bool `yaml:"pass_filenames"`
}

// TestPreCommit: the hook runs for each file that the audit reads, and for no
// other.
func TestPreCommit(t *testing.T) {
	var all []hook
	load(t, "../.pre-commit-hooks.yaml", &all)
	if len(all) != 1 || all[0].ID != "sallyport-audit" || all[0].Language != "golang" || all[0].PassFilenames {
		t.Fatalf("hooks %+v", all)
	}
	words := strings.Fields(all[0].Entry)
	if code, out := run(t, repository(t), nil, words[0], words[1:]...); code != 3 {
		t.Errorf("%s: exit code %d\n%s", all[0].Entry, code, out)
	}
	// Go has no (?x): white space of the pattern means nothing.
	files := regexp.MustCompile(strings.Join(strings.Fields(strings.Replace(all[0].Files, "(?x)", "", 1)), ""))
	for _, name := range []string{
		".github/workflows/a.yml", ".github/workflows/b.yaml", ".gitlab-ci.yml", ".circleci/config.yml", "azure-pipelines.yml", "azure-pipelines-release.yaml", ".azure-pipelines/a.yml",
		"bitbucket-pipelines.yml", ".buildkite/pipeline.yml", ".buildkite/sub/a.yaml", "buildkite.yml", ".woodpecker.yml", ".woodpecker/a.yaml", ".drone.yml",
	} {
		r, err := audit.Read(fstest.MapFS{name: {Data: []byte("a: 1")}}, audit.Options{})
		if err != nil || r.Files != 1 {
			t.Errorf("the audit does not read %s: %v", name, err)
		}
		if !files.MatchString(name) {
			t.Errorf("the hook does not run for %s", name)
		}
	}
	for _, name := range []string{".github/actions/setup/action.yml", ".gitlab/ci/build.yml", "Jenkinsfile", "ci/Jenkinsfile.release", ".tekton/push.yaml", "sallyport.yaml", ".sallyport/audit.yaml"} {
		if !files.MatchString(name) {
			t.Errorf("the hook does not run for %s", name)
		}
	}
	for _, name := range []string{"README.md", "a.yml", "src/.github/workflows/a.yml", ".github/dependabot.yml", "x.gitlab-ci.yml", ".github/workflows/a.yml.bak", "bitbucket-pipelines.yml/x"} {
		if files.MatchString(name) {
			t.Errorf("the hook runs for %s", name)
		}
	}
}

// TestRecipes: what README.md tells people to copy is clean by the audit's own
// measure, names each action by its commit, and refers to what is there.
func TestRecipes(t *testing.T) {
	workflow := recipe(t, "workflow")
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".github/workflows/audit.yml"), workflow, 0o644)
	if code, out := run(t, dir, nil, "sallyport", "audit"); code != 0 || !strings.HasPrefix(out, "0 findings in 1 files") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	uses := regexp.MustCompile(`(?m)uses: (.*)$`).FindAllStringSubmatch(workflow, -1)
	for _, u := range uses {
		m := regexp.MustCompile(`^([\w.-]+/[\w./-]+)@[0-9a-f]{40} # .+$`).FindStringSubmatch(u[1])
		if m == nil {
			t.Errorf("%s is not named by its commit", u[1])
			continue
		}
		if own, ok := strings.CutPrefix(m[1], "sallyport/sallyport/"); ok && read(t, filepath.Join("..", own, "action.yml")) == "" {
			t.Errorf("there is no action in %s", own)
		}
	}
	if len(uses) != 4 {
		t.Errorf("%d steps use something", len(uses))
	}
	var a actionFile
	load(t, "github/action.yml", &a)
	for _, m := range regexp.MustCompile(`steps\.audit\.outputs\.(\w+)`).FindAllStringSubmatch(workflow, -1) {
		if a.Outputs[m[1]].Value == "" {
			t.Errorf("the action has no output %s", m[1])
		}
	}
	if !strings.Contains(recipe(t, "gitlab"), "extends: .sallyport-audit") || !strings.Contains(recipe(t, "pre-commit"), "id: sallyport-audit") {
		t.Error("a recipe names no job or hook that is there")
	}
	var hooks struct {
		Repos []struct{ Hooks []struct{ Args []string } }
	}
	if err := yaml.Unmarshal([]byte(recipe(t, "pre-commit")), &hooks); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"audit"}, hooks.Repos[0].Hooks[0].Args...)
	if code, out := run(t, repository(t), nil, "sallyport", args...); !slices.Contains([]int{0, 3}, code) {
		t.Errorf("%v: exit code %d\n%s", args, code, out)
	}
}

// recipe is a block of README.md by its mark.
func recipe(t *testing.T, mark string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, "README.md"), "<!-- "+mark+" -->\n```yaml\n")
	text, _, closed := strings.Cut(rest, "\n```\n")
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); !ok || !closed || err != nil {
		t.Fatalf("README.md has no recipe %s: %v", mark, err)
	}
	return text + "\n"
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/finding"
	"github.com/sallyport/sallyport/internal/audit/fixer"
	"github.com/sallyport/sallyport/internal/audit/render"
	"github.com/sallyport/sallyport/internal/audit/suppress"
	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/framework"
	"github.com/sallyport/sallyport/internal/picture"
)

// auditFlags are what `sallyport audit` was asked for.
type auditFlags struct {
	reading       readingFlags
	profile       string
	failOn        string
	exitZero      bool
	strictParse   bool
	baseline      string
	writeBaseline string
	graph         string
	fix           bool
}

// readingFlags say how CI files are to be read; audit and identities share them.
type readingFlags struct {
	system      string
	owner       string
	trusted     []string
	permissions string
}

func (f *readingFlags) on(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.system, "system", "", "CI system of a single file or of standard input: "+strings.Join(audit.Systems(), ", "))
	cmd.Flags().StringVar(&f.owner, "owner", "", "owner/name of the repository, whose own steps are its own (default: the origin of the checkout)")
	cmd.Flags().StringSliceVar(&f.trusted, "trusted", nil, "owners, or owner/name, whose steps count as the repository's")
	cmd.Flags().StringVar(&f.permissions, "assume-default-permissions", "", "what a job's token may do where the workflow says nothing: read or write (default: unknown)")
}

func (a *app) auditCommand() *cobra.Command {
	f := &auditFlags{}
	cmd := &cobra.Command{
		Use:   "audit [PATH|-]",
		Short: "show each path from untrusted code to a credential in the CI files of a repository",
		Long: `Read the CI files of a repository, compile them to the same graph that run enforces, and
report each path from code that nobody here verified to a credential. Nothing is run, nothing
is asked of the network, and no account is needed.

PATH is a repository (default .), one CI file, or - for standard input. The default profile
reports proven paths to credentials of high value; --profile strict reports the rest.`,
		Example: `  sallyport audit
  sallyport audit -o sarif > sallyport.sarif
  sallyport audit --graph svg > boundary.svg
  sallyport audit --fix                     # print what can be moved safely, as a diff`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{formsOf: strings.Join(auditForms(), " ")},
		RunE:        func(_ *cobra.Command, args []string) error { return a.audit(f, first(args, ".")) },
	}
	f.reading.on(cmd)
	cmd.Flags().StringVar(&f.profile, "profile", "", "default or strict")
	cmd.Flags().StringVar(&f.failOn, "fail-on", "high", "least severity that makes the exit code 3: note, medium, high or critical")
	cmd.Flags().BoolVar(&f.exitZero, "exit-zero", false, "exit 0 whatever is found")
	cmd.Flags().BoolVar(&f.strictParse, "strict-parse", false, "exit 2 when a CI file cannot be read")
	cmd.Flags().StringVar(&f.baseline, "baseline", "", "file of findings that are known and do not count")
	cmd.Flags().StringVar(&f.writeBaseline, "write-baseline", "", "write all findings to this file, as known")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "print what can be mended without changing what the pipeline does, as a diff for git apply")
	cmd.Flags().StringVar(&f.graph, "graph", "", "draw jobs, credentials and paths instead: svg, mermaid or dot")
	return cmd
}

func auditForms() []string {
	var all []string
	for _, f := range render.Formats() {
		all = append(all, f.Name)
	}
	return all
}

func (a *app) audit(f *auditFlags, target string) error {
	least, err := finding.ParseSeverity(f.failOn)
	if err != nil {
		return usagef("--fail-on: %w", err)
	}
	if err := checkGraph(f.graph); err != nil {
		return err
	}
	in, err := a.openAudit(&f.reading, target)
	if err != nil {
		return err
	}
	defer in.close()
	conf, err := in.config()
	if err != nil {
		return err
	}
	reading, err := in.read(conf)
	if err != nil {
		return err
	}
	if reading.Files == 0 {
		return &problem{Code: codeNoCI, Exit: exitUsage, What: "no CI file in " + target, Next: "sallyport audit PATH, or sallyport plan for a project without CI"}
	}
	if f.graph != "" {
		return a.drawAudit(f.graph, target, reading.Definitions)
	}
	profile, err := profileOf(f.profile, conf)
	if err != nil {
		return err
	}
	if f.fix {
		return a.fix(in, reading, conf)
	}
	report := audit.Report(reading.Definitions, reading.Errors, reading.Files, profile)
	if err := in.suppress(&report, reading.Definitions, conf, f.baseline); err != nil {
		return err
	}
	if f.writeBaseline != "" {
		n, err := writeBaseline(f.writeBaseline, report)
		if err != nil {
			return err
		}
		a.say("%d findings are known now: sallyport audit --baseline %s", n, f.writeBaseline)
	}
	if err := a.renderAudit(report, in, reading.Definitions); err != nil {
		return err
	}
	a.code = auditExit(report, least, f)
	return nil
}

// fix prints the changes that mend something, whatever the profile.
func (a *app) fix(in *auditInput, reading audit.Reading, conf suppress.Config) error {
	report := audit.Report(reading.Definitions, reading.Errors, reading.Files, audit.Strict)
	if err := in.suppress(&report, reading.Definitions, conf, ""); err != nil {
		return err
	}
	changes := fixer.Mend(in.repo, reading.Definitions, report)
	for _, c := range changes {
		for _, why := range c.Why {
			a.say("%s, %s", clean(c.File), clean(why))
		}
		if _, err := a.stdout.Write(c.Diff()); err != nil {
			return fmt.Errorf("write the diff: %w", err)
		}
	}
	if len(changes) == 0 {
		a.say("nothing can be mended without changing what the pipeline does; each finding says what to do")
		return nil
	}
	a.say("review it, then: sallyport audit --fix | git apply")
	return nil
}

// auditExit is the exit code of a report: the same in every form.
func auditExit(r finding.Report, least finding.Severity, f *auditFlags) int {
	switch {
	case len(r.Errors) > 0 && f.strictParse:
		return exitUsage
	case f.exitZero:
		return exitYes
	case slices.ContainsFunc(r.Findings, func(x finding.Finding) bool { return x.Suppressed == "" && x.Severity >= least }):
		return exitNo
	case len(r.Errors) > 0:
		return exitUnknown // a file that cannot be read is no clean bill
	}
	return exitYes
}

func profileOf(flag string, conf suppress.Config) (audit.Profile, error) {
	name := flag
	if name == "" {
		name = conf.Profile
	}
	switch audit.Profile(name) {
	case "", audit.Default:
		return audit.Default, nil
	case audit.Strict:
		return audit.Strict, nil
	}
	return "", usagef("no profile %q: there is default and strict", name)
}

func (a *app) renderAudit(r finding.Report, in *auditInput, defs []ci.Definition) error {
	for _, f := range render.Formats() {
		if f.Name != a.format {
			continue
		}
		standards, err := framework.All()
		if err != nil {
			return err
		}
		c := render.Context{
			Version: a.version, Source: in.source, Color: a.tty && a.wantsColour(), Taxa: taxaOf(standards), Picture: pictureOf(defs),
		}
		if err := f.Render(a.stdout, r, c); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	return usagef("no output form %q", a.format)
}

// taxaOf gives the controls of each rule, for the forms that have taxonomies.
func taxaOf(all []framework.Framework) func(finding.ID) []render.Taxon {
	return func(id finding.ID) []render.Taxon {
		var out []render.Taxon
		for _, t := range framework.Taxa(all, string(id)) {
			out = append(out, render.Taxon{Taxonomy: t.Framework, ID: t.ID, Name: t.Title})
		}
		return out
	}
}

func (a *app) drawAudit(form, title string, defs []ci.Definition) error {
	g := audit.Compile(defs)
	return a.drawGraph(form, title, g, boundary.Check(g))
}

// pictureOf draws the jobs of one file, for the page.
func pictureOf(defs []ci.Definition) func(string) []byte {
	return func(file string) []byte {
		for _, d := range defs {
			if d.File == file {
				g := audit.Compile([]ci.Definition{d})
				return picture.SVG(g, boundary.Check(g), picture.Options{Title: file})
			}
		}
		return nil
	}
}

// auditInput is one repository, or one file, to be read.
type auditInput struct {
	root   *os.Root // nil: standard input
	repo   fs.FS
	file   string // one file of repo; empty: all
	name   string // as the user calls it
	system ci.System
	flags  *readingFlags
}

// maxStdin bounds what is read from standard input.
const maxStdin = 2 << 20

func (a *app) openAudit(f *readingFlags, target string) (*auditInput, error) {
	in := &auditInput{name: target, flags: f, system: ci.System(f.system)}
	if f.system != "" && !slices.Contains(audit.Systems(), f.system) {
		return nil, usagef("no CI system %q: there are %s", f.system, strings.Join(audit.Systems(), ", "))
	}
	if p := f.permissions; p != "" && p != "read" && p != "write" {
		return nil, usagef("--assume-default-permissions is read or write, not %q", p)
	}
	if target == "-" {
		return in, in.fromStdin(a.stdin)
	}
	info, err := os.Stat(target)
	if err != nil {
		return nil, &problem{Code: codeNoFile, Exit: exitUsage, What: err.Error(), cause: err}
	}
	dir := target
	if !info.IsDir() {
		dir, in.file = repositoryOf(target)
	}
	if in.root, err = os.OpenRoot(dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	in.repo = in.root.FS()
	if f.owner == "" {
		f.owner = originOf(in.repo)
	}
	return in, nil
}

// repositoryOf splits the path of a file into the repository that it is of and
// its name there: the nearest folder above with a .git, else the file's own.
func repositoryOf(file string) (dir, name string) {
	full, err := filepath.Abs(file)
	if err != nil {
		return filepath.Dir(file), filepath.Base(file)
	}
	for d := filepath.Dir(full); ; d = filepath.Dir(d) {
		if _, err := os.Lstat(filepath.Join(d, ".git")); err == nil {
			rel, _ := filepath.Rel(d, full) // d is above full
			return d, filepath.ToSlash(rel)
		}
		if filepath.Dir(d) == d {
			return above(full)
		}
	}
}

// above guesses the root of a checkout without .git, from where CI systems
// want their files.
func above(full string) (dir, name string) {
	slashed := filepath.ToSlash(full)
	for _, mark := range []string{"/.github/workflows/", "/.circleci/", "/.buildkite/", "/.tekton/", "/.woodpecker/"} {
		if i := strings.LastIndex(slashed, mark); i >= 0 {
			return filepath.FromSlash(slashed[:i+1]), slashed[i+1:]
		}
	}
	return filepath.Dir(full), filepath.Base(full)
}

func (in *auditInput) close() {
	if in.root != nil {
		_ = in.root.Close() // it was read only
	}
}

func (in *auditInput) read(conf suppress.Config) (audit.Reading, error) {
	o := audit.Options{Owner: in.flags.owner, Trusted: append(slices.Clone(conf.Trusted), in.flags.trusted...), DefaultPermissions: in.flags.permissions}
	if o.DefaultPermissions == "" {
		o.DefaultPermissions = conf.DefaultPermissions
	}
	if in.file != "" {
		r, err := audit.ReadFile(in.repo, in.file, in.system, o)
		if err != nil {
			return r, usagef("%w", err)
		}
		return r, nil
	}
	return audit.Read(in.repo, o)
}

// source gives the text of a file of the repository, for carets.
func (in *auditInput) source(file string) []byte {
	raw, err := fs.ReadFile(in.repo, path.Clean(file))
	if err != nil {
		return nil
	}
	return raw
}

// originOf reads owner/name from the checkout's own configuration, as text:
// git is not run in a folder that is being audited.
func originOf(repo fs.FS) string {
	raw, err := fs.ReadFile(repo, ".git/config")
	if err != nil || len(raw) > 1<<20 {
		return ""
	}
	in := false
	for line := range strings.SplitSeq(string(raw), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = line == `[remote "origin"]`
			continue
		}
		if key, value, ok := strings.Cut(line, "="); in && ok && strings.TrimSpace(key) == "url" {
			return ownerOf(strings.TrimSpace(value))
		}
	}
	return ""
}

// ownerOf takes owner/name from the end of a clone address.
func ownerOf(url string) string {
	url = strings.TrimSuffix(strings.TrimSuffix(url, "/"), ".git")
	url = strings.ReplaceAll(url, ":", "/")
	parts := strings.Split(url, "/")
	if len(parts) < 2 {
		return ""
	}
	return strings.Join(parts[len(parts)-2:], "/")
}

func (in *auditInput) fromStdin(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	if len(raw) > maxStdin {
		return usagef("standard input has more than %d bytes", maxStdin)
	}
	if in.system == "" {
		in.system = ci.GitHub
	}
	in.file = "stdin"
	in.repo = oneFile{in.file, raw}
	return nil
}

// config reads .sallyport/audit.yaml, where there is one.
func (in *auditInput) config() (suppress.Config, error) {
	raw, err := fs.ReadFile(in.repo, suppress.ConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
		return suppress.Config{}, nil
	}
	if err != nil {
		return suppress.Config{}, fmt.Errorf("read %s: %w", suppress.ConfigFile, err)
	}
	c, err := suppress.ParseConfig(suppress.ConfigFile, raw)
	if err != nil {
		return c, &problem{Code: codeAuditFile, Exit: exitUsage, What: err.Error(), Where: suppress.ConfigFile, cause: err}
	}
	return c, nil
}

// suppress takes out of the count what comments, the configuration and a
// baseline say is known.
func (in *auditInput) suppress(r *finding.Report, defs []ci.Definition, conf suppress.Config, baseline string) error {
	comments := map[string][]suppress.Comment{}
	for _, file := range in.mentioned(*r, defs) {
		comments[file] = suppress.Comments(in.source(file))
	}
	var known suppress.Baseline
	if baseline != "" {
		raw, err := os.ReadFile(baseline)
		if err != nil {
			return &problem{Code: codeNoFile, Exit: exitUsage, What: err.Error(), cause: err}
		}
		if known, err = suppress.ParseBaseline(raw); err != nil {
			return &problem{Code: codeAuditFile, Exit: exitUsage, What: fmt.Sprintf("read baseline %s: %v", baseline, err), Where: baseline, cause: err}
		}
	}
	suppress.Apply(r, conf, comments, known, time.Now())
	return nil
}

// mentioned are the files in which a suppression can stand: the definitions, and
// what a finding names.
func (in *auditInput) mentioned(r finding.Report, defs []ci.Definition) []string {
	var all []string
	for _, d := range defs {
		all = append(all, d.File)
	}
	for _, f := range r.Findings {
		all = append(all, f.File)
		if f.Untrusted != nil {
			all = append(all, f.Untrusted.File)
		}
		if f.Credential != nil {
			all = append(all, f.Credential.File)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

// writeBaseline keeps what a report holds as known, and says how many it is.
func writeBaseline(file string, r finding.Report) (int, error) {
	b := suppress.NewBaseline(r)
	raw, err := b.JSON()
	if err != nil {
		return 0, fmt.Errorf("write baseline: %w", err)
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		return 0, fmt.Errorf("write baseline: %w", err)
	}
	return len(b.Fingerprints), nil
}

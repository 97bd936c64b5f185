package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/confine"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/joblog"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// execFlags are the flags of exec.
type execFlags struct {
	zone    string
	require string
	write   []string
	show    []string
	env     []string
	report  string
	timeout time.Duration
	noHoney bool
	learn   bool
	reason  string
	until   string
	image   string
}

// execResult is sallyport/exec/v1, which --report writes: stdout is the command's.
type execResult struct {
	Schema    string            `json:"schema"`
	Command   []string          `json:"command"`
	Zone      string            `json:"zone"`
	Isolation string            `json:"isolation"`
	ExitCode  int               `json:"exit_code"`
	Limit     string            `json:"limit,omitempty"`
	Denials   []evidence.Denial `json:"denials"`
	Receipt   evidence.Receipt  `json:"receipt"`

	Toolchains []evidence.Toolchain `json:"toolchains"` // the programs that the zone saw
}

const execLong = `Run one command of this checkout in a zone. It works in any CI and needs no file.

The working directory is writable, at the same path; the rest of the machine is not
there. The environment is an allow-list: no token gets in. HOME is thrown away. In
the zone fetch the gateway gives what the lockfiles name, and nothing else is
reachable; in generate, build and test there is no network at all.

What is trusted later cannot be changed (.git, CI files, editor and agent settings),
and credentials in the checkout (.env, .npmrc tokens, the forge's token in
.git/config) are not seen.

The zone holds honey credentials, which are worth nothing. When one comes out again, in
what the command prints or asks for, that is an alarm.

The exit code is the command's; 125 says that the zone would have been too weak, and 3
that a command which ended well took a honey credential.`

func (a *app) execCommand() *cobra.Command {
	f := &execFlags{}
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "run one command of this checkout in a zone, in any CI",
		Long:  execLong,
		Example: `  sallyport exec -- npm ci
  sallyport exec --zone test -- go test ./...
  sallyport exec --require full --env BUILD_NUMBER -- make dist`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.exec(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false)
	fs.StringVar(&f.zone, "zone", "fetch", "zone to run in: fetch, generate, build or test")
	requireFlag(cmd, &f.require, sandbox.LevelReduced)
	fs.StringArrayVar(&f.write, "write", nil, "further directory that the command may write to")
	fs.StringArrayVar(&f.show, "show", nil, "file that holds credentials and is shown all the same, relative to the working directory")
	fs.StringArrayVar(&f.env, "env", nil, "name of a further variable to let through; names of credentials are refused")
	fs.StringVar(&f.report, "report", "", "file for the outcome as JSON")
	honeyFlag(cmd, &f.noHoney)
	learnFlags(cmd, &f.learn, &f.reason, &f.until)
	imageFlag(cmd, &f.image)
	fs.DurationVar(&f.timeout, "timeout", 2*time.Hour, "longest time that the command may take")
	return cmd
}

func (a *app) exec(ctx context.Context, f *execFlags, args []string) error {
	zone, dir, err := f.place()
	if err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	c := command{flags: f, dir: dir, zone: zone, args: args}
	if c.tools, c.image, err = w.execTools(ctx, f.image, dir); err != nil {
		return err
	}
	if c.excepted, err = readAllow(dir); err != nil {
		return err
	}
	if f.learn {
		return w.learnExec(ctx, &c)
	}
	out, err := w.confine(ctx, &c)
	if err != nil {
		return err
	}
	for _, d := range out.Denials {
		a.words().denial(d)
	}
	a.code = out.ExitCode
	if a.code == 0 && len(out.Alarms) > 0 {
		a.code = exitNo
	}
	return writeReport(f.report, zone, args, c.tools.Tools, out)
}

// command is one command to confine.
type command struct {
	flags    *execFlags
	dir      string
	zone     boundary.Zone
	args     []string
	tools    toolchain.Set
	image    string // directory of the image whose programs it sees; empty: the host's
	excepted []boundary.Allowance
	copied   string              // copy of dir that is shown in its place; empty: dir itself
	learn    bool                // the gateway gives whatever is asked for
	served   []evidence.Material // what it gave
}

// confine runs a command in its zone and keeps what was refused.
func (w *workshop) confine(ctx context.Context, c *command) (out confine.Outcome, err error) {
	k, err := w.paths.newKeeper()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	req, err := w.confineRequest(c.dir, c.zone, c.tools)
	if err != nil {
		return out, err
	}
	req.ID, req.Image, req.Allowed, req.Copy = k.id(), c.image, c.excepted, c.copied
	road, word, err := w.road(ctx, c, k.id())
	if err != nil {
		return out, err
	}
	if road != nil {
		defer road.Close()
		req.Road = road
	}
	if err := c.flags.fill(&req, c.args); err != nil {
		return out, err
	}
	flush := w.connect(&req)
	req.Started = func(r evidence.Receipt) { w.say("sallyport: zone %s, isolation %s%s", c.zone, r.Level, word) }
	out, err = confine.Run(ctx, w.sandbox, req)
	if err := errors.Join(err, flush()); err != nil {
		return out, fmt.Errorf("confine %s: %w", c.args[0], err)
	}
	if road != nil {
		c.served = road.Served()
	}
	return out, k.keep(c.args[0], &req, &out)
}

// connect gives the command this process's streams. A runner that obeys what it
// finds in its log gets nothing to obey.
func (a *app) connect(req *confine.Request) (flush func() error) {
	req.Stdin, req.Stdout, req.Stderr = a.stdin, a.stdout, a.stderr
	if !joblog.Obeyed(a.lookup) {
		return func() error { return nil }
	}
	out, talk := joblog.NewWriter(a.stdout), joblog.NewWriter(a.stderr)
	req.Stdout, req.Stderr = out, talk
	return func() error { return errors.Join(out.Flush(), talk.Flush()) }
}

// place checks what can be checked before anything is opened: the zone, the level
// and the working directory.
func (f *execFlags) place() (boundary.Zone, string, error) {
	zone, err := execZone(f.zone)
	if err != nil {
		return 0, "", err
	}
	if err := checkRequire(f.require); err != nil {
		return 0, "", err
	}
	dir, err := realDir(".")
	if err != nil {
		return 0, "", err
	}
	return zone, dir, confine.CheckDir(dir)
}

// fill adds what the command line asks for.
func (f *execFlags) fill(req *confine.Request, args []string) error {
	for _, p := range f.write {
		d, err := realDir(p)
		if err != nil {
			return err
		}
		req.Write = append(req.Write, d)
	}
	req.Require, req.Args, req.Names, req.Show = f.require, args, f.env, f.show
	req.Limits.Time, req.Honey = f.timeout, !f.noHoney
	return nil
}

func execZone(name string) (boundary.Zone, error) {
	zone, err := boundary.ParseZone(name)
	if err != nil {
		return 0, usagef("%w", err)
	}
	if !slices.Contains([]boundary.Zone{boundary.Fetch, boundary.Generate, boundary.Build, boundary.Test}, zone) {
		return 0, usagef("no command runs in the zone %s: it is for Sallyport's own checks and for verified artifacts", zone)
	}
	return zone, nil
}

// realDir returns the absolute path of a directory, without links.
func realDir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("directory %s: %w", path, err)
	}
	dir, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", noFile(path, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", noFile(path, err)
	}
	if !info.IsDir() {
		return "", usagef("%s is not a directory", path)
	}
	return dir, nil
}

func writeReport(path string, zone boundary.Zone, args []string, tools []evidence.Toolchain, out confine.Outcome) error {
	if path == "" {
		return nil
	}
	res := execResult{
		Schema: "sallyport/exec/v1", Command: args, Zone: zone.String(), Isolation: out.Receipt.Level,
		ExitCode: out.ExitCode, Limit: out.Limit, Denials: append([]evidence.Denial{}, out.Denials...), Receipt: out.Receipt,
		Toolchains: append([]evidence.Toolchain{}, tools...),
	}
	b, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// explainConfine knows why a command was not confined.
func explainConfine(err error) *problem {
	var secret *confine.ErrSecretName
	var dir *confine.ErrDir
	var weak *sandbox.NotIsolated
	switch {
	case strings.Contains(err.Error(), "run the payload") && errors.Is(err, syscall.ENOENT):
		return &problem{Code: codeNoCommand, Exit: exitNotFound, What: err.Error(), Also: []string{"A zone sees the programs below /usr, Go, Node, and what is in the checkout; with --image, those of the image in place of the host's."}}
	case strings.Contains(err.Error(), "run the payload") && errors.Is(err, syscall.EACCES):
		return &problem{Code: codeNoCommand, Exit: exitNotExecutable, What: err.Error()}
	case errors.As(err, &secret):
		return &problem{Code: codeSecretName, Exit: exitUsage, What: secret.Error(), Rule: ruleText(boundary.SP1),
			Next: "give the credential to a release or deploy stage instead; see: sallyport plan"}
	case errors.As(err, &dir):
		return &problem{Code: codeExecDir, Exit: exitUsage, What: dir.Error(), Next: "cd into one project and run it there"}
	case errors.As(err, &weak):
		p := &problem{Code: codeNotIsolated, Exit: exitNotIsolate, What: fmt.Sprintf("isolation here is %s, %s is required", weak.Got, weak.Wanted), Next: "sallyport doctor"}
		for _, l := range weak.Missing {
			p.Also = append(p.Also, strings.TrimSpace(l.Primitive+": "+l.Why))
		}
		for _, pr := range weak.Probes {
			p.Also = append(p.Also, fmt.Sprintf("probe %s: wanted %s, got %s", pr.Name, pr.Wanted, pr.Got))
		}
		return p
	}
	return nil
}

func ruleText(r boundary.Rule) string { return string(r) + ": " + r.Text() }

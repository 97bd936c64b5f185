package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix begins the environment variable of each flag.
const envPrefix = "SALLYPORT_"

const rootLong = `Sallyport keeps untrusted code and release authority apart: they are never in
the same place at the same time.

  Where is my boundary broken today?    sallyport audit
  Can I close it without moving CI?     sallyport exec -- npm ci
  Can it hold for the whole pipeline?   sallyport run
  Can I prove it?                       sallyport verify, sallyport log`

// root returns the command tree.
func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "sallyport",
		Short:         "builds software with untrusted code and release authority kept apart",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       a.version,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.fromEnvironment(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	cmd.SetVersionTemplate("sallyport {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usagef("%w", suggestFlag(c, err)) })
	f := cmd.PersistentFlags()
	f.StringVarP(&a.format, "output", "o", "text", "form of the result: text or json")
	f.StringVar(&a.state, "state", "", "directory for what Sallyport keeps (default ~/.local/state/sallyport)")
	f.StringVar(&a.sandbox, "sandbox", "namespaces", "what keeps zones apart: namespaces, oci:runsc, oci:crun, oci:runc or oci:PATH")
	f.StringVar(&a.malware, "malware", "", "feed of known malware: a folder or zip archive of OSV records")
	f.DurationVar(&a.malwareMaxAge, "malware-max-age", 7*24*time.Hour, "oldest feed that will do; 0 for any")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but the result and what went wrong")
	cmd.AddCommand(a.commands()...)
	wrapArgs(cmd)
	return cmd
}

func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.auditCommand(),
		a.identitiesCommand(),
		a.whoCommand(),
		a.reportCommand(),
		a.planCommand(),
		a.runCommand(),
		a.execCommand(),
		a.verifyCommand(),
		a.runsCommand(),
		a.logsCommand(),
		a.whyCommand(),
		a.allowCommand(),
		a.logCommand(),
		a.drillCommand(),
		a.doctorCommand(),
		a.versionCommand(),
		a.schemaCommand(),
		a.completionCommand(),
		a.manCommand(),
	}
}

// wrapArgs makes a wrong number of arguments a usage error.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%w", err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// fromEnvironment gives flags that are not on the command line the value of
// their variable, and checks the ones that all commands share.
func (a *app) fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		v, ok := a.lookup(envName(f.Name))
		if !ok || v == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, v); err != nil {
			errs = append(errs, usagef("%s=%q: %w", envName(f.Name), v, err))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.checkFormat(cmd)
}

// formsOf is the annotation of a command that has more output forms than text
// and json: their names, with spaces between.
const formsOf = "output forms"

func (a *app) checkFormat(cmd *cobra.Command) error {
	forms := []string{"text", "json"}
	if more := cmd.Annotations[formsOf]; more != "" {
		forms = strings.Fields(more)
	}
	if !slices.Contains(forms, a.format) {
		last := len(forms) - 1
		return usagef("no output form %q: there is %s and %s", a.format, strings.Join(forms[:last], ", "), forms[last])
	}
	return nil
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// suggestFlag adds the flag that was probably meant.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	best, near := "", 3
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := distance(unknown.GetSpecifiedName(), f.Name); d < near {
			best, near = f.Name, d
		}
	})
	if best == "" {
		return err
	}
	return fmt.Errorf("%w: did you mean --%s?", err, best)
}

// distance is the number of letters to change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			keep := last
			if a[i] != b[j] {
				keep++
			}
			last = row[j+1]
			row[j+1] = min(keep, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}

// stateDir returns the absolute directory for what Sallyport keeps.
func (a *app) stateDir() (string, error) {
	dir := a.state
	if dir == "" {
		if base, ok := a.lookup("XDG_STATE_HOME"); ok && filepath.IsAbs(base) {
			dir = filepath.Join(base, "sallyport")
		} else {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", usagef("no state directory: set --state or HOME: %w", err)
			}
			dir = filepath.Join(home, ".local", "state", "sallyport")
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return abs, nil
}

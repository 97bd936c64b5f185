package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/host"
)

// doctorResult is sallyport/doctor/v1.
type doctorResult struct {
	Schema string `json:"schema"`
	host.Facts
}

func (a *app) doctorCommand() *cobra.Command {
	var require string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "say what this host can do, and the command that mends each lack",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.doctor(cmd.Context(), require)
		},
	}
	requireFlag(cmd, &require, "")
	return cmd
}

// requireFlag adds --require, the lowest isolation level that will do.
func requireFlag(cmd *cobra.Command, level *string, def string) {
	cmd.Flags().StringVar(level, "require", def, "lowest isolation level that will do: full or reduced")
}

func honeyFlag(cmd *cobra.Command, off *bool) {
	cmd.Flags().BoolVar(off, "no-honey", false, "leave honey credentials out of the zones")
}

func checkRequire(level string) error {
	switch level {
	case "", sandbox.LevelFull, sandbox.LevelReduced:
		return nil
	}
	return usagef("no isolation level %q: there is full and reduced", level)
}

func (a *app) doctor(ctx context.Context, require string) error {
	if err := checkRequire(require); err != nil {
		return err
	}
	facts := host.Inspect(ctx, a.inspectDir())
	if err := a.result(doctorResult{"sallyport/doctor/v1", facts}, func(w io.Writer) { doctorText(w, facts) }); err != nil {
		return err
	}
	if !enough(facts.Level, require) {
		a.code = exitNotIsolate
	}
	return nil
}

// inspectDir is where the overlay is tried: the state directory, once it is there.
func (a *app) inspectDir() string {
	dir, err := a.stateDir()
	if err != nil {
		return ""
	}
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// enough tells whether got is at least wanted; with nothing wanted, whether any
// zone can start.
func enough(got, wanted string) bool {
	switch wanted {
	case sandbox.LevelFull:
		return got == sandbox.LevelFull
	default:
		return got == sandbox.LevelFull || got == sandbox.LevelReduced
	}
}

func doctorText(w io.Writer, f host.Facts) {
	fmt.Fprintf(w, "isolation  %s\n", f.Level)
	fmt.Fprintf(w, "kernel     %s %s, uid %d", f.Kernel, f.Arch, f.UID)
	if f.Container != "" {
		fmt.Fprintf(w, ", in %s", clean(f.Container))
	}
	fmt.Fprint(w, "\n\n")
	for _, fact := range f.Facts {
		mark := "ok"
		if !fact.OK {
			mark = map[host.Need]string{host.ForAny: "NO", host.ForFull: "no", host.Optional: "--"}[fact.Need]
		}
		fmt.Fprintf(w, "%-2s  %-14s %s\n", mark, clean(fact.Name), clean(fact.Value))
		if !fact.OK {
			if fact.Why != "" {
				fmt.Fprintf(w, "      why    %s\n", clean(fact.Why))
			}
			if fact.Mend != "" {
				fmt.Fprintf(w, "      mend   %s\n", clean(fact.Mend))
			}
		}
	}
	fmt.Fprint(w, "\nNO: without it no zone starts.  no: without it the level is reduced.  --: without it something is slower.\n")
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) logsCommand() *cobra.Command {
	run := ""
	cmd := &cobra.Command{
		Use:   "logs STAGE",
		Short: "write the full log of a stage, made harmless for a terminal",
		Long: `Write the full output of a stage. Escape sequences, and lines that a CI system would
take for commands, are spelled out, so that it is safe to read.`,
		Example: "  sallyport logs build\n  sallyport logs test --run 42 | less",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.logs(run, args[0]) },
	}
	cmd.Flags().StringVar(&run, "run", "", "number of the run (default: the newest)")
	return cmd
}

func (a *app) logs(run, stage string) error {
	o, err := a.loadRun(run)
	if err != nil {
		return err
	}
	known := false
	for _, s := range o.Run.Stages {
		known = known || s.Name == stage
	}
	f, err := os.Open(o.LogPath(stage))
	if !known || errors.Is(err, fs.ErrNotExist) {
		return &problem{Code: codeNoLogFile, Exit: exitUsage, What: fmt.Sprintf("run %s has no log of a stage %q", o.Run.ID, stage), Next: "sallyport runs show " + o.Run.ID,
			Also: []string{"A stage that was unchanged, or left out, ran nothing in this run."}}
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(a.stdout, f); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

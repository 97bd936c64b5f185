package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
)

// logResult is sallyport/log/v1.
type logResult struct {
	Schema  string          `json:"schema"`
	Origin  string          `json:"origin"`
	Entries []ledger.Record `json:"entries"`
}

// logProof is sallyport/log/v1 of log prove: the proof, and the key to check it with.
type logProof struct {
	Schema string           `json:"schema"`
	Origin string           `json:"origin"`
	Key    string           `json:"key"`
	Proof  *inclusion.Proof `json:"proof"`
}

// logReport is sallyport/log/v1 of log verify.
type logReport struct {
	Schema string `json:"schema"`
	OK     bool   `json:"ok"`
	ledger.Report
}

func (a *app) logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "show, prove and verify the tamper-evident log",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.logShowCommand(), a.logProveCommand(), a.logVerifyCommand())
	return cmd
}

func (a *app) logShowCommand() *cobra.Command {
	var filter ledger.Filter
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "show the entries, oldest first, each checked against the signed checkpoint",
		Example: "  sallyport log show --run 42\n  sallyport log show --kind denial -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.logShow(cmd.Context(), filter)
		},
	}
	cmd.Flags().StringVar(&filter.Run, "run", "", "only entries of this run")
	cmd.Flags().StringVar(&filter.Stage, "stage", "", "only entries of this stage")
	cmd.Flags().StringSliceVar(&filter.Kinds, "kind", nil, "only entries of these kinds: plan, denial, verdict, promotion ...")
	return cmd
}

func (a *app) logShow(ctx context.Context, filter ledger.Filter) error {
	log, err := a.readLog()
	if err != nil {
		return err
	}
	res := logResult{Schema: "sallyport/log/v1", Origin: log.Origin(), Entries: []ledger.Record{}}
	for rec, err := range log.Entries(ctx, filter) {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		res.Entries = append(res.Entries, rec)
	}
	return a.result(res, func(w io.Writer) {
		for _, rec := range res.Entries {
			fmt.Fprintln(w, logLine(rec))
		}
	})
}

// logLine is one entry in one line.
func logLine(rec ledger.Record) string {
	e := rec.Entry
	if e == nil {
		return fmt.Sprintf("%6d  %-20s  %s", rec.Index, "", clean(rec.Kind))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-14s", rec.Index, e.Time.UTC().Format(time.RFC3339), clean(rec.Kind))
	if e.Run != "" {
		fmt.Fprintf(&b, "  run %s", clean(e.Run))
	}
	if e.Stage != "" {
		fmt.Fprintf(&b, "  %s", clean(e.Stage))
	}
	for _, s := range e.Subjects {
		fmt.Fprintf(&b, "  %s", s.Short())
	}
	for _, name := range sortedKeys(e.Facts) {
		fmt.Fprintf(&b, "  %s=%s", clean(name), clean(e.Facts[name]))
	}
	return b.String()
}

func (a *app) logProveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prove INDEX",
		Short: "write the proof that an entry stands in the log",
		Long: `Write the proof that an entry stands in the log, with the public key to check it
with. Whoever holds both can check it offline, without this machine.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil {
				return usagef("%q is not the number of an entry", args[0])
			}
			return a.logProve(cmd.Context(), index)
		},
	}
}

func (a *app) logProve(ctx context.Context, index uint64) error {
	log, err := a.readLog()
	if err != nil {
		return err
	}
	checkpoint, err := log.Checkpoint()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if index >= checkpoint.Size {
		return &problem{Code: codeNoEntry, Exit: exitUsage, What: fmt.Sprintf("the log has no entry %d: it holds %d", index, checkpoint.Size), Next: "sallyport log show"}
	}
	proof, err := log.Prove(ctx, index)
	if err != nil {
		return fmt.Errorf("prove entry %d: %w", index, err)
	}
	res := logProof{"sallyport/log/v1", log.Origin(), log.VerifierKey(), proof}
	return a.result(res, func(w io.Writer) {
		fmt.Fprintf(w, "# key %s\n%s", res.Key, proof.TlogProof())
	})
}

func (a *app) logVerifyCommand() *cobra.Command {
	var checkpoints []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "walk the whole log: signature, hashes, form, and that it only ever grew",
		Long: `Walk the whole log: the signature of its checkpoint, the hash and form of each
entry, and that it continues what its key signed before. With --checkpoint it must
also continue a checkpoint that you kept elsewhere (each bundle holds one).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.logVerify(cmd.Context(), checkpoints)
		},
	}
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "file with a checkpoint that the log must continue")
	return cmd
}

func (a *app) logVerify(ctx context.Context, files []string) error {
	log, err := a.readLog()
	if err != nil {
		return err
	}
	var known []string
	for _, f := range files {
		b, err := readSmall(f)
		if err != nil {
			return err
		}
		known = append(known, string(b))
	}
	report, err := log.Verify(ctx, known...)
	if err != nil {
		return fmt.Errorf("verify the log: %w", err)
	}
	return a.result(logReport{"sallyport/log/v1", true, report}, func(w io.Writer) {
		fmt.Fprintf(w, "the log %s holds: %d entries, each where its checkpoint says\n", report.Origin, report.Size)
		fmt.Fprintf(w, "  root       %s\n", report.Root)
		for _, k := range sortedKeys(report.Kinds) {
			fmt.Fprintf(w, "  %6d  %s\n", report.Kinds[k], clean(k))
		}
		if report.Unsigned > 0 {
			fmt.Fprintf(w, "  %d entries are not under a checkpoint yet\n", report.Unsigned)
		}
	})
}

// readLog opens the log for reading.
func (a *app) readLog() (*ledger.Reader, error) {
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.ledger); errors.Is(err, fs.ErrNotExist) {
		return nil, &problem{Code: codeNoLog, Exit: exitUsage, What: "there is no log yet", Where: p.ledger, Next: "sallyport run"}
	}
	log, err := ledger.ReadOnly(p.ledger, p.keys)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return log, nil
}

// readSmall reads a file that a user names and that is small when it is right.
func readSmall(path string) ([]byte, error) {
	const most = 16 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, noFile(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, noFile(path, err)
	}
	if len(b) > most {
		return nil, usagef("%s is larger than %s", path, size(most))
	}
	return b, nil
}

func noFile(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &problem{Code: codeNoFile, Exit: exitUsage, What: "no such file or directory: " + path, cause: err}
	}
	return fmt.Errorf("read %s: %w", path, err)
}

package cli

import (
	"io"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/evidence"
)

// whyResult is sallyport/why/v1: one recorded refusal.
type whyResult struct {
	Schema string          `json:"schema"`
	Run    string          `json:"run"`  // its number, or x and that of a confined command
	Rule   string          `json:"rule"` // in words
	Denial evidence.Denial `json:"denial"`
}

var denialID = regexp.MustCompile(`^D-(x?)([0-9]+)-[0-9]+$`)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "why DENIAL",
		Short:   "explain a recorded refusal, such as D-42-3 of a run or D-x7-1 of exec",
		Example: "  sallyport why D-42-3\n  sallyport why D-x7-1",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.why(args[0]) },
	}
}

func (a *app) why(id string) error {
	d, where, err := a.refusal(id)
	if err != nil {
		return err
	}
	return a.because(d, where.run, where.log)
}

func (a *app) because(d evidence.Denial, run, log string) error {
	return a.result(whyResult{"sallyport/why/v1", run, d.Rule.Text(), d}, func(w io.Writer) {
		words := &words{w: w}
		words.denial(d)
		words.field("means", string(d.Rule)+": "+d.Rule.Text())
		words.field("log", log)
	})
}

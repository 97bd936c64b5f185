package cli

import (
	"fmt"
	"io"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/evidence"
)

// whyResult is sallyport/why/v1: one recorded refusal.
type whyResult struct {
	Schema string          `json:"schema"`
	Run    string          `json:"run"`
	Rule   string          `json:"rule"` // in words
	Denial evidence.Denial `json:"denial"`
}

var denialID = regexp.MustCompile(`^D-([0-9]+)-[0-9]+$`)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "why DENIAL",
		Short:   "explain a recorded refusal, such as D-42-3",
		Example: "  sallyport why D-42-3",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.why(args[0]) },
	}
}

func (a *app) why(id string) error {
	m := denialID.FindStringSubmatch(id)
	if m == nil {
		return usagef("%q is not the id of a refusal, such as D-42-3", id)
	}
	o, err := a.loadRun(m[1])
	if err != nil {
		return err
	}
	for _, d := range o.Run.Denials {
		if d.ID != id {
			continue
		}
		res := whyResult{"sallyport/why/v1", o.Run.ID, d.Rule.Text(), d}
		return a.result(res, func(w io.Writer) {
			(&words{w: w}).denial(d)
			fmt.Fprintf(w, "  %-8s %s: %s\n", "means", d.Rule, d.Rule.Text())
			fmt.Fprintf(w, "  %-8s %s\n", "log", o.LogPath(d.Stage))
		})
	}
	return &problem{Code: codeNoDenial, Exit: exitUsage, What: fmt.Sprintf("run %s has no refusal %s", o.Run.ID, id), Next: "sallyport runs show " + o.Run.ID}
}

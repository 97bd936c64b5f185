package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// versionResult is sallyport/version/v1.
type versionResult struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "say which Sallyport this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionResult{"sallyport/version/v1", a.version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.result(v, func(w io.Writer) {
				fmt.Fprintf(w, "sallyport %s %s %s/%s\n", v.Version, v.Go, v.OS, v.Arch)
			})
		},
	}
}

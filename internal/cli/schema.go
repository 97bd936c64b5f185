package cli

import (
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/pipeline"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "write the JSON Schema of sallyport.yaml",
		Long: `Write the JSON Schema (draft-07) of sallyport.yaml, for editors and checkers.

In an editor that knows the YAML language server, the first line of the file can be
  # yaml-language-server: $schema=sallyport.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(pipeline.Schema())
			return err
		},
	}
}

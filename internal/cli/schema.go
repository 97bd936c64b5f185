package cli

import (
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/pipeline"
)

func (a *app) schemaCommand() *cobra.Command {
	of := ""
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "write the JSON Schema of sallyport.yaml",
		Long: `Write the JSON Schema (draft-07) of sallyport.yaml, for editors and checkers, or with
--of allow that of .sallyport/allow.yaml.

In an editor that knows the YAML language server, the first line of the file can be
  # yaml-language-server: $schema=sallyport.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var text []byte
			switch of {
			case "pipeline":
				text = pipeline.Schema()
			case "allow":
				text = pipeline.AllowSchema()
			default:
				return usagef("no schema of %q: there is pipeline and allow", of)
			}
			_, err := a.stdout.Write(text)
			return err
		},
	}
	cmd.Flags().StringVar(&of, "of", "pipeline", "which file's: pipeline or allow")
	return cmd
}

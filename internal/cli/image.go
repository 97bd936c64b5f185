package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/image"
)

// imageFlag adds the flag that every command has which runs a project's code in
// zones. Which image that is, is the word of who runs it: a project has none in it.
func imageFlag(cmd *cobra.Command, ref *string) {
	cmd.Flags().StringVar(ref, "image", "", "image whose programs zones see in place of the host's: layout:DIR@sha256:... or registry.example/name@sha256:...")
}

// openImage unpacks the image that a flag names; nil for none.
func (w *workshop) openImage(ctx context.Context, name string) (*image.Image, error) {
	if name == "" {
		return nil, nil
	}
	ref, err := image.Parse(name)
	if err != nil {
		return nil, err
	}
	from, err := w.blobs(ctx, ref)
	if err != nil {
		return nil, err
	}
	return image.Store{Dir: w.paths.images}.Open(ctx, ref, from)
}

// imageExits are the exit codes of errors of images that are not a clear no.
var imageExits = map[string]int{
	image.CodeRef: exitUsage, image.CodeTag: exitUsage, image.CodeMissing: exitUsage, image.CodePlatform: exitUsage,
}

func explainImage(err error) *problem {
	var e *image.Error
	if !errors.As(err, &e) {
		return nil
	}
	p := &problem{Code: codeOf(e.Code), Exit: exitNo, What: err.Error(), Next: e.Do}
	if exit, ok := imageExits[e.Code]; ok {
		p.Exit = exit
	}
	return p
}

// blobs is where the bytes of an image come from.
func (w *workshop) blobs(ctx context.Context, ref image.Ref) (image.Blobs, error) {
	if ref.Layout != "" {
		return image.Layout(ref.Layout), nil
	}
	if err := w.openGateway(ctx); err != nil {
		return nil, err
	}
	return w.gateway.Image(ref.Host, ref.Name)
}

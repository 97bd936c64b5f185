package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/confine"
)

// workshop is everything that a command opened, to be closed at its end.
type workshop struct {
	*app
	paths   paths
	sandbox zoneMaker
	closers []func() error
	planned int
}

// open opens what zones need.
func (a *app) open(ctx context.Context) (*workshop, error) {
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	if err := p.makeState(); err != nil {
		return nil, err
	}
	w := &workshop{app: a, paths: p}
	if w.sandbox, err = a.openSandbox(p); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.sandbox.Close)
	return w, nil
}

// close closes in the opposite order of opening.
func (w *workshop) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	w.closers = nil
	return errors.Join(errs...)
}

// confineRequest is what exec asks for, but for the command itself.
func (w *workshop) confineRequest(ctx context.Context, dir string, zone boundary.Zone) (confine.Request, error) {
	tools, err := findTools(ctx, w.paths)
	if err != nil {
		return confine.Request{}, err
	}
	if err := os.MkdirAll(w.paths.exec, 0o700); err != nil {
		return confine.Request{}, fmt.Errorf("make state directory: %w", err)
	}
	scratch, err := os.MkdirTemp(w.paths.exec, "shown-")
	if err != nil {
		return confine.Request{}, fmt.Errorf("make state directory: %w", err)
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(scratch) })
	return confine.Request{
		Zone: zone, Dir: dir, Host: os.Environ(), Base: zoneEnv(tools), Tools: toolMounts(tools),
		Scratch: scratch, Quarantine: filepath.Join(w.paths.exec, "moved-away"),
	}, nil
}

func (w *workshop) roadWord() string { return "" }

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/store"
)

// workshop is everything that a command opened, to be closed at its end.
type workshop struct {
	*app
	paths   paths
	sandbox zoneMaker
	closers []func() error
	gateway *gateway.Gateway
	release *releaser
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

// openGateway opens the only road out, once. It contacts nobody yet.
func (w *workshop) openGateway(ctx context.Context) error {
	if w.gateway != nil {
		return nil
	}
	upstreams, err := gateway.Discover(ctx)
	if err != nil {
		return err
	}
	w.gateway, err = gateway.New(gateway.Options{
		Dir: w.paths.gateway, Upstreams: upstreams, Malware: screen.Options{Path: w.app.malware, MaxAge: w.app.malwareMaxAge},
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.gateway.Close)
	return nil
}

// openConductor opens everything that a run needs.
func (w *workshop) openConductor(ctx context.Context, policy string) (*conductor.Conductor, error) {
	rules, err := loadPolicy(policy)
	if err != nil {
		return nil, err
	}
	if err := w.openGateway(ctx); err != nil {
		return nil, err
	}
	uid, gid := w.sandbox.HostIDs()
	bytes, err := store.Open(w.paths.store, zoneOwner(uid, gid))
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, bytes.Close)
	log, err := ledger.Open(w.paths.ledger, ledger.Options{Keys: w.paths.keys, Domain: conductor.TrustDomain})
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	w.closers = append(w.closers, log.Close)
	scanner, err := secrets.New(secrets.Options{Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("prepare the search for secrets: %w", err)
	}
	if w.release, err = openReleaser(w.paths, log); err != nil {
		return nil, err
	}
	return &conductor.Conductor{
		Runs: w.paths.runs, Cache: w.paths.cache, Version: w.version,
		Store: bytes, Sandbox: w.sandbox, Gateway: w.gateway, Ledger: log,
		Scanner: scanner, Policy: rules, Release: w.release,
	}, nil
}

func loadPolicy(name string) (*gate.Policy, error) {
	if _, err := os.Stat(name); err != nil && !slices.Contains(gate.Builtin(), name) {
		return nil, &problem{Code: codeNoPolicy, Exit: exitUsage, What: "no policy " + name + ": there is " + strings.Join(gate.Builtin(), ", ") + ", or a file"}
	}
	return gate.LoadPolicy(name)
}

// zoneOwner owns what zones write: their user on the host, where that is
// another than ours.
func zoneOwner(uid, gid int) store.Owner {
	if uid == os.Getuid() && gid == os.Getgid() {
		return store.Owner{}
	}
	return store.Owner{UID: uid, GID: gid}
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

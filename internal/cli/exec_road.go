package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/confine"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// confineRequest is what exec asks for, but for the command itself.
func (w *workshop) confineRequest(dir string, zone boundary.Zone, tools toolchain.Set) (confine.Request, error) {
	scratch, err := w.paths.execDir("shown-")
	if err != nil {
		return confine.Request{}, err
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(scratch) })
	return confine.Request{
		Zone: zone, Dir: dir, Host: os.Environ(), Base: zoneEnv(tools), Tools: toolMounts(tools),
		Scratch: scratch, Quarantine: filepath.Join(w.paths.exec, "moved-away"),
	}, nil
}

// execDir makes an empty directory for one command.
func (p paths) execDir(prefix string) (string, error) {
	if err := os.MkdirAll(p.exec, 0o700); err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	dir, err := os.MkdirTemp(p.exec, prefix)
	if err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	return dir, nil
}

// execTools finds the programs of a command: the host's, or those of an image,
// whose directory it then gives.
func (w *workshop) execTools(ctx context.Context, name, dir string) (toolchain.Set, string, error) {
	img, err := w.openImage(ctx, name)
	if err != nil {
		return toolchain.Set{}, "", err
	}
	if img != nil {
		return toolchain.Set{Path: img.Path, Tools: []evidence.Toolchain{img.Toolchain()}}, img.Root, nil
	}
	tools, err := findTools(ctx, w.paths, dir)
	return tools, "", err
}

// road opens the gateway to a command of the fetch zone, for what the lockfiles
// of the checkout name and its exceptions. Other zones have none.
func (w *workshop) road(ctx context.Context, c *command, id string) (*gateway.Session, string, error) {
	if c.zone != boundary.Fetch {
		return nil, ", no network", nil
	}
	allow, err := w.allowSet(ctx, c.dir, c.excepted)
	if err != nil {
		return nil, "", err
	}
	word, beyond := fmt.Sprintf(", gateway: %d packages allowed", packages(allow)), gateway.Nothing
	if unpinned := allow.Unpinned(); len(unpinned) > 0 {
		word, beyond = word+", and what "+strings.Join(unpinned, " and ")+" reaches, unpinned", gateway.Reachable
	}
	if c.learn {
		word, beyond = ", learning: the gateway gives any package", gateway.Anything
		if err := w.gateway.Widen(ctx, allow); err != nil {
			return nil, "", err
		}
	}
	return w.gateway.Session(gateway.SessionOptions{
		Run: id, Stage: "exec", Zone: c.zone, Identity: "spiffe://sallyport.local/exec/fetch/exec",
		Allow: allow, Allowed: c.excepted, Beyond: beyond, NoPrefetch: !fetchesAll(c.args),
	}), word, nil
}

// allowSet is what the lockfiles of a checkout name, and its exceptions that are
// in force.
func (w *workshop) allowSet(ctx context.Context, dir string, excepted []boundary.Allowance) (*gateway.AllowSet, error) {
	if err := w.openGateway(ctx); err != nil {
		return nil, err
	}
	from, err := checkoutGateway(dir)
	if err != nil {
		return nil, err
	}
	p := pipeline.Pipeline{Gateway: from}
	p.Except(excepted, time.Now())
	allow, err := w.gateway.Plan(ctx, dir, p.Gateway)
	if err != nil {
		return nil, fmt.Errorf("plan packages: %w", err)
	}
	return allow, nil
}

// checkoutGateway says which lockfiles count: those of sallyport.yaml, else the
// ones that are found. A checkout of something else has none.
func checkoutGateway(dir string) (pipeline.Gateway, error) {
	text, err := os.ReadFile(filepath.Join(dir, pipeline.FileName))
	if err == nil {
		p, err := pipeline.Load(pipeline.FileName, text)
		if err != nil {
			return pipeline.Gateway{}, err
		}
		return p.Gateway, nil
	}
	p, err := pipeline.Detect(dir, pipeline.Options{})
	var none *pipeline.Error
	if errors.As(err, &none) {
		return pipeline.Gateway{}, nil
	}
	if err != nil {
		return pipeline.Gateway{}, err
	}
	return p.Gateway, nil
}

// packages counts the packages of an allow-set; one has several materials.
func packages(allow *gateway.AllowSet) int {
	seen := map[string]bool{}
	for _, m := range allow.Materials() {
		seen[m.PURL] = true
	}
	return len(seen)
}

// fetchesAll tells whether a command is one that wants every package, so that
// they are worth bringing here before it asks.
func fetchesAll(args []string) bool {
	if len(args) < 2 {
		return false
	}
	switch filepath.Base(args[0]) {
	case "npm":
		return slices.Contains([]string{"ci", "install", "i", "clean-install"}, args[1])
	case "go":
		return args[1] == "mod"
	}
	return false
}

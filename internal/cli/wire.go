package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
	"github.com/sallyport/sallyport/internal/sandbox/oci"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// paths are the directories of what Sallyport keeps.
type paths struct {
	state   string // 0700
	store   string // bytes and trees by digest
	gateway string // what the gateway fetched
	ledger  string // the tamper-evident log
	runs    string // one folder for each run: record and full logs
	keys    string // private keys, 0700
	release string // OCI image layouts of what was promoted
	exec    string // what exec moved away
	root    string // what a stranger needs to check our bundles
	images  string // unpacked images
	cache   string // facts about toolchains that can be found again
}

func (a *app) paths() (paths, error) {
	state, err := a.stateDir()
	if err != nil {
		return paths{}, err
	}
	in := func(name string) string { return filepath.Join(state, name) }
	return paths{state, in("store"), in("gateway"), in("ledger"), in("runs"), in("keys"), in("release"), in("exec"), in("trusted_root.json"), in("images"), in("cache")}, nil
}

// makeState makes the state directory, which nobody else may enter.
func (p paths) makeState() error {
	if err := os.MkdirAll(p.state, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return nil
}

// zoneMaker is a sandbox, and the user of the host that its zones run under.
type zoneMaker interface {
	sandbox.Sandbox
	HostIDs() (uid, gid int)
}

// openSandbox chooses among the ways to keep a zone's promise.
func (a *app) openSandbox(p paths) (zoneMaker, error) {
	options := namespaces.Options{StateDir: p.state, Prepare: true}
	switch kind, _, _ := strings.Cut(a.sandbox, ":"); kind {
	case namespaces.Name:
	case oci.Name:
		var err error
		if options.Container, err = oci.Find(a.sandbox); err != nil {
			return nil, usagef("%v", err)
		}
	default:
		return nil, usagef("no sandbox %q: there are namespaces, oci:runsc, oci:crun and oci:runc", a.sandbox)
	}
	return namespaces.New(options)
}

// findTools finds the toolchains that this host has and a checkout can use.
func findTools(ctx context.Context, p paths, dir string) (toolchain.Set, error) {
	has := func(name string) bool { _, err := exec.LookPath(name); return err == nil }
	_, noCrate := os.Stat(filepath.Join(dir, "Cargo.toml"))
	needs := toolchain.Needs{Go: has("go"), Node: has("node"), Rust: has("cargo") && noCrate == nil}
	set, err := toolchain.Find(ctx, needs, p.cache)
	var missing *toolchain.Missing
	if errors.As(err, &missing) {
		return toolchain.Set{}, &problem{Code: codeNoTool, Exit: exitUsage, What: missing.Error(), Next: "sallyport doctor", cause: err}
	}
	if err != nil {
		return toolchain.Set{}, fmt.Errorf("find toolchains: %w", err)
	}
	return set, nil
}

// zoneEnv is the environment that every command in a zone of exec has.
func zoneEnv(set toolchain.Set) []string {
	return append([]string{
		"PATH=" + strings.Join(set.Path, ":"),
		"HOME=" + sandbox.Home,
		"TMPDIR=" + sandbox.Temp,
		"USER=sallyport",
		"LOGNAME=sallyport",
		"GOMODCACHE=" + sandbox.GoModCache,
		"npm_config_cache=" + sandbox.NpmCache,
		"npm_config_update_notifier=false",
		"npm_config_audit=false",
		"npm_config_fund=false",
		// .git is shown read-only, and belongs to whoever made the checkout.
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=safe.directory",
		"GIT_CONFIG_VALUE_0=*",
	}, set.Env...)
}

func toolMounts(set toolchain.Set) []sandbox.Mount {
	var out []sandbox.Mount
	for _, m := range set.Mounts {
		out = append(out, sandbox.Mount{Host: m.Host, Inside: m.Inside, Exec: true})
	}
	return out
}

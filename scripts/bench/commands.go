package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// command runs a program and returns its wall time; env is added to ours.
func command(ctx context.Context, dir string, env []string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, tail(out))
	}
	return took, nil
}

func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// exec runs a command in a zone of a checkout.
func (b *bench) exec(ctx context.Context, dir, zone string, args ...string) (time.Duration, error) {
	all := append([]string{b.sallyport, "exec", "--quiet", "--zone", zone, "--"}, args...)
	return command(ctx, dir, []string{"SALLYPORT_STATE=" + b.state}, all...)
}

// moduleCopy makes a writable copy of a published module in dir.
func (b *bench) moduleCopy(ctx context.Context, dir, module string) error {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return fmt.Errorf("download %s: %w", module, err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return fmt.Errorf("download %s: %w", module, err)
	}
	if err := os.CopyFS(dir, os.DirFS(m.Dir)); err != nil {
		return fmt.Errorf("copy %s: %w", module, err)
	}
	_, err = command(ctx, dir, nil, "chmod", "-R", "u+w", ".")
	return err
}

// midSize is a module of a size that many have.
const midSize = "github.com/junegunn/fzf@v0.65.2"

func goBuild(b *bench, ctx context.Context) (row, error) {
	dir := filepath.Join(b.dir, "build")
	if err := b.moduleCopy(ctx, dir, midSize); err != nil {
		return row{}, err
	}
	if _, err := command(ctx, dir, nil, "go", "mod", "vendor"); err != nil {
		return row{}, err
	}
	build := []string{"go", "build", "-mod=vendor", "-buildvcs=false", "-o", "out", "."}
	r, err := pairs(ctx, b.rounds,
		func(ctx context.Context) (time.Duration, error) {
			cache := filepath.Join(b.dir, "gocache")
			defer os.RemoveAll(cache)
			return command(ctx, dir, []string{"GOCACHE=" + cache}, build...)
		},
		func(ctx context.Context) (time.Duration, error) { return b.exec(ctx, dir, "build", build...) })
	r.missed = r.ratio > 1.05
	r.note = "go build of " + midSize + ", vendored, empty build cache"
	return r, err
}

func goModDownload(b *bench, ctx context.Context) (row, error) {
	dir := filepath.Join(b.dir, "gomod")
	if err := b.moduleCopy(ctx, dir, "github.com/mikefarah/yq/v4@v4.47.1"); err != nil {
		return row{}, err
	}
	download := []string{"go", "mod", "download"}
	if _, err := b.exec(ctx, dir, "fetch", download...); err != nil { // warms the gateway
		return row{}, err
	}
	r, err := pairs(ctx, b.rounds,
		func(ctx context.Context) (time.Duration, error) {
			cache := filepath.Join(b.dir, "modcache")
			defer os.RemoveAll(cache)
			return command(ctx, dir, []string{"GOMODCACHE=" + cache, "GOFLAGS=-modcacherw"}, download...)
		},
		func(ctx context.Context) (time.Duration, error) { return b.exec(ctx, dir, "fetch", download...) })
	r.missed = r.ratio > 1.0
	return r, err
}

func npmCI(b *bench, ctx context.Context) (row, error) {
	dir := filepath.Join(b.dir, "npm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return row{}, err
	}
	const manifest = `{"name":"bench","version":"1.0.0","private":true,"dependencies":{"jest":"29.7.0","webpack":"5.99.9","webpack-dev-server":"5.2.2","eslint":"9.31.0"}}`
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(manifest), 0o644); err != nil {
		return row{}, err
	}
	quiet := []string{"npm_config_omit_lockfile_registry_resolved=true", "npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false"}
	if _, err := command(ctx, dir, quiet, "npm", "install", "--package-lock-only"); err != nil {
		return row{}, err
	}
	packages, err := lockedPackages(dir)
	if err != nil {
		return row{}, err
	}
	ci := []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"}
	if _, err := b.exec(ctx, dir, "fetch", ci...); err != nil {
		return row{}, err
	}
	r, err := pairs(ctx, b.rounds,
		func(ctx context.Context) (time.Duration, error) {
			cache := filepath.Join(b.dir, "npmcache")
			defer os.RemoveAll(cache)
			return command(ctx, dir, append(quiet, "npm_config_cache="+cache), ci...)
		},
		func(ctx context.Context) (time.Duration, error) { return b.exec(ctx, dir, "fetch", ci...) })
	r.missed = r.ratio > 1.05
	r.note = fmt.Sprintf("%d packages, empty client cache on both sides", packages)
	return r, err
}

func lockedPackages(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return 0, err
	}
	var lock struct{ Packages map[string]any }
	if err := json.Unmarshal(b, &lock); err != nil {
		return 0, fmt.Errorf("read lockfile: %w", err)
	}
	return len(lock.Packages) - 1, nil
}

// shop makes a copy of the example.
func (b *bench) shop(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.CopyFS(dir, os.DirFS("examples/shop")); err != nil {
		return "", fmt.Errorf("copy the shop: %w", err)
	}
	_, err := command(ctx, dir, nil, "rm", "-rf", "node_modules")
	return dir, err
}

func secondRun(b *bench, ctx context.Context) (row, error) {
	dir, err := b.shop(ctx, "shop")
	if err != nil {
		return row{}, err
	}
	plainDir, err := b.shop(ctx, "shop-plain")
	if err != nil {
		return row{}, err
	}
	run := func(ctx context.Context) (time.Duration, error) {
		return command(ctx, b.dir, []string{"SALLYPORT_STATE=" + b.state}, b.sallyport, "run", "--quiet", dir)
	}
	if _, err := run(ctx); err != nil {
		return row{}, err
	}
	r, err := pairs(ctx, b.rounds,
		func(ctx context.Context) (time.Duration, error) {
			cache := filepath.Join(b.dir, "shop-cache")
			defer os.RemoveAll(cache)
			const all = "rm -rf node_modules && npm ci --no-audit --no-fund && npm run build && go build -trimpath -o shop ./cmd/shop && npm test && go test ./..."
			env := []string{"GOCACHE=" + cache + "/build", "GOMODCACHE=" + cache + "/mod", "GOFLAGS=-buildvcs=false -modcacherw", "npm_config_cache=" + cache + "/npm"}
			return command(ctx, plainDir, env, "sh", "-c", all)
		}, run)
	r.missed = r.ratio >= 0.1
	r.note = "plain: npm ci, build and test with empty caches; ours: every zone, verify and release, nothing changed"
	return r, err
}

package npm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// Config is what the machine's npm client is configured with.
type Config struct {
	Registry upstream.Site
	Scopes   map[string]upstream.Site // "@scope" to its registry
	// Default is the registry that npm is built with. Lockfiles name it
	// whatever registry they were made with, so it means "the configured one".
	Default upstream.Site
}

// For is the registry that a package has to come from.
func (c Config) For(name string) upstream.Site {
	if s, ok := c.Scopes[scope(name)]; ok {
		return s
	}
	return c.Registry
}

// answers is what npm said about its configuration. It holds no credential.
type answers struct {
	Registry, User, Global, Default string
	Stamp                           string // of everything that the answers depend on
}

// Discover asks npm for its configuration, in an empty directory, so that no
// project can answer. The answers are kept below memo (where not empty) until
// npm, its files or its environment change: starting npm takes longer than
// everything else that the gateway does at its start.
func Discover(ctx context.Context, memo string) (Config, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return Config{}, fault.Wrap(fault.Config, "find npm", err).Mend("install Node.js and npm, or put them on PATH")
	}
	a, ok := recall(memo, npm)
	if !ok {
		if a, err = ask(ctx, npm); err != nil {
			return Config{}, err
		}
		remember(memo, npm, a)
	}
	rc := settings{}
	rc.read(a.Global, os.Getenv)
	rc.read(a.User, os.Getenv)
	rc.environ(os.Environ())
	rc["registry"] = a.Registry
	return rc.config(a.Default)
}

// ask runs npm twice: as it is configured, and with nothing.
func ask(ctx context.Context, npm string) (answers, error) {
	dir, err := os.MkdirTemp("", "sallyport-npm-")
	if err != nil {
		return answers{}, fault.Wrap(fault.Config, "ask npm", err)
	}
	defer os.RemoveAll(dir)
	empty := []string{filepath.Join(dir, "user"), filepath.Join(dir, "global")} // npm refuses one file for both
	for _, f := range empty {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			return answers{}, fault.Wrap(fault.Config, "ask npm", err)
		}
	}
	var mine, plain map[string]string
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		mine, err = get(ctx, npm, dir, os.Environ(), "registry", "userconfig", "globalconfig")
		return err
	})
	g.Go(func() (err error) {
		env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		plain, err = get(ctx, npm, dir, env, "registry", "userconfig", "--userconfig="+empty[0], "--globalconfig="+empty[1])
		return err
	})
	if err := g.Wait(); err != nil {
		return answers{}, err
	}
	return answers{Registry: mine["registry"], User: mine["userconfig"], Global: mine["globalconfig"], Default: plain["registry"]}, nil
}

// get runs `npm config get` with at least two keys, so that it names them.
func get(ctx context.Context, npm, dir string, env []string, args ...string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, npm, append([]string{"config", "get"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(env), "npm_config_update_notifier=false", "npm_config_logs_max=0") // leaves nothing behind
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		// What npm says could quote its configuration, so it is left out.
		return nil, fault.Wrap(fault.Config, "npm config get", errors.New(exitText(err)))
	}
	values := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[strings.TrimSpace(k)] = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	if values["registry"] == "" {
		return nil, fault.New(fault.Config, "npm does not say which registry it uses").Mend("npm --version: 7 or newer is needed")
	}
	return values, nil
}

func exitText(err error) string {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ProcessState.String()
	}
	return err.Error()
}

// stampOf changes whenever npm could answer otherwise.
func stampOf(npm string, files ...string) string {
	real, err := filepath.EvalSymlinks(npm)
	if err != nil {
		return ""
	}
	var b strings.Builder
	builtin := filepath.Join(filepath.Dir(real), "..", "npmrc")
	for _, f := range slices.Concat([]string{real, filepath.Join(filepath.Dir(real), "..", "package.json"), builtin}, files) {
		fmt.Fprintf(&b, "%s ", f)
		if info, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "%d %d", info.Size(), info.ModTime().UnixNano())
		}
		b.WriteByte('\n')
	}
	env := slices.Sorted(slices.Values(os.Environ()))
	for _, e := range env {
		low := strings.ToLower(e)
		if strings.Contains(low, ":_") {
			continue // a credential, which changes none of the answers
		}
		if strings.HasPrefix(low, "npm_config_") || strings.HasPrefix(e, "HOME=") || strings.HasPrefix(e, "PREFIX=") {
			b.WriteString(e + "\n")
		}
	}
	return digest.OfString(b.String()).String()
}

func memoFile(memo, npm string) string {
	return filepath.Join(memo, "npm-"+digest.OfString(npm).Short()+".json")
}

func recall(memo, npm string) (answers, bool) {
	if memo == "" {
		return answers{}, false
	}
	b, err := os.ReadFile(memoFile(memo, npm))
	var a answers
	if err != nil || json.Unmarshal(b, &a) != nil {
		return answers{}, false
	}
	stamp := stampOf(npm, a.User, a.Global)
	return a, stamp != "" && a.Stamp == stamp
}

func remember(memo, npm string, a answers) {
	u, err := url.Parse(a.Registry)
	if memo == "" || err != nil || u.User != nil {
		return // an address with a password is not written down
	}
	a.Stamp = stampOf(npm, a.User, a.Global)
	if b, err := json.Marshal(a); err == nil {
		_ = os.WriteFile(memoFile(memo, npm), b, 0o600) // a memo: npm is asked again without it
	}
}

// settings are the keys of npmrc files. They hold credentials and are gone once
// the configuration is made.
type settings map[string]string

// maxRC bounds an npmrc file.
const maxRC = 1 << 20

func (s settings) read(file string, getenv func(string) string) {
	if file == "" {
		return
	}
	b, err := os.ReadFile(file)
	if err != nil || len(b) > maxRC {
		return // as npm does: no file, no settings
	}
	s.parse(string(b), getenv)
}

func (s settings) parse(text string, getenv func(string) string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' || line[0] == '[' {
			continue
		}
		k, v, _ := strings.Cut(line, "=")
		s[expand(unquote(k), getenv)] = expand(unquote(v), getenv)
	}
}

// environ takes npm_config_//host/:_authToken and npm_config_@scope:registry.
func (s settings) environ(env []string) {
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		if len(k) > 11 && strings.EqualFold(k[:11], "npm_config_") && (k[11] == '/' || k[11] == '@') {
			s[k[11:]] = v
		}
	}
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// expand replaces ${NAME} by the environment's value, as npm does.
func expand(s string, getenv func(string) string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		j := strings.Index(s[max(i, 0):], "}")
		if i < 0 || j < 0 {
			return b.String() + s
		}
		name, fallback, _ := strings.Cut(s[i+2:i+j], "-")
		b.WriteString(s[:i] + cmp.Or(getenv(strings.TrimSuffix(name, "?")), fallback))
		s = s[i+j+1:]
	}
}

func (s settings) config(builtin string) (Config, error) {
	c := Config{Scopes: map[string]upstream.Site{}}
	var err error
	if c.Registry, err = s.site(s["registry"]); err != nil {
		return Config{}, err
	}
	if c.Default, err = upstream.NewSite(builtin); err != nil {
		return Config{}, err
	}
	for k, v := range s {
		name, ok := strings.CutSuffix(k, ":registry")
		if !ok || !strings.HasPrefix(name, "@") {
			continue
		}
		if c.Scopes[name], err = s.site(v); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// site makes an upstream and gives it the credential that npm would send: the
// one of the longest matching path.
func (s settings) site(raw string) (upstream.Site, error) {
	site, err := upstream.NewSite(raw)
	if err != nil {
		return site, err
	}
	path := site.Path()
	for {
		key := "//" + site.Host() + path + "/:"
		switch {
		case s[key+"_authToken"] != "":
			return site.WithBearer(s[key+"_authToken"]), nil
		case s[key+"_auth"] != "":
			return site.WithBasicEncoded(s[key+"_auth"]), nil
		case s[key+"username"] != "" && s[key+"_password"] != "":
			return site.WithBasicHalfEncoded(s[key+"username"], s[key+"_password"]), nil
		}
		if path == "" {
			return site, nil
		}
		path = path[:strings.LastIndexByte(path, '/')]
	}
}

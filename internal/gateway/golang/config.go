package golang

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// Proxy is one entry of GOPROXY.
type Proxy struct {
	Site     upstream.Site
	AnyError bool // the next entry is tried after any error, not only after "not found"
}

// Config is what the machine's go command is configured with.
type Config struct {
	Proxies   []Proxy
	Direct    bool       // GOPROXY ends in "direct", which the gateway never does
	SumDB     *SumConfig // nil: GOSUMDB=off
	NoSumDB   string     // patterns of modules that the checksum database does not cover
	NoProxy   string     // patterns of modules that are to be fetched directly
	Toolchain string     // of this host: go1.26.8
	OS, Arch  string
}

// SumConfig names the checksum database.
type SumConfig struct {
	Name string
	Key  string        // verifier key, in the form of golang.org/x/mod/sumdb/note
	URL  upstream.Site // as GOSUMDB gives it; zero: through a proxy, else at its name
	Env  string        // GOSUMDB as a go command in a zone needs it
}

// Discover asks the go command for its configuration. It is asked in the root
// directory with toolchain switching off, so that no project can answer.
func Discover(ctx context.Context) (Config, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOVERSION", "GOHOSTOS", "GOHOSTARCH", "GOROOT")
	cmd.Dir = "/"
	away, err := os.MkdirTemp("", "sallyport-go-")
	if err != nil {
		return Config{}, fault.Wrap(fault.Store, "ask go for its configuration", err)
	}
	defer os.RemoveAll(away)
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=", "GOENV="+userGoEnv(), "XDG_CONFIG_HOME="+away) // where it counts its calls
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return Config{}, fault.Wrap(fault.Config, "find the go command", err).Mend("install Go, or put it on PATH")
		}
		return Config{}, fault.Wrap(fault.Config, "go env: "+talk.String(), err)
	}
	var env map[string]string
	if err := json.Unmarshal(out.Bytes(), &env); err != nil {
		return Config{}, fault.Wrap(fault.Config, "read the answer of go env", err)
	}
	return FromEnv(env, readNetrc(os.Getenv))
}

// userGoEnv is the file in which the user's go env -w settings are (go help
// environment).
func userGoEnv() string {
	if name := os.Getenv("GOENV"); name != "" {
		return name
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "off"
	}
	return filepath.Join(dir, "go", "env")
}

// FromEnv makes a configuration of the values that `go env` gives. Credentials
// come from the proxies' addresses or from a netrc.
func FromEnv(env map[string]string, rc Netrc) (Config, error) {
	c := Config{
		NoSumDB: firstOf(env["GONOSUMDB"], env["GOPRIVATE"]), NoProxy: firstOf(env["GONOPROXY"], env["GOPRIVATE"]),
		OS: env["GOHOSTOS"], Arch: env["GOHOSTARCH"],
	}
	c.Toolchain, _, _ = strings.Cut(env["GOVERSION"], " ")
	if err := c.proxies(env["GOPROXY"], rc); err != nil {
		return Config{}, err
	}
	sum, err := sumConfig(env["GOSUMDB"], env["GOROOT"])
	c.SumDB = sum
	return c, err
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (c *Config) proxies(list string, rc Netrc) error {
	for list != "" {
		entry, rest, any := list, "", false
		if i := strings.IndexAny(list, ",|"); i >= 0 {
			entry, rest, any = list[:i], list[i+1:], list[i] == '|'
		}
		list = rest
		switch entry = strings.TrimSpace(entry); {
		case entry == "":
			continue
		case entry == "direct":
			c.Direct = true
			return nil // what stands behind is never reached
		case entry == "off":
			return nil
		case strings.HasPrefix(entry, "file:"):
			return fault.New(fault.Config, "GOPROXY names a directory (file:), which the gateway does not serve from").Mend("go env -w GOPROXY=<address of a module proxy>")
		}
		site, err := upstream.NewSite(entry)
		if err != nil {
			return err
		}
		c.Proxies = append(c.Proxies, Proxy{rc.apply(site), any})
	}
	return nil
}

// needProxy says whether there is anything to ask.
func (c Config) needProxy() error {
	if len(c.Proxies) > 0 {
		return nil
	}
	return fault.New(fault.Config, "GOPROXY names no module proxy, and the gateway never fetches directly from version control").
		Mend("go env -w GOPROXY=<address of a module proxy>")
}

// fetchable refuses modules that this machine would fetch from version control:
// their names are private, so a proxy must not see them.
func (c Config) fetchable(path string) error {
	if c.NoProxy != "" && module.MatchPrefixPatterns(c.NoProxy, path) {
		return fault.New(fault.ForeignHost, path+" is to be fetched directly from version control (GOPRIVATE or GONOPROXY), which the gateway does not do").
			Mend("serve it from a module proxy in GOPROXY and set GONOPROXY=none")
	}
	return nil
}

// covered tells whether the checksum database answers for a module.
func (c Config) covered(path string) bool {
	if path == ToolchainPath {
		return c.SumDB != nil
	}
	return c.SumDB != nil && !module.MatchPrefixPatterns(c.NoSumDB, path)
}

// publicKey is the part of the default checksum database's verifier key that is
// no name. It fits the one name only that it was made for, which comes from `go
// env GOSUMDB`: note.NewVerifier refuses it with any other.
const publicKey = "033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

func sumConfig(env, goroot string) (*SumConfig, error) {
	fields := strings.Fields(env)
	if len(fields) == 0 || fields[0] == "off" {
		return nil, nil
	}
	if len(fields) > 2 {
		return nil, fault.New(fault.Config, "GOSUMDB has more than a key and an address")
	}
	c := &SumConfig{Key: fields[0], Env: fields[0]}
	if !strings.Contains(c.Key, "+") {
		c.Key = knownKey(fields[0], goroot)
	}
	v, err := note.NewVerifier(c.Key)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "the verifier key of checksum database "+fields[0], err).
			Mend("go env -w GOSUMDB=<name>+<hash>+<key>")
	}
	c.Name = v.Name()
	if len(fields) == 2 {
		if c.URL, err = upstream.NewSite(fields[1]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// knownKey finds the verifier key of a database that is configured by name: the
// built-in one where it fits, else the one that the installed go command knows.
func knownKey(name, goroot string) string {
	if key := name + "+" + publicKey; fits(key) {
		return key
	}
	b, err := os.ReadFile(filepath.Join(goroot, "src", "cmd", "go", "internal", "modfetch", "key.go"))
	if err != nil {
		return name
	}
	for _, part := range strings.Split(string(b), `"`) {
		if strings.HasPrefix(part, name+"+") && fits(part) {
			return part
		}
	}
	return name
}

func fits(key string) bool {
	_, err := note.NewVerifier(key)
	return err == nil
}

// site is where the database is asked when no proxy passes it on.
func (s *SumConfig) site() (upstream.Site, error) {
	if !s.URL.IsZero() {
		return s.URL, nil
	}
	site, err := upstream.NewSite("https://" + s.Name)
	if err != nil {
		return site, fmt.Errorf("checksum database %s: %w", s.Name, err)
	}
	return site, nil
}

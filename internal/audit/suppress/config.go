package suppress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// ConfigFile is where a repository keeps what the audit should know.
const ConfigFile = ".sallyport/audit.yaml"

// Config is that file:
//
//	version: 1
//	profile: strict
//	trusted: [our-other-org, someone/one-action]
//	default_permissions: read
//	ignore:
//	  - { rule: SPA-010, path: .github/workflows/docs.yml, job: docs, reason: read at that tag, until: 2027-01-31 }
type Config struct {
	Version            int      `yaml:"version"`
	Profile            string   `yaml:"profile"`
	Trusted            []string `yaml:"trusted"`
	DefaultPermissions string   `yaml:"default_permissions"`
	Ignore             []Ignore `yaml:"ignore"`
}

// Ignore is one entry of the configuration that takes findings out of the count.
type Ignore struct {
	Rule   string `yaml:"rule"`
	Path   string `yaml:"path"` // a pattern of path.Match; empty: each file
	Job    string `yaml:"job"`  // empty: each job
	Reason string `yaml:"reason"`
	Until  string `yaml:"until"` // the last day, 2027-01-31; empty: for ever

	until time.Time
	line  int
}

// UnmarshalYAML notes where an entry stands.
func (g *Ignore) UnmarshalYAML(n *yaml.Node) error {
	type bare Ignore
	known := []string{"rule", "path", "job", "reason", "until"}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !slices.Contains(known, n.Content[i].Value) {
			return fmt.Errorf("line %d: an entry of ignore has no %q: it has %s", n.Content[i].Line, n.Content[i].Value, strings.Join(known, ", "))
		}
	}
	if err := n.Decode((*bare)(g)); err != nil {
		return err
	}
	g.line = n.Line
	return nil
}

// maxConfig bounds the configuration and a baseline.
const maxConfig = 4 << 20

// ParseConfig reads the configuration strictly: what it does not know is an
// error.
func ParseConfig(name string, text []byte) (Config, error) {
	var c Config
	if len(text) > maxConfig {
		return c, fmt.Errorf("%s has more than %d bytes", name, maxConfig)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.Decode(new(Config)); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: more than one document", name)
	}
	if err := c.check(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func (c *Config) check() error {
	if c.Version != 1 {
		return fmt.Errorf("version: %d: this one reads version 1", c.Version)
	}
	if !slices.Contains([]string{"", "default", "strict"}, c.Profile) {
		return fmt.Errorf("profile: %q: there is default and strict", c.Profile)
	}
	if !slices.Contains([]string{"", "read", "write"}, c.DefaultPermissions) {
		return fmt.Errorf("default_permissions: %q: it is read or write", c.DefaultPermissions)
	}
	for i := range c.Ignore {
		if err := c.Ignore[i].check(); err != nil {
			return fmt.Errorf("line %d: %w", c.Ignore[i].line, err)
		}
	}
	return nil
}

func (g *Ignore) check() error {
	if _, ok := finding.Find(finding.ID(g.Rule)); !ok {
		return fmt.Errorf("rule: there is no %q", g.Rule)
	}
	if strings.TrimSpace(g.Reason) == "" {
		return fmt.Errorf("an entry for %s gives no reason", g.Rule)
	}
	if _, err := path.Match(g.Path, ""); err != nil {
		return fmt.Errorf("path: %q is no pattern: %w", g.Path, err)
	}
	if g.Until == "" {
		return nil
	}
	t, err := time.Parse(time.DateOnly, g.Until)
	if err != nil {
		return fmt.Errorf("until: %q is no day: write 2027-01-31", g.Until)
	}
	g.until = t
	return nil
}

// BaselineSchema names the form of a baseline.
const BaselineSchema = "sallyport/baseline/v1"

// Baseline is the findings that were known when it was written.
type Baseline struct {
	Schema       string  `json:"schema"`
	Fingerprints []Known `json:"fingerprints"`
}

// Known is one finding of a baseline. The fingerprint decides; the rest is for
// people.
type Known struct {
	Fingerprint string     `json:"fingerprint"`
	Rule        finding.ID `json:"rule"`
	File        string     `json:"file"`
	Job         string     `json:"job,omitempty"`
	Title       string     `json:"title"`
}

// NewBaseline takes all findings of a report that count, and those that an
// earlier baseline held.
func NewBaseline(r finding.Report) Baseline {
	b := Baseline{Schema: BaselineSchema, Fingerprints: []Known{}}
	for _, f := range r.Findings {
		b.Fingerprints = append(b.Fingerprints, Known{f.Fingerprint, f.Rule, f.File, f.Domain, f.Title})
	}
	return b
}

// JSON returns the baseline's file.
func (b Baseline) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(b, "", "  ")
	return append(raw, '\n'), err
}

// ParseBaseline reads a baseline strictly.
func ParseBaseline(raw []byte) (Baseline, error) {
	var b Baseline
	if len(raw) > maxConfig {
		return b, fmt.Errorf("more than %d bytes", maxConfig)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return Baseline{}, err
	}
	if b.Schema != BaselineSchema {
		return Baseline{}, fmt.Errorf("schema %q is not %q", b.Schema, BaselineSchema)
	}
	return b, nil
}

func (b Baseline) has(print string) bool {
	return print != "" && slices.ContainsFunc(b.Fingerprints, func(k Known) bool { return k.Fingerprint == print })
}

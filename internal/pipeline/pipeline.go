// Package pipeline turns sallyport.yaml, or what is found in a project that has
// none, into stages and a boundary.Graph.
//
// The file is strict YAML 1.2: unknown and duplicate keys, merges, aliases and
// anchors that explode are errors with line, column and a caret. Nothing in it
// is executed or expanded here; commands are text that a zone will run.
package pipeline

import (
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

// FileName is the name of the pipeline file at the root of a project.
const FileName = "sallyport.yaml"

// Pipeline is a checked pipeline: stages in an order in which each stands
// after those it takes from.
type Pipeline struct {
	Name       string              `json:"name"`
	Gateway    Gateway             `json:"gateway"`
	Stages     []Stage             `json:"stages"`
	Identities map[string]Identity `json:"identities,omitempty"`
	Expect     []Expect            `json:"expect,omitempty"`
	Detected   bool                `json:"detected"`           // made by Detect, not read from a file
	Findings   []string            `json:"findings,omitempty"` // what Detect saw and decided, in words
}

// Gateway is the only road out: one entry for each ecosystem.
type Gateway struct {
	Go  []GoSource  `json:"go,omitempty"`
	Npm []NpmSource `json:"npm,omitempty"`
	// Allow are packages that no lockfile names and that are let through, by
	// checksum.
	Allow []boundary.Allowance `json:"allow,omitempty"`
}

// GoSource is one Go module or workspace of the project.
type GoSource struct {
	Dir      string        `json:"dir"`                // of go.mod or go.work, relative to the root
	Lockfile string        `json:"lockfile,omitempty"` // go.sum, relative to the root; empty: none yet
	NoWork   bool          `json:"no_work,omitempty"`  // go.work is not used: it names modules that are not here
	MinAge   time.Duration `json:"min_age,omitempty"`
	Line     int           `json:"line,omitempty"`
}

// NpmSource is one npm package or workspace root of the project.
type NpmSource struct {
	Dir      string        `json:"dir"`
	Lockfile string        `json:"lockfile,omitempty"` // package-lock.json or npm-shrinkwrap.json; empty: none yet
	OmitDev  bool          `json:"omit_dev,omitempty"`
	MinAge   time.Duration `json:"min_age,omitempty"`
	Internal []string      `json:"internal,omitempty"` // names of the project's owner, with stars: never from the default registry
	Accept   []string      `json:"accept,omitempty"`   // names that look like well-known ones and are meant
	Line     int           `json:"line,omitempty"`
}

// Stage is one step of the pipeline.
type Stage struct {
	Name    string            `json:"name"`
	Zone    boundary.Zone     `json:"zone"`
	From    []string          `json:"from,omitempty"`
	Run     []string          `json:"run,omitempty"` // each is given to sh -c in the zone, in order, until one fails
	Env     map[string]string `json:"env,omitempty"`
	Dir     string            `json:"dir,omitempty"`     // relative to the project root
	Keep    []string          `json:"keep,omitempty"`    // paths handed on, relative to the root, or $GOMODCACHE; . is whatever the stage changed
	Out     map[string]string `json:"out,omitempty"`     // artifact name -> path; a directory becomes one tar archive
	Reports map[string]string `json:"reports,omitempty"` // junit -> glob
	Limits  Limits            `json:"limits,omitzero"`
	Check   []Check           `json:"check,omitempty"`
	When    *When             `json:"when,omitempty"`
	Approve *Approve          `json:"approve,omitempty"`
	Publish []Publish         `json:"publish,omitempty"`
	Line    int               `json:"line,omitempty"` // where it stands in the file; 0 when detected
}

// Limits bound one stage; zero means the default.
type Limits struct {
	Time   time.Duration `json:"time,omitempty"`
	Memory int64         `json:"memory,omitempty"` // bytes
	Disk   int64         `json:"disk,omitempty"`   // bytes
	PIDs   int           `json:"pids,omitempty"`
}

// Check is one check of the verify zone: a bare word, or a word with an argument.
type Check struct {
	Name string `json:"name"` // rebuild, sbom, vulnerabilities, secrets, materials, tests, receipts
	Arg  string `json:"arg,omitempty"`
	Line int    `json:"line,omitempty"`
}

// When restricts a stage to refs.
type When struct {
	Tag    string `json:"tag,omitempty"`
	Branch string `json:"branch,omitempty"`
}

// Approve says who has to agree before a stage.
type Approve struct {
	By        []string      `json:"by"`
	Count     int           `json:"count"`
	NotAuthor bool          `json:"not_author"`
	Expires   time.Duration `json:"expires,omitempty"`
}

// Publish is one place that a release goes to.
type Publish struct {
	OCI  string `json:"oci"`  // repository, or a directory for a layout
	What string `json:"what"` // artifact name
	As   string `json:"as"`   // identity
	Line int    `json:"line,omitempty"`
}

// Identity is a named credential of a privileged stage.
type Identity struct {
	Audience string        `json:"audience"`
	TTL      time.Duration `json:"ttl"`
	Line     int           `json:"line,omitempty"`
}

// Expect is a test of the boundary itself.
type Expect struct {
	Zone   boundary.Zone `json:"zone"`
	Cannot string        `json:"cannot,omitempty"`
	Can    string        `json:"can,omitempty"`
	Line   int           `json:"line,omitempty"`
}

// Options choose what Detect makes.
type Options struct {
	Name    string // project name; empty: from the manifests, else the folder
	Package bool   // the source is a published package, not a checkout: no lockfile, no tests are expected
	HostGo  string // release of the host's Go, such as go1.26.8; empty: the one this program was built with
}

// Package evidence is what was observed during one run, as plain values with a
// stable JSON form: the sandbox's receipts, the gateway's materials and
// denials, each stage's record, tests, rebuilds and findings.
//
// Values here are written by the controller from its own observation, never
// copied from a file that a tainted stage wrote. They hold no secrets: a
// finding carries a place and a rule, never the matched text.
package evidence

import (
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
)

// State is how a run or stage ended.
type State string

// The states. Only Success can lead to a verdict.
const (
	Running State = "running"
	Success State = "success"
	Failed  State = "failed"
	Refused State = "refused"
	Skipped State = "skipped"
)

// Run is everything that the gate decides on and provenance is made from.
type Run struct {
	ID         string        `json:"id"` // decimal number, unique in one state directory
	Project    string        `json:"project"`
	Source     Source        `json:"source"`
	Started    time.Time     `json:"started"`
	Ended      time.Time     `json:"ended,omitzero"`
	State      State         `json:"state"`
	Reason     string        `json:"reason,omitempty"` // why State is not success
	Isolation  Isolation     `json:"isolation"`
	Pipeline   digest.Digest `json:"pipeline"`   // of the compiled pipeline's canonical JSON
	Detected   bool          `json:"detected"`   // no sallyport.yaml: the default pipeline of the ecosystem
	Parameters []Parameter   `json:"parameters"` // every external parameter, enumerated
	Stages     []Stage       `json:"stages"`
	Planned    []Material    `json:"planned"`            // the allow-set
	Served     []Material    `json:"served"`             // what the gateway gave out
	Unpinned   []string      `json:"unpinned,omitempty"` // manifests for which a lockfile was made in this run
	Toolchains []Toolchain   `json:"toolchains"`
	Artifacts  []Artifact    `json:"artifacts"`
	Tests      *Tests        `json:"tests,omitempty"` // nil: no test stage in the pipeline
	Rebuilds   []Rebuild     `json:"rebuilds"`
	Secrets    []Finding     `json:"secrets"`     // secrets and canaries found in outputs or logs
	SecretsRun bool          `json:"secrets_run"` // the scan ran to its end
	// SecretsKnown were found too, but the same text is in the source or in a
	// material: this run did not let it out. Canaries are never among them.
	SecretsKnown []Finding `json:"secrets_known,omitempty"`
	Denials      []Denial  `json:"denials"`
	Without      []string  `json:"without,omitempty"` // stages left out with --without
}

// Source is what was built.
type Source struct {
	URI    string        `json:"uri"` // purl, git+https://...@commit, or file:
	Ref    string        `json:"ref,omitempty"`
	Commit string        `json:"commit,omitempty"` // git object id in hexadecimal
	Tree   digest.Digest `json:"tree"`             // of the source tree as the store knows it
	Sum    string        `json:"sum,omitempty"`    // ecosystem checksum (h1:..., sha512-...) where the source is a package
}

// Parameter is one external parameter of a run (SLSA externalParameters).
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Isolation is what kept the zones apart, as measured on this host.
type Isolation struct {
	Sandbox   string   `json:"sandbox"`           // namespaces, oci, kube
	Level     string   `json:"level"`             // full, reduced
	Missing   []string `json:"missing,omitempty"` // primitives that the host lacks
	BuilderID string   `json:"builder_id"`
}

// Stage is the record of one stage of a run.
type Stage struct {
	Name     string        `json:"name"`
	Zone     boundary.Zone `json:"zone"`
	Identity string        `json:"identity"` // SPIFFE ID
	State    State         `json:"state"`
	Reason   string        `json:"reason,omitempty"`
	Cached   bool          `json:"cached"`
	Key      digest.Digest `json:"key,omitzero"` // memoization key: the digest of all inputs
	Commands []string      `json:"commands,omitempty"`
	Inputs   []Layer       `json:"inputs,omitempty"`
	Outputs  []Layer       `json:"outputs,omitempty"`
	Started  time.Time     `json:"started"`
	Ended    time.Time     `json:"ended"`
	ExitCode int           `json:"exit_code"`
	Limit    string        `json:"limit,omitempty"` // the limit that ended it: time, memory, disk, output, pids
	Rewrites []Rewrite     `json:"rewrites,omitempty"`
	Log      digest.Digest `json:"log,omitzero"`
	Receipt  *Receipt      `json:"receipt,omitempty"`
	CPU      time.Duration `json:"cpu_ns,omitempty"`
	MaxRSS   int64         `json:"max_rss_bytes,omitempty"`
}

// Rewrite is a file of the source that a stage wrote to without declaring it.
type Rewrite struct {
	Path string `json:"path"` // in the project
	How  string `json:"how"`  // RewriteChanged, RewriteRemoved or RewriteTouched
}

// What a stage did to a file of the source. Touched is one that was opened for
// writing and has its old content.
const (
	RewriteChanged = "changed"
	RewriteRemoved = "removed"
	RewriteTouched = "touched"
)

// Layer names a tree that went into or came out of a stage.
type Layer struct {
	From   string        `json:"from"` // stage, or "source"
	Path   string        `json:"path"`
	Digest digest.Digest `json:"digest"`
}

// Receipt is the outcome of the probe that ran inside a zone before its payload.
type Receipt struct {
	Zone     boundary.Zone `json:"zone"`
	Identity string        `json:"identity"`
	Sandbox  string        `json:"sandbox"`
	Level    string        `json:"level"`
	Time     time.Time     `json:"time"`
	Probes   []Probe       `json:"probes"`
}

// Probe is one thing that was tried from inside a zone.
type Probe struct {
	Name   string `json:"name"`   // stable id: net.tcp.public, net.dns, net.metadata, proc.controller, ...
	Wanted string `json:"wanted"` // denied, or what is to be found
	Got    string `json:"got"`
	OK     bool   `json:"ok"`
}

// Clean tells whether the probe ran and nothing succeeded that should not have.
func (r *Receipt) Clean() bool {
	if r == nil || len(r.Probes) == 0 {
		return false
	}
	for _, p := range r.Probes {
		if !p.OK {
			return false
		}
	}
	return true
}

// Pin says where the expected checksum of a material came from.
type Pin string

// The pins, strongest first.
const (
	PinLockfile Pin = "lockfile" // the project's own lockfile
	PinSumDB    Pin = "sumdb"    // version fixed by go.mod, checksum by the checksum database
	PinAllowed  Pin = "allowed"  // an exception of the project, which has the checksum
	PinMade     Pin = "made"     // a lockfile made in this run: unpinned
	PinSource   Pin = "source"   // the package that is being built
)

// Material is one dependency: planned (in the allow-set), or served.
type Material struct {
	PURL    string        `json:"purl"`
	Kind    string        `json:"kind"`            // go.mod, go.zip, go.info, npm.tgz, toolchain
	Sum     string        `json:"sum,omitempty"`   // h1:..., sha512-...: the ecosystem's own checksum
	Digest  digest.Digest `json:"digest,omitzero"` // SHA-256 of the bytes served
	Size    int64         `json:"size,omitempty"`
	URI     string        `json:"uri,omitempty"` // upstream, without credentials
	Pin     Pin           `json:"pin"`
	File    string        `json:"file,omitempty"`    // lockfile that names it, and
	Line    int           `json:"line,omitempty"`    // where
	Scripts bool          `json:"scripts,omitempty"` // npm hasInstallScript
	Dev     bool          `json:"dev,omitempty"`
	Cached  bool          `json:"cached,omitempty"` // came from the gateway's store
}

// Toolchain is a set of programs that a zone was shown: the host's, or an
// image's.
type Toolchain struct {
	Name    string        `json:"name"` // go, node, gcc, base, image
	Version string        `json:"version"`
	Path    string        `json:"path"`
	URI     string        `json:"uri,omitempty"` // package URL of an image, by the digest that was asked for
	Digest  digest.Digest `json:"digest"`        // of an image: its manifest's
}

// Artifact is a candidate for release.
type Artifact struct {
	Name      string        `json:"name"`
	Stage     string        `json:"stage"`
	Path      string        `json:"path"` // where in the workspace it was
	MediaType string        `json:"media_type"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

// Tests is what a test stage said about the artifacts of this run.
type Tests struct {
	Stage    string          `json:"stage"`
	Passed   bool            `json:"passed"`
	Subjects []digest.Digest `json:"subjects"`        // the artifacts that the stage was given
	Total    int             `json:"total,omitempty"` // from JUnit reports, where declared
	Failures int             `json:"failures,omitempty"`
}

// Rebuild compares a second build in a fresh zone with the first.
type Rebuild struct {
	Artifact  string        `json:"artifact"`
	First     digest.Digest `json:"first"`
	Second    digest.Digest `json:"second"`
	Identical bool          `json:"identical"`
	Varied    []string      `json:"varied"`            // path, hostname, uid, time, cpus
	Differs   []string      `json:"differs,omitempty"` // files that differ, bounded
	Error     string        `json:"error,omitempty"`   // the second build did not end well
}

// Finding is a secret, a canary or another thing that must not leave.
type Finding struct {
	Rule  string `json:"rule"`
	Where string `json:"where"` // artifact name or log of a stage, and file inside
	Line  int    `json:"line,omitempty"`
	Print string `json:"fingerprint"` // of the match, never the match
}

// Denial is one refusal, explained (DESIGN section 8).
type Denial struct {
	ID      string        `json:"id"`    // D-<run>-<n>
	Class   string        `json:"class"` // net, package, file, limit, canary
	Stage   string        `json:"stage"`
	Zone    boundary.Zone `json:"zone"`
	Process string        `json:"process,omitempty"` // chain, outermost first
	Package string        `json:"package,omitempty"` // purl or name@version
	Target  string        `json:"target"`            // what was asked for, escaped
	Rule    boundary.Rule `json:"rule"`
	Why     string        `json:"why"`
	Where   string        `json:"where,omitempty"`   // file:line of the rule or entry
	Verdict string        `json:"verdict,omitempty"` // likely the cause, or not, and why
	Do      string        `json:"do,omitempty"`      // next command
	Time    time.Time     `json:"time"`
	Count   int           `json:"count,omitempty"` // how often the same was refused
	// Tried is the attempt as boundary.Decide was asked about it; asked again, it
	// gives Rule.
	Tried boundary.Attempt `json:"tried,omitzero"`
}

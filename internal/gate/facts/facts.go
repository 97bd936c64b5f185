// Package facts is what a rule of a policy can see: the evidence of one run and
// one of its artifacts, as plain values with the names that CEL expressions use.
//
// Facts are made from evidence alone. What a rule would have to compute over
// thousands of materials (was each of them planned?) is computed here, once.
package facts

import "time"

// Run is the variable `run`.
type Run struct {
	ID         string            `cel:"id"`
	Project    string            `cel:"project"`
	State      string            `cel:"state"` // success, failed, refused, running
	Reason     string            `cel:"reason"`
	Source     Source            `cel:"source"`
	Started    time.Time         `cel:"started"`
	Ended      time.Time         `cel:"ended"`
	Detected   bool              `cel:"detected"` // no sallyport.yaml
	Pipeline   string            `cel:"pipeline"` // digest; empty: none
	Parameters map[string]string `cel:"parameters"`
	Isolation  Isolation         `cel:"isolation"`
	Stages     []Stage           `cel:"stages"`
	Materials  Materials         `cel:"materials"`
	Toolchains []Toolchain       `cel:"toolchains"`
	Artifacts  []string          `cel:"artifacts"` // names
	Denials    []Denial          `cel:"denials"`
	Secrets    Secrets           `cel:"secrets"`
	Without    []string          `cel:"without"` // stages left out with --without
}

// Source is what was built.
type Source struct {
	URI    string `cel:"uri"`
	Ref    string `cel:"ref"`
	Commit string `cel:"commit"`
	Tree   string `cel:"tree"` // digest; empty: none
	Sum    string `cel:"sum"`
}

// Isolation is what kept the zones apart.
type Isolation struct {
	Sandbox   string   `cel:"sandbox"`
	Level     string   `cel:"level"`
	Missing   []string `cel:"missing"`
	BuilderID string   `cel:"builder_id"`
	Honest    bool     `cel:"honest"` // builder_id says this sandbox and level
}

// Stage is one stage of the run.
type Stage struct {
	Name     string   `cel:"name"`
	Zone     string   `cel:"zone"`
	State    string   `cel:"state"`
	Reason   string   `cel:"reason"`
	Cached   bool     `cel:"cached"`
	Keyed    bool     `cel:"keyed"`    // has a memoization key
	Executed bool     `cel:"executed"` // commands ran in this run
	Tainted  bool     `cel:"tainted"`  // other people's code runs in its zone
	Commands []string `cel:"commands"`
	ExitCode int      `cel:"exit_code"`
	Limit    string   `cel:"limit"`
	Receipt  string   `cel:"receipt"` // clean, failed, none
	Level    string   `cel:"level"`   // of the receipt
	Probes   []string `cel:"probes"`  // that failed
	Rewrote  []string `cel:"rewrote"` // files of the source that it changed and did not declare
	Touched  []string `cel:"touched"` // files of the source that it wrote to, and that are as they were
}

// Materials is what the gateway planned and served.
type Materials struct {
	Planned    int        `cel:"planned"`    // how many
	Served     int        `cel:"served"`     // how many
	Unplanned  []string   `cel:"unplanned"`  // served, but not in the allow-set
	Altered    []string   `cel:"altered"`    // served with another checksum than planned
	Undigested []string   `cel:"undigested"` // served without a digest
	Unpinned   []string   `cel:"unpinned"`   // manifests and materials that no lockfile pins
	List       []Material `cel:"list"`       // served
}

// Material is one dependency that was served.
type Material struct {
	PURL    string `cel:"purl"`
	Kind    string `cel:"kind"`
	Sum     string `cel:"sum"`
	Digest  string `cel:"digest"`
	URI     string `cel:"uri"`
	Pin     string `cel:"pin"`
	Scripts bool   `cel:"scripts"`
	Dev     bool   `cel:"dev"`
}

// Toolchain is a set of host programs.
type Toolchain struct {
	Name    string `cel:"name"`
	Version string `cel:"version"`
	Digest  string `cel:"digest"`
}

// Denial is one refusal of the run.
type Denial struct {
	ID      string `cel:"id"`
	Class   string `cel:"class"`
	Stage   string `cel:"stage"`
	Zone    string `cel:"zone"`
	Package string `cel:"package_name"` // "package" is a reserved word of CEL
	Target  string `cel:"target"`
	Rule    string `cel:"rule"`
	Count   int    `cel:"count"`
}

// Secrets is the outcome of the scan of outputs and logs.
type Secrets struct {
	Scanned  bool      `cel:"scanned"` // to its end
	Findings []Finding `cel:"findings"`
}

// Finding is one secret or canary.
type Finding struct {
	Rule  string `cel:"rule"`
	Where string `cel:"where"`
}

// Artifact is the variable `artifact`.
type Artifact struct {
	Name      string  `cel:"name"`
	Stage     string  `cel:"stage"`
	Path      string  `cel:"path"`
	MediaType string  `cel:"media_type"`
	Digest    string  `cel:"digest"`
	Size      int     `cel:"size"`
	Tests     Tests   `cel:"tests"`
	Rebuild   Rebuild `cel:"rebuild"`
}

// Tests is what the test stage said about this artifact.
type Tests struct {
	Ran      bool `cel:"ran"`
	Passed   bool `cel:"passed"`
	Covered  bool `cel:"covered"` // the stage was given this very digest
	Total    int  `cel:"total"`
	Failures int  `cel:"failures"`
}

// Rebuild compares a second build of this artifact with the first.
type Rebuild struct {
	Ran       bool     `cel:"ran"`
	Identical bool     `cel:"identical"` // and of this very digest
	Differs   []string `cel:"differs"`
	Varied    []string `cel:"varied"`
	Error     string   `cel:"error"`
}

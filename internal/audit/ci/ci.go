// Package ci is what the audit knows about one CI definition, in words that are
// the same for every CI system: the jobs, what runs in them that nobody here
// verified, the credentials that they hold, and what they hand to each other.
//
// It is plain values. A frontend (internal/audit/github, gitlab, ...) fills
// them from its own files and decides what depends on its system: what is not
// isolated from what, who can start a job, how far a secret reaches. Whatever a
// frontend could not read is a [Gap], never silence.
package ci

import (
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
)

// System is a CI system.
type System string

// The systems that have a frontend.
const (
	GitHub     System = "github"
	GitLab     System = "gitlab"
	CircleCI   System = "circleci"
	Azure      System = "azure"
	Jenkins    System = "jenkins"
	Buildkite  System = "buildkite"
	Tekton     System = "tekton"
	Woodpecker System = "woodpecker" // Drone, too
	Bitbucket  System = "bitbucket"
	Sallyport  System = "sallyport" // sallyport.yaml
)

// Place is where in a file something stands.
type Place = boundary.Place

// Span is a place and the last line that belongs to it.
type Span struct {
	Place
	End int `json:"end,omitempty"`
}

// Definition is one file that defines jobs, with all that it includes from the
// same repository already put in its place.
type Definition struct {
	System   System    `json:"system"`
	File     string    `json:"file"`
	Name     string    `json:"name"` // the workflow's; empty: the file's
	Triggers []Trigger `json:"triggers,omitempty"`
	Jobs     []Job     `json:"jobs,omitempty"`
	Gaps     []Gap     `json:"gaps,omitempty"`
	// Callable: it runs only where another definition calls it, and is
	// analysed there too (a reusable workflow, a template).
	Callable bool `json:"callable,omitempty"`
}

// Gap is something that was not analysed. A definition with gaps has no clean
// bill: SPA-090 reports each.
type Gap struct {
	What  string `json:"what"` // as it is written: octo/flows/.github/workflows/build.yml@v1
	Why   string `json:"why"`  // such as: a workflow of another repository
	Job   string `json:"job,omitempty"`
	Where Place  `json:"where"`
}

// Trust is how far the person who can start a run is trusted.
type Trust uint8

// The levels, the most trusted first. The zero Trust is Maintainer.
const (
	// Maintainer: only who can write to the repository (push, tag, schedule,
	// manual start).
	Maintainer Trust = iota
	// Contributor: anybody can start it with code of their own, and the CI
	// system keeps the secrets from code of strangers (pull_request of a fork).
	// Branches of the same repository do get them.
	Contributor
	// Stranger: anybody can start or steer it, and it has the repository's
	// secrets (pull_request_target, issue_comment, workflow_run).
	Stranger
)

// Trigger is one way to start a definition, or one job of it.
type Trigger struct {
	Event string `json:"event"` // in the system's own word: push, merge_request_event
	Trust Trust  `json:"trust"`
	// Follows names the definitions (by Definition.Name) after whose runs it
	// starts; it takes over what they left.
	Follows []string `json:"follows,omitempty"`
	Where   Place    `json:"where"`
}

// Job is one isolation domain: whatever runs in one of its steps can reach what
// any other of its steps holds, unless [Step.Alone] says otherwise.
type Job struct {
	ID    string `json:"id"` // unique within the definition; for a matrix the job's, not each cell's
	Name  string `json:"name,omitempty"`
	Where Span   `json:"where"`
	// Domain joins jobs that are not isolated from each other (stages of one
	// Jenkins agent). Empty: the job is alone.
	Domain string `json:"domain,omitempty"`
	// Triggers are the job's own, where the system has such (GitLab rules);
	// empty: those of the definition.
	Triggers    []Trigger    `json:"triggers,omitempty"`
	If          string       `json:"if,omitempty"` // condition, as written
	Needs       []string     `json:"needs,omitempty"`
	Runner      Runner       `json:"runner"`
	Environment Environment  `json:"environment,omitzero"`
	Credentials []Credential `json:"credentials,omitempty"`
	Steps       []Step       `json:"steps,omitempty"`
	// Separate: the job runs in a trusted definition that its caller cannot
	// change, such as the SLSA generator; nothing of the caller runs beside
	// its credentials.
	Separate bool `json:"separate,omitempty"`
	// Mitigations that were recognised, in words: harden-runner in block mode.
	Mitigations []Mitigation `json:"mitigations,omitempty"`
}

// Mitigation is something that lowers a risk without closing the path.
type Mitigation struct {
	Text  string `json:"text"`
	Where Place  `json:"where"`
}

// Runner is where a job runs.
type Runner struct {
	Labels []string `json:"labels,omitempty"` // labels, tags, queue, pool or node, as written
	// Persistent: the machine outlives the job, so that one job can leave
	// something for the next (self-hosted runners, agent queues).
	Persistent bool  `json:"persistent,omitempty"`
	Where      Place `json:"where,omitzero"`
}

// Environment is a named target with rules of its own about who may use it.
type Environment struct {
	Name  string `json:"name,omitempty"`
	Where Place  `json:"where,omitzero"`
}

// Step is one step of a job, or one line of its script where the system has no
// steps.
type Step struct {
	Name  string `json:"name,omitempty"`
	Where Span   `json:"where"`
	// Alone: it runs in a container of its own, and reaches other steps only by
	// files that they execute (Woodpecker, Drone, Tekton tasks of one pipeline).
	Alone  bool    `json:"alone,omitempty"`
	Events []Event `json:"events,omitempty"`
	Acts   []Act   `json:"acts,omitempty"`
	Stores []Store `json:"stores,omitempty"`
}

// Tier is the kind of code that nobody here verified.
type Tier uint8

// The tiers.
const (
	// Executes third-party code: install scripts, build scripts, plugins, tests.
	Executes Tier = iota + 1
	// Compiles or fetches third-party code without running it.
	Compiles
	// ThirdParty is a step of somebody else: an action, an orb, a plugin.
	ThirdParty
	// Steered by whoever started the run: the head of a pull request, or text of
	// an issue in a shell line.
	Steered
)

// Event is one place where code starts that nobody here verified.
type Event struct {
	Tier Tier   `json:"tier"`
	Text string `json:"text"` // the command or the step, as written, one line
	Why  string `json:"why"`  // such as: npm ci runs the install scripts of each package
	// Ecosystem is npm, pypi, cargo, go, maven, gem, nuget, composer, deb, oci,
	// action, make, shell, git, or empty.
	Ecosystem string `json:"ecosystem,omitempty"`
	// Pinned: named by digest, so that nobody can change what it is
	// (ThirdParty: a full commit; Executes: a lockfile does not make it pinned).
	Pinned bool `json:"pinned,omitempty"`
	// Own: the code is the repository's or its owner's (ThirdParty of the same
	// organisation, or one that the configuration trusts).
	Own bool `json:"own,omitempty"`
	// Floating: a tool of no fixed version is installed (npm install -g x@latest).
	Floating bool `json:"floating,omitempty"`
	// Unsandboxed: a builder that looks isolated and is not (kaniko, privileged,
	// host network, the docker socket); SPA-022.
	Unsandboxed bool `json:"unsandboxed,omitempty"`
	// Safer is the same command without the third party's code, to put in its
	// place; empty where there is none.
	Safer string `json:"safer,omitempty"`
	Where Place  `json:"where"`
}

// Class is what a credential is good for, or what a step does with one.
type Class string

// The classes.
const (
	Publish    Class = "publish"    // a package, an image, a release
	Sign       Class = "sign"       // signing key or signing identity
	Deploy     Class = "deploy"     // cloud, cluster, host, pages
	Repository Class = "repository" // write to the source repository
	Ambient    Class = "ambient"    // of the machine: agent role, service account, docker socket
	Low        Class = "low"        // coverage upload, chat hook, analytics
	Unsorted   Class = "unsorted"   // a secret whose use cannot be told
)

// High tells whether c is one that the default profile reports.
func (c Class) High() bool {
	switch c {
	case Publish, Sign, Deploy, Repository:
		return true
	}
	return false
}

// Kind is what sort of thing a credential is.
type Kind string

// The kinds.
const (
	Secret     Kind = "secret"          // a stored value by name
	OIDC       Kind = "oidc"            // the right to mint identity tokens
	Token      Kind = "token"           // the job's own token: GITHUB_TOKEN, CI_JOB_TOKEN
	App        Kind = "app"             // a token minted from an app's key
	Session    Kind = "session"         // a cloud or registry login
	Context    Kind = "context"         // a named group of secrets (CircleCI context, variable group)
	Connection Kind = "connection"      // a service connection
	Account    Kind = "service-account" // Kubernetes
	Agent      Kind = "agent"           // what the machine itself may do
	File       Kind = "file"            // a key or token in a file
)

// Scope is how far a credential reaches.
type Scope string

// The scopes, the widest first.
const (
	Global   Scope = "global" // every job of the definition, or of the project
	PerJob   Scope = "job"    // the whole job
	PerStep  Scope = "step"   // written at one step; on most systems the job reaches it all the same
	MintedAt Scope = "minted" // does not exist before its step
)

// Credential is one thing that a job holds.
type Credential struct {
	Name string `json:"name"` // NPM_TOKEN, id-token, GITHUB_TOKEN, context:release
	Kind Kind   `json:"kind"`
	// Classes are what it is good for; more than one for an OIDC right.
	Classes []Class `json:"classes"`
	Scope   Scope   `json:"scope"`
	// Step is the index of the step where it enters, -1 for the whole job.
	Step int `json:"step"`
	// Enters says how, in words: env of the job, input of the step, permissions
	// of the workflow.
	Enters string `json:"enters"`
	Where  Place  `json:"where"`
	// OnDisk: it is left in a file, a keychain or a docker configuration.
	OnDisk bool `json:"on_disk,omitempty"`
	// LongLived: it is valid until somebody revokes it.
	LongLived bool `json:"long_lived,omitempty"`
	// All: every secret is handed over (secrets: inherit, toJSON(secrets)).
	All bool `json:"all,omitempty"`
	// Assumed: the file does not say that it is there (a default permission).
	Assumed bool `json:"assumed,omitempty"`
	// Subject is who it speaks as, where that can be told: an OIDC subject, a
	// role, an account.
	Subject string `json:"subject,omitempty"`
}

// Is tells whether c is good for a class.
func (c Credential) Is(class Class) bool { return slices.Contains(c.Classes, class) }

// High tells whether the default profile reports c.
func (c Credential) High() bool { return slices.ContainsFunc(c.Classes, Class.High) }

// Act is what a step does with a credential.
type Act struct {
	Class  Class  `json:"class"`
	Text   string `json:"text"`             // the command or step, one line
	Tool   string `json:"tool,omitempty"`   // npm, cosign, gh, docker ...
	Object string `json:"object,omitempty"` // what it publishes, signs or deploys to, where told
	// Attests: it signs provenance or an attestation (SPA-021).
	Attests bool `json:"attests,omitempty"`
	// Verifies: it checks a digest, a signature or provenance before use.
	Verifies bool  `json:"verifies,omitempty"`
	Where    Place `json:"where"`
}

// Store is something that a step leaves for other jobs, or takes from them.
type Store struct {
	Kind boundary.Kind `json:"kind"` // cache, artifact, env, result
	// Name is the cache key or the artifact's name, as far as it is fixed: an
	// expression in it ends it, and Prefix is then true.
	Name   string   `json:"name"`
	Prefix bool     `json:"prefix,omitempty"`
	Also   []string `json:"also,omitempty"` // restore keys: prefixes that match as well
	Reads  bool     `json:"reads,omitempty"`
	Writes bool     `json:"writes,omitempty"`
	// Executed: what is taken is run, sourced, or installed.
	Executed bool `json:"executed,omitempty"`
	// ByDigest: what is taken is named by digest, or checked before it is used.
	ByDigest bool `json:"by_digest,omitempty"`
	// From is the definition that wrote it, where the step names one (the
	// artifact of another workflow).
	From  string `json:"from,omitempty"`
	Where Place  `json:"where"`
}

// Package script reads the shell text of CI steps: which of its commands run
// code that nobody here verified, which use a credential, and what they leave
// behind.
//
// It parses with a real shell parser and runs nothing. What cannot be parsed is
// a gap, never silence.
package script

import (
	"io/fs"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// Source is one piece of shell text of a CI file.
type Source struct {
	Text  string
	Place ci.Place // where the text begins
	// Flat: every line of Text stands at Place (a folded or quoted scalar).
	Flat  bool
	Shell string // bash, sh, pwsh, cmd, python ...; empty: sh or bash
	Dir   string // where it runs, below the repository's root; empty: the root
}

// Facts is what a piece of shell text does.
type Facts struct {
	Events []ci.Event
	Acts   []ci.Act
	// Stores are artifacts and caches by commands of the CI system's agent
	// (buildkite-agent artifact upload), env files ($GITHUB_ENV), and such.
	Stores []ci.Store
	// Credentials are minted or written by a command: docker login, gcloud
	// auth, gpg --import, echo ... > ~/.npmrc. Their Step is not set.
	Credentials []ci.Credential
	Gaps        []ci.Gap
}

// Reader reads the steps of one job in their order: a test after an install
// runs what was installed, a test without one does not. The zero Reader knows
// no files of the repository.
type Reader struct {
	// Repo holds the files of the repository; nil: none can be read. Scripts,
	// Makefiles and package.json raise precision where they are there.
	Repo fs.FS
	// Env are the environment variables that are known by value.
	Env map[string]string

	state state
}

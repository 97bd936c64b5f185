// Package script reads the shell text of CI steps: which of its commands run
// code that nobody here verified, which use a credential, and what they leave
// behind.
//
// It parses with a real shell parser and runs nothing. What a command does is
// data: one table per ecosystem for events, one for acts, one for credentials.
// Scripts, Makefiles, package.json and the like are read from [Reader.Repo]
// where they are there; what they do is said of the line of the CI file that
// starts them. What cannot be read is a gap, never silence.
//
// It promises limits: a hostile text costs no more than its size and a fixed
// number of commands. It does not promise to know every program: one that no
// table names, and that nothing in the job installed or downloaded, is taken
// for a program of the runner, which does nothing that matters here.
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
	// Continues: it runs in the same shell as what was read before, so that
	// directory, functions and variables are kept (a GitLab script list). Dir is
	// then ignored.
	Continues bool
}

// Facts is what a piece of shell text does.
type Facts struct {
	Events []ci.Event
	// Acts use a credential, or verify something: those have an empty Class.
	Acts []ci.Act
	// Stores are artifacts by commands of the CI system's agent
	// (buildkite-agent artifact upload), and env files ($GITHUB_ENV).
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
	// watch and watchAct are told each row of the tables that counts; for tests.
	watch, watchAct func(program string, row int)
}

// The limits of one piece of shell text.
const (
	maxText     = 256 << 10 // bytes
	maxCommands = 5_000     // commands read, those of functions each time
	maxDepth    = 40        // commands within commands
	maxFiles    = 3         // files that name files
	maxShown    = 200       // bytes of a command that are shown
)

// Read tells what one piece of shell text does, after all that was read before.
func (r *Reader) Read(s Source) Facts {
	w := r.walk(s)
	if len(s.Text) > maxText {
		w.gap(s.Text[:60], "shell text of more than 256 KiB", s.Place)
		return w.facts
	}
	w.read(newText(s), s.Shell)
	w.uncalled()
	if w.budget <= 0 {
		w.gap(s.Text, "shell text that runs more commands than are looked at", s.Place)
	}
	r.state.keep(w)
	return w.facts
}

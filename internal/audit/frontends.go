package audit

import (
	"io/fs"

	"github.com/sallyport/sallyport/internal/audit/azure"
	"github.com/sallyport/sallyport/internal/audit/bitbucket"
	"github.com/sallyport/sallyport/internal/audit/buildkite"
	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/circleci"
	"github.com/sallyport/sallyport/internal/audit/github"
	"github.com/sallyport/sallyport/internal/audit/gitlab"
	"github.com/sallyport/sallyport/internal/audit/jenkins"
	"github.com/sallyport/sallyport/internal/audit/tekton"
	"github.com/sallyport/sallyport/internal/audit/woodpecker"
)

// frontends are the CI systems that can be read.
func frontends() []frontend {
	return []frontend{
		{ci.GitHub, github.Owns, func(repo fs.FS, file string, o Options) (ci.Definition, error) {
			return github.Read(repo, file, github.Options{Owner: o.Owner, Trusted: o.Trusted, DefaultPermissions: o.DefaultPermissions})
		}},
		{ci.GitLab, gitlab.Owns, func(repo fs.FS, file string, o Options) (ci.Definition, error) {
			return gitlab.Read(repo, file, o.Owner, o.Trusted)
		}},
		{ci.CircleCI, circleci.Owns, plain(circleci.Read)},
		{ci.Azure, azure.Owns, plain(azure.Read)},
		{ci.Bitbucket, bitbucket.Owns, plain(bitbucket.Read)},
		{ci.Buildkite, buildkite.Owns, plain(buildkite.Read)},
		{ci.Jenkins, jenkins.Owns, func(repo fs.FS, file string, o Options) (ci.Definition, error) {
			return jenkins.Read(repo, file, jenkins.Options{Owner: o.Owner, Trusted: o.Trusted})
		}},
		{ci.Tekton, tekton.Owns, func(repo fs.FS, file string, o Options) (ci.Definition, error) {
			return tekton.Read(repo, file, tekton.Options{Owner: o.Owner, Trusted: o.Trusted})
		}},
		{ci.Woodpecker, woodpecker.Owns, plain(woodpecker.Read)},
	}
}

// plain is a frontend that needs no options.
func plain(read func(fs.FS, string) (ci.Definition, error)) func(fs.FS, string, Options) (ci.Definition, error) {
	return func(repo fs.FS, file string, _ Options) (ci.Definition, error) { return read(repo, file) }
}

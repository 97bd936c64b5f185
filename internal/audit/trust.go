package audit

import "github.com/sallyport/sallyport/internal/audit/ci"

// standing is who can start a job.
type standing struct {
	maintained  bool // somebody with write access
	contributed bool // anybody, with code of their own and without secrets
	strange     bool // anybody, with the repository's secrets
}

// trustOf tells who can start a job. A job without a trigger that is known is
// taken to be started by all who could.
func trustOf(d ci.Definition, j ci.Job) standing {
	triggers := j.Triggers
	if len(triggers) == 0 {
		triggers = d.Triggers
	}
	if len(triggers) == 0 {
		return standing{maintained: true, contributed: !d.Callable}
	}
	var s standing
	for _, t := range triggers {
		switch t.Trust {
		case ci.Maintainer:
			s.maintained = true
		case ci.Contributor:
			s.contributed = true
		default:
			s.strange, s.maintained = true, true
		}
	}
	return s
}

package provenance

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/evidence"
)

// localBuilder is the form of the builder ids of runs on one's own machine.
var localBuilder = regexp.MustCompile(`^https://github\.com/sallyport/sallyport/builder/local/(namespaces|oci:runsc|oci:crun|oci:runc|kube)/(full|reduced)@v1$`)

// BuilderLevel returns the highest SLSA Build level that the builder with this
// id can hold, and whether it is a builder of ours at all. Local modes hold
// level 1: level 2 wants a hosted platform.
func BuilderLevel(id string) (level int, known bool) {
	if localBuilder.MatchString(id) {
		return 1, true
	}
	return 0, false
}

// The levels that a summary can name beside SLSA's. They say what was shown in
// this run, for this artifact.
const (
	LevelSLSA1      = "SLSA_BUILD_LEVEL_1"
	LevelIsolated   = "SALLYPORT_ISOLATION_FULL"        // every zone was measured to be fully isolated
	LevelHermetic   = "SALLYPORT_HERMETIC"              // every zone's probe found no route but the gateway
	LevelComplete   = "SALLYPORT_DEPENDENCIES_COMPLETE" // all dependencies are known by digest
	LevelPinned     = "SALLYPORT_DEPENDENCIES_PINNED"   // and pinned by lockfiles of the project
	LevelReproduced = "SALLYPORT_REPRODUCED"            // a second, varied build gave the same bytes
	LevelTested     = "SALLYPORT_TESTED"                // the tests passed for these bytes
	LevelScanned    = "SALLYPORT_NO_SECRETS_FOUND"      // outputs and logs were scanned
	withoutPrefix   = "SALLYPORT_WITHOUT_"              // a stage was left out
)

// Levels returns what r has shown about a, and nothing that it has not.
func Levels(r *evidence.Run, a evidence.Artifact) []string {
	var out []string
	add := func(shown bool, level string) {
		if shown {
			out = append(out, level)
		}
	}
	slsa, _ := BuilderLevel(r.Isolation.BuilderID)
	gaps := r.Gaps()
	measured := everyZone(r)
	add(slsa >= 1, LevelSLSA1)
	add(measured && r.Isolation.Level == "full" && len(r.Isolation.Missing) == 0, LevelIsolated)
	add(measured && gaps.Complete(), LevelHermetic)
	add(gaps.Complete(), LevelComplete)
	add(gaps.Complete() && len(gaps.Unpinned) == 0, LevelPinned)
	add(r.Reproduced(a), LevelReproduced)
	add(r.Tested(a), LevelTested)
	add(r.SecretsRun && len(r.Secrets) == 0, LevelScanned)
	for _, w := range r.Without {
		out = append(out, withoutPrefix+upper(w))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// everyZone tells whether the probe ran clean in each zone that other people's
// code has run in, now or when the result that was used again was made.
func everyZone(r *evidence.Run) bool {
	any := false
	for i := range r.Stages {
		s := &r.Stages[i]
		if !s.Tainted() || s.State == evidence.Skipped && !s.Cached {
			continue
		}
		if s.Shown() != evidence.ReceiptClean {
			return false
		}
		any = true
	}
	return any
}

func upper(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

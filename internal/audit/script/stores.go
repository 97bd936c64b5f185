package script

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/boundary"
)

const kindEnv = boundary.KindEnv

func (w *walk) store(s ci.Store) {
	for _, b := range w.facts.Stores {
		if b.Kind == s.Kind && b.Name == s.Name && b.Where == s.Where {
			return
		}
	}
	w.facts.Stores = append(w.facts.Stores, s)
}

// stores are the artifacts of commands of the CI system's agent.
func (w *walk) stores(c *call) {
	switch c.name + " " + c.operand(0) + " " + c.operand(1) {
	case "buildkite-agent artifact upload":
		w.artifact(c, c.operand(2), true)
	case "buildkite-agent artifact download":
		w.artifact(c, c.operand(2), false)
	}
	if c.name == "gh" && c.operand(0) == "run" && c.operand(1) == "download" {
		name := c.value("-n --name")
		w.artifact(c, name, false)
	}
}

// artifact adds an artifact; a variable or a pattern in its name ends what is
// fixed of it.
func (w *walk) artifact(c *call, name string, writes bool) {
	s := ci.Store{Kind: boundary.KindArtifact, Name: name, Writes: writes, Reads: !writes, Where: c.place}
	if i := strings.IndexAny(name, "$*?`"); i >= 0 || name == "" {
		s.Name, s.Prefix = name[:max(i, 0)], true
	}
	w.store(s)
}

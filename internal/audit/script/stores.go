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
	switch c.name {
	case "buildkite-agent":
		if verb := c.operand(1); c.operand(0) == "artifact" && oneOf(verb, "upload|download") {
			w.artifact(c, c.operand(2), verb == "upload")
		}
	case "gh":
		if c.operand(0) == "run" && c.operand(1) == "download" {
			w.artifact(c, c.value("-n --name"), false)
		}
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

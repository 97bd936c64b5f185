package jenkins

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// starters are who can start a stage.
type starters uint8

const (
	members    starters = 1 << iota // by a branch or a tag of the repository
	requesters                      // by a change request

	everybody = members | requesters
)

// startedBy are the triggers of the definition that a stage has; nil: all.
func (r *reader) startedBy(w starters) []ci.Trigger {
	if w == everybody || w == 0 { // a stage of nobody's is one that was not understood
		return nil
	}
	var all []ci.Trigger
	for _, t := range r.def.Triggers {
		if (t.Trust == ci.Contributor) == (w == requesters) {
			all = append(all, t)
		}
	}
	return all
}

// when reads the conditions of a stage, all of which hold.
func (r *reader) when(c *call) starters {
	if c == nil {
		return everybody
	}
	w := everybody
	for _, b := range c.body {
		w &= r.condition(b)
	}
	return w
}

// condition tells who can start a stage that has it.
func (r *reader) condition(c *call) starters {
	switch c.name {
	case "branch":
		return branch(c)
	case "tag", "buildingTag":
		return members
	case "changeRequest":
		return requesters
	case "allOf":
		return r.when(c)
	case "anyOf":
		w := starters(0)
		for _, b := range c.body {
			w |= r.condition(b)
		}
		return w
	case "not":
		if len(c.body) == 1 && c.body[0].name == "changeRequest" {
			return members
		}
	case "triggeredBy":
		if l := c.first("cause"); l != nil && strings.Contains(l.value, "Timer") {
			return members
		}
	case "expression":
		return expression(strings.Join(strings.Fields(r.src[c.from:min(c.to, len(r.src))]), ""))
	}
	return everybody
}

// branch tells who has a branch of that name: change requests are PR-1.
func branch(c *call) starters {
	l := c.first("pattern")
	if l == nil || len(l.holes) > 0 {
		return everybody
	}
	if strings.HasPrefix(l.value, "PR-") || strings.HasPrefix(l.value, "MR-") {
		return requesters
	}
	if strings.HasPrefix(l.value, "*") || strings.HasPrefix(l.value, ".*") {
		return everybody
	}
	return members
}

// expression tells the same of a piece of Groovy without spaces, where it is one
// of the usual ones.
func expression(text string) starters {
	text = strings.NewReplacer("env.", "", "'", `"`).Replace(text)
	if strings.Contains(text, "||") || strings.Contains(text, "!(") {
		return everybody
	}
	for _, none := range []string{"!CHANGE_ID", "CHANGE_ID==null", `BRANCH_NAME=="`, `GIT_BRANCH=="`, "TAG_NAME!=null", "buildingTag()"} {
		if strings.Contains(text, none) {
			return members
		}
	}
	if strings.Contains(text, "CHANGE_ID") {
		return requesters
	}
	return everybody
}

package github

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// written is text that whoever starts a run by one of some events has written.
type written struct {
	context *regexp.Regexp
	events  []string // empty: all
}

// writtenTexts are the contexts that hold a stranger's words.
var writtenTexts = []written{
	{regexp.MustCompile(`(?i)^github\.event\.pull_request\.(title|body|head\.(ref|label|repo\.(default_branch|description|homepage)))$`), pullRequestEvents},
	{regexp.MustCompile(`(?i)^github\.head_ref$`), pullRequestEvents},
	{regexp.MustCompile(`(?i)^github\.event\.issue\.(title|body)$`), []string{"issues", "issue_comment"}},
	{regexp.MustCompile(`(?i)^github\.event\.comment\.body$`), []string{"issue_comment", "commit_comment", "discussion_comment", "pull_request_review_comment"}},
	{regexp.MustCompile(`(?i)^github\.event\.review\.body$`), []string{"pull_request_review"}},
	{regexp.MustCompile(`(?i)^github\.event\.discussion\.(title|body)$`), []string{"discussion", "discussion_comment"}},
	{regexp.MustCompile(`(?i)^github\.event\.workflow_run\.(head_branch|display_title|head_commit\.(message|author\.(email|name))|pull_requests.*head\.ref)$`), []string{"workflow_run"}},
	{regexp.MustCompile(`(?i)^github\.event\.pages.*page_name$`), []string{"gollum"}},
	{regexp.MustCompile(`(?i)^github(\.event(\.(pull_request|issue|comment|review|discussion|workflow_run|pages))?)?$`), nil}, // as a whole, by toJSON
}

var pullRequestEvents = []string{"pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"}

// by tells whether one of some triggers lets people without write access write
// the text.
func (w written) by(triggers []ci.Trigger) bool {
	return slices.ContainsFunc(triggers, func(t ci.Trigger) bool {
		return t.Trust != ci.Maintainer && (w.events == nil || slices.Contains(w.events, t.Event))
	})
}

// strangersWords returns the first context of an expression that puts a
// stranger's words where the expression stands, or "".
func strangersWords(body string, triggers []ci.Trigger) string {
	e := parseCondition(body)
	if e == nil {
		return ""
	}
	for _, name := range spelled(e, nil) {
		for _, w := range writtenTexts {
			if w.context.MatchString(name) && w.by(triggers) {
				return name
			}
		}
	}
	return ""
}

// spelled lists the contexts whose text is in the text of an expression: not
// those that it only compares or looks for.
func spelled(e *expr, all []string) []string {
	switch e.op {
	case "name":
		return append(all, e.text)
	case "&&":
		return spelled(e.args[1], all)
	case "||":
		return spelled(e.args[1], spelled(e.args[0], all))
	case "call":
		switch strings.ToLower(e.text) {
		case "contains", "startswith", "endswith", "hashfiles":
			return all
		}
		for _, a := range e.args {
			all = spelled(a, all)
		}
	}
	return all
}

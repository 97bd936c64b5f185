package github

import "strings"

// context is the value of a context, as far as the way to start tells.
func (s start) context(name string) value {
	if v, ok := s.known[name]; ok {
		if strings.Contains(v, "${{") {
			return value{}
		}
		return literal(v)
	}
	if s.event == "workflow_call" {
		return value{} // the event is the caller's
	}
	switch name {
	case "github.event_name":
		return text(s.event)
	case "github.ref":
		return s.ref()
	case "github.ref_name":
		if s.merges() {
			return pattern("", "/merge")
		}
		return value{}
	case "github.ref_type":
		if strings.HasPrefix(s.ref().text, "refs/heads/") || s.merges() {
			return text("branch")
		}
		return value{}
	case "github.head_ref", "github.base_ref":
		if s.event == "pull_request" || s.event == "pull_request_target" {
			return value{kind: filled}
		}
		return text("")
	}
	if below, ok := strings.CutPrefix(name, "github.event."); ok {
		return s.payload(below)
	}
	return value{}
}

// literal is an input: true and false are what they say.
func literal(v string) value {
	if v == "true" || v == "false" {
		return value{kind: boolValue, text: v}
	}
	return text(v)
}

// merges tells whether the run is for the merge of a pull request that is open.
func (s start) merges() bool {
	switch s.event {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		return !s.closes
	}
	return false
}

// ref is github.ref: of most events a branch of the repository.
func (s start) ref() value {
	switch s.event {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		if s.closes {
			return pattern("refs/", "")
		}
		return pattern("refs/pull/", "/merge")
	case "push", "workflow_dispatch", "create", "delete", "deployment", "deployment_status", "release":
		return pattern("refs/", "")
	case "pull_request_target", "issue_comment", "issues", "schedule", "workflow_run", "discussion", "discussion_comment", "fork", "watch", "gollum":
		return pattern("refs/heads/", "")
	}
	return value{}
}

// payload is a value below github.event. What an event does not carry is empty.
func (s start) payload(name string) value {
	top, rest, _ := strings.Cut(name, ".")
	switch top {
	case "pull_request":
		if !strings.HasPrefix(s.event, "pull_request") {
			return text("")
		}
		return s.pullRequest(rest)
	case "workflow_run":
		if s.event != "workflow_run" {
			return text("")
		}
		return s.followed(rest)
	case "comment":
		if !strings.HasSuffix(s.event, "comment") {
			return text("")
		}
	case "release":
		if s.event != "release" {
			return text("")
		}
	}
	return value{}
}

// pullRequest is a value of github.event.pull_request.
func (s start) pullRequest(name string) value {
	switch {
	case name == "":
		return value{kind: filled}
	case s.who == anybody:
		return value{}
	}
	switch name {
	case "head.repo.full_name", "head.repo.owner.login", "head.user.login", "head.repo.id", "user.login":
		return s.headOwner()
	case "head.repo.fork":
		return truthValue(known(s.who == foreign))
	case "author_association":
		if s.who == foreign {
			return text("NONE")
		}
	}
	return value{}
}

// followed is a value of github.event.workflow_run, where its run was for a
// pull request.
func (s start) followed(name string) value {
	if s.who == anybody {
		return value{}
	}
	switch name {
	case "event":
		return text("pull_request")
	case "head_repository.full_name", "head_repository.owner.login", "actor.login":
		return s.headOwner()
	case "head_repository.fork":
		return truthValue(known(s.who == foreign))
	}
	return value{}
}

// headOwner is a name in a fork, which equals none that a condition names.
func (s start) headOwner() value {
	if s.who == foreign {
		return value{kind: otherValue}
	}
	return value{}
}

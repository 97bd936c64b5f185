package github

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// reference finds what an expression takes out of secrets.
var reference = regexp.MustCompile(`(?i)\bsecrets\s*(?:\.\s*([A-Za-z0-9_-]+)|\[\s*'([A-Za-z0-9_-]+)'\s*\]|(\[)|(\)))`)

// expressions returns the bodies of ${{ }} in a text.
func expressions(text string) []string {
	var all []string
	for {
		_, rest, ok := strings.Cut(text, "${{")
		if !ok {
			return all
		}
		body, after, ok := strings.Cut(rest, "}}")
		if !ok {
			return all
		}
		all, text = append(all, strings.TrimSpace(body)), after
	}
}

// secretsIn lists the secrets that expressions of a text refer to, and tells
// whether it takes all of them.
func secretsIn(text string) (names []string, all bool) {
	if !strings.Contains(strings.ToLower(text), "secrets") {
		return nil, false
	}
	for _, body := range expressions(text) {
		n, a := secretsOf(body)
		names, all = append(names, n...), all || a
	}
	return names, all
}

// secretsOf is secretsIn of the body of one expression.
func secretsOf(body string) (names []string, all bool) {
	for _, m := range reference.FindAllStringSubmatch(body, -1) {
		switch {
		case m[1] != "":
			names = append(names, m[1])
		case m[2] != "":
			names = append(names, m[2])
		default:
			all = true // toJSON(secrets), secrets[inputs.name]
		}
	}
	return names, all
}

// strangersText are contexts whose value whoever starts the run has written.
var strangersText = regexp.MustCompile(`(?i)github\.event\.(?:issue\.(?:title|body)|pull_request\.(?:title|body|head\.(?:ref|label|repo\.default_branch))|comment\.body|review\.body|review_comment\.body|discussion\.(?:title|body)|pages\b.*page_name|commits\b.*(?:message|author\.(?:email|name))|head_commit\.(?:message|author\.(?:email|name))|workflow_run\.(?:head_branch|head_commit\.(?:message|author\.(?:email|name))|pull_requests\b.*head\.ref))|\bgithub\.head_ref\b`)

// steeringExpression returns the first expression of a text that puts a
// stranger's words into it.
func steeringExpression(text string) string {
	for _, body := range expressions(text) {
		if m := strangersText.FindString(body); m != "" {
			return m
		}
	}
	return ""
}

// headOf tells whether a ref, or a repository, is the head of what a stranger
// sent.
func headOf(text string) bool {
	t := strings.ToLower(text)
	return strings.Contains(t, "github.event.pull_request.head") || strings.Contains(t, "github.head_ref") ||
		strings.Contains(t, "github.event.workflow_run.head") || strings.Contains(t, "refs/pull/") ||
		strings.Contains(t, "pull_request.merge_commit_sha") || strings.Contains(t, "github.event.number") && strings.Contains(t, "pull")
}

// narrow drops the triggers by which a condition never holds. Only conditions
// that are a chain of && are read; what cannot be told keeps the trigger.
func narrow(triggers []ci.Trigger, condition string) []ci.Trigger {
	c := strings.TrimSpace(condition)
	c = strings.TrimSuffix(strings.TrimPrefix(c, "${{"), "}}")
	if c == "" || strings.Contains(c, "||") {
		return triggers
	}
	kept := slices.Clone(triggers)
	for part := range strings.SplitSeq(c, "&&") {
		part = strings.Trim(strings.ReplaceAll(strings.TrimSpace(part), `"`, "'"), "() ")
		kept = slices.DeleteFunc(kept, func(t ci.Trigger) bool { return excludes(part, t.Event) })
	}
	return kept
}

// excludes tells whether one condition is false for an event.
func excludes(part, event string) bool {
	if name, ok := compared(part, "github.event_name", "=="); ok {
		return event != name
	}
	if name, ok := compared(part, "github.event_name", "!="); ok {
		return event == name
	}
	pr := event == "pull_request" || event == "pull_request_target"
	if strings.HasPrefix(part, "startsWith(github.ref, 'refs/tags/") || strings.HasPrefix(part, "startsWith(github.ref, 'refs/heads/") {
		return event == "pull_request"
	}
	if ref, ok := compared(part, "github.ref", "=="); ok && strings.HasPrefix(ref, "refs/") {
		return event == "pull_request" && !strings.HasPrefix(ref, "refs/pull/")
	}
	if kind, ok := compared(part, "github.ref_type", "=="); ok {
		return kind == "tag" && pr
	}
	return false
}

// compared reads left OP 'value'.
func compared(part, left, op string) (string, bool) {
	rest, ok := strings.CutPrefix(part, left)
	if !ok {
		return "", false
	}
	if rest, ok = strings.CutPrefix(strings.TrimSpace(rest), op); !ok {
		return "", false
	}
	v := strings.TrimSpace(rest)
	if len(v) < 2 || v[0] != '\'' || v[len(v)-1] != '\'' {
		return "", false
	}
	return v[1 : len(v)-1], true
}

// substitute puts known inputs into a text.
func substitute(text string, inputs map[string]string) string {
	if len(inputs) == 0 || !strings.Contains(text, "${{") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		body, after, ok := strings.Cut(rest, "}}")
		if !ok {
			b.WriteString("${{" + rest)
			return b.String()
		}
		name, isInput := strings.CutPrefix(strings.TrimSpace(body), "inputs.")
		if value, known := inputs[name]; isInput && known {
			b.WriteString(value)
		} else {
			b.WriteString("${{" + body + "}}")
		}
		text = after
	}
}

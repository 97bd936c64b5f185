package github

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// TestNarrow: the ways to start a job that a condition leaves. Each row is the
// events of a workflow, the condition, and what is left: a + stands behind an
// event that only maintainers start, a - behind one of contributors, a ! behind
// one of strangers.
func TestNarrow(t *testing.T) {
	const all = "push pull_request pull_request_target workflow_run issue_comment schedule"
	for _, row := range []struct{ events, condition, left string }{
		{all, "", "push+ pull_request- pull_request_target! workflow_run! issue_comment! schedule+"},
		{all, "github.event_name == 'push'", "push+"},
		{all, "${{ github.event_name == 'push' }}", "push+"},
		{all, "'push' == github.event_name", "push+"},
		{all, "github.event_name == 'PUSH'", "push+"},
		{all, "github['event_name'] == 'push'", "push+"},
		{"push pull_request", "github.event_name != 'pull_request'", "push+"},
		{"push pull_request", "!(github.event_name == 'pull_request')", "push+"},
		{"push pull_request", "!(github.actor == 'x' && github.event_name == 'pull_request')", "push+ pull_request-"},
		{"push pull_request", "github.event_name == 'push' || github.actor == 'x'", "push+ pull_request-"},
		{"push pull_request", "(github.event_name == 'push' || github.event_name == 'schedule') && always()", "push+"},
		{"push pull_request", "contains(fromJSON('[\"push\", \"schedule\"]'), github.event_name)", "push+"},
		{"push pull_request", "!contains('pull_request', github.event_name)", "push+"},
		{"push pull_request", "startsWith(github.event_name, 'pull')", "pull_request-"},
		{"push pull_request", "startsWith(github.ref, 'refs/tags/')", "push+"},
		{"push pull_request", "startsWith(github.ref, 'refs/')", "push+ pull_request-"},
		{"push pull_request", "startsWith(github.ref, 'refs/pull/1')", "push+ pull_request-"},
		{"push pull_request", "github.ref == 'refs/heads/main'", "push+"},
		{"push pull_request", "github.ref_name == 'main'", "push+"},
		{"push pull_request", "github.ref_type == 'tag'", "push+"},
		{"push pull_request", "github.head_ref", "pull_request-"},
		{"push pull_request", "!github.base_ref", "push+"},
		{"push pull_request", "github.head_ref == ''", "push+"},
		{"push pull_request", "github.event.pull_request == null", "push+ pull_request-"},
		{"push pull_request", "github.event.pull_request.merged == true", "pull_request-"},
		{"pull_request/closed push", "github.ref == 'refs/heads/main'", "pull_request- push+"},
		{"push release", "github.event.release.draft || github.event_name == 'release'", "release+"},
		{"push issue_comment", "contains(github.event.comment.body, '/go')", "issue_comment!"},
		{"workflow_call", "github.event_name == 'push'", "workflow_call+"},
		{"push pull_request", "false", ""},
		{"push", "true && github.event_name == 'pull_request'", ""},
		// Whose code a pull request is.
		{"pull_request_target", "github.event.pull_request.head.repo.full_name == github.repository", "pull_request_target-"},
		{"pull_request_target", "github.event.pull_request.head.repo.full_name != github.repository", "pull_request_target!"},
		{"pull_request_target", "!github.event.pull_request.head.repo.fork", "pull_request_target-"},
		{"pull_request_target", "github.event.pull_request.head.repo.fork == false", "pull_request_target-"},
		{"pull_request_target", "github.event.pull_request.user.login == 'bot[bot]'", "pull_request_target-"},
		{"pull_request_target", "github.actor == 'bot[bot]'", "pull_request_target!"}, // who pushed last, not who wrote
		{"pull_request_target", "contains(fromJSON('[\"OWNER\", \"MEMBER\"]'), github.event.pull_request.author_association)", "pull_request_target-"},
		{"pull_request_target", "contains(github.event.pull_request.labels.*.name, 'ok')", "pull_request_target!"},
		{"pull_request_target", "github.event.pull_request.draft == false", "pull_request_target!"},
		{"workflow_run", "github.event.workflow_run.event == 'push'", "workflow_run+"},
		{"workflow_run", "github.event.workflow_run.event != 'pull_request'", "workflow_run+"},
		{"workflow_run", "github.event.workflow_run.conclusion == 'success'", "workflow_run!"},
		{"workflow_run", "github.event.workflow_run.head_branch == 'main'", "workflow_run!"}, // a fork's may be named so
		{"workflow_run", "github.event.workflow_run.head_repository.full_name == github.repository", "workflow_run-"},
		{"issue_comment", "github.event.comment.author_association == 'MEMBER'", "issue_comment!"},
		// What is not read keeps all.
		{"push pull_request", "github.event_name == 'push' &&", "push+ pull_request-"},
		{"push pull_request", "github.event_name == 'push", "push+ pull_request-"},
		{"push pull_request", "github.event_name == 'push' && (", "push+ pull_request-"},
		{"push pull_request", "${{ github.event_name == 'push' }} && x", "push+ pull_request-"},
		{"push pull_request", "github.event_name < 'push'", "push+ pull_request-"},
		{"push pull_request", "fromJSON('{\"a\": 1}').a", "push+ pull_request-"},
		{"push pull_request", "x[github.event_name == 'push'].y", "push+ pull_request-"},
		{"push pull_request", strings.Repeat("(", 60) + "false" + strings.Repeat(")", 60), "push+ pull_request-"},
		{"push pull_request", strings.Repeat("true && ", 2000) + "false", "push+ pull_request-"},
		{"push", "inputs.go", ""},
		{"push", "inputs.stop || inputs.go == false", "push+"},
		{"push", "inputs.unknown", "push+"},
	} {
		r := reader{closes: map[string]bool{}}
		var triggers []ci.Trigger
		for e := range strings.FieldsSeq(row.events) {
			name, kind, _ := strings.Cut(e, "/")
			r.closes[name] = kind == "closed"
			triggers = append(triggers, ci.Trigger{Event: name, Trust: trustOf(name)})
		}
		var left []string
		for _, k := range r.narrow(triggers, row.condition, names{"inputs.go": "false", "inputs.stop": "${{ needs.x.outputs.y }}"}) {
			left = append(left, k.Event+string("+-!"[k.Trust]))
		}
		if got := strings.Join(left, " "); got != row.left {
			t.Errorf("%s\n\tleaves %q, not %q", row.condition, got, row.left)
		}
	}
}

// TestStrangersWords: which expressions put a stranger's words where they stand.
func TestStrangersWords(t *testing.T) {
	for body, events := range map[string]string{
		"github.event.pull_request.title":                           "pull_request pull_request_target",
		"github.event.pull_request.body":                            "pull_request_target",
		"github.event.pull_request.head.ref":                        "pull_request_target pull_request_review",
		"github.event.pull_request.head.label":                      "pull_request_target",
		"github.event.pull_request.head.repo.default_branch":        "pull_request_target",
		"github.head_ref":                                           "pull_request_target",
		"GitHub.Head_Ref":                                           "pull_request_target",
		"github.event.issue.title":                                  "issues issue_comment",
		"github.event.issue.body":                                   "issues",
		"github.event.comment.body":                                 "issue_comment commit_comment discussion_comment",
		"github.event.review.body":                                  "pull_request_review",
		"github.event.discussion.title":                             "discussion",
		"github.event.workflow_run.head_branch":                     "workflow_run",
		"github.event.workflow_run.display_title":                   "workflow_run",
		"github.event.workflow_run.head_commit.message":             "workflow_run",
		"github.event.workflow_run.head_commit.author.name":         "workflow_run",
		"github.event.workflow_run.pull_requests[0].head.ref":       "workflow_run",
		"github.event.pages[0].page_name":                           "gollum",
		"toJSON(github.event)":                                      "issues pull_request_target",
		"toJSON(github)":                                            "issues",
		"toJSON(github.event.issue)":                                "issues",
		"github.event['issue']['title']":                            "issues",
		"format('{0}', github.event.issue.title)":                   "issues",
		"github.actor || github.event.issue.title":                  "issues",
		"github.actor == 'x' && github.event.issue.title":           "issues",
		"github.event.issue.title && 'yes' || 'no'":                 "",
		"github.event.issue.title == 'x'":                           "",
		"contains(github.event.issue.title, 'x')":                   "",
		"startsWith(github.event.issue.title, 'x') && github.actor": "",
		"!github.event.issue.title":                                 "",
		"github.event.issue.number":                                 "",
		"github.event.number":                                       "",
		"github.event.pull_request.head.sha":                        "",
		"github.event.head_commit.message":                          "", // of a push, by those who may
		"github.event.pull_request.number":                          "",
	} {
		for _, e := range []string{
			"push", "pull_request", "pull_request_target", "pull_request_review", "issues", "issue_comment", "commit_comment", "discussion", "discussion_comment", "workflow_run", "gollum",
		} {
			wanted := slices.Contains(strings.Fields(events), e)
			got := strangersWords(body, []ci.Trigger{{Event: e, Trust: trustOf(e)}}) != ""
			if got && events == "" || wanted && !got || e == "push" && got {
				t.Errorf("%s by %s: %v", body, e, got)
			}
		}
		if strangersWords(body, []ci.Trigger{{Event: "issues"}, {Event: "pull_request_target"}}) != "" {
			t.Errorf("%s: by a maintainer", body)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, s := range []string{"a && b || !c", "${{ x }}", "f(a, 'b''c')[0].d == 1", "((((", "!!!!", "a['b'", "'"} {
		f.Add(s)
	}
	r := reader{}
	f.Fuzz(func(t *testing.T, s string) {
		left := r.narrow([]ci.Trigger{{Event: "push"}, {Event: "pull_request_target", Trust: ci.Stranger}}, s, nil)
		if len(left) > 2 {
			t.Fatal("more than there were")
		}
		strangersWords(s, left)
	})
}

package tekton

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

func TestTriggers(t *testing.T) {
	for note, want := range map[string]string{
		`on-event: "[push]"`:                                              "push",
		`on-event: pull_request`:                                          "pull_request",
		`on-event: "[pull_request_closed, push]"`:                         "pull_request push",
		`on-event: "[incoming]"`:                                          "incoming",
		`on-comment: "^/release"`:                                         "pull_request",
		`on-cel-expression: event == "push" && target_branch == "main"`:   "push",
		`on-cel-expression: "event == 'pull_request' || event == 'push'"`: "push pull_request",
		`on-cel-expression: target_branch == "main"`:                      "push pull_request",
		`max-keep-runs: "2"`:                                              "",
	} {
		d := read(t, "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata:\n  name: a\n  annotations:\n    pipelinesascode.tekton.dev/"+note+"\nspec: { taskSpec: { steps: [{ script: x }] } }\n", Options{})
		got := ""
		for i, tr := range d.Triggers {
			if i > 0 {
				got += " "
			}
			got += tr.Event
			if (tr.Trust == ci.Contributor) != (tr.Event == "pull_request") {
				t.Errorf("%s: %s by trust %d", note, tr.Event, tr.Trust)
			}
			if tr.Where.Line != 6 {
				t.Errorf("%s stands in line %d", note, tr.Where.Line)
			}
		}
		if got != want {
			t.Errorf("%s starts by %q, not %q", note, got, want)
		}
	}
}

// What is known of tasks of other places, each by a name that people use.
func TestCatalog(t *testing.T) {
	for name, want := range map[string]string{
		"buildah":                     "executes oci unsandboxed publish",
		"buildah-remote-oci-ta":       "executes oci unsandboxed publish",
		"kaniko":                      "executes oci unsandboxed publish",
		"docker-build":                "executes oci unsandboxed publish",
		"s2i-nodejs":                  "executes oci unsandboxed publish",
		"buildpacks-phases":           "executes oci publish",
		"jib-maven":                   "executes maven publish",
		"jib-gradle":                  "executes maven publish",
		"ko":                          "compiles go publish",
		"maven":                       "executes maven",
		"gradle":                      "executes maven",
		"npm":                         "executes npm",
		"pytest":                      "executes pypi",
		"golang-test":                 "executes go",
		"golang-build":                "compiles go",
		"skopeo-copy":                 "publish",
		"github-create-release":       "publish",
		"gh-release":                  "publish",
		"create-github-release":       "publish",
		"cosign-sign":                 "sign",
		"git-cli":                     "repository",
		"git-batch-merge":             "repository",
		"kubernetes-actions":          "deploy",
		"helm-upgrade-from-repo":      "deploy",
		"openshift-client":            "deploy",
		"argocd-task-sync-and-wait":   "deploy",
		"aws-cli":                     "deploy",
		"gcloud":                      "deploy",
		"terraform-cli":               "deploy",
		"pulumi":                      "deploy",
		"git-clone":                   "",
		"kooky":                       "",
		"sast-snyk-check-oci-ta-0.42": "",
	} {
		d := read(t, "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: { name: a }\nspec: { taskRef: { resolver: hub, params: [{ name: name, value: "+name+" }] } }\n", Options{})
		if len(d.Gaps) != 1 {
			t.Errorf("%s: gaps %v", name, d.Gaps)
		}
		if got := account(d.Jobs[0].Steps[0]); got != want {
			t.Errorf("%s does %q, not %q", name, got, want)
		}
	}
}

func account(s ci.Step) string {
	out := ""
	add := func(s string) {
		if out != "" {
			out += " "
		}
		out += s
	}
	for _, e := range s.Events[1:] {
		add([...]string{ci.Executes: "executes", ci.Compiles: "compiles"}[e.Tier] + " " + e.Ecosystem)
		if e.Unsandboxed {
			add("unsandboxed")
		}
	}
	for _, a := range s.Acts {
		add(string(a.Class))
	}
	return out
}

// An account that no file names is taken to publish only where nothing else
// could.
func TestAccount(t *testing.T) {
	const env = "env: [{ name: %s, valueFrom: { secretKeyRef: { name: a, key: b } } }], "
	for _, c := range []struct {
		account, env, script string
		want                 []ci.Class
		assumed              bool
	}{
		{"", "", "skopeo copy a b", []ci.Class{ci.Publish}, true},
		{"", "GITHUB_TOKEN", "skopeo copy a b", []ci.Class{ci.Ambient}, true},
		{"", "THING", "skopeo copy a b", []ci.Class{ci.Ambient}, true},
		{"", "", "go test ./...", []ci.Class{ci.Ambient}, true},
		{"pusher", "GITHUB_TOKEN", "skopeo copy a b", []ci.Class{ci.Publish}, false},
		{"pusher", "GITHUB_TOKEN", "gh release create v1", []ci.Class{ci.Ambient}, false},
		{"pusher", "QUAY_TOKEN", "skopeo copy a b", []ci.Class{ci.Ambient}, false},
		{"pusher", "", "kubectl apply -f x && skopeo copy a b", []ci.Class{ci.Deploy, ci.Publish}, false},
	} {
		e := ""
		if c.env != "" {
			e = fmt.Sprintf(env, c.env)
		}
		d := read(t, "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: { name: a }\nspec: { serviceAccountName: "+c.account+", taskSpec: { steps: [{ "+e+"script: "+c.script+" }] } }\n", Options{})
		all := d.Jobs[0].Credentials
		got := all[len(all)-1]
		if got.Kind != ci.Account || !slices.Equal(got.Classes, c.want) || got.Assumed != c.assumed {
			t.Errorf("%q with %q and %q: %v", c.script, c.account, c.env, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{"plain": "plain", "": "''", "two words": "'two words'", "it's": `'it'\''s'`, "a;b": "'a;b'", "$(params.x)": "$(params.x)"} {
		if got := quote(s); got != want {
			t.Errorf("%s is quoted as %s", s, got)
		}
	}
}

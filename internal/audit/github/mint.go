package github

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// mint is a credential that comes into being in a step of some actions.
type mint struct {
	actions []string
	name    string
	kind    ci.Kind
	classes []ci.Class
	onDisk  bool
	subject string                 // the input that says who it speaks as
	when    func(*stepReader) bool // nil: always
}

func minters() []mint {
	publish, sign, deploy, repository := []ci.Class{ci.Publish}, []ci.Class{ci.Sign}, []ci.Class{ci.Deploy}, []ci.Class{ci.Repository}
	return []mint{
		{actions: []string{"docker/login-action", "redhat-actions/podman-login", "azure/docker-login"}, name: "login to ", kind: ci.Session, classes: publish, onDisk: true, when: pushes},
		{actions: []string{"aws-actions/amazon-ecr-login"}, name: "login to the Amazon registry", kind: ci.Session, classes: publish, onDisk: true},
		{actions: []string{"crazy-max/ghaction-import-gpg", "hashicorp/ghaction-import-gpg"}, name: "gpg key", kind: ci.File, classes: sign, onDisk: true},
		{actions: []string{"apple-actions/import-codesign-certs"}, name: "signing certificate", kind: ci.File, classes: sign, onDisk: true},
		{actions: []string{"aws-actions/configure-aws-credentials"}, name: "AWS session", kind: ci.Session, classes: deploy, subject: "role-to-assume"},
		{actions: []string{"google-github-actions/auth"}, name: "Google Cloud session", kind: ci.Session, classes: deploy, onDisk: true, subject: "service_account"},
		{actions: []string{"azure/login"}, name: "Azure session", kind: ci.Session, classes: deploy, onDisk: true, subject: "client-id"},
		{actions: []string{"hashicorp/vault-action"}, name: "secrets of Vault", kind: ci.Session, classes: deploy, subject: "role"},
		{actions: []string{"azure/k8s-set-context", "azure/aks-set-context", "google-github-actions/get-gke-credentials"}, name: "kubeconfig", kind: ci.File, classes: deploy, onDisk: true},
		{
			actions: []string{"actions/create-github-app-token", "tibdex/github-app-token", "octo-sts/action", "open-security-tools/ost-simple-sts", "peter-murray/workflow-application-token-action"},
			name:    "token of a GitHub App", kind: ci.App, classes: repository, when: appWrites,
		},
		{actions: []string{"webfactory/ssh-agent", "shimataro/ssh-key-action"}, name: "ssh key", kind: ci.File, classes: []ci.Class{ci.Deploy, ci.Repository}},
	}
}

// pushes tells whether a registry login can write: one by a job's own token that
// has no such right cannot.
func pushes(s *stepReader) bool { return !ownToken(s.input("password")) || s.p.writes("packages") }

// appWrites tells whether an app's token can write: it cannot where its rights
// are written out and none is to write.
func appWrites(s *stepReader) bool {
	limited, writes := false, false
	for _, p := range s.n.Get("with").Pairs() {
		if strings.HasPrefix(p.Key.Text(), "permission-") {
			limited, writes = true, writes || p.Value.Text() != "read"
		}
	}
	return !limited || writes
}

// mints adds credentials that come into being in a step.
func (s *stepReader) mints(name string, uses tree.Node) {
	for _, m := range minters() {
		if !named(m.actions, name, name) || m.when != nil && !m.when(s) {
			continue
		}
		c := ci.Credential{Name: m.name, Kind: m.kind, Classes: m.classes, Scope: ci.MintedAt, Step: s.i, Enters: "step " + uses.Text(), Where: uses.Place(), OnDisk: m.onDisk}
		if strings.HasSuffix(c.Name, " ") {
			c.Name += registry(firstOf(s.input("registry"), s.input("login-server")))
		}
		if who := s.input(m.subject); m.subject != "" && !strings.Contains(who, "${{") {
			c.Subject = who
		}
		s.job.Credentials = append(s.job.Credentials, c)
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func registry(name string) string {
	if name == "" {
		return "the default registry"
	}
	return name
}

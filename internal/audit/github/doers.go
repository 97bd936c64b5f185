package github

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// does is what a published action is there for.
type does struct {
	class     ci.Class // what it does with a credential; empty: nothing
	tool      string
	executes  string // ecosystem whose third-party code it runs; empty: none
	why       string
	attests   bool
	verifies  bool
	condition func(*stepReader) bool // nil: always
}

func unlessFalse(key string) func(*stepReader) bool {
	return func(s *stepReader) bool { return !s.n.Get("with", key).False() }
}

func argsWith(word string) func(*stepReader) bool {
	return func(s *stepReader) bool { return strings.Contains(" "+s.with("args")+" ", " "+word) }
}

// doers are actions by owner/name, in lower case.
func doers(name string) []does {
	switch name {
	case "pypa/gh-action-pypi-publish":
		return []does{{class: ci.Publish, tool: "pypi"}, {class: ci.Sign, tool: "pypi", attests: true, condition: unlessFalse("attestations")}}
	case "js-devtools/npm-publish", "rubygems/release-gem", "rubygems/configure-rubygems-credentials", "katyo/publish-crates", "rust-lang/crates-io-auth-action":
		return []does{{class: ci.Publish, tool: "registry"}}
	case "softprops/action-gh-release", "ncipollo/release-action", "svenstaro/upload-release-action", "marvinpinto/action-automatic-releases", "actions/create-release",
		"actions/upload-release-asset", "release-drafter/release-drafter", "googleapis/release-please-action", "shogo82148/actions-upload-release-asset":
		return []does{{class: ci.Repository, tool: "gh"}}
	case "peter-evans/create-pull-request", "stefanzweifel/git-auto-commit-action", "endbug/add-and-commit", "ad-m/github-push-action", "rickstaa/action-create-tag",
		"mathieudutour/github-tag-action":
		return []does{{class: ci.Repository, tool: "git"}}
	case "peaceiris/actions-gh-pages", "jamesives/github-pages-deploy-action", "crazy-max/ghaction-github-pages":
		return []does{{class: ci.Repository, tool: "git"}, {class: ci.Deploy, tool: "pages"}}
	case "actions/deploy-pages", "cloudflare/wrangler-action", "cloudflare/pages-action", "amondnet/vercel-action", "nwtgck/actions-netlify", "firebaseextended/action-hosting-deploy",
		"google-github-actions/deploy-cloudrun", "azure/webapps-deploy", "azure/k8s-deploy", "aws-actions/amazon-ecs-deploy-task-definition", "superfly/flyctl-actions",
		"appleboy/ssh-action", "appleboy/scp-action", "easingthemes/ssh-deploy", "burnett01/rsync-deployments", "azure/static-web-apps-deploy", "akhileshns/heroku-deploy":
		return []does{{class: ci.Deploy, tool: "deploy"}}
	case "actions/attest", "actions/attest-build-provenance", "actions/attest-sbom":
		return []does{{class: ci.Sign, tool: "attest", attests: true}}
	case "sigstore/gh-action-sigstore-python", "signpath/github-action-submit-signing-request", "azure/trusted-signing-action", "azure/artifact-signing-action", "dlemstra/code-sign-action":
		return []does{{class: ci.Sign, tool: "sign"}}
	case "slsa-framework/slsa-verifier":
		return []does{{class: ci.Sign, tool: "slsa-verifier", verifies: true}}
	}
	return builders(name)
}

// builders are actions that run other people's code by themselves.
func builders(name string) []does {
	switch name {
	case "goreleaser/goreleaser-action":
		return []does{
			{executes: "go", why: "goreleaser runs the hooks of its configuration, and the go command", condition: argsWith("release")},
			{executes: "go", why: "goreleaser runs the hooks of its configuration, and the go command", condition: argsWith("build")},
			{class: ci.Publish, tool: "goreleaser", condition: func(s *stepReader) bool {
				a := s.with("args")
				return strings.Contains(a, "release") && !strings.Contains(a, "--snapshot") && !strings.Contains(a, "publish")
			}},
		}
	case "changesets/action":
		return []does{{executes: "npm", why: "it runs the scripts of the project with what was installed"}, {class: ci.Publish, tool: "npm"}, {class: ci.Repository, tool: "git"}}
	case "cycjimmy/semantic-release-action", "ahmadnassri/action-semantic-release", "codfish/semantic-release-action":
		return []does{{executes: "npm", why: "it installs semantic-release and its plugins, and runs them"}, {class: ci.Publish, tool: "npm"}}
	case "pypa/cibuildwheel", "pyo3/maturin-action", "messense/maturin-action", "hynek/build-and-inspect-python-package":
		return []does{{executes: "pypi", why: "it builds the project with its build dependencies, which run"}}
	case "bahmutov/npm-install", "cypress-io/github-action":
		return []does{{executes: "npm", why: "it installs the packages, and their install scripts run"}}
	case "pre-commit/action", "pre-commit-ci/lite-action":
		return []does{{executes: "git", why: "it clones hooks and runs them"}}
	case "taiki-e/upload-rust-binary-action", "actions-rs/cargo", "actions-rust-cross/actions-rust-cross", "houseabsolute/actions-rust-cross", "clechasseur/rs-cargo":
		out := []does{{executes: "cargo", why: "build scripts and macros of the dependencies run while they are compiled"}}
		if name == "taiki-e/upload-rust-binary-action" {
			out = append(out, does{class: ci.Repository, tool: "gh"})
		}
		return out
	case "tauri-apps/tauri-action":
		return []does{{executes: "cargo", why: "build scripts of the dependencies run while they are compiled"}, {class: ci.Repository, tool: "gh"}}
	case "wagoid/commitlint-github-action", "superfly/fly-deploy":
		return nil
	case "crazy-max/ghaction-upx", "gradle/gradle-build-action":
		return []does{{executes: "maven", why: "gradle runs the plugins of the build", condition: func(s *stepReader) bool { return s.with("arguments") != "" }}}
	case "pnpm/setup":
		return []does{{executes: "npm", why: "it installs the packages, and their install scripts run", condition: unlessFalse("install")}}
	case "pnpm/action-setup":
		return []does{{executes: "npm", why: "run_install installs the packages, and their install scripts run", condition: func(s *stepReader) bool {
			v := s.with("run_install")
			return v != "" && v != "false" && v != "null"
		}}}
	}
	return nil
}

// doer adds what the table says of an action.
func (s *stepReader) doer(name, ref string, uses tree.Node) {
	for _, d := range doers(name) {
		if d.condition != nil && !d.condition(s) {
			continue
		}
		if d.executes != "" {
			s.executes(uses, d.executes, d.why)
		}
		if d.class != "" {
			s.out.Acts = append(s.out.Acts, ci.Act{Class: d.class, Text: ref, Tool: d.tool, Attests: d.attests, Verifies: d.verifies, Where: uses.Place()})
		}
	}
}

// minter adds credentials that come into being in a step.
func (s *stepReader) minter(name string, uses tree.Node) {
	c := ci.Credential{Scope: ci.MintedAt, Step: s.i, Where: uses.Place(), Enters: "step " + uses.Text()}
	switch name {
	case "docker/login-action", "redhat-actions/podman-login", "aws-actions/amazon-ecr-login", "azure/docker-login":
		password := s.with("password")
		own := strings.Contains(password, "github.token") || strings.Contains(password, "secrets.GITHUB_TOKEN")
		if own && !s.p.writes("packages") {
			return // a login that can read
		}
		c.Name, c.Kind, c.Classes, c.OnDisk = "login to "+registry(s.with("registry")), ci.Session, []ci.Class{ci.Publish}, true
	case "crazy-max/ghaction-import-gpg", "hashicorp/ghaction-import-gpg":
		c.Name, c.Kind, c.Classes, c.OnDisk = "gpg key", ci.File, []ci.Class{ci.Sign}, true
	case "apple-actions/import-codesign-certs":
		c.Name, c.Kind, c.Classes, c.OnDisk = "signing certificate", ci.File, []ci.Class{ci.Sign}, true
	case "aws-actions/configure-aws-credentials":
		c.Name, c.Kind, c.Classes, c.Subject = "AWS session", ci.Session, []ci.Class{ci.Deploy}, plain(s.with("role-to-assume"))
	case "google-github-actions/auth":
		c.Name, c.Kind, c.Classes, c.OnDisk, c.Subject = "Google Cloud session", ci.Session, []ci.Class{ci.Deploy}, true, plain(s.with("service_account"))
	case "azure/login":
		c.Name, c.Kind, c.Classes, c.OnDisk = "Azure session", ci.Session, []ci.Class{ci.Deploy}, true
	case "hashicorp/vault-action":
		c.Name, c.Kind, c.Classes = "secrets of Vault", ci.Session, []ci.Class{ci.Deploy}
	case "actions/create-github-app-token", "tibdex/github-app-token", "octo-sts/action", "peter-murray/workflow-application-token-action":
		c.Name, c.Kind, c.Classes = "token of a GitHub App", ci.App, []ci.Class{ci.Repository}
	case "webfactory/ssh-agent", "shimataro/ssh-key-action":
		c.Name, c.Kind, c.Classes = "ssh key", ci.File, []ci.Class{ci.Deploy, ci.Repository}
	case "azure/k8s-set-context", "azure/aks-set-context", "google-github-actions/get-gke-credentials":
		c.Name, c.Kind, c.Classes, c.OnDisk = "kubeconfig", ci.File, []ci.Class{ci.Deploy}, true
	default:
		return
	}
	s.job.Credentials = append(s.job.Credentials, c)
}

func registry(name string) string {
	if name == "" {
		return "the default registry"
	}
	return name
}

// plain is a text that holds no expression.
func plain(text string) string {
	if strings.Contains(text, "${{") {
		return ""
	}
	return text
}

package github

import (
	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

// doer is what published actions are there for. Actions are owner/name or
// owner/name/path, in lower case.
type doer struct {
	actions  []string
	classes  []ci.Class // what they do with a credential
	tool     string
	runs     string // ecosystem whose third-party code they run; empty: none
	why      string
	attests  bool
	verifies bool
	when     func(*stepReader) bool // nil: always
}

// doers are the rows of actions that do something; one action can have several.
func doers() []doer {
	return append(append(publishers(), signers()...), builders()...)
}

func unlessOff(key string) func(*stepReader) bool {
	return func(s *stepReader) bool { return !s.off(key) }
}

func given(key string) func(*stepReader) bool {
	return func(s *stepReader) bool {
		v := s.input(key)
		return v != "" && v != "false" && v != "null"
	}
}

func publishers() []doer {
	publish, repository, deploy := []ci.Class{ci.Publish}, []ci.Class{ci.Repository}, []ci.Class{ci.Deploy}
	return []doer{
		{actions: []string{"pypa/gh-action-pypi-publish"}, classes: publish, tool: "pypi"},
		{actions: []string{"js-devtools/npm-publish"}, classes: publish, tool: "npm"},
		{actions: []string{"rubygems/release-gem", "rubygems/configure-rubygems-credentials"}, classes: publish, tool: "gem"},
		{actions: []string{"katyo/publish-crates", "rust-lang/crates-io-auth-action"}, classes: publish, tool: "cargo"},
		{actions: []string{"computology/packagecloud-github-action", "cloudsmith-io/action", "vedantmgoyal9/winget-releaser", "snapcore/action-publish"}, classes: publish, tool: "registry"},
		{actions: []string{"changesets/action", "cycjimmy/semantic-release-action", "ahmadnassri/action-semantic-release", "codfish/semantic-release-action"}, classes: publish, tool: "npm"},
		{
			actions: []string{
				"softprops/action-gh-release", "ncipollo/release-action", "svenstaro/upload-release-action", "marvinpinto/action-automatic-releases", "actions/create-release", "actions/upload-release-asset",
				"release-drafter/release-drafter", "googleapis/release-please-action", "google-github-actions/release-please-action", "shogo82148/actions-upload-release-asset",
				"taiki-e/create-gh-release-action", "taiki-e/upload-rust-binary-action", "tauri-apps/tauri-action",
			},
			classes: repository, tool: "gh",
		},
		{
			actions: []string{
				"peter-evans/create-pull-request", "stefanzweifel/git-auto-commit-action", "endbug/add-and-commit", "ad-m/github-push-action", "rickstaa/action-create-tag", "mathieudutour/github-tag-action",
				"anothrnick/github-tag-action", "joerick/update-vx.y-tag-action", "tibdex/backport", "changesets/action", "cycjimmy/semantic-release-action", "peaceiris/actions-gh-pages",
				"jamesives/github-pages-deploy-action", "crazy-max/ghaction-github-pages",
			},
			classes: repository, tool: "git",
		},
		{
			actions: []string{"peaceiris/actions-gh-pages", "jamesives/github-pages-deploy-action", "crazy-max/ghaction-github-pages", "actions/deploy-pages", "cloudflare/pages-action", "azure/static-web-apps-deploy"},
			classes: deploy, tool: "pages",
		},
		{
			actions: []string{
				"cloudflare/wrangler-action", "amondnet/vercel-action", "nwtgck/actions-netlify", "firebaseextended/action-hosting-deploy", "google-github-actions/deploy-cloudrun", "azure/webapps-deploy",
				"azure/k8s-deploy", "aws-actions/amazon-ecs-deploy-task-definition", "akhileshns/heroku-deploy",
			},
			classes: deploy, tool: "cloud",
		},
		{actions: []string{"appleboy/ssh-action", "appleboy/scp-action", "easingthemes/ssh-deploy", "burnett01/rsync-deployments"}, classes: deploy, tool: "ssh"},
	}
}

func signers() []doer {
	sign := []ci.Class{ci.Sign}
	return []doer{
		{actions: []string{"pypa/gh-action-pypi-publish"}, classes: sign, tool: "pypi", attests: true, when: unlessOff("attestations")},
		{actions: []string{"actions/attest", "actions/attest-build-provenance", "actions/attest-sbom"}, classes: sign, tool: "attest", attests: true},
		{
			actions: []string{
				"sigstore/gh-action-sigstore-python", "signpath/github-action-submit-signing-request", "azure/trusted-signing-action", "azure/artifact-signing-action", "dlemstra/code-sign-action",
			},
			classes: sign, tool: "sign",
		},
		{actions: []string{"slsa-framework/slsa-verifier"}, classes: sign, tool: "slsa-verifier", verifies: true},
	}
}

// builders are actions that run other people's code by themselves.
func builders() []doer {
	return []doer{
		{actions: []string{"changesets/action"}, runs: "npm", why: "it runs the scripts of the project with what was installed"},
		{actions: []string{"cycjimmy/semantic-release-action", "ahmadnassri/action-semantic-release", "codfish/semantic-release-action"}, runs: "npm", why: "it installs semantic-release and its plugins, and runs them"},
		{actions: []string{"pypa/cibuildwheel", "pyo3/maturin-action", "messense/maturin-action", "hynek/build-and-inspect-python-package"}, runs: "pypi", why: "it builds the project with its build dependencies, which run"},
		{actions: []string{"cloudflare/wrangler-action", "amondnet/vercel-action"}, runs: "npm", why: "it installs its tool from the registry when it runs"},
		{actions: []string{"bahmutov/npm-install", "cypress-io/github-action", "andresz1/size-limit-action"}, runs: "npm", why: "it installs the packages, and their install scripts run"},
		{actions: []string{"pre-commit/action", "pre-commit-ci/lite-action", "j178/prek-action"}, runs: "git", why: "it clones hooks and runs them"},
		{actions: []string{"actions-rs/cargo", "actions-rust-cross/actions-rust-cross", "houseabsolute/actions-rust-cross", "clechasseur/rs-cargo", "taiki-e/upload-rust-binary-action", "tauri-apps/tauri-action"},
			runs: "cargo", why: "build scripts and macros of the dependencies run while they are compiled"},
		{actions: []string{"gradle/gradle-build-action", "gradle/actions/setup-gradle"}, runs: "maven", why: "gradle runs the plugins of the build", when: given("arguments")},
		{actions: []string{"gradle/actions/dependency-submission"}, runs: "maven", why: "gradle runs the plugins of the build"},
		{actions: []string{"github/codeql-action/autobuild"}, runs: "make", why: "it builds the project with whatever its files say"},
		{actions: []string{"pnpm/setup"}, runs: "npm", why: "it installs the packages, and their install scripts run", when: unlessOff("install")},
		{actions: []string{"pnpm/action-setup"}, runs: "npm", why: "run_install installs the packages, and their install scripts run", when: given("run_install")},
		{actions: []string{"ruby/setup-ruby"}, runs: "gem", why: "bundler-cache installs the gems, and their extensions run while they are built", when: func(s *stepReader) bool { return s.on("bundler-cache") }},
		{actions: []string{"borales/actions-yarn"}, runs: "npm", why: "it runs yarn, and the install scripts of the packages"},
	}
}

// runner is an action that runs a command of the workflow.
type runner struct{ action, input string }

func runners() []runner {
	return []runner{
		{"nick-fields/retry", "command"}, {"nick-invision/retry", "command"}, {"wandalen/wretry.action", "command"}, {"codspeedhq/action", "run"},
		{"reactivecircus/android-emulator-runner", "script"}, {"coactions/setup-xvfb", "run"}, {"gabrielbb/xvfb-action", "run"},
	}
}

// keeper is an action that keeps a cache by itself.
type keeper struct {
	action   string
	input    string // that turns it on, or says what is kept
	always   bool   // without being told
	since    int    // the major version that always is from
	auto     func(*stepReader, tree.Node) bool
	inverted bool   // the input turns it off
	save     string // the input that says whether it is written
}

func keepers() []keeper {
	return []keeper{
		{action: "actions/setup-node", input: "cache", auto: nodeKeeps},
		{action: "actions/setup-python", input: "cache"},
		{action: "actions/setup-java", input: "cache"},
		{action: "actions/setup-dotnet", input: "cache"},
		{action: "actions/setup-go", input: "cache", always: true, since: 4},
		{action: "ruby/setup-ruby", input: "bundler-cache"},
		{action: "swatinem/rust-cache", always: true, save: "save-if"},
		{action: "gradle/actions/setup-gradle", input: "cache-disabled", always: true, inverted: true},
		{action: "gradle/gradle-build-action", input: "cache-disabled", always: true, inverted: true},
		{action: "mozilla-actions/sccache-action", always: true},
		{action: "hendrikmuhs/ccache-action", input: "restore", always: true, save: "save"},
		{action: "astral-sh/setup-uv", input: "enable-cache", always: true, since: 5, save: "save-cache"},
		{action: "pnpm/action-setup", input: "cache"},
		{action: "pnpm/setup", input: "cache"},
		{action: "pdm-project/setup-pdm", input: "cache"},
		{action: "jdx/mise-action", input: "cache", always: true, save: "cache_save"},
		{action: "nix-community/cache-nix-action", input: "restore", always: true, save: "save"},
		{action: "determinatesystems/magic-nix-cache-action", input: "use-gha-cache", always: true},
		{action: "bahmutov/npm-install", input: "useCache", always: true},
	}
}
